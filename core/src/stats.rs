//! Our own statistics. Fields follow W3C webrtc-stats where it has the thing.

use std::time::Duration;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// One encoding of a producer as we count it.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct OutboundRtpStats {
    /// The index of the encoding, the smallest simulcast layer first.
    pub layer: usize,
    /// The stream.
    pub ssrc: u32,
    /// Frames sent (`framesSent`); packets handed in ready-made count by their marker bits.
    pub frames_sent: u64,
    /// Key frames sent (`keyFramesEncoded`).
    pub key_frames_sent: u64,
    /// Packets sent, without retransmissions.
    pub packets_sent: u64,
    /// Payload bytes sent, without retransmissions.
    pub bytes_sent: u64,
    /// NAL units of H.264 or H.265 left out of frames that were sent, because their type means nothing in RTP or something
    /// else: H.264's 0 and 24 to 31, H.265's 48 to 63 (RFC 6184 section 5.2, RFC 7798 section 4.4). Phones write data of
    /// their own so, for example Dolby Vision's.
    pub nal_units_dropped: u64,
    /// Packets sent again (`retransmittedPacketsSent`).
    pub retransmitted_packets_sent: u64,
    /// NACK messages received (`nackCount`); brought up to date once a second.
    pub nack_count: u64,
    /// Picture loss indications received (`pliCount`); brought up to date once a second.
    pub pli_count: u64,
    /// Full intra requests received (`firCount`); brought up to date once a second.
    pub fir_count: u64,
    /// Packets the server reports lost (RFC 3550 section 6.4.1); retransmission may have brought them since.
    pub remote_packets_lost: u64,
    /// Round-trip time from RTCP reports.
    pub round_trip_time: Option<Duration>,
    /// What the encoder was last told to aim at, in bits per second.
    pub target_bitrate_bps: Option<u64>,
}
