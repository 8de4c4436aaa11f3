//! Where a run is written down, if that is asked for. Without the feature `record` it never is.

use std::marker::PhantomData;
use std::time::Instant;

use serde_json::Value;

use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::outputs::Classed;

#[cfg(feature = "record")]
pub(crate) mod recorder;
#[cfg(feature = "record")]
use recorder::{AlreadyStarted, RecordOptions, Recorder};

/// What can be written down.
#[cfg(feature = "record")]
pub(crate) trait Writable: serde::Serialize {}
#[cfg(feature = "record")]
impl<T: serde::Serialize> Writable for T {}
#[cfg(not(feature = "record"))]
pub(crate) trait Writable {}
#[cfg(not(feature = "record"))]
impl<T> Writable for T {}

/// A dialect, as far as its run is written down.
#[cfg_attr(not(feature = "record"), allow(dead_code))]
pub(crate) trait Recorded {
    /// Its name in the header. None: it has none there, because it was the first.
    const DIALECT: Option<&'static str>;
    /// What it was made with.
    type Config: Writable + Default;
    type Command: Writable;
    /// What a request is answered with.
    type Answer: Writable;
    /// What it is refused with.
    type Refusal: Writable;
    type Output: Writable + Classed;

    /// Whether it is to be recorded from its beginning.
    #[cfg(feature = "record")]
    fn options(config: &Self::Config) -> Option<RecordOptions>;
}

/// What the control plane is given to deal with.
#[cfg_attr(not(feature = "record"), allow(dead_code))]
pub(crate) enum Entered<'a, D: Recorded> {
    Timeout,
    Command(&'a D::Command),
    Response { id: RequestId, result: &'a Result<D::Answer, D::Refusal> },
    Notification(&'a Value),
    Media { producer: ProducerId, media: &'a Media },
    Engine { transport: TransportId, event: &'a EngineEvent },
}

/// An input that is being dealt with. Its line follows when it is known whether it was refused, and after what the engines
/// were asked on the way.
#[derive(Debug)]
pub(crate) struct Entry {
    #[cfg(feature = "record")]
    line: Option<recorder::Line>,
}

#[derive(Debug)]
pub(crate) struct Journal<D> {
    #[cfg(feature = "record")]
    recorder: Option<Box<Recorder>>,
    dialect: PhantomData<D>,
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
impl<D: Recorded> Journal<D> {
    pub(crate) fn new(config: &D::Config, seed: u64) -> Self {
        let begin = |options| Box::new(Recorder::new::<D>(options, config, seed));
        Self { recorder: D::options(config).map(begin), dialect: PhantomData }
    }

    /// Begins a recording. `fresh`: nothing was given before, and nothing was drawn from the seed.
    pub(crate) fn begin(
        &mut self,
        fresh: bool,
        options: RecordOptions,
        config: &D::Config,
        seed: u64,
    ) -> Result<(), AlreadyStarted> {
        if !fresh || self.recorder.is_some() {
            return Err(AlreadyStarted);
        }
        self.recorder = Some(Box::new(Recorder::new::<D>(options, config, seed)));
        Ok(())
    }

    pub(crate) fn poll(&mut self) -> Option<String> {
        self.recorder.as_mut()?.poll()
    }

    pub(crate) fn enter(&self, input: Entered<'_, D>) -> Entry {
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

    pub(crate) fn output(&mut self, output: Option<&D::Output>) {
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
impl<D: Recorded> Journal<D> {
    pub(crate) fn new(_: &D::Config, _: u64) -> Self {
        Self { dialect: PhantomData }
    }

    pub(crate) fn enter(&self, _: Entered<'_, D>) -> Entry {
        Entry {}
    }

    pub(crate) fn entered(&mut self, _: Instant, _: Entry) {}

    pub(crate) fn answer(&mut self, _: Instant, _: TransportId, _: impl FnOnce() -> EngineAnswer) {}

    pub(crate) fn output(&mut self, _: Option<&D::Output>) {}
}
