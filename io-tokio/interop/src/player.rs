//! Plays sources into a producer, in real time.

use std::sync::{Arc, Mutex};

use crate::io::v2::Producer;
use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Frame, MediaError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::source::EncodedFrame;

/// A task that hands frames in when their time has come. Ends when dropped.
#[derive(Debug)]
pub struct Player {
    task: Option<JoinHandle<()>>,
    played: Arc<Mutex<Played>>,
}

/// What a player did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Played {
    /// Frames taken.
    pub taken: u64,
    /// Frames refused because the producer, or the layer, was paused.
    pub paused: u64,
    /// Frames refused because there was no (connected) transport.
    pub unconnected: u64,
    /// Frames refused because one before them was, up to the next key frame.
    pub incomplete: u64,
}

impl Player {
    /// Plays one source into a producer without layers.
    pub fn single(producer: &Producer, source: impl Iterator<Item = EncodedFrame> + Send + 'static) -> Self {
        Self::layers(producer, vec![(Profile::Default, source)])
    }

    /// Plays several, in step.
    pub fn layers<S>(producer: &Producer, sources: Vec<(Profile, S)>) -> Self
    where
        S: Iterator<Item = EncodedFrame> + Send + 'static,
    {
        let producer = producer.clone();
        let sources = sources.into_iter().map(|(profile, source)| (profile.into(), source)).collect();
        Self::of(sources, move |frame| producer.write_frame(frame))
    }

    /// Plays sources in step, each with its layer, by means of `write`.
    pub(crate) fn of<S>(
        sources: Vec<(usize, S)>,
        write: impl Fn(Frame) -> Result<(), MediaError> + Send + 'static,
    ) -> Self
    where
        S: Iterator<Item = EncodedFrame> + Send + 'static,
    {
        let played = Arc::new(Mutex::new(Played::default()));
        let task = tokio::spawn(play(sources, write, Arc::clone(&played)));
        Self { task: Some(task), played }
    }

    /// What it did so far.
    pub fn played(&self) -> Played {
        *self.played.lock().expect("no panic under the lock")
    }

    /// Plays no more. What was handed in before is on its way.
    ///
    /// # Panics
    /// When it had ended by an error.
    pub async fn stop(mut self) {
        let task = self.task.take().expect("a player is stopped once");
        task.abort();
        if let Err(error) = task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn play<S: Iterator<Item = EncodedFrame>>(
    mut sources: Vec<(usize, S)>,
    write: impl Fn(Frame) -> Result<(), MediaError>,
    played: Arc<Mutex<Played>>,
) {
    let next = |source: &mut S| source.next().expect("a clip is endless");
    let mut due: Vec<EncodedFrame> = sources.iter_mut().map(|(_, source)| next(source)).collect();
    let start = Instant::now();
    loop {
        let first = (0..due.len()).min_by_key(|index| due[*index].time).expect("at least one source");
        let (layer, source) = &mut sources[first];
        let EncodedFrame { data, time, key_frame } = std::mem::replace(&mut due[first], next(source));
        sleep_until(start + time).await;
        let result = write(Frame::new(data, time).layer(*layer).key_frame(key_frame));
        let mut played = played.lock().expect("no panic under the lock");
        match result {
            Ok(()) => played.taken += 1,
            Err(MediaError::Paused(_) | MediaError::NoTrack(_) | MediaError::Inactive { .. }) => played.paused += 1,
            Err(MediaError::NotConnected(_) | MediaError::Unhandled(_) | MediaError::NotProduced(_)) => {
                played.unconnected += 1;
            }
            Err(MediaError::KeyFrameNeeded { .. }) => played.incomplete += 1,
            Err(MediaError::ProducerNotFound(_)) => return,
            Err(error) => panic!("a frame was not taken: {error}"),
        }
    }
}
