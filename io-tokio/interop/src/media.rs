//! What is sent: the program's bundled clip, and the same in other codecs.

use std::path::Path;

use mediasoup_producer::Profile;

use crate::source::{FileSource, Kind, Options};

/// The three layers' names in files.
const SIZES: [(Profile, &str); 3] = [(Profile::Low, "low"), (Profile::Medium, "medium"), (Profile::High, "high")];

/// One size of the bundled clip: `low` (160x90), `medium` (320x180) or `high` (640x360), in VP8, looped.
pub fn clip(size: &str) -> FileSource {
    open(&format!("../publish/clip/{size}.ivf"), Kind::Video)
}

/// The bundled beat, in Opus, looped.
pub fn beat() -> FileSource {
    open("../publish/clip/beat.opus", Kind::Audio)
}

/// The clip's first two seconds in H.264.
pub fn h264(size: &str) -> FileSource {
    open(&format!("media/{size}.h264"), Kind::Video)
}

/// The clip's first two seconds in VP9, 320x180.
pub fn vp9() -> FileSource {
    open("media/vp9.ivf", Kind::Video)
}

/// The three layers of a simulcast.
pub fn layers(of: impl Fn(&str) -> FileSource) -> Vec<(Profile, FileSource)> {
    SIZES.into_iter().map(|(profile, size)| (profile, of(size))).collect()
}

fn open(file: &str, kind: Kind) -> FileSource {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    FileSource::open(path, kind, Options::default().looping(true)).expect("the clip can be read")
}
