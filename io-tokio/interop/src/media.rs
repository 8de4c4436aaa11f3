//! What is sent: the program's bundled clip, and the same in other codecs. All of it is endless.

use std::iter;
use std::path::Path;
use std::time::Duration;

use mediasoup_producer::v2::Profile;

use crate::source::{EncodedFrame, FileSource, Kind, Options};

/// The three layers' names in files.
const SIZES: [(Profile, &str); 3] = [(Profile::Low, "low"), (Profile::Medium, "medium"), (Profile::High, "high")];

/// One size of the bundled clip: `low` (160x90), `medium` (320x180) or `high` (640x360), in VP8.
pub fn clip(size: &str) -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    open(&format!("../publish/clip/{size}.ivf"), Kind::Video)
}

/// The bundled beat, in Opus.
pub fn beat() -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    open("../publish/clip/beat.opus", Kind::Audio)
}

/// The clip's first two seconds in H.264.
pub fn h264(size: &str) -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    open(&format!("media/{size}.h264"), Kind::Video)
}

/// The clip's first two seconds in VP9, 320x180.
pub fn vp9() -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    open("media/vp9.ivf", Kind::Video)
}

/// A second of a picture in H.265, 64x36.
pub fn h265() -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    open("../publish/tests/media/h265.h265", Kind::Video)
}

/// A tone of 400 Hz in either law of G.711, 20 ms a frame: in both the highest bit is the sign.
pub fn tone() -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    let wave: Vec<u8> = (0..160).map(|sample| if sample % 20 < 10 { 0x1f } else { 0x9f }).collect();
    (0..).map(move |frame| EncodedFrame {
        data: wave.clone().into(),
        time: frame * Duration::from_millis(20),
        key_frame: true,
    })
}

/// The three layers of a simulcast.
pub fn layers<S>(of: impl Fn(&str) -> S) -> Vec<(Profile, S)> {
    SIZES.into_iter().map(|(profile, size)| (profile, of(size))).collect()
}

fn open(file: &str, kind: Kind) -> impl Iterator<Item = EncodedFrame> + Send + use<> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let mut source = FileSource::open(path, kind, Options::default().looping(true)).expect("the clip can be opened");
    iter::from_fn(move || source.next_frame().expect("the clip can be read"))
}
