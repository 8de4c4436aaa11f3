//! Whether a queue grows.

use std::collections::VecDeque;

use super::groups::GroupDelta;

/// Deltas are counted up to this.
const MOST_DELTAS: u16 = 1_000;
/// Noise is learnt faster from the first so many.
const FEW_DELTAS: u16 = 300;
/// How many of the last deltas tell how often groups come at most.
const PERIODS: usize = 60;

/// What of the delay is a queue that grows or drains: a Kalman filter that tells it from the time that larger groups take and
/// from noise (draft-alvestrand-rmcat-congestion-03 section 3; draft-ietf-rmcat-gcc-02 section 5.3 has it without the sizes).
#[derive(Debug)]
pub(super) struct DelayFilter {
    deltas: u16,
    /// What a byte takes, in milliseconds.
    slope: f64,
    /// What the queue adds from one group to the next, in milliseconds; and what it did before.
    offset: f64,
    offset_before: f64,
    /// The covariance of slope and offset.
    covariance: [[f64; 2]; 2],
    noise_mean: f64,
    noise_variance: f64,
    /// The times between groups of late.
    periods: VecDeque<f64>,
}

impl Default for DelayFilter {
    fn default() -> Self {
        Self {
            deltas: 0,
            slope: 8.0 / 512.0,
            offset: 0.0,
            offset_before: 0.0,
            covariance: [[100.0, 0.0], [0.0, 0.1]],
            noise_mean: 0.0,
            noise_variance: 50.0,
            periods: VecDeque::new(),
        }
    }
}

impl DelayFilter {
    /// How many groups it has seen.
    pub(super) const fn deltas(&self) -> u16 {
        self.deltas
    }

    /// Takes a group; returns what the queue adds. `usage`: as the detector had it before.
    pub(super) fn update(&mut self, delta: &GroupDelta, usage: Usage) -> f64 {
        const SLOPE_DRIFT: f64 = 1e-13;
        const OFFSET_DRIFT: f64 = 1e-3;
        let period = self.shortest_period(delta.sent_ms);
        self.deltas = (self.deltas + 1).min(MOST_DELTAS);
        let recovers = match usage {
            Usage::Over => self.offset < self.offset_before,
            Usage::Under => self.offset > self.offset_before,
            Usage::Normal => false,
        };
        self.covariance[0][0] += SLOPE_DRIFT;
        self.covariance[1][1] += if recovers { 11.0 * OFFSET_DRIFT } else { OFFSET_DRIFT };

        let observed = delta.arrived_ms - delta.sent_ms;
        let residual = observed - self.slope * delta.bytes - self.offset;
        if usage == Usage::Normal {
            // What is far out, as key frames are, is no noise.
            let most = 3.0 * self.noise_variance.sqrt();
            self.learn_noise(residual.clamp(-most, most), period);
        }

        let [[e00, e01], [e10, e11]] = self.covariance;
        let (slope_part, offset_part) = (e00 * delta.bytes + e01, e10 * delta.bytes + e11);
        let uncertainty = self.noise_variance + delta.bytes * slope_part + offset_part;
        let (slope_gain, offset_gain) = (slope_part / uncertainty, offset_part / uncertainty);
        self.covariance = [
            [
                e00 * (1.0 - slope_gain * delta.bytes) - e10 * slope_gain,
                e01 * (1.0 - slope_gain * delta.bytes) - e11 * slope_gain,
            ],
            [
                e10 * (1.0 - offset_gain) - e00 * offset_gain * delta.bytes,
                e11 * (1.0 - offset_gain) - e01 * offset_gain * delta.bytes,
            ],
        ];
        self.slope += slope_gain * residual;
        self.offset_before = self.offset;
        self.offset += offset_gain * residual;
        self.offset
    }

    fn shortest_period(&mut self, period: f64) -> f64 {
        if self.periods.len() >= PERIODS {
            self.periods.pop_front();
        }
        let shortest = self.periods.iter().copied().fold(period, f64::min);
        self.periods.push_back(period);
        shortest
    }

    /// The faster groups come, the less each of them counts: the constants are for 30 in a second.
    fn learn_noise(&mut self, residual: f64, period_ms: f64) {
        let new: f64 = if self.deltas > FEW_DELTAS { 0.002 } else { 0.01 };
        let old = (1.0 - new).powf(period_ms * 30.0 / 1_000.0);
        self.noise_mean = old * self.noise_mean + (1.0 - old) * residual;
        let deviation = self.noise_mean - residual;
        self.noise_variance = (old * self.noise_variance + (1.0 - old) * deviation * deviation).max(1.0);
    }
}

/// How a path is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// One drains.
    Under,
}

/// Offsets count as often as there are deltas to go by, so many at most.
const WEIGHT: u16 = 60;
/// A queue must have grown for longer than this.
const OVERUSED_FOR_MS: f64 = 10.0;
/// How fast the threshold follows what is above and below it, for each millisecond; one that is further above is a spike.
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
const SPIKE_MS: f64 = 15.0;
const LONGEST_STEP_MS: u64 = 100;
const LOWEST_THRESHOLD: f64 = 6.0;
const HIGHEST_THRESHOLD: f64 = 600.0;

/// Compares what the queue adds with a threshold that adapts, so that flows which fill queues do not starve this one
/// (draft-ietf-rmcat-gcc-02 section 5.4).
#[derive(Debug)]
pub(super) struct OveruseDetector {
    usage: Usage,
    threshold: f64,
    adapted_at: Option<u64>,
    offset_before: f64,
    /// How long, and how often in a row, the offset was above the threshold.
    above_ms: Option<f64>,
    above: u32,
}

impl Default for OveruseDetector {
    fn default() -> Self {
        Self { usage: Usage::Normal, threshold: 12.5, adapted_at: None, offset_before: 0.0, above_ms: None, above: 0 }
    }
}

impl OveruseDetector {
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    pub(super) fn detect(&mut self, now: u64, offset: f64, deltas: u16, delta: &GroupDelta) {
        if deltas < 2 {
            return;
        }
        let weighed = f64::from(deltas.min(WEIGHT)) * offset;
        if weighed > self.threshold {
            // At first it is taken to have begun half-way between the groups.
            let above_ms = self.above_ms.map_or(delta.sent_ms / 2.0, |above_ms| above_ms + delta.sent_ms);
            self.above_ms = Some(above_ms);
            self.above += 1;
            if above_ms > OVERUSED_FOR_MS && self.above > 1 && offset >= self.offset_before {
                self.above_ms = Some(0.0);
                self.above = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.above_ms = None;
            self.above = 0;
            self.usage = if weighed < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.offset_before = offset;
        self.adapt(now, weighed.abs());
    }

    fn adapt(&mut self, now: u64, weighed: f64) {
        let since = self.adapted_at.replace(now).map_or(0, |at| now - at);
        if weighed > self.threshold + SPIKE_MS {
            return;
        }
        let speed = if weighed < self.threshold { FALL } else { RISE };
        let step = speed * (weighed - self.threshold) * since.min(LONGEST_STEP_MS) as f64;
        self.threshold = (self.threshold + step).clamp(LOWEST_THRESHOLD, HIGHEST_THRESHOLD);
    }
}
