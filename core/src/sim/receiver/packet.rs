//! What a received RTP packet holds.

use std::time::SystemTime;

use bytes::Bytes;
use str0m::rtp::RtpPacket;

use super::numbers::RawExtensions;
use crate::media::{AudioLevel, Rotation};

/// The ids by which packets carry what we read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sim) struct ExtensionIds {
    pub(in crate::sim) mid: Option<u8>,
    pub(in crate::sim) audio_level: Option<u8>,
    pub(in crate::sim) rotation: Option<u8>,
}

/// Header extensions of a packet that mean something here.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sim) struct Extensions {
    pub(in crate::sim) mid: Option<String>,
    pub(in crate::sim) audio_level: Option<AudioLevel>,
    pub(in crate::sim) rotation: Option<Rotation>,
}

impl Extensions {
    pub(in crate::sim) fn of(packet: &RtpPacket, ids: ExtensionIds) -> Self {
        let raw = packet.header.ext_vals.user_values.get::<RawExtensions>();
        let extension = |id: Option<u8>| raw.and_then(|raw| raw.get(id?));
        Self {
            mid: extension(ids.mid).map(|mid| String::from_utf8_lossy(mid).into_owned()),
            audio_level: extension(ids.audio_level)
                .and_then(<[u8]>::first)
                .map(|level| AudioLevel::new(level & 0x7f, level & 0x80 != 0)),
            rotation: extension(ids.rotation).and_then(<[u8]>::first).map(|byte| match byte & 3 {
                0 => Rotation::Deg0,
                1 => Rotation::Deg90,
                2 => Rotation::Deg180,
                _ => Rotation::Deg270,
            }),
        }
    }
}

/// The latest sender report of the packet's stream before it: the sender's wall clock, and the RTP time that goes with it.
pub(in crate::sim) fn sender_report(packet: &RtpPacket) -> Option<(SystemTime, u32)> {
    packet.last_sender_info.map(|info| (info.ntp_time, info.rtp_time.numer() as u32))
}

/// The payload, without a copy.
pub(in crate::sim) fn payload(packet: RtpPacket) -> Bytes {
    Bytes::from_owner(packet.payload)
}
