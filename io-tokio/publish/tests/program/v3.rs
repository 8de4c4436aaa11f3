//! Rooms of mediasoup 3: what is told of those of v2 holds for them, as far as they are the same.

use std::time::Instant;

use mediasoup_producer::record::replay;
use mediasoup_publish::args::Dialect;
use mediasoup_publish::embedded::Room;
use mediasoup_publish::source::Kind;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::{Program, clip, media};
use crate::rooms::{room, until, url};
use crate::{reconnect, rtp};

#[tokio::test]
async fn the_embedded_room_receives_every_packet_of_four_encodings() {
    let run = Program::run(&["--embedded", "v3", "--seconds", "3"]).await;
    run.assert_all_received();
    let named = |encoding: &Value| ["kind", "profile", "codec"].map(|name| encoding[name].as_str().unwrap().to_owned());
    let expected =
        [["audio", "default", "opus"], ["video", "low", "VP8"], ["video", "medium", "VP8"], ["video", "high", "VP8"]];
    assert_eq!(run.encodings().iter().map(named).collect::<Vec<_>>(), expected);
    for encoding in run.encodings() {
        let wanted = if encoding["kind"] == "audio" { 150 } else { 90 };
        assert!(encoding["frames"].as_u64().unwrap().abs_diff(wanted) <= 3, "{encoding}");
    }
    for name in ["room", "joined", "connectionstatechange", "handled", "keyframerequest"] {
        assert!(run.events(name).next().is_some(), "no {name}");
    }
}

/// A URL that does not tell the dialect.
#[tokio::test]
async fn a_named_dialect_is_spoken() {
    let room = room(Dialect::V3).await;
    let run = Program::run(&["--seconds", "1", "--dialect", "v3", "--room", &room.ws_url]).await;
    run.assert_all_received();
    assert!(run.events("joined").all(|event| event["peer"].as_str().unwrap().starts_with("publish-")));
}

#[tokio::test]
async fn files_of_every_codec_that_mediasoup_3_routes_are_published_to_their_end() {
    let file = async |option: &str, name: &str, codec: &str, frames: u64| {
        let run = Program::run(&["--embedded", "v3", option, &media(name)]).await;
        run.assert_all_received();
        let [encoding] = run.encodings() else { panic!("{run:#?}") };
        assert_eq!((&encoding["codec"], &encoding["frames"]), (&codec.into(), &frames.into()), "{name}");
    };
    tokio::join!(
        file("--video", "vp8.ivf", "VP8", 30),
        file("--video", "vp9.ivf", "VP9", 30),
        file("--video", "h264.h264", "H264", 30),
        file("--audio", "opus.ogg", "opus", 50),
    );
}

#[tokio::test]
async fn three_files_are_the_layers_of_a_simulcast_in_vp8_and_h264() {
    let [low, medium, high, h264] = [clip("low.ivf"), clip("medium.ivf"), clip("high.ivf"), media("h264.h264")];
    let vp8 = ["--embedded", "v3", "--video", &low, &medium, &high];
    let h264 = ["--embedded", "v3", "--codec", "h264/640032", "--video", &h264, &h264, &h264];
    let (vp8, h264) = tokio::join!(Program::run(&vp8), Program::run(&h264));
    for run in [vp8, h264] {
        run.assert_all_received();
        let profiles: Vec<_> = run.encodings().iter().map(|encoding| &encoding["profile"]).collect();
        assert_eq!(profiles, ["low", "medium", "high"]);
    }
}

#[tokio::test]
async fn rtp_is_passed_on() {
    let args = ["--embedded", "v3", "--seconds", "2", "--audio-rtp", "127.0.0.1:0", "--video-rtp", "127.0.0.1:0"];
    let mut program = Program::start(&args);
    let audio = program.event("listening").await["address"].as_str().unwrap().to_owned();
    let video = program.event("listening").await["address"].as_str().unwrap().to_owned();
    let senders = async {
        tokio::join!(rtp::send("opus.ogg", Kind::Audio, 97, audio), rtp::send("vp8.ivf", Kind::Video, 96, video));
    };
    let run = tokio::select! {
        () = senders => unreachable!("they go on"),
        run = program.finish() => run,
    };
    run.assert_all_received();
    let [audio, video] = run.encodings() else { panic!("{run:#?}") };
    assert!(audio["frames"].as_u64() > Some(80) && video["frames"].as_u64() > Some(50), "{run:#?}");
}

/// As the demo does: the peer's older connection is taken for broken.
#[tokio::test]
async fn who_comes_with_the_same_name_takes_the_others_place() {
    let room = room(Dialect::V3).await;
    let url = url(&room, Dialect::V3, "twin");
    let mut first = Program::start(&["--room", &url]);
    first.sample("high", |_| true).await;
    let second = Program::run(&["--seconds", "1", "--room", &url]).await;
    second.assert_all_received();
    let first = first.finish().await;
    assert!(first.assert_one_line().contains("closed"), "{first:#?}");
}

#[tokio::test]
async fn with_reconnect_it_joins_again_and_sums_up_all_that_was_sent() {
    let front = reconnect::Front::new().await;
    // The program names the address in front, which the rooms do not know as their own.
    let room = async || Room::start_for(Dialect::V3, vec![format!("http://{}", front.address)]).await.unwrap();
    let first = room().await;
    front.lead_to(&first.ws_url);
    let url = format!("ws://{}/?roomId=r&peerId=camera", front.address);
    let mut program = Program::start(&["--reconnect", "--room", &url]);
    let before = program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;

    let second = room().await;
    front.lead_to(&second.ws_url);
    first.handle.close().await;
    program.event("lost").await;
    program.event("joined").await;
    let packets = before["packets"].as_u64();
    program.sample("high", |sample| sample["packets"].as_u64() > packets.map(|before| before + 100)).await;
    until(&second.handle, |producers| producers.values().any(|view| view.layers.len() == 3)).await;
    program.interrupt().await;
    let run = program.finish().await;
    assert_eq!((run.status, &run.summary()["ok"]), (Some(0), &true.into()), "{run:#?}");
    assert_eq!(run.events("lost").count(), 1);
}

#[tokio::test]
async fn a_recorded_run_repeats_to_its_last_line_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.jsonl");
    let run = Program::run(&["--embedded", "v3", "--seconds", "1", "--record", file.to_str().unwrap()]).await;
    run.assert_all_received();
    let recording = std::fs::read_to_string(file).unwrap();
    let replayed = replay(Instant::now(), &recording).unwrap();
    assert_eq!(replayed.difference, None);
    assert_eq!(replayed.recording, recording.lines().collect::<Vec<_>>());
    assert!(recording.contains(r#""password":"***""#), "{recording}");
}

async fn fails(args: &[&str], words: &[&str]) {
    let run = Program::run(args).await;
    let line = run.assert_one_line();
    assert!(words.iter().all(|words| line.contains(words)), "{line}\nis to say {words:?}");
    assert!(run.encodings().is_empty(), "{run:#?}");
}

#[tokio::test]
async fn what_cannot_be_says_why() {
    let room = room(Dialect::V3).await;
    let url = url(&room, Dialect::V3, "camera");
    let (h264, h265, vp9) = (media("h264.h264"), media("h265.h265"), media("vp9.ivf"));
    let h264 = ["--room", &url, "--video", &h264];
    fails(&["--room", &url, "--video", &h265], &["our video", "mediasoup 3 does not route H265"]).await;
    fails(&["--room", &url, "--video", &vp9, &vp9, &vp9], &["our video", "no simulcast of VP9"]).await;
    fails(&[&h264[..], &["--codec", "h264/4d0032"]].concat(), &["h264/4d0032", "it has H264/42e01f, H264/640"]).await;
    fails(&[&h264[..], &["--codec", "vp8"]].concat(), &["--codec vp8", "the codec of an input"]).await;
    // The embedded room has UDP alone.
    fails(&["--room", &url, "--tcp"], &["cannot join the room", "createWebRtcTransport was refused"]).await;
    fails(&["--codec", "vp8"], &["--codec is for rooms of v3"]).await;
}

#[tokio::test]
async fn a_server_that_is_no_room_of_v3() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let v2 = Room::start().await.unwrap();
    fails(&["--room", &format!("ws://{closed}/?peerId=p")], &["refused", "is the server running"]).await;
    fails(&["--room", "nonsense", "--dialect", "v3"], &["nonsense", "wss://"]).await;
    let url = format!("{}&peerId=p", v2.ws_url);
    fails(&["--room", &url], &["cannot join the room", "getRouterRtpCapabilities was refused"]).await;
}
