//! What is counted of each encoding over a run, across sessions.

use std::time::Instant;

use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::{Codec, ProducerId};

use crate::input::{Layer, Track};
use crate::report::{RoomCount, Row, Sent};

/// The encodings of all tracks.
#[derive(Debug, Default)]
pub(super) struct Encodings {
    all: Vec<Encoding>,
    /// The room does not say what it receives.
    untold: bool,
    sampled_at: Option<Instant>,
}

#[derive(Debug)]
struct Encoding {
    track: usize,
    codec: Codec,
    layer: Layer,
    /// `None` before the first.
    producer: Option<ProducerId>,
    ssrc: u32,
    /// Of sessions that are over.
    before: (Sent, RoomCount),
    /// Of this session.
    latest: Option<OutboundRtpStats>,
    room: RoomCount,
    /// At the last sample.
    bytes_sampled: u64,
    bitrate_bps: u64,
}

impl Encodings {
    pub(super) fn new(tracks: &[Track]) -> Self {
        let encodings = |(index, track): (usize, &Track)| {
            let codec = track.codec;
            track.layers.clone().into_iter().map(move |layer| Encoding {
                track: index,
                codec,
                layer,
                producer: None,
                ssrc: 0,
                before: Default::default(),
                latest: None,
                room: RoomCount::default(),
                bytes_sampled: 0,
                bitrate_bps: 0,
            })
        };
        Self { all: tracks.iter().enumerate().flat_map(encodings).collect(), untold: false, sampled_at: None }
    }

    /// A track is sent as a new producer.
    pub(super) fn produced(&mut self, track: usize, producer: ProducerId) {
        for encoding in self.all.iter_mut().filter(|encoding| encoding.track == track) {
            encoding.end_session();
            encoding.producer = Some(producer);
        }
    }

    /// What we count of a track.
    pub(super) fn update(&mut self, track: usize, stats: &[OutboundRtpStats]) {
        for stats in stats {
            if let Some(encoding) =
                self.find(|encoding| (encoding.track, encoding.layer.profile.layer()) == (track, stats.layer))
            {
                encoding.ssrc = stats.ssrc;
                encoding.latest = Some(stats.clone());
            }
        }
    }

    /// What the room counts of a producer, by SSRC.
    pub(super) fn heard(&mut self, producer: ProducerId, counts: impl IntoIterator<Item = (u32, RoomCount)>) {
        for (ssrc, count) in counts {
            let ours = |encoding: &Encoding| encoding.producer == Some(producer) && encoding.ssrc == ssrc;
            if let Some(encoding) = self.find(ours) {
                encoding.room = count;
            }
        }
    }

    /// The room does not say what it receives.
    pub(super) fn untold(&mut self) {
        self.untold = true;
    }

    /// Whether the room has received all that was sent of these producers, as far as it said.
    pub(super) fn all_received(&self, of: impl Fn(ProducerId) -> bool) -> bool {
        let told = self.all.iter().filter(|_| !self.untold);
        told.filter(|encoding| encoding.producer.is_some_and(&of))
            .all(|encoding| encoding.latest.as_ref().is_none_or(|latest| encoding.room.packets >= latest.packets_sent))
    }

    /// Reckons bitrates, from the last sample to this one.
    pub(super) fn sample(&mut self, now: Instant) {
        let elapsed = self.sampled_at.map(|at| now.saturating_duration_since(at).as_secs_f64());
        self.sampled_at = Some(now);
        for encoding in &mut self.all {
            let bytes = encoding.latest.as_ref().map_or(0, |latest| latest.bytes_sent);
            let sent = bytes.saturating_sub(encoding.bytes_sampled);
            encoding.bytes_sampled = bytes;
            if let Some(elapsed) = elapsed.filter(|elapsed| *elapsed > 0.0) {
                encoding.bitrate_bps = (sent as f64 * 8.0 / elapsed) as u64;
            }
        }
    }

    /// A new measurement of bitrates: none is taken over a gap.
    pub(super) fn begin(&mut self, now: Instant) {
        self.sampled_at = Some(now);
    }

    /// For the report: what is sent, or was.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.all.iter().filter_map(|encoding| encoding.row(!self.untold)).collect()
    }

    fn find(&mut self, wanted: impl Fn(&Encoding) -> bool) -> Option<&mut Encoding> {
        self.all.iter_mut().find(|encoding| wanted(encoding))
    }
}

impl Encoding {
    fn end_session(&mut self) {
        (self.before.0, self.before.1) = (self.sent(), self.received());
        (self.latest, self.room, self.bytes_sampled, self.ssrc) = (None, RoomCount::default(), 0, 0);
    }

    fn sent(&self) -> Sent {
        let mut sent = self.before.0;
        sent += self.latest.as_ref().map(Sent::from).unwrap_or_default();
        sent
    }

    fn received(&self) -> RoomCount {
        let mut received = self.before.1;
        received += self.room;
        received
    }

    /// `None` before it is sent. Where the room does not tell what it receives, nothing is said of that.
    fn row(&self, told: bool) -> Option<Row> {
        Some(Row {
            producer: self.producer?,
            profile: self.layer.profile,
            codec: self.codec,
            size: self.layer.size,
            sent: self.sent(),
            bitrate_bps: self.bitrate_bps,
            rtt: self.latest.as_ref().and_then(|latest| latest.round_trip_time),
            target_bps: self.latest.as_ref().and_then(|latest| latest.target_bitrate_bps),
            room: told.then(|| self.received()),
        })
    }
}
