//! A program of the Node half: started, ready, and ended with its stdin.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::poll::{PATIENCE, within};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) child: Child,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) ready: Value,
}

impl Node {
    pub(crate) async fn start(script: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = within(PATIENCE, &format!("{script} is ready"), stdout.next_line()).await;
        let line = line
            .expect("a program's stdout can be read")
            .unwrap_or_else(|| panic!("{script} {arguments:?} ended at once: was setup.sh run?"));
        let ready: Value = serde_json::from_str(&line).expect("programs speak JSON");
        assert_eq!(ready["ready"], true, "{script} {arguments:?}: {line}");
        Self { child, stdin, stdout, ready }
    }
}
