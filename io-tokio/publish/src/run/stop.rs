//! When a run is to end.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::RunError;

/// Waits for the end of a run: the time is over, Ctrl-C, SIGTERM, or nobody reads our output any more.
#[derive(Debug)]
pub(crate) struct Stop {
    seconds: Option<Duration>,
    deadline: Option<Instant>,
    broken: watch::Receiver<bool>,
    /// `None`: somebody else listens.
    signals: Option<Signals>,
}

impl Stop {
    /// The time does not run before [`begin`](Self::begin).
    pub(crate) fn new(seconds: Option<Duration>, broken: watch::Receiver<bool>) -> Result<Self, RunError> {
        let signals = Some(Signals::new().map_err(RunError::Signals)?);
        Ok(Self { seconds, deadline: None, broken, signals })
    }

    /// Ends when this becomes true, and not before.
    pub(crate) fn when(broken: watch::Receiver<bool>) -> Self {
        Self { seconds: None, deadline: None, broken, signals: None }
    }

    /// Media flows: from here on the time runs. Once begun it runs on.
    pub(crate) fn begin(&mut self) {
        if self.deadline.is_none() {
            self.deadline = self.seconds.map(|seconds| Instant::now() + seconds);
        }
    }

    /// Ready when the run is to end. Can be dropped and called again.
    pub(crate) async fn requested(&mut self) {
        let deadline = async {
            match self.deadline {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let broken = async {
            if self.broken.wait_for(|broken| *broken).await.is_err() {
                pending().await
            }
        };
        let signalled = async {
            match &mut self.signals {
                Some(signals) => signals.any().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = deadline => {}
            () = broken => {}
            () = signalled => {}
        }
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn any(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending().await
        }
    }
}
