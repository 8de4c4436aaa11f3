use std::time::Duration;

use super::FALLBACK_FRAME;

/// Smooths the times of a track. A container rounds them, mostly to milliseconds, so that frames of 33.3 ms come at 0,
/// 33 and 67 ms; where a frame's duration is known, time goes on by that as long as the container agrees but for
/// rounding. So a file of 30 frames lasts one second, not 1000.3 ms, however often it is played.
#[derive(Debug)]
pub(super) struct Timeline {
    rounding: Duration,
    first: Option<Duration>,
    last: Duration,
    gap: Option<Duration>,
    /// Where the next frame comes, if the last one's duration is known.
    next: Option<Duration>,
    end: Duration,
    went_back: bool,
}

impl Timeline {
    pub(super) fn new(rounding: Duration) -> Self {
        Self {
            rounding,
            first: None,
            last: Duration::ZERO,
            gap: None,
            next: None,
            end: Duration::ZERO,
            went_back: false,
        }
    }

    /// The time of a frame that the container puts at `stamp`, and of its end.
    pub(super) fn place(&mut self, stamp: Duration, duration: Option<Duration>) -> (Duration, Duration) {
        let time = self.next.filter(|next| next.abs_diff(stamp) <= self.rounding).unwrap_or(stamp);
        if self.first.is_none() {
            self.first = Some(time);
        } else {
            self.went_back |= time < self.last;
            self.gap = time.checked_sub(self.last).filter(|gap| !gap.is_zero()).or(self.gap);
        }
        self.last = time;
        // Without a duration, the last frame lasts as long as the one before it.
        let end = time.saturating_add(duration.or(self.gap).unwrap_or(FALLBACK_FRAME));
        self.next = duration.map(|_| end);
        self.end = self.end.max(end);
        (time, end)
    }

    /// Whether a frame has come whose time is before that of one before it.
    pub(super) fn went_back(&self) -> bool {
        self.went_back
    }

    /// From the first frame's beginning to the last one's end.
    pub(super) fn elapsed(&self) -> Duration {
        self.end.saturating_sub(self.first.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rounded_times_become_even() {
        let frame = Duration::from_nanos(33_333_333);
        let mut timeline = Timeline::new(MS);
        for (frames, stamp) in [7, 40, 74, 107, 140].into_iter().enumerate() {
            let (time, _) = timeline.place(stamp * MS, Some(frame));
            assert_eq!(time, 7 * MS + frame * frames as u32);
        }
        assert_eq!(timeline.elapsed(), frame * 5);
    }

    #[test]
    fn a_pause_is_kept() {
        let mut timeline = Timeline::new(MS);
        timeline.place(Duration::ZERO, Some(20 * MS));
        assert_eq!(timeline.place(500 * MS, Some(20 * MS)).0, 500 * MS);
        assert_eq!(timeline.elapsed(), 520 * MS);
    }

    #[test]
    fn without_durations_the_last_gap_counts() {
        let mut timeline = Timeline::new(MS);
        for stamp in [0, 40, 80] {
            assert_eq!(timeline.place(stamp * MS, None).0, stamp * MS);
        }
        assert_eq!(timeline.elapsed(), 120 * MS);
    }
}
