//! Where a room writes its run down, if it is asked to. Without the feature `serde` it never is.

use std::time::Instant;

use serde_json::Value;

use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::v2::config::RoomConfig;
use crate::v2::input::Command;
use crate::v2::output::Output;
use crate::v2::protocol::Refusal;

#[cfg(feature = "record")]
use super::recorder::Recorder;

/// What the control plane is given to deal with.
#[derive(Debug)]
#[cfg_attr(not(feature = "record"), allow(dead_code))]
pub(crate) enum Entered<'a> {
    Timeout,
    Command(&'a Command),
    Response { id: RequestId, result: &'a Result<Value, Refusal> },
    Notification(&'a Value),
    Media { producer: ProducerId, media: &'a Media },
    Engine { transport: TransportId, event: &'a EngineEvent },
}

/// An input that is being dealt with. Its line follows when it is known whether it was refused, and after what the engines
/// were asked on the way.
#[derive(Debug)]
pub(crate) struct Entry {
    #[cfg(feature = "record")]
    line: Option<super::recorder::Line>,
}

#[derive(Debug)]
pub(crate) struct Journal {
    #[cfg(feature = "record")]
    pub(crate) recorder: Option<Box<Recorder>>,
}

#[cfg(feature = "record")]
impl Entry {
    pub(crate) fn refused<T, E: std::fmt::Display>(mut self, result: &Result<T, E>) -> Self {
        if let (Some(line), Err(error)) = (&mut self.line, result) {
            line.refused = Some(error.to_string());
        }
        self
    }
}

#[cfg(feature = "record")]
impl Journal {
    pub(crate) fn new(config: &RoomConfig, seed: u64) -> Self {
        Self { recorder: config.record.map(|options| Box::new(Recorder::new(options, config, seed))) }
    }

    pub(crate) fn enter(&self, input: Entered<'_>) -> Entry {
        Entry { line: self.recorder.as_ref().map(|recorder| recorder.input(input)) }
    }

    pub(crate) fn entered(&mut self, now: Instant, entry: Entry) {
        if let (Some(recorder), Some(line)) = (&mut self.recorder, entry.line) {
            recorder.write(now, &line);
        }
    }

    pub(crate) fn answer(&mut self, now: Instant, transport: TransportId, answer: impl FnOnce() -> EngineAnswer) {
        if let Some(recorder) = &mut self.recorder {
            recorder.answer(now, transport, &answer());
        }
    }

    pub(crate) fn output(&mut self, output: Option<&Output>) {
        if let (Some(recorder), Some(output)) = (&mut self.recorder, output) {
            recorder.output(output);
        }
    }
}

#[cfg(not(feature = "record"))]
impl Entry {
    pub(crate) fn refused<T, E>(self, _: &Result<T, E>) -> Self {
        self
    }
}

#[cfg(not(feature = "record"))]
impl Journal {
    pub(crate) fn new(_: &RoomConfig, _: u64) -> Self {
        Self {}
    }

    pub(crate) fn enter(&self, _: Entered<'_>) -> Entry {
        Entry {}
    }

    pub(crate) fn entered(&mut self, _: Instant, _: Entry) {}

    pub(crate) fn answer(&mut self, _: Instant, _: TransportId, _: impl FnOnce() -> EngineAnswer) {}

    pub(crate) fn output(&mut self, _: Option<&Output>) {}
}

#[cfg(feature = "record")]
impl super::Room {
    /// Begins a recording of what goes in and what comes out, as [`RoomConfig::record`] does; see
    /// [`record`](crate::record). Fails if the room was given something already.
    pub fn start_recording(
        &mut self,
        options: super::recorder::RecordOptions,
    ) -> Result<(), super::recorder::AlreadyStarted> {
        if self.now.is_some() || self.journal.recorder.is_some() {
            return Err(super::recorder::AlreadyStarted);
        }
        // Nothing has drawn from it yet.
        let seed = self.rng.state();
        self.journal.recorder = Some(Box::new(Recorder::new(options, &self.config, seed)));
        Ok(())
    }

    /// The next line of the recording, without a line end; `None` when there is none until something else happens.
    pub fn poll_record(&mut self) -> Option<String> {
        self.journal.recorder.as_mut()?.poll()
    }
}
