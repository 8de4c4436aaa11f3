//! RTP as ffmpeg and GStreamer send it: one datagram, one packet.

use bytes::Bytes;
use rtp_types::{RtpPacket as Parsed, RtpParseError};

/// An RTP packet without what its sender's session put around the payload: contributing sources, header extensions and
/// padding mean nothing in ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// The sender's payload type.
    pub payload_type: u8,
    /// The marker bit: for video the last packet of a frame.
    pub marker: bool,
    /// The sequence number.
    pub sequence_number: u16,
    /// The media time, in units of the codec's clock rate.
    pub timestamp: u32,
    /// The sender's stream. A change means that the sender was restarted, and numbers and times with it.
    pub ssrc: u32,
    /// The codec's payload.
    pub payload: Bytes,
}

/// What a datagram on an RTP port holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Datagram {
    /// An RTP packet.
    Rtp(RtpPacket),
    /// RTCP, sent to the same port. Nothing in it concerns us.
    Rtcp,
}

/// Why a datagram is no RTP. To be counted; anyone can send anything to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Its version is not 2: no RTP at all.
    #[error("not RTP: version {0} instead of 2")]
    Version(u8),
    /// Shorter than its header says.
    #[error("RTP packet cut off: {actual} bytes of at least {expected}")]
    Truncated {
        /// The least number of bytes it must have.
        expected: usize,
        /// The number it has.
        actual: usize,
    },
    /// The padding bit is set and the padding is 0 bytes long (RFC 3550, 5.1: its count includes itself).
    #[error("RTP packet with padding of {0} bytes")]
    Padding(u8),
}

/// Reads a datagram (RFC 3550, 5.1). The payload is a part of it, not a copy.
pub fn parse(datagram: &Bytes) -> Result<Datagram, RtpError> {
    // RFC 5761, 4: on a port shared by both, a second byte of 192 to 223 is RTCP; as RTP it would be a payload type of
    // 64 to 95, which is never to be used.
    if let [first, 192..=223, ..] = datagram[..]
        && first >> 6 == 2
    {
        return Ok(Datagram::Rtcp);
    }
    let packet = Parsed::parse(datagram).map_err(|error| match error {
        RtpParseError::UnsupportedVersion(version) => RtpError::Version(version),
        RtpParseError::Truncated { expected, actual } => RtpError::Truncated { expected, actual },
        RtpParseError::PaddingInvalid(length) => RtpError::Padding(length),
    })?;
    Ok(Datagram::Rtp(RtpPacket {
        payload_type: packet.payload_type(),
        marker: packet.marker_bit(),
        sequence_number: packet.sequence_number(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
        payload: datagram.slice_ref(packet.payload()),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtp_types::RtpPacketBuilder;

    use super::*;

    fn packet(datagram: &[u8]) -> RtpPacket {
        match parse(&Bytes::copy_from_slice(datagram)) {
            Ok(Datagram::Rtp(packet)) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_packet_as_ffmpeg_sends_it() {
        let datagram = [0x80, 0xe0, 0x12, 0x34, 0, 0, 0x0b, 0xb8, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3];
        let expected = RtpPacket {
            payload_type: 96,
            marker: true,
            sequence_number: 0x1234,
            timestamp: 3000,
            ssrc: 0xdead_beef,
            payload: Bytes::from_static(&[1, 2, 3]),
        };
        assert_eq!(packet(&datagram), expected);
    }

    #[test]
    fn sources_extension_and_padding_are_stripped() {
        let datagram = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(111)
            .add_csrc(7)
            .add_csrc(8)
            .extension(0xbede, &[0x10, 0xff, 0, 0][..])
            .payload(&[9, 9, 9, 9][..])
            .padding(4)
            .write_vec()
            .unwrap();
        assert_eq!(packet(&datagram).payload, [9, 9, 9, 9][..]);
    }

    #[test]
    fn rtcp_is_told_apart() {
        let sender_report = Bytes::from_static(&[0x80, 200, 0, 6, 0, 0, 0, 1]);
        assert_eq!(parse(&sender_report), Ok(Datagram::Rtcp));
        // G.711 µ-law with the marker bit is 128, not RTCP.
        assert_eq!(packet(&[0x80, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).payload_type, 0);
    }

    #[test]
    fn junk_is_named() {
        let of = |datagram: &'static [u8]| parse(&Bytes::from_static(datagram)).unwrap_err();
        assert_eq!(of(&[]), RtpError::Truncated { expected: 12, actual: 0 });
        assert_eq!(of(b"GET / HTTP/1.1\r\n"), RtpError::Version(1));
        assert_eq!(of(&[0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), RtpError::Padding(0));
        assert_eq!(of(&[0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), RtpError::Truncated { expected: 21, actual: 13 });
    }

    proptest! {
        #[test]
        fn arbitrary_datagrams_never_panic(first in prop_oneof![Just(0x80u8), any::<u8>()], mut rest: Vec<u8>) {
            rest.insert(0, first);
            let _ = parse(&Bytes::from(rest));
        }
    }
}
