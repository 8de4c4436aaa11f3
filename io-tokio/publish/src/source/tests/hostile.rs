//! Whatever is in a file, no reader panics, spins, or gives more than the file holds.

use proptest::{prelude::*, sample::Index};

use super::{super::*, build, bytes, media};

const FILES: [&str; 12] = [
    "vp8.ivf",
    "vp9.ivf",
    "h264.h264",
    "h265.h265",
    "vp8-opus.webm",
    "vp9-opus.mkv",
    "h264-opus.mkv",
    "h264-opus.mp4",
    "h264-opus-fragmented.mp4",
    "reordered.mp4",
    "opus.webm",
    "opus.ogg",
];

/// Plays a file, twice if it loops. What comes out is no larger than what a file of this size can hold: repeated
/// parameter sets and start codes longer than lengths are all that a reader adds.
fn play(data: Vec<u8>, kind: Kind) {
    let size = data.len();
    let Ok(mut source) = FileSource::open(bytes(data), kind, Options::default().looping(true)) else { return };
    let _ = source.length();
    for _ in 0..200 {
        let Ok(Some(frame)) = source.next_frame() else { break };
        assert!(frame.data.len() <= size * 6 && frame.data.len() <= 2 * MAX_FRAME);
    }
}

fn play_both(data: Vec<u8>) {
    play(data.clone(), Kind::Video);
    play(data, Kind::Audio);
}

/// Beginnings that lead into each reader.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    let webm = |codec| build::webm(codec, build::Sizes::Unknown);
    prop_oneof![
        Just(Vec::new()),
        Just(b"DKIF\0\0\x20\0VP80\xa0\0\x5a\0\x1e\0\0\0\x01\0\0\0".to_vec()),
        Just(b"OggS\0\x02".to_vec()),
        Just(vec![0, 0, 0, 1, 0x67]),
        Just(vec![0, 0, 0, 1, 0x42, 0x01]),
        Just(vec![0x1a, 0x45, 0xdf, 0xa3]),
        Just(webm("V_VP9")),
        Just(b"\0\0\0\x08ftyp\0\0\x01\0moov".to_vec()),
        Just(include_bytes!("../../../tests/media/reordered.mp4")[..2000].to_vec()),
    ]
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, u8),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        prop_oneof![
            (at(), prop_oneof![Just(0u8), Just(0xff), any::<u8>()]).prop_map(|(at, byte)| Self::Set(at, byte)),
            (at(), 0..8u8).prop_map(|(at, bit)| Self::Flip(at, bit)),
            at().prop_map(Self::Cut),
            (at(), any::<u8>()).prop_map(|(at, count)| Self::Remove(at, count)),
            (at(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, data)| Self::Insert(at, data)),
            (at(), any::<u8>()).prop_map(|(at, count)| Self::Repeat(at, count)),
        ]
    }

    fn apply(&self, data: &mut Vec<u8>, within: usize) {
        let within = within.min(data.len());
        if within == 0 {
            return;
        }
        match self {
            Self::Set(at, byte) => data[at.index(within)] = *byte,
            Self::Flip(at, bit) => data[at.index(within)] ^= 1 << bit,
            Self::Cut(at) => data.truncate(at.index(data.len())),
            Self::Remove(at, count) => {
                let at = at.index(within);
                data.drain(at..(at + usize::from(*count)).min(data.len()));
            }
            Self::Insert(at, more) => {
                let at = at.index(within);
                data.splice(at..at, more.iter().copied());
            }
            Self::Repeat(at, count) => {
                let at = at.index(within);
                let part = data[at..(at + usize::from(*count)).min(data.len())].to_vec();
                data.splice(at..at, part);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn arbitrary_bytes(mut data in beginning(), rest in prop::collection::vec(any::<u8>(), 0..2000)) {
        data.extend(rest);
        play_both(data);
    }

    #[test]
    fn mutated_files(
        name in prop::sample::select(&FILES[..]),
        // Most of what can be broken stands at the beginning.
        within in prop_oneof![Just(64usize), Just(600), Just(usize::MAX)],
        mutations in prop::collection::vec(Mutation::any(), 1..6),
    ) {
        let mut data = std::fs::read(media(name)).unwrap();
        for mutation in mutations {
            mutation.apply(&mut data, within);
        }
        play_both(data);
    }

    /// Changed pages fail their checksum; these get past it.
    #[test]
    fn arbitrary_packets_in_ogg(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..12)) {
        let mut all: Vec<&[u8]> = vec![b"OpusHead\x01\x02\0\0\0\0\0\0\0\0\0", b"OpusTags"];
        all.extend(packets.iter().map(Vec::as_slice));
        play(build::ogg(&all), Kind::Audio);
    }

    /// Blocks of any content, laced in any way, at any time.
    #[test]
    fn arbitrary_blocks_in_webm(
        codec in prop::sample::select(&["V_VP8", "V_VP9", "A_OPUS"][..]),
        times in prop::collection::vec(any::<u64>(), 1..4),
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..12),
    ) {
        let mut cluster = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            cluster.push(build::element(&[0xe7], &times[at % times.len()].to_be_bytes()));
            cluster.push(build::element(&[0xa3], &[&[0x81][..], block].concat()));
        }
        let (kind, number) = if codec.starts_with('V') { (Kind::Video, 1) } else { (Kind::Audio, 2) };
        let entry = [
            build::element(&[0xd7], &[1]),
            build::element(&[0x83], &[number]),
            build::element(&[0x86], codec.as_bytes()),
            build::element(&[0x23, 0xe3, 0x83], &times[0].to_be_bytes()),
        ];
        play(build::segment(&entry, &cluster, build::Sizes::Known), kind);
    }
}

#[test]
fn a_packet_without_end_is_not_gathered() {
    // Pages of 255 full segments that never end the packet: 64 KiB each, until the limit.
    let head = build::ogg(&[b"OpusHead\x01\x01\0\0\0\0\0\0\0\0\0", b"OpusTags", &vec![0; 40 << 20]]);
    let error = FileSource::open(bytes(head), Kind::Audio, Options::default()).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
}

#[test]
fn a_nal_unit_without_end_is_not_gathered() {
    let mut data = std::fs::read(media("h264.h264")).unwrap();
    data.extend([0, 0, 1, 0x41]);
    data.resize(data.len() + (20 << 20), 0x55);
    let error = super::open(bytes(data), Kind::Video).length().unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
}
