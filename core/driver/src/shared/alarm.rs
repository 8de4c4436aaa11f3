//! The one timer.

use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use crate::runtime::{Runtime, Timer};

/// Wakes the task when something is due. It is only ever set earlier: a timer that fires too soon costs less than one that is
/// set whenever a deadline moves.
pub(super) struct Alarm<R: Runtime> {
    timer: Pin<Box<R::Timer>>,
    /// When the timer fires; None: it is not armed.
    armed: Option<Instant>,
    /// Timers fire at multiples of `granularity` since then.
    start: Instant,
    granularity: Duration,
}

impl<R: Runtime> Alarm<R> {
    pub(super) fn new(runtime: &R, granularity: Duration) -> Self {
        let start = runtime.now();
        Self { timer: Box::pin(runtime.timer(start)), armed: None, start, granularity }
    }

    /// Sees to it that the task is woken at a deadline. True if that is now.
    pub(super) fn set(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        if self.armed.is_some() && self.timer.as_mut().poll(cx).is_ready() {
            self.armed = None;
        }
        let Some(deadline) = deadline else { return false };
        let at = self.on_grid(deadline);
        if self.armed.is_some_and(|armed| armed <= at) {
            return false;
        }
        self.armed = Some(at);
        self.timer.as_mut().reset(at);
        let due = self.timer.as_mut().poll(cx).is_ready();
        if due {
            self.armed = None;
        }
        due
    }

    /// When the timer is to fire for a deadline.
    fn on_grid(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.start).as_nanos();
        let steps = match self.granularity.as_nanos() {
            0 => return at,
            granularity => since.div_ceil(granularity),
        };
        let grid = u32::try_from(steps).ok().and_then(|steps| self.granularity.checked_mul(steps));
        // After 49 days of milliseconds each is for itself.
        grid.and_then(|since| self.start.checked_add(since)).unwrap_or(at)
    }
}
