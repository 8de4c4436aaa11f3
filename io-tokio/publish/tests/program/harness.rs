//! Runs the binary and reads what it says.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// Nothing here takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Program {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
    lines: Vec<Value>,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    /// All of standard output.
    pub(crate) lines: Vec<Value>,
    pub(crate) stderr: String,
}

pub(crate) fn media(name: &str) -> String {
    format!("{}/tests/media/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn clip(name: &str) -> String {
    format!("{}/clip/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mediasoup-publish"));
    // What the machine's environment has is none of the tests'.
    command.env_remove("RUST_LOG");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    /// Starts it with `--json`, and without a page unless the arguments name one or another room.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut all = vec!["--json"];
        if !args.iter().any(|arg| matches!(*arg, "--page" | "--room")) {
            all.push("--no-page");
        }
        all.extend(args);
        let mut child = command(&all).spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        let stderr = child.stderr.take().expect("piped");
        Self { child, stdout, stderr, lines: Vec::new() }
    }

    /// Runs it to its end.
    pub(crate) async fn run(args: &[&str]) -> Finished {
        Self::start(args).finish().await
    }

    /// Reads on to a line.
    pub(crate) async fn line(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = timeout(PATIENCE, self.stdout.next_line()).await.expect("a line in time").expect("text");
            let Some(line) = line else { panic!("it ended before that: {:#?}", self.lines) };
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            self.lines.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    pub(crate) async fn event(&mut self, name: &str) -> Value {
        self.line(|line| line["event"] == name).await
    }

    /// Reads on to the numbers of an encoding.
    pub(crate) async fn sample(&mut self, profile: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.line(|line| line["frames"].is_u64() && line["profile"] == profile && wanted(line)).await
    }

    /// Ctrl-C.
    pub(crate) async fn interrupt(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").args(["-INT", &id]).status().await.expect("there is kill");
        assert!(status.success());
    }

    pub(crate) async fn finish(mut self) -> Finished {
        let mut stderr = String::new();
        let rest = async {
            // Both at once, so that neither pipe fills up.
            let (_, rest) = tokio::join!(self.stderr.read_to_string(&mut stderr), async {
                let mut rest = Vec::new();
                while let Some(line) = self.stdout.next_line().await.expect("text") {
                    rest.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}")));
                }
                rest
            });
            (rest, self.child.wait().await.expect("it ends"))
        };
        let (rest, status) = timeout(PATIENCE, rest).await.expect("it ends in time");
        self.lines.extend::<Vec<Value>>(rest);
        Finished { status: status.code(), lines: self.lines, stderr }
    }
}

impl Finished {
    /// The summary, which must be the last line.
    pub(crate) fn summary(&self) -> &Value {
        let last = self.lines.last().unwrap_or_else(|| panic!("nothing was said: {self:#?}"));
        assert!(last["summary"].is_object(), "{self:#?}");
        &last["summary"]
    }

    pub(crate) fn encodings(&self) -> &[Value] {
        self.summary()["encodings"].as_array().expect("a list")
    }

    pub(crate) fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["event"] == name)
    }

    /// It went well, and the room received every packet of every encoding.
    #[track_caller]
    pub(crate) fn assert_all_received(&self) {
        assert_eq!((self.status, &*self.stderr), (Some(0), ""), "{self:#?}");
        assert_eq!(self.summary()["ok"], true);
        assert!(!self.encodings().is_empty());
        for encoding in self.encodings() {
            assert!(encoding["packets"].as_u64() > Some(0), "{encoding}");
            assert_eq!(encoding["packets"], encoding["room"]["packets"], "{encoding}");
            assert_eq!(encoding["room"]["lost"], 0, "{encoding}");
        }
    }

    /// It failed with one line on standard error, status 1 and no backtrace. Gives the line.
    #[track_caller]
    pub(crate) fn assert_one_line(&self) -> &str {
        assert_eq!(self.status, Some(1), "{self:#?}");
        assert_eq!(self.summary()["ok"], false, "{self:#?}");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("RUST_BACKTRACE"), "{}", self.stderr);
        let line = self.stderr.trim_end().strip_prefix("mediasoup-publish: ");
        line.unwrap_or_else(|| panic!("the program does not name itself: {}", self.stderr))
    }
}
