//! What a program of the command line is expected to do beside its work.

use std::collections::BTreeSet;

use mediasoup_publish::args::HELP;
use serde_json::Value;

use crate::harness::{self, Program, command};

async fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(arguments).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn options_are_taken_from_the_environment_and_the_command_line_goes_before() {
    let mut command = harness::command(&["--seconds", "1"]);
    for (name, value) in [
        ("EMBEDDED", "v3"),
        ("JSON", "yes"),
        ("NO_PAGE", "1"),
        ("LOOP", "false"),
        ("SECONDS", "3600"),
        ("CODEC", "VP8,opus"),
    ] {
        command.env(format!("MEDIASOUP_PUBLISH_{name}"), value);
    }
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["summary"]["ok"], true, "{text}");

    let mut wrong = harness::command(&[]);
    let output = wrong.env("MEDIASOUP_PUBLISH_SECONDS", "soon").output().await.unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && words.contains("--seconds") && words.contains("number"), "{words}");
}

#[tokio::test]
async fn it_logs_to_standard_error_what_is_asked_for_and_nothing_otherwise() {
    for arguments in [&["--log", "debug"][..], &["--log", "mediasoup_producer=info"]] {
        let run = Program::run(&[arguments, &["--seconds", "1"]].concat()).await;
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("INFO") && run.stderr.contains("mediasoup_producer"), "{}", run.stderr);
    }
    assert_eq!(Program::run(&["--seconds", "1"]).await.stderr, "");

    let mut of_environment = command(&["--json", "--no-page", "--seconds", "1"]);
    let logged = of_environment.env("RUST_LOG", "info").output().await.unwrap();
    assert!(String::from_utf8(logged.stderr).unwrap().contains("INFO"));

    let (status, _, words) = output(&["--log", "a=b=c"]).await;
    assert!(status == Some(2) && words.contains("--log"), "{words}");
}

#[tokio::test]
async fn completions_and_the_manual_are_written() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (status, script, _) = output(&["completions", shell]).await;
        assert!(
            status == Some(0) && script.contains("video-rtp") && script.contains("merge-reports"),
            "{shell}: {script}"
        );
    }
    let (status, page, _) = output(&["man"]).await;
    assert!(status == Some(0) && page.contains(".TH mediasoup-publish 1") && page.contains("Exit status"), "{page}");
}

/// Short help fits a screen or two; the long one has all.
#[tokio::test]
async fn help_says_what_the_exit_status_and_each_field_of_the_json_mean() {
    let (status, long, _) = output(&["--help"]).await;
    assert!(status == Some(0) && ["Room:", "Media:", "Load:", "Exit status:"].iter().all(|part| long.contains(part)));

    let run = Program::run(&["--seconds", "2"]).await;
    run.assert_all_received();
    let load = Program::run(&["--rooms", "1", "--seconds", "1"]).await;
    assert_eq!(load.status, Some(0), "{load:#?}");
    let mut fields = BTreeSet::new();
    for line in run.lines.iter().chain(&load.lines) {
        let line = line.as_object().unwrap();
        // The fields of events are many, and theirs.
        let events = line.contains_key("event");
        fields.extend(line.keys().filter(|name| !events || matches!(&***name, "t" | "event")).cloned());
        let inner = ["summary", "load", "report", "room"].iter().filter_map(|name| line.get(*name)?.as_object());
        for inner in inner {
            fields.extend(inner.keys().cloned());
        }
    }
    fields.extend(run.encodings()[0].as_object().unwrap().keys().cloned());
    let words: BTreeSet<_> = HELP.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let unsaid: Vec<_> = fields.iter().filter(|field| !words.contains(&***field)).collect();
    assert!(unsaid.is_empty() && fields.len() > 40, "help does not say {unsaid:?}");
    assert!(include_str!("../../README.md").contains(HELP.trim_end()), "the program's page has the same words");
}
