use super::{super::*, clip, frames, media, ms, open};

/// Times of the first frames of passes after the first, found by playing `passes` of `frames` each.
fn starts(source: &mut FileSource, frames: usize, passes: usize) -> Vec<Duration> {
    let mut starts = Vec::new();
    for at in 0..frames * passes {
        let frame = source.next_frame().unwrap().unwrap();
        if at % frames == 0 {
            starts.push(frame.time);
        }
    }
    starts
}

fn looped(input: impl Into<Input>, kind: Kind) -> FileSource {
    FileSource::open(input, kind, Options::default().looping(true)).unwrap()
}

#[test]
fn the_bundled_clip_takes_five_seconds_each_time() {
    let expected: Vec<_> = (0..20).map(|pass| ms(5000) * pass).collect();
    for name in ["low.ivf", "medium.ivf", "high.ivf"] {
        assert_eq!(starts(&mut looped(clip(name), Kind::Video), 150, 20), expected, "{name}");
    }
    assert_eq!(starts(&mut looped(clip("beat.opus"), Kind::Audio), 250, 20), expected);
}

#[test]
fn each_format_begins_again_without_a_break() {
    for (name, kind, count) in [
        ("vp8.ivf", Kind::Video, 30),
        ("h264.h264", Kind::Video, 30),
        ("h265.h265", Kind::Video, 30),
        ("vp9-opus.mkv", Kind::Video, 30),
        ("vp9-opus.mkv", Kind::Audio, 50),
        ("h264-opus.mp4", Kind::Video, 30),
        ("h264-opus-fragmented.mp4", Kind::Video, 30),
        ("h264-opus-fragmented.mp4", Kind::Audio, 50),
        ("opus.webm", Kind::Audio, 50),
        ("opus.ogg", Kind::Audio, 50),
    ] {
        let once = frames(&mut open(media(name), kind));
        let mut source = looped(media(name), kind);
        let length = source.length().unwrap();
        for pass in 0..3 {
            for frame in &once {
                let expected = EncodedFrame { time: frame.time + length * pass, ..frame.clone() };
                assert_eq!(source.next_frame().unwrap(), Some(expected), "{name}, pass {pass}");
            }
        }
        assert_eq!(once.len(), count);
    }
}

#[test]
fn what_loops_together_stays_together() {
    // One second of each; Matroska's picture is 10 ns short of it, which would add up.
    let (mut video, mut audio) = (open(media("h264-opus.mkv"), Kind::Video), open(media("h264-opus.mkv"), Kind::Audio));
    assert_eq!(loop_together(&mut [&mut video, &mut audio]).unwrap(), ms(1000));
    let expected = |start: Duration| (0..100).map(|pass| start + ms(1000) * pass).collect::<Vec<_>>();
    assert_eq!(starts(&mut video, 30, 100), expected(ms(7)));
    assert_eq!(starts(&mut audio, 50, 100), expected(Duration::ZERO));
}

#[test]
fn a_short_file_waits_for_a_longer_one() {
    let (mut short, mut long) = (open(media("opus.ogg"), Kind::Audio), open(clip("low.ivf"), Kind::Video));
    loop_together(&mut [&mut short, &mut long]).unwrap();
    assert_eq!(starts(&mut short, 50, 3), [0, 5000, 10_000].map(ms));
}

#[test]
fn the_layers_of_the_clip_fit_together() {
    let layers = ["low.ivf", "medium.ivf", "high.ivf"].map(|name| open(clip(name), Kind::Video));
    check_layers(&layers.each_ref()).unwrap();
}

#[test]
fn layers_that_differ_are_named() {
    let of = |name: &str| check_layers(&[&open(media("vp8.ivf"), Kind::Video), &open(media(name), Kind::Video)]);
    assert!(of("vp9.ivf").unwrap_err().to_string().contains("vp9.ivf: has another codec than"));
    let error = check_layers(&[&open(media("vp8.ivf"), Kind::Video), &open(clip("low.ivf"), Kind::Video)]);
    assert!(error.unwrap_err().to_string().contains("another length"));

    // The time base says 15 frames a second.
    let mut slow = std::fs::read(media("vp8.ivf")).unwrap();
    slow[16] = 15;
    let slow = open(super::bytes(slow), Kind::Video);
    let error = check_layers(&[&open(media("vp8.ivf"), Kind::Video), &slow]).unwrap_err();
    assert!(error.to_string().starts_with("made: has another frame rate than "));
}

#[test]
fn without_looping_a_file_ends_once() {
    let mut source = open(media("opus.ogg"), Kind::Audio);
    assert_eq!(frames(&mut source).len(), 50);
    assert_eq!(source.next_frame().unwrap(), None);
}
