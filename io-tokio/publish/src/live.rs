//! Media that comes through pipes: as fast as somebody writes it, and once.
//!
//! Each pipe is read on a thread of its own, which waits where nothing comes, and where more comes than is due. Frames are
//! due at the time that they say, from the first on; those that come later than that are sent at once.

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use mediasoup_producer::v2::Profile;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use crate::player::{Due, MAX_LATE};
use crate::source::{EncodedFrame, FileSource, Input, Kind, Options, SourceError, TrackInfo};

/// Frames that wait to be due. Past it the pipe is not read.
const WAITING: usize = 16;

/// A stream that comes through a pipe.
#[derive(Debug)]
pub struct Live {
    name: String,
    info: TrackInfo,
    frames: mpsc::Receiver<Result<EncodedFrame, SourceError>>,
}

impl Live {
    /// Waits until somebody writes to the pipe, and until the first frame is there.
    pub async fn open(input: Input, kind: Kind) -> Result<Self, SourceError> {
        let name = input.name();
        let (opened, first) = oneshot::channel();
        let (to_frames, frames) = mpsc::channel(WAITING);
        // Not on the runtime: at its end that would wait for a pipe to which nobody writes.
        thread::spawn(move || match FileSource::open(input, kind, Options::default()) {
            Ok(source) => {
                if opened.send(Ok(source.info().clone())).is_ok() {
                    read(source, &to_frames);
                }
            }
            // Nobody waits for it any more: as well.
            Err(error) => drop(opened.send(Err(error))),
        });
        match first.await {
            Ok(info) => Ok(Self { name, info: info?, frames }),
            // The thread has ended without a word.
            Err(_) => Err(SourceError::NoFrames { file: name, kind }),
        }
    }

    /// The pipe's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream's codec and shape.
    pub const fn info(&self) -> &TrackInfo {
        &self.info
    }
}

/// Until the pipe's end, or until nobody wants it any more.
fn read(mut source: FileSource, frames: &mpsc::Sender<Result<EncodedFrame, SourceError>>) {
    while let Some(frame) = source.next_frame().transpose() {
        if frames.blocking_send(frame).is_err() {
            return;
        }
    }
}

/// Streams that come through pipes, side by side.
#[derive(Debug, Default)]
pub struct Pipes {
    streams: Vec<Stream>,
    /// When media time 0 is due; `None` before the first frame.
    origin: Option<Instant>,
    /// Somebody has listened before.
    begun: bool,
}

#[derive(Debug)]
struct Stream {
    track: usize,
    profile: Profile,
    live: Live,
    next: Option<EncodedFrame>,
    ended: bool,
    /// A frame was not sent: what refers to it is of no use.
    broken: bool,
}

impl Pipes {
    /// Adds a stream, of a track as numbered by the caller.
    pub fn add(&mut self, track: usize, profile: Profile, live: Live) {
        self.streams.push(Stream { track, profile, live, next: None, ended: false, broken: false });
    }

    /// Whether all are over. True without any.
    pub fn ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.ended && stream.next.is_none())
    }

    /// The next frame when it is due, and how late it is. `None`: something has changed, and it is to be asked again. It does
    /// not end while nothing comes. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<(Due, Duration)>, SourceError> {
        let now = Instant::now();
        let first =
            self.streams.iter().enumerate().filter_map(|(index, stream)| Some((index, stream.next.as_ref()?.time)));
        let Some((index, time)) = first.min_by_key(|(_, time)| *time) else {
            return self.receive().await.map(|()| None);
        };
        let origin = *self.origin.get_or_insert(now.checked_sub(time).unwrap_or(now));
        let due = origin + time;
        let late = now.saturating_duration_since(due);
        if late > MAX_LATE {
            self.origin = Some(origin + late);
        }
        tokio::select! {
            // Another may be due before it.
            received = self.receive() => return received.map(|()| None),
            () = sleep_until(due.into()) => {}
        }
        Ok(self.streams[index].take().map(|due| (due, late)))
    }

    /// Says that a frame was not sent. Those after it up to the next key frame are not given out.
    pub fn not_sent(&mut self, track: usize, profile: Profile) {
        for stream in self.streams.iter_mut().filter(|stream| (stream.track, stream.profile) == (track, profile)) {
            stream.broken = true;
        }
    }

    /// The streams begin anew, at a new server. What came while nobody was there is old; but at first nothing is: the pipe has
    /// waited.
    pub fn begin(&mut self) {
        self.origin = None;
        if std::mem::replace(&mut self.begun, true) {
            for stream in &mut self.streams {
                stream.next = None;
                while stream.live.frames.try_recv().is_ok() {}
                stream.broken = true;
            }
        }
    }

    /// Waits until a stream of which no frame is known has one, or ends.
    async fn receive(&mut self) -> Result<(), SourceError> {
        if self.streams.iter().all(|stream| stream.ended || stream.next.is_some()) {
            return pending().await;
        }
        poll_fn(|cx| {
            for stream in self.streams.iter_mut().filter(|stream| !stream.ended && stream.next.is_none()) {
                match stream.live.frames.poll_recv(cx) {
                    Poll::Ready(Some(frame)) => return Poll::Ready(frame.map(|frame| stream.next = Some(frame))),
                    Poll::Ready(None) => {
                        stream.ended = true;
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Stream {
    /// `None`: it is of no use, for one before it was not sent.
    fn take(&mut self) -> Option<Due> {
        let frame = self.next.take()?;
        self.broken &= !frame.key_frame;
        (!self.broken).then(|| Due { track: self.track, profile: self.profile, frame })
    }
}
