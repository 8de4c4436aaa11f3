//! Percentiles that can be added up.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Microseconds, up to an hour, to three digits.
const HIGHEST: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// A V2 histogram's bytes before its counts.
const HEADER: usize = 40;

/// How long something took, many times: percentiles, also over what several processes measured.
///
/// In JSON it has the usual percentiles in milliseconds, to be read, and the histogram itself, to be added up: HdrHistogram's
/// V2 encoding of microseconds, in base64.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Distribution(Histogram<u64>);

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    count: u64,
    #[serde(default)]
    p50_ms: Option<f64>,
    #[serde(default)]
    p95_ms: Option<f64>,
    #[serde(default)]
    p99_ms: Option<f64>,
    #[serde(default)]
    max_ms: Option<f64>,
    histogram: String,
}

impl Default for Distribution {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, HIGHEST, DIGITS).expect("1 is below half of HIGHEST, and DIGITS is below 6"))
    }
}

impl Distribution {
    /// Takes one in.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Takes in all of another.
    pub fn merge(&mut self, other: &Self) {
        // All have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// How many were taken in.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What so many of a hundred are at most. `None`: none was taken in.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_percentile(percent)))
    }

    /// The longest.
    pub fn max(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.max()))
    }

    /// How many are at most so long.
    pub fn up_to(&self, longest: Duration) -> u64 {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        self.0.count_between(0, micros)
    }

    /// All of them together, about.
    pub fn sum(&self) -> Duration {
        let micros = if self.0.is_empty() { 0.0 } else { self.0.mean() * self.0.len() as f64 };
        Duration::try_from_secs_f64(micros / 1e6).unwrap_or(Duration::MAX)
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Distribution");
        for (name, percent) in [("p50", 50.0), ("p99", 99.0)] {
            shown.field(name, &self.percentile(percent));
        }
        shown.field("count", &self.count()).finish_non_exhaustive()
    }
}

impl From<Distribution> for Stored {
    fn from(distribution: Distribution) -> Self {
        let mut bytes = Vec::new();
        // A vector takes everything.
        let _ = V2Serializer::new().serialize(&distribution.0, &mut bytes);
        let ms = |of: Option<Duration>| of.map(|of| of.as_micros() as f64 / 1e3);
        Self {
            count: distribution.count(),
            p50_ms: ms(distribution.percentile(50.0)),
            p95_ms: ms(distribution.percentile(95.0)),
            p99_ms: ms(distribution.percentile(99.0)),
            max_ms: ms(distribution.max()),
            histogram: BASE64_STANDARD.encode(bytes),
        }
    }
}

impl TryFrom<Stored> for Distribution {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(stored.histogram).map_err(|error| format!("a histogram: {error}"))?;
        // How much there is to be read is said at the beginning, and room is made for it.
        let counts = bytes.get(4..8).and_then(|counts| counts.try_into().ok()).map(u32::from_be_bytes);
        if counts.is_none_or(|counts| counts as usize > bytes.len().saturating_sub(HEADER)) {
            return Err("a histogram is cut off".to_owned());
        }
        let read = Deserializer::new().deserialize::<u64, _>(&mut &*bytes);
        let mut distribution = Self::default();
        let added = read
            .map_err(|error| error.to_string())
            .and_then(|read| distribution.0.add(&read).map_err(|error| error.to_string()));
        added.map_err(|error| format!("a histogram: {error}"))?;
        Ok(distribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_again_when_it_was_written_down() {
        let mut distribution = Distribution::default();
        for micros in [0, 1, 1500, 1500, 80_000, u64::MAX] {
            distribution.record(Duration::from_micros(micros));
        }
        let text = serde_json::to_string(&distribution).unwrap();
        assert!(text.contains(r#""count":6"#) && text.contains(r#""p50_ms":1.5"#), "{text}");
        assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), distribution);
        assert_eq!(distribution.up_to(Duration::from_millis(2)), 4);
    }

    #[test]
    fn what_is_no_histogram_is_an_error() {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&Distribution::default().0, &mut bytes).unwrap();
        let huge = [&bytes[..4], &[0xff; 4], &bytes[8..]].concat();
        for bytes in [&b""[..], b"no histogram at all", &huge, &bytes[..20]] {
            let text = format!(r#"{{"histogram":"{}"}}"#, BASE64_STANDARD.encode(bytes));
            assert!(serde_json::from_str::<Distribution>(&text).is_err(), "{text}");
        }
    }
}
