//! Files of every kind, to the embedded room.

use crate::harness::{self, Finished, Program, clip, media};

async fn publish(args: &[&str]) -> Finished {
    let run = Program::run(args).await;
    run.assert_all_received();
    run
}

/// One second of each, 30 pictures and 50 packets of sound.
async fn video(name: &str, codec: &str) {
    let run = publish(&["--video", &media(name)]).await;
    let [encoding] = run.encodings() else { panic!("{run:#?}") };
    assert_eq!((&encoding["codec"], &encoding["frames"]), (&codec.into(), &30.into()), "{name}");
}

async fn audio(name: &str) {
    let run = publish(&["--audio", &media(name)]).await;
    let [encoding] = run.encodings() else { panic!("{run:#?}") };
    assert_eq!((&encoding["codec"], &encoding["frames"]), (&"opus".into(), &50.into()), "{name}");
}

#[tokio::test]
async fn every_kind_of_video_file_is_published_to_its_end() {
    tokio::join!(
        video("vp8.ivf", "VP8"),
        video("vp9.ivf", "VP9"),
        video("h264.h264", "H264"),
        video("h265.h265", "H265"),
        video("vp8-opus.webm", "VP8"),
        video("vp9-opus.mkv", "VP9"),
        video("h264-opus.mkv", "H264"),
        video("h264-opus.mp4", "H264"),
        video("h264-opus-fragmented.mp4", "H264"),
        video("h265.mp4", "H265"),
    );
}

#[tokio::test]
async fn every_kind_of_audio_file_is_published_to_its_end() {
    tokio::join!(audio("opus.ogg"), audio("opus.webm"), audio("h264-opus.mkv"), audio("h264-opus.mp4"));
}

#[tokio::test]
async fn sound_and_picture_of_one_file_are_published_together() {
    let file = media("vp8-opus.webm");
    let run = publish(&["--video", &file, "--audio", &file]).await;
    assert_eq!(run.encodings().iter().map(|encoding| &encoding["frames"]).collect::<Vec<_>>(), [50, 30]);
}

#[tokio::test]
async fn three_files_are_the_layers_of_a_simulcast() {
    let run = publish(&["--seconds", "1", "--video", &clip("low.ivf"), &clip("medium.ivf"), &clip("high.ivf")]).await;
    assert_eq!(
        run.encodings().iter().map(|encoding| &encoding["profile"]).collect::<Vec<_>>(),
        ["low", "medium", "high"]
    );
}

#[tokio::test]
async fn a_looped_file_goes_on_until_the_time_is_over() {
    let run = publish(&["--loop", "--seconds", "2.5", "--video", &media("h264.h264")]).await;
    assert!(run.encodings()[0]["frames"].as_u64().unwrap().abs_diff(75) <= 3, "{run:#?}");
}

/// Every packet arrives, and yet receivers show few of the pictures: WebRTC has no decoding order beside that of display.
#[tokio::test]
async fn a_file_with_b_frames_is_named_with_the_remedy_before_anything_is_sent() {
    let (reordered, plain) = (media("reordered.h264"), media("h264.h264"));
    let run = publish(&["--seconds", "1", "--video", &reordered]).await;
    let warnings: Vec<_> = run.events("reordered").collect();
    let [warning] = &warnings[..] else { panic!("{run:#?}") };
    assert_eq!((&warning["file"], &warning["remedy"]), (&reordered.into(), &"-bf 0".into()));
    let place = |name| run.lines.iter().position(|line| line["event"] == name);
    assert!(place("reordered") < place("joined"), "{run:#?}");

    let run = publish(&["--video", &plain]).await;
    assert_eq!(run.events("reordered").count(), 0, "{run:#?}");

    // For people it is one line.
    let args = ["--no-page", "--seconds", "3", "--video", &media("reordered.mkv")];
    let output = harness::command(&args).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("-bf 0")).collect();
    assert!(lines.len() == 1 && lines[0].contains("reordered.mkv"), "{text}");
}
