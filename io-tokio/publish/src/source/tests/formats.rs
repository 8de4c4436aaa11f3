use super::{super::*, build, clip, frames, media, ms, open};

/// 30 frames of 160x90, a key frame each 15, as `tests/media/make.sh` makes them.
fn one_second_of_video(name: &str, codec: Codec, start: Duration) {
    let mut source = open(media(name), Kind::Video);
    let info = source.info().clone();
    assert_eq!((info.codec, info.width, info.height), (codec, Some(160), Some(90)), "{name}");
    assert!(info.frame_duration.unwrap().abs_diff(FALLBACK_FRAME) < ms(1), "{name}: {info:?}");
    assert!(source.length().unwrap().abs_diff(ms(1000)) < Duration::from_micros(1), "{name}");

    let frames = frames(&mut source);
    let keys: Vec<_> = frames.iter().enumerate().filter(|(_, frame)| frame.key_frame).map(|(at, _)| at).collect();
    assert_eq!((frames.len(), keys), (30, vec![0, 15]), "{name}");
    for (at, frame) in frames.iter().enumerate() {
        let expected = start + ms(1000) * at as u32 / 30;
        assert!(frame.time.abs_diff(expected) < Duration::from_micros(1), "{name}: frame {at} at {:?}", frame.time);
    }
}

fn one_second_of_opus(name: &str) {
    let mut source = open(media(name), Kind::Audio);
    let info = source.info().clone();
    assert_eq!((info.codec, info.channels, info.frame_duration), (Codec::Opus, Some(1), Some(ms(20))), "{name}");
    assert_eq!(source.length().unwrap(), ms(1000), "{name}");
    let frames = frames(&mut source);
    assert_eq!(frames.len(), 50, "{name}");
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!((frame.time, frame.key_frame), (ms(20) * at as u32, true), "{name}: packet {at}");
    }
}

#[test]
fn ivf() {
    one_second_of_video("vp8.ivf", Codec::Vp8, Duration::ZERO);
    one_second_of_video("vp9.ivf", Codec::Vp9, Duration::ZERO);
    assert_eq!(open(media("vp9.ivf"), Kind::Video).info().profile, Some(Profile::Vp9(0)));
}

#[test]
fn annex_b() {
    one_second_of_video("h264.h264", Codec::H264, Duration::ZERO);
    one_second_of_video("h265.h265", Codec::H265, Duration::ZERO);
    let of = |name| open(media(name), Kind::Video).info().profile;
    // Constrained baseline 3.1, Main 2.0: as ffprobe has it.
    assert!(matches!(of("h264.h264"), Some(Profile::H264([66, constraints, 31])) if constraints & 0x40 != 0));
    assert_eq!(of("h265.h265"), Some(Profile::H265 { profile_id: 1, high_tier: false, level_id: 60 }));
}

#[test]
fn webm_and_matroska() {
    // ffmpeg puts the picture 7 ms after the sound, whose encoder has a delay of 6.5 ms.
    one_second_of_video("vp8-opus.webm", Codec::Vp8, ms(7));
    one_second_of_video("vp9-opus.mkv", Codec::Vp9, ms(7));
    one_second_of_video("h264-opus.mkv", Codec::H264, ms(7));
    for name in ["vp8-opus.webm", "vp9-opus.mkv", "h264-opus.mkv", "opus.webm"] {
        one_second_of_opus(name);
    }
}

#[test]
fn mp4() {
    for name in ["h264-opus.mp4", "h264-opus-fragmented.mp4"] {
        // The encoder's delay, again.
        one_second_of_video(name, Codec::H264, Duration::from_micros(6500));
        one_second_of_opus(name);
    }
    one_second_of_video("h265.mp4", Codec::H265, Duration::ZERO);
    one_second_of_video("vp9-opus.mp4", Codec::Vp9, Duration::from_micros(6500));
    let of = |name| open(media(name), Kind::Video).info().profile;
    assert_eq!(of("h264-opus.mp4"), of("h264.h264"));
    assert_eq!(of("h265.mp4"), of("h265.h265"));
}

/// Whether its index stands before its samples, or in pieces among them.
#[test]
fn mp4_gives_the_frames_that_matroska_gives() {
    let of = |name, kind| frames(&mut open(media(name), kind));
    for kind in [Kind::Audio, Kind::Video] {
        let wanted: Vec<_> = of("h264-opus.mkv", kind).into_iter().map(|frame| (frame.data, frame.key_frame)).collect();
        for name in ["h264-opus.mp4", "h264-opus-fragmented.mp4"] {
            let given: Vec<_> = of(name, kind).into_iter().map(|frame| (frame.data, frame.key_frame)).collect();
            assert_eq!(given, wanted, "{name}");
        }
    }
    // With B-frames, that are decoded before they are shown.
    let (wanted, given) = (of("reordered.mkv", Kind::Video), of("reordered.mp4", Kind::Video));
    assert_eq!(given, wanted);
    assert!(open(media("reordered.mp4"), Kind::Video).reordered().unwrap());
}

#[test]
fn ogg() {
    one_second_of_opus("opus.ogg");
}

#[test]
fn three_slices_of_h264_are_one_frame() {
    let frames = frames(&mut open(media("h264.h264"), Kind::Video));
    let slices = nal_types(&frames[1].data, 0x1f).into_iter().filter(|kind| *kind == 1).count();
    assert_eq!(slices, 3);
}

#[test]
fn h264_key_frames_carry_parameter_sets_wherever_they_are_stored() {
    for name in ["h264.h264", "h264-opus.mkv"] {
        for frame in frames(&mut open(media(name), Kind::Video)).iter().filter(|frame| frame.key_frame) {
            let kinds = nal_types(&frame.data, 0x1f);
            assert_eq!(kinds.iter().filter(|kind| matches!(kind, 7 | 8)).collect::<Vec<_>>(), [&7, &8], "{name}");
            assert!(!kinds.contains(&9), "{name}: a delimiter");
        }
    }
}

/// Puts a stream of NAL units into Matroska, its parameter sets into the header.
fn in_matroska(name: &str, id: &str, record: impl Fn(&[Vec<u8>]) -> Vec<u8>, is_set: fn(u8) -> bool) -> Vec<u8> {
    let mut sets = Vec::new();
    let mut cluster = vec![build::element(&[0xe7], &[0])];
    for (at, frame) in frames(&mut open(media(name), Kind::Video)).iter().enumerate() {
        let (of_header, others): (Vec<_>, Vec<_>) = nal_units(&frame.data).into_iter().partition(|nal| is_set(nal[0]));
        sets = if sets.is_empty() { of_header } else { sets };
        let stored: Vec<u8> =
            others.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes(), nal.as_slice()].concat()).collect();
        let time = (at as i16 * 40).to_be_bytes();
        cluster.push(build::element(&[0xa3], &[&[0x81, time[0], time[1], 0][..], &stored].concat()));
    }
    let entry = [
        build::element(&[0xd7], &[1]),
        build::element(&[0x83], &[1]),
        build::element(&[0x86], id.as_bytes()),
        build::element(&[0x63, 0xa2], &record(&sets)),
    ];
    build::segment(&entry, &cluster, build::Sizes::Known)
}

fn with_length(set: &[u8]) -> Vec<u8> {
    [&(set.len() as u16).to_be_bytes(), set].concat()
}

#[test]
fn matroska_gives_the_frames_that_annex_b_gives() {
    let avc = |sets: &[Vec<u8>]| {
        [&[1, 66, 0xc0, 31, 0xff, 0xe1][..], &with_length(&sets[0]), &[1], &with_length(&sets[1])].concat()
    };
    let hevc = |sets: &[Vec<u8>]| {
        let arrays = sets.iter().flat_map(|set| [&[set[0] >> 1, 0, 1][..], &with_length(set)].concat());
        [&[1; 21][..], &[3, sets.len() as u8]].concat().into_iter().chain(arrays).collect()
    };
    let stored = [
        ("h264.h264", in_matroska("h264.h264", "V_MPEG4/ISO/AVC", avc, |head| matches!(head & 0x1f, 7 | 8))),
        ("h265.h265", in_matroska("h265.h265", "V_MPEGH/ISO/HEVC", hevc, |head| matches!(head >> 1, 32..=34))),
    ];
    for (name, data) in stored {
        let (mut a, mut b) = (open(media(name), Kind::Video), open(super::bytes(data), Kind::Video));
        assert_eq!(a.info().profile, b.info().profile);
        // The units in their order but for SEI, which stood before or after the parameter sets.
        let units = |source: &mut FileSource| -> Vec<_> {
            let mut all: Vec<_> =
                frames(source).iter().map(|frame| (nal_units(&frame.data), frame.key_frame)).collect();
            all.iter_mut().for_each(|(units, _)| units.sort());
            all
        };
        assert!(units(&mut a) == units(&mut b), "{name}");
    }
}

/// x264 and x265 do so unless told otherwise (`-bf 0`).
#[test]
fn pictures_that_are_shown_in_another_order_are_found_in_every_format() {
    for name in ["reordered.mkv", "reordered.h264", "reordered.h265"] {
        assert!(open(media(name), Kind::Video).reordered().unwrap(), "{name}");
    }
    for (name, kind) in [
        ("vp8.ivf", Kind::Video),
        ("h264.h264", Kind::Video),
        ("h265.h265", Kind::Video),
        ("h264-opus.mkv", Kind::Video),
        ("h264-opus.mkv", Kind::Audio),
        ("vp9-opus.mkv", Kind::Video),
        ("opus.ogg", Kind::Audio),
    ] {
        assert!(!open(media(name), kind).reordered().unwrap(), "{name}");
    }
}

#[test]
fn blocks_in_groups_and_of_unknown_extent() {
    for sizes in [build::Sizes::Known, build::Sizes::Unknown] {
        let mut source = open(super::bytes(build::webm("V_VP8", sizes)), Kind::Video);
        let times: Vec<_> = frames(&mut source).iter().map(|frame| (frame.time, frame.key_frame)).collect();
        assert_eq!(times, [(ms(0), true), (ms(40), false), (ms(80), false)]);
        assert_eq!(source.length().unwrap(), ms(120));
    }
}

#[test]
fn chained_ogg_plays_on() {
    let one = std::fs::read(media("opus.ogg")).unwrap();
    let mut source = open(super::bytes([one.clone(), one].concat()), Kind::Audio);
    assert_eq!(source.length().unwrap(), ms(2000));
    assert_eq!(frames(&mut source).len(), 100);
}

#[test]
fn a_single_parameter_set_is_repeated_before_later_key_frames() {
    let data = std::fs::read(media("h264.h264")).unwrap();
    let mut seen = false;
    let mut once = Vec::new();
    for nal in nal_units(&data) {
        if nal[0] & 0x1f != 7 || !std::mem::replace(&mut seen, true) {
            once.extend([0, 0, 1]);
            once.extend(nal);
        }
    }
    for frame in frames(&mut open(super::bytes(once), Kind::Video)).iter().filter(|frame| frame.key_frame) {
        assert!(nal_types(&frame.data, 0x1f).contains(&7));
    }
}

#[test]
fn the_bundled_clip() {
    for (name, width, height) in [("low.ivf", 160, 90), ("medium.ivf", 320, 180), ("high.ivf", 640, 360)] {
        let source = open(clip(name), Kind::Video);
        assert_eq!((source.info().width, source.info().height), (Some(width), Some(height)));
        assert_eq!(source.length().unwrap(), ms(5000));
    }
    assert_eq!(open(clip("beat.opus"), Kind::Audio).length().unwrap(), ms(5000));
}

#[test]
fn bytes_in_memory_play_as_the_file_does() {
    for (name, kind) in [("vp8.ivf", Kind::Video), ("h264-opus.mkv", Kind::Audio), ("h265.h265", Kind::Video)] {
        let memory = std::fs::read(media(name)).unwrap();
        assert_eq!(frames(&mut open(super::bytes(memory), kind)), frames(&mut open(media(name), kind)));
    }
}

#[test]
fn a_stream_that_tells_no_rate_has_the_one_given() {
    // An SPS of 160x90, constrained baseline, without VUI, and one slice.
    let sps = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xda, 0x0a, 0x0d, 0xe2, 0, 0, 1, 0x65, 0x88, 0x84];
    let source = FileSource::open(super::bytes(sps.to_vec()), Kind::Video, Options::default().frame_rate(25)).unwrap();
    assert_eq!(source.info().frame_duration, Some(ms(40)));
}

fn nal_units(annex_b: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    while at < annex_b.len() {
        if annex_b[at..].starts_with(&[0, 0, 1]) {
            if let Some(unit) = units.last_mut() {
                unit.truncate(unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            }
            units.push(Vec::new());
            at += 3;
            continue;
        }
        if let Some(unit) = units.last_mut() {
            unit.push(annex_b[at]);
        }
        at += 1;
    }
    units
}

fn nal_types(annex_b: &[u8], mask: u8) -> Vec<u8> {
    nal_units(annex_b).iter().map(|nal| nal[0] & mask).collect()
}
