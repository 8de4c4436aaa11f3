//! What a server tells its peers to send at most (REMB).

use std::time::Instant;

use super::estimator::{Estimator, TimedPacket, Worker};
use super::header::Header;

/// How many streams a REMB can name.
const MOST_SSRCS: usize = 255;

/// Estimates what may be sent, and says so as the real servers do: with the packet that makes it due, of all streams heard of
/// late.
#[derive(Debug)]
pub(in crate::sim) struct BitrateFeedback {
    estimator: Estimator,
    /// The id by which packets carry their absolute send time; none: nothing is estimated.
    abs_send_time: Option<u8>,
    cap_bps: Option<u64>,
    last: Remb,
    waiting: Option<Remb>,
}

/// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::sim) struct Remb {
    pub(in crate::sim) bitrate_bps: u64,
    pub(in crate::sim) ssrcs: Vec<u32>,
}

impl BitrateFeedback {
    pub(in crate::sim) fn new(worker: Worker, cap_bps: Option<u64>) -> Self {
        Self { estimator: Estimator::new(worker), abs_send_time: None, cap_bps, last: Remb::default(), waiting: None }
    }

    /// The id that a new producer gives absolute send times is that of all, as header extensions are a transport's.
    pub(in crate::sim) const fn read_send_times(&mut self, id: u8) {
        self.abs_send_time = Some(id);
    }

    pub(in crate::sim) const fn cap_bps(&self) -> Option<u64> {
        self.cap_bps
    }

    pub(in crate::sim) const fn set_cap_bps(&mut self, cap_bps: Option<u64>) {
        self.cap_bps = cap_bps;
    }

    /// Says once that no limit is set any more: a REMB of nothing, for no stream.
    pub(in crate::sim) fn lift_cap(&mut self) {
        if self.cap_bps.take().is_some() && self.abs_send_time.is_some() {
            self.waiting = Some(Remb::default());
        }
    }

    /// What was last said of streams.
    pub(in crate::sim) const fn last(&self) -> &Remb {
        &self.last
    }

    /// An authentic RTP packet has come; its last bytes are the tag.
    pub(in crate::sim) fn packet(&mut self, now: Instant, packet: &[u8], tag_bytes: usize) {
        let Some(header) = Header::parse(packet) else { return };
        let send_time = self.abs_send_time.and_then(|id| header.extension(id));
        let Some(&[high, middle, low]) = send_time else { return };
        let payload = packet.len().saturating_sub(header.bytes + tag_bytes);
        let packet = TimedPacket {
            ssrc: header.ssrc,
            send_time: u32::from_be_bytes([0, high, middle, low]),
            // How much of it is padding is encrypted. Whoever pads sends nothing else in that packet: browsers do, to try whether
            // more gets through.
            payload_bytes: if header.padded { 0 } else { payload as u64 },
        };
        if let Some(estimate) = self.estimator.packet(now, packet) {
            self.last = Remb {
                bitrate_bps: self.cap_bps.map_or(estimate, |cap| cap.min(estimate)),
                ssrcs: self.estimator.ssrcs().take(MOST_SSRCS).collect(),
            };
            self.waiting = Some(self.last.clone());
        }
    }

    /// What is to be said now.
    pub(in crate::sim) const fn take(&mut self) -> Option<Remb> {
        self.waiting.take()
    }
}

impl Remb {
    /// What follows the two SSRCs of a feedback message: section 2.2.
    pub(in crate::sim) fn payload(&self) -> Vec<u8> {
        const MANTISSA_BITS: u32 = 18;
        let exponent = (u64::BITS - self.bitrate_bps.leading_zeros()).saturating_sub(MANTISSA_BITS);
        let [_, _, _, _, _, high, middle, low] = (self.bitrate_bps >> exponent).to_be_bytes();
        let mut payload = b"REMB".to_vec();
        payload.extend([self.ssrcs.len() as u8, (exponent << 2) as u8 | high, middle, low]);
        payload.extend(self.ssrcs.iter().flat_map(|ssrc| ssrc.to_be_bytes()));
        payload
    }
}
