//! When the frames of files are due.
//!
//! All files play on one schedule: a frame is due at the start plus its media time, whatever was late before, so that
//! nothing drifts and sound and picture stay together. With B-frames, which are decoded after a picture that is shown after
//! them, it is due with that picture. No clock is read here.

use std::time::{Duration, Instant};

use mediasoup_producer::v2::Profile;

use crate::source::{Clip, EncodedFrame, FileSource, SourceError};

/// Frames that are late by less are sent at once and the schedule is kept. After more (the machine slept) the schedule
/// is moved instead: a burst would help nobody.
pub(crate) const MAX_LATE: Duration = Duration::from_secs(1);

/// Files played side by side.
#[derive(Debug, Default)]
pub struct Player {
    streams: Vec<Stream>,
    /// When media time 0 is due; `None` before the start.
    origin: Option<Instant>,
    stalls: u64,
}

#[derive(Debug)]
struct Stream {
    track: usize,
    profile: Profile,
    source: Source,
    next: Option<EncodedFrame>,
    /// When the next frame is due, in media time: its own, or that of one before it which is shown later. Frames are sent in
    /// decoding order, so that none before it could have been sent earlier.
    due: Duration,
    /// A frame was not sent: what refers to it is of no use.
    broken: bool,
}

/// What a stream is played from.
#[derive(Debug)]
pub enum Source {
    /// A file, read as it is played.
    File(Box<FileSource>),
    /// Memory.
    Clip(Clip),
}

impl Source {
    fn next_frame(&mut self) -> Result<Option<EncodedFrame>, SourceError> {
        match self {
            Self::File(file) => file.next_frame(),
            Self::Clip(clip) => Ok(Some(clip.next_frame())),
        }
    }
}

impl From<FileSource> for Source {
    fn from(file: FileSource) -> Self {
        Self::File(Box::new(file))
    }
}

impl From<Clip> for Source {
    fn from(clip: Clip) -> Self {
        Self::Clip(clip)
    }
}

/// A frame, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The track, as numbered in [`Player::add`].
    pub track: usize,
    /// The layer.
    pub profile: Profile,
    /// The frame.
    pub frame: EncodedFrame,
}

impl Player {
    /// Adds a file.
    pub fn add(&mut self, track: usize, profile: Profile, source: impl Into<Source>) -> Result<(), SourceError> {
        let mut source = source.into();
        let next = source.next_frame()?;
        let due = next.as_ref().map_or(Duration::ZERO, |frame| frame.time);
        self.streams.push(Stream { track, profile, source, next, due, broken: false });
        Ok(())
    }

    /// Whether there is nothing to play.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// When the next frame is due, the first at `now`; `None` at the end of all files.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let time = self.first()?.1;
        let origin = *self.origin.get_or_insert(now.checked_sub(time).unwrap_or(now));
        let due = origin + time;
        let late = now.saturating_duration_since(due);
        if late > MAX_LATE {
            self.stalls += 1;
            self.origin = Some(origin + late);
            return Some(now);
        }
        Some(due)
    }

    /// Takes the next frame. `None`: it is of no use, for one before it was not sent; or there is none.
    pub fn take(&mut self) -> Result<Option<Due>, SourceError> {
        let Some((index, _)) = self.first() else { return Ok(None) };
        let stream = &mut self.streams[index];
        let Some(frame) = stream.next.take() else { return Ok(None) };
        stream.next = stream.source.next_frame()?;
        stream.due = stream.next.as_ref().map_or(stream.due, |next| stream.due.max(next.time));
        stream.broken &= !frame.key_frame;
        let due = Due { track: stream.track, profile: stream.profile, frame };
        Ok((!stream.broken).then_some(due))
    }

    /// Says that a frame was not sent. Those after it up to the next key frame are not given out.
    pub fn not_sent(&mut self, track: usize, profile: Profile) {
        for stream in self.streams.iter_mut().filter(|stream| (stream.track, stream.profile) == (track, profile)) {
            stream.broken = true;
        }
    }

    /// How often the schedule was moved because of a stall.
    pub const fn stalls(&self) -> u64 {
        self.stalls
    }

    /// The stream whose frame is next. Audio, which was added first, before the pictures of the same time.
    fn first(&self) -> Option<(usize, Duration)> {
        let waiting = self.streams.iter().enumerate().filter(|(_, stream)| stream.next.is_some());
        waiting.map(|(index, stream)| (index, stream.due)).min_by_key(|(_, due)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Input, Kind, Options, loop_together};

    const LOW: &[u8] = include_bytes!("../clip/low.ivf");
    const BEAT: &[u8] = include_bytes!("../clip/beat.opus");

    fn player() -> Player {
        let open = |name, data, kind| FileSource::open(Input::bundled(name, data), kind, Options::default()).unwrap();
        let (mut low, mut beat) = (open("low.ivf", LOW, Kind::Video), open("beat.opus", BEAT, Kind::Audio));
        loop_together(&mut [&mut low, &mut beat]).unwrap();
        let mut player = Player::default();
        player.add(0, Profile::Default, beat).unwrap();
        player.add(1, Profile::Low, low).unwrap();
        player
    }

    /// Plays for a while on a clock that is always a little late, and gives all frames with the time they were sent at.
    fn play(player: &mut Player, now: &mut Instant, until: Instant) -> Vec<(Instant, Due)> {
        let mut sent = Vec::new();
        while let Some(due) = player.due(*now).filter(|due| *due < until) {
            *now = (*now).max(due + Duration::from_micros(700));
            sent.extend(player.take().unwrap().map(|due| (*now, due)));
        }
        sent
    }

    #[test]
    fn nothing_drifts_in_ten_minutes() {
        let (start, mut player) = (Instant::now(), player());
        let mut now = start;
        let sent = play(&mut player, &mut now, start + Duration::from_secs(600));
        for (at, due) in &sent {
            assert_eq!(*at, start + due.frame.time + Duration::from_micros(700));
        }
        let count = |track| sent.iter().filter(|(_, due)| due.track == track).count();
        assert_eq!((count(0), count(1)), (600 * 50, 600 * 30));
    }

    #[test]
    fn what_is_held_in_memory_is_played_as_from_its_file() {
        let open = |name, data, kind| FileSource::open(Input::bundled(name, data), kind, Options::default()).unwrap();
        let (mut low, mut beat) = (open("low.ivf", LOW, Kind::Video), open("beat.opus", BEAT, Kind::Audio));
        loop_together(&mut [&mut low, &mut beat]).unwrap();
        let mut in_memory = Player::default();
        in_memory.add(0, Profile::Default, Clip::read(&beat).unwrap()).unwrap();
        in_memory.add(1, Profile::Low, Clip::read(&low).unwrap()).unwrap();
        let start = Instant::now();
        let until = start + Duration::from_secs(17);
        let played = |mut player: Player| {
            let mut now = start;
            play(&mut player, &mut now, until)
        };
        assert_eq!(played(in_memory), played(player()));
    }

    #[test]
    fn a_short_delay_is_caught_up() {
        let (start, mut player) = (Instant::now(), player());
        let mut now = start;
        play(&mut player, &mut now, start + Duration::from_millis(400));
        now += Duration::from_millis(900);
        let sent = play(&mut player, &mut now, start + Duration::from_secs(3));
        let (at, last) = sent.last().unwrap();
        assert_eq!(*at, start + last.frame.time + Duration::from_micros(700));
        assert_eq!(player.stalls(), 0);
    }

    #[test]
    fn a_stall_moves_the_schedule_and_skips_nothing() {
        let (start, mut player) = (Instant::now(), player());
        let mut now = start;
        let before = play(&mut player, &mut now, start + Duration::from_secs(1));
        now += Duration::from_secs(30);
        let resumed = now;
        let after = play(&mut player, &mut now, resumed + Duration::from_secs(1));
        assert!(after.len() <= before.len() + 2, "a burst of {}", after.len() - before.len());
        assert_eq!(player.stalls(), 1);
        let times: Vec<_> = before.iter().chain(&after).filter(|(_, due)| due.track == 1).collect();
        assert!(times.windows(2).all(|pair| pair[1].1.frame.time - pair[0].1.frame.time < Duration::from_millis(34)));
    }

    /// One picture a second, the second of which is shown when four seconds are over: those it stands before are not late.
    #[test]
    fn pictures_that_are_shown_in_another_order_keep_their_pace() {
        let data = include_bytes!("../tests/media/reordered.mkv");
        let mut source =
            FileSource::open(Input::bundled("reordered.mkv", data), Kind::Video, Options::default()).unwrap();
        loop_together(&mut [&mut source]).unwrap();
        let mut player = Player::default();
        player.add(0, Profile::Default, source).unwrap();
        let start = Instant::now();
        let mut now = start;
        let sent = play(&mut player, &mut now, start + Duration::from_secs(80));
        assert_eq!((sent.len(), player.stalls()), (80, 0));
        for (at, due) in sent {
            let late = at.duration_since(start).checked_sub(due.frame.time).expect("never before it is shown");
            assert!(late < Duration::from_secs(4), "{late:?}");
        }
    }

    #[test]
    fn after_a_refused_frame_each_layer_goes_on_with_a_key_frame() {
        let (start, mut player) = (Instant::now(), player());
        let mut now = start;
        play(&mut player, &mut now, start + Duration::from_millis(500));
        player.not_sent(1, Profile::Low);
        let sent = play(&mut player, &mut now, start + Duration::from_secs(2));
        let first = sent.iter().find(|(_, due)| due.track == 1).unwrap();
        assert!(first.1.frame.key_frame && first.1.frame.time == Duration::from_secs(1));
        assert!(sent.iter().any(|(_, due)| due.track == 0 && due.frame.time < Duration::from_secs(1)));
    }
}
