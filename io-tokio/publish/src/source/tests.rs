//! What only the whole of a source shows: files of each format, their errors, hostile bytes.

use std::{path::PathBuf, time::Duration};

use super::{EncodedFrame, FileSource, Input, Kind, Options, SourceError};

mod build;
mod errors;
mod formats;
mod hostile;
mod looping;

const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/");
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clip/");

fn media(name: &str) -> PathBuf {
    PathBuf::from(format!("{MEDIA}{name}"))
}

fn clip(name: &str) -> PathBuf {
    PathBuf::from(format!("{CLIP}{name}"))
}

fn bytes(data: impl Into<bytes::Bytes>) -> Input {
    Input::Bytes { name: "made".to_owned(), data: data.into() }
}

fn open(input: impl Into<Input>, kind: Kind) -> FileSource {
    FileSource::open(input, kind, Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn open_error(input: impl Into<Input>, kind: Kind) -> SourceError {
    FileSource::open(input, kind, Options::default()).map(|source| source.info().clone()).unwrap_err()
}

fn frames(source: &mut FileSource) -> Vec<EncodedFrame> {
    std::iter::from_fn(|| source.next_frame().unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
