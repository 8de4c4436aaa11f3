//! The program `mediasoup-publish`, run as its users run it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use crate::poll::{PATIENCE, within};

/// A run of the program. Ends when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
    said: Vec<Value>,
}

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; none after a signal.
    pub status: Option<i32>,
    /// What it summed up at the end; of a load, the report.
    pub summary: Value,
    /// All of standard error.
    pub stderr: String,
}

impl Program {
    /// Publishes the bundled clip to a room elsewhere, and reports in JSON.
    pub fn publish(room: &str, arguments: &[&str]) -> Self {
        let mut child = tokio::process::Command::new(binary())
            .args(["--json", "--room", room])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let stderr = child.stderr.take().expect("stderr is piped");
        Self { child, stdout, stderr, said: Vec::new() }
    }

    /// Reads on to an event.
    pub async fn event(&mut self, name: &str) -> Value {
        within(PATIENCE, name, async {
            while let Some(line) = self.stdout.next_line().await.expect("stdout can be read") {
                let line: Value = serde_json::from_str(&line).expect("the program speaks JSON");
                self.said.push(line.clone());
                if line["event"] == name {
                    return line;
                }
            }
            panic!("it ended before {name}: {:#?}", self.said)
        })
        .await
    }

    /// Has it end in good order, as Ctrl-C does.
    pub async fn interrupt(self) -> Finished {
        let id = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").args(["-INT", &id]).status().expect("there is kill");
        assert!(status.success());
        self.finished().await
    }

    /// Waits until it has ended.
    pub async fn finished(mut self) -> Finished {
        let mut stderr = String::new();
        let rest = async {
            // Both at once, so that neither pipe fills up.
            let (read, ()) = tokio::join!(self.stderr.read_to_string(&mut stderr), async {
                while let Some(line) = self.stdout.next_line().await.expect("stdout can be read") {
                    self.said.push(serde_json::from_str(&line).expect("the program speaks JSON"));
                }
            });
            read.expect("stderr can be read");
            self.child.wait().await.expect("it ends")
        };
        let status = within(PATIENCE, "the program ends", rest).await.code();
        let last = self.said.last_mut().and_then(Value::as_object_mut);
        let summary =
            last.and_then(|line| line.remove("summary").or_else(|| line.remove("report"))).unwrap_or_default();
        assert!(summary.is_object(), "no summary at the end of {:#?}", self.said);
        Finished { status, summary, stderr }
    }
}

/// Built by the same cargo into the same folder as this, which costs next to nothing if nothing has changed. Cargo gives
/// no test the program of another package by itself.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        // The selection of run.sh, and by way of a test that has the program built: so features are what they are in this
        // build, and no dependency is built twice.
        build.args(["test", "--no-run", "--quiet", "--message-format", "json-render-diagnostics"]);
        build.args(["--workspace", "--exclude", "mediasoup-producer-benches", "--exclude", "mediasoup-producer-bevy"]);
        build.args(["--test", "program"]);
        build.args(["--features", "mediasoup-publish/legacy-dtls"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output();
        let output = output.expect("there is cargo");
        assert!(output.status.success(), "the program cannot be built");
        let messages = String::from_utf8(output.stdout).expect("cargo speaks JSON");
        let executable = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let executable = message["executable"].as_str().map(PathBuf::from);
            executable
                .filter(|_| message["target"]["kind"][0] == "bin" && message["target"]["name"] == "mediasoup-publish")
        });
        executable.expect("cargo names the program it has built")
    })
}
