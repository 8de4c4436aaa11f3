use super::{super::*, build, bytes, clip, media, open, open_error};

#[test]
fn each_error_is_one_line_that_names_the_file() {
    let cases: [(Input, Kind, &str); 8] = [
        (media("none.ivf").into(), Kind::Video, "no such file; check the path"),
        (media("").into(), Kind::Video, "not a regular file"),
        (media("empty.ivf").into(), Kind::Video, "the file is empty"),
        (media("truncated.ivf").into(), Kind::Video, "cut off after 10 whole frames"),
        (media("foreign.ivf").into(), Kind::Video, "it reads IVF (VP8, VP9), Annex B (H.264, H.265), WebM/Matroska,"),
        (media("opus.webm").into(), Kind::Video, "no video in this file"),
        (media("opus.ogg").into(), Kind::Video, "no video in this file"),
        (media("h264.h264").into(), Kind::Audio, "no audio in this file"),
    ];
    for (input, kind, expected) in cases {
        let (name, message) = (input.name(), open_error(input, kind).to_string());
        assert!(message.starts_with(&format!("{name}: ")), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn a_webm_that_is_cut_off_is_found_at_opening() {
    // As many as ffprobe reads of it, which takes the one cut in two as well.
    for (kind, whole) in [(Kind::Video, 15..=16), (Kind::Audio, 25..=26)] {
        match open_error(media("truncated.webm"), kind) {
            SourceError::Truncated { frames, .. } => assert!(whole.contains(&frames), "{frames}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn any_cut_of_a_file_that_tells_its_size_is_an_error() {
    for name in ["vp8.ivf", "vp8-opus.webm", "h264-opus.mp4"] {
        let whole = std::fs::read(media(name)).unwrap();
        for cut in (17..whole.len()).step_by(97) {
            let source = FileSource::open(bytes(whole[..cut].to_vec()), Kind::Video, Options::default());
            assert!(matches!(source, Err(SourceError::Truncated { .. })), "{name} at {cut}: {source:?}");
        }
    }
}

#[test]
fn a_live_recording_that_is_cut_off_plays_as_far_as_it_goes() {
    let mut live = build::webm("V_VP8", build::Sizes::Unknown);
    live.extend([0xa3, 0x90, 0x81, 0, 0, 0]);
    let mut source = open(bytes(live), Kind::Video);
    for _ in 0..build::FRAMES {
        assert!(source.next_frame().unwrap().is_some());
    }
    assert!(matches!(source.next_frame(), Err(SourceError::Truncated { frames: build::FRAMES, .. })));
    assert!(source.next_frame().unwrap().is_none(), "once");
}

#[test]
fn an_ogg_cut_within_a_page_plays_as_far_as_it_goes() {
    let whole = std::fs::read(clip("beat.opus")).unwrap();
    let mut source = open(bytes(whole[..whole.len() - 5].to_vec()), Kind::Audio);
    let error = std::iter::repeat_with(|| source.next_frame()).find_map(Result::err).unwrap();
    // A page holds a second.
    assert!(matches!(error, SourceError::Truncated { frames: 100..250, .. }), "{error}");
}

#[test]
fn codecs_we_do_not_send_are_named() {
    let message = |data: Vec<u8>, kind| open_error(bytes(data), kind).to_string();
    let av1 = message(build::webm("V_AV1", build::Sizes::Known), Kind::Video);
    assert!(av1.starts_with("made: its video is AV1, which this program does not send; convert it to VP8, "), "{av1}");

    let mut ivf = std::fs::read(media("vp8.ivf")).unwrap();
    ivf[8..12].copy_from_slice(b"AV01");
    assert!(message(ivf, Kind::Video).contains("its video is AV1"));

    let vorbis = message(build::ogg(&[b"\x01vorbis", b"x"]), Kind::Audio);
    assert!(vorbis.starts_with("made: its audio is Vorbis, which this program does not send; convert it to Opus"));
}

#[test]
fn a_file_without_frames_is_refused() {
    let header = std::fs::read(media("vp8.ivf")).unwrap()[..32].to_vec();
    assert!(matches!(open_error(bytes(header), Kind::Video), SourceError::NoFrames { .. }));
    let tags = build::ogg(&[b"OpusHead\x01\x01\0\0\0\0\0\0\0\0\0", b"OpusTags"]);
    assert!(matches!(open_error(bytes(tags), Kind::Audio), SourceError::NoFrames { .. }));
}

#[test]
fn a_frame_that_claims_gigabytes_is_refused() {
    let mut ivf = std::fs::read(media("vp8.ivf")).unwrap();
    ivf[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(open_error(bytes(ivf), Kind::Video), SourceError::TooLarge { .. }));
}

#[test]
fn a_file_of_another_video_stream_is_foreign() {
    // MPEG-2 video and MPEG program streams have start codes too.
    for code in [0xb3, 0xba] {
        let data = [[0, 0, 1, code].as_slice(), &[0x21; 64]].concat();
        assert!(matches!(open_error(bytes(data), Kind::Video), SourceError::Foreign { .. }));
    }
}

#[test]
fn a_damaged_page_is_named() {
    let mut ogg = std::fs::read(clip("beat.opus")).unwrap();
    let last = ogg.len() - 1;
    ogg[last] ^= 1;
    let error = open(bytes(ogg), Kind::Audio).length().unwrap_err().to_string();
    assert!(error.contains("damaged after") && error.contains("a page fails its checksum"), "{error}");
}
