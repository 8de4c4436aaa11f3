//! What is published, in memory.

use mediasoup_producer::{Codec, MediaKind};

use super::LoadError;
use crate::input::{Feed, Layer, Track};
use crate::source::{Clip, SourceError};

/// What every peer publishes: read once, shared by all.
#[derive(Debug, Clone)]
pub(super) struct Media {
    tracks: Vec<Shared>,
}

#[derive(Debug, Clone)]
struct Shared {
    label: String,
    codec: Codec,
    layers: Vec<Layer>,
    clips: Vec<Clip>,
}

impl Media {
    /// `producers`: how many each peer has. Without: one for each track.
    pub(super) fn read(tracks: Vec<Track>, producers: Option<u8>) -> Result<Self, LoadError> {
        let mut shared = Vec::new();
        for track in tracks {
            let clips: Result<Vec<_>, SourceError> = match &track.feed {
                Feed::Files(files) => files.iter().map(Clip::read).collect(),
                Feed::Clips(clips) => Ok(clips.clone()),
                Feed::Pipes(_) => return Err(LoadError::Pipe),
                // It is not taken together with --rooms.
                Feed::Rtp(_) => continue,
            };
            shared.push(Shared { label: track.label, codec: track.codec, layers: track.layers, clips: clips? });
        }
        let of = |kind| shared.iter().find(move |track| track.codec.kind() == kind);
        let (audio, video) = (of(MediaKind::Audio), of(MediaKind::Video));
        let tracks = match producers {
            // Video comes first, for it is what costs; it is sent after the audio.
            Some(count) => {
                let first = video.or(audio);
                let chosen = [first, audio.or(video)].into_iter().chain(std::iter::repeat(first));
                let mut chosen: Vec<_> = chosen.take(count.into()).flatten().cloned().collect();
                chosen.sort_by_key(|track| track.codec.kind() == MediaKind::Video);
                chosen
            }
            None => shared,
        };
        Ok(Self { tracks })
    }

    /// How many producers each peer has.
    pub(super) fn producers(&self) -> usize {
        self.tracks.len()
    }

    /// What a peer publishes.
    pub(super) fn tracks(&self) -> Vec<Track> {
        let track = |track: &Shared| Track {
            label: track.label.clone(),
            codec: track.codec,
            layers: track.layers.clone(),
            feed: Feed::Clips(track.clips.clone()),
            reordered: Vec::new(),
        };
        self.tracks.iter().map(track).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileSource, Input, Kind, Options};

    fn track(codec: Codec, data: &'static [u8], kind: Kind) -> Track {
        let source = FileSource::open(Input::bundled("file", data), kind, Options::default()).unwrap();
        let layers = vec![Layer { profile: Default::default(), size: None }];
        Track { label: "file".to_owned(), codec, layers, feed: Feed::Files(vec![source]), reordered: Vec::new() }
    }

    #[test]
    fn the_first_producer_is_video_and_the_second_audio_and_audio_is_sent_first() {
        use MediaKind::{Audio, Video};
        let audio = || track(Codec::Opus, include_bytes!("../../clip/beat.opus"), Kind::Audio);
        let video = || track(Codec::Vp8, include_bytes!("../../clip/low.ivf"), Kind::Video);
        let kinds = |tracks, producers| {
            let media = Media::read(tracks, producers).unwrap();
            media.tracks().iter().map(Track::kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(vec![audio(), video()], None), [Audio, Video]);
        assert_eq!(kinds(vec![audio(), video()], Some(1)), [Video]);
        assert_eq!(kinds(vec![audio(), video()], Some(2)), [Audio, Video]);
        assert_eq!(kinds(vec![audio(), video()], Some(4)), [Audio, Video, Video, Video]);
        assert_eq!(kinds(vec![audio()], Some(3)), [Audio, Audio, Audio]);
        assert_eq!(kinds(vec![video()], Some(2)), [Video, Video]);
    }
}
