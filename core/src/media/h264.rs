//! H264 in RTP (RFC 6184), packetization-mode 1: single NAL units, STAP-A, FU-A.

use super::nal::{self, NalCodec, NalPacketizer, Role};
use super::payload::PacketizeError;

/// Cuts H264 access units into RTP payloads; one for each stream. Input is the byte stream format (Annex B).
///
/// An IDR picture that lacks its parameter sets gets the last ones seen: a mediasoup v2 server recognises a key frame by
/// its sequence parameter set alone, and begins to forward at the packet that holds it.
pub(crate) type H264Packetizer = NalPacketizer<H264>;

/// Whether `frame` holds a slice of an IDR picture (NAL unit type 5).
pub(crate) fn is_key_frame(frame: &[u8]) -> bool {
    nal::has_random_access::<H264>(frame)
}

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct H264;

impl NalCodec for H264 {
    /// |F|NRI|  Type   |
    type Header = [u8; 1];
    const HEADER_LEN: usize = 1;
    /// Sequence and picture parameter sets.
    const PARAMETER_SETS: usize = 2;

    fn role(unit: &[u8]) -> Result<Role, PacketizeError> {
        let &[header, ..] = unit else {
            return Err(PacketizeError::Malformed("empty NAL unit"));
        };
        if header & 0x80 != 0 {
            return Err(PacketizeError::Malformed("forbidden bit set in a NAL unit"));
        }
        match header & 0x1f {
            // H.264 leaves them to others, and in RTP they mean something else or nothing (RFC 6184, 5.2, table 1).
            0 | 24.. => Ok(Role::Unspecified),
            5 => Ok(Role::RandomAccess),
            6 => Ok(Role::Supplement),
            7 => Ok(Role::ParameterSet(0)),
            8 => Ok(Role::ParameterSet(1)),
            // Access unit delimiters say what the marker bit says, filler says nothing. A delimiter in front would also
            // be a packet before the one that the server takes for the start of the key frame.
            9 | 12 => Ok(Role::Superfluous),
            1..=4 | 10 | 11 | 13..=23 => Ok(Role::Other),
        }
    }

    /// NRI is the highest of the units' (RFC 6184, 5.7).
    fn aggregation_header(units: &[&[u8]]) -> [u8; 1] {
        let importance = units.iter().filter_map(|unit| unit.first()).map(|header| header & 0x60).max();
        [importance.unwrap_or(0) | STAP_A]
    }

    fn fragment_header(unit: &[u8]) -> ([u8; 1], u8) {
        let header = unit.first().copied().unwrap_or(0);
        ([header & 0xe0 | FU_A], header & 0x1f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::nal::testing::{body, stream};
    use super::*;

    const SPS: [u8; 4] = [0x67, 0x42, 0xc0, 0x1f];
    const PPS: [u8; 3] = [0x68, 0xce, 0x3c];
    const SEI: [u8; 3] = [0x06, 0x05, 0x80];
    const IDR: [u8; 3] = [0x65, 0x88, 0x84];
    const P: [u8; 3] = [0x41, 0x9a, 0x02];

    /// The NAL units in `payloads`, or `None` where a packet breaks RFC 6184.
    fn depacketize(payloads: &[Arc<[u8]>]) -> Option<Vec<Vec<u8>>> {
        let mut units: Vec<Vec<u8>> = Vec::new();
        let mut open = false;
        for payload in payloads {
            let (&header, mut rest) = payload.split_first()?;
            let kind = header & 0x1f;
            if header & 0x80 != 0 || open && kind != 28 {
                return None;
            }
            match kind {
                1..=23 => units.push(payload.to_vec()),
                24 => {
                    let mut importance = 0;
                    while let Some((size, tail)) = rest.split_first_chunk() {
                        let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
                        importance = importance.max(unit.first()? & 0x60);
                        units.push(unit.to_vec());
                        rest = tail;
                    }
                    if !rest.is_empty() || importance != header & 0x60 {
                        return None;
                    }
                }
                28 => {
                    let (&fu, data) = rest.split_first()?;
                    let (start, end) = (fu & 0x80 != 0, fu & 0x40 != 0);
                    if start == open || start && end || data.is_empty() {
                        return None;
                    }
                    if start {
                        units.push(vec![header & 0xe0 | fu & 0x1f]);
                    }
                    units.last_mut()?.extend_from_slice(data);
                    open = !end;
                }
                _ => return None,
            }
        }
        (!open).then_some(units)
    }

    /// Whether the server takes this packet for the start of a key frame (what its 2.6 worker looks at, in our words).
    fn server_sees_key_frame(payload: &[u8]) -> bool {
        match payload {
            [header, fu, ..] if header & 0x1f == 28 => fu & 0x9f == 0x87,
            [header, ..] if header & 0x1f == 24 => {
                depacketize(&[Arc::from(payload)]).unwrap().iter().any(|unit| unit[0] & 0x1f == 7)
            }
            [header, _, ..] => header & 0x1f == 7,
            _ => false,
        }
    }

    fn unit() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![Just(1u8), Just(5), Just(6), Just(7), Just(8), Just(9), Just(12), 1u8..32];
        (kind, 0u8..4, body()).prop_map(|(kind, nri, body)| [vec![nri << 5 | kind], body].concat())
    }

    fn packetizer() -> H264Packetizer {
        let mut packetizer = H264Packetizer::new();
        packetizer.packetize(&stream(&[SPS.to_vec(), PPS.to_vec()], &[1]), 1200, &mut Vec::new()).unwrap();
        packetizer
    }

    proptest! {
        #[test]
        fn every_unit_comes_back_and_an_idr_has_its_sets(
            frames in prop::collection::vec(prop::collection::vec(unit(), 1..8), 1..5),
            zeros in prop::collection::vec(0usize..4, 1..4),
            max in 100usize..1500,
        ) {
            let mut packetizer = packetizer();
            let mut sets = [vec![SPS.to_vec()], vec![PPS.to_vec()]];
            for frame in frames {
                let mut out = Vec::new();
                let result = packetizer.packetize(&stream(&frame, &zeros), max, &mut out);
                let kind = |unit: &Vec<u8>| unit[0] & 0x1f;
                let mut expected: Vec<_> = frame.iter().filter(|unit| !matches!(kind(unit), 0 | 9 | 12 | 24..)).cloned().collect();
                if expected.is_empty() {
                    prop_assert_eq!(result, Err(PacketizeError::Empty));
                    continue;
                }
                if sets.iter().flatten().map(Vec::len).sum::<usize>() > 8000 {
                    return Ok(()); // may be forgotten: a test of its own
                }
                prop_assert_eq!(result, Ok(()));
                let idr = expected.iter().any(|unit| kind(unit) == 5);
                prop_assert_eq!(idr, is_key_frame(&stream(&frame, &zeros)));
                for (index, number) in [(0, 7), (1, 8)] {
                    let own: Vec<_> = frame.iter().filter(|unit| kind(unit) == number).cloned().collect();
                    if !own.is_empty() {
                        sets[index] = own;
                    } else if idr {
                        let place = if index == 0 { 0 } else { expected.iter().rposition(|unit| kind(unit) == 7).unwrap() + 1 };
                        expected.splice(place..place, sets[index].clone());
                    }
                }
                prop_assert!(out.iter().all(|payload| payload.len() <= max));
                prop_assert_eq!(depacketize(&out), Some(expected));
                prop_assert!(!idr || out.iter().any(|payload| server_sees_key_frame(payload)));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_an_error_changes_nothing(
            bytes in prop::collection::vec(prop_oneof![0u8..2, any::<u8>()], 0..300),
            max: usize,
        ) {
            let mut out = Vec::new();
            let mut packetizer = packetizer();
            let before = packetizer.clone();
            is_key_frame(&bytes);
            if packetizer.packetize(&bytes, max, &mut out).is_err() {
                prop_assert_eq!((packetizer, out.len()), (before, 0));
            }
        }
    }

    #[test]
    fn sets_and_sei_share_a_packet_and_the_rest_have_their_own() {
        let aud = vec![0x09, 0xf0];
        let frame = stream(&[aud, SPS.into(), PPS.into(), SEI.into(), IDR.into(), P.into()], &[1]);
        let mut out = Vec::new();
        H264Packetizer::new().packetize(&frame, 1200, &mut out).unwrap();
        let aggregate = [&[0x78, 0, 4][..], &SPS, &[0, 3], &PPS, &[0, 3], &SEI].concat();
        assert_eq!(out, [Arc::from(aggregate), Arc::from(IDR), Arc::from(P)]);
    }

    #[test]
    fn sets_stay_in_order_however_closely_they_fit() {
        // 50 bytes each take 1 + 52 + 52 when they share a packet.
        let units = [vec![0x67; 50], vec![0x68; 50], vec![0x06; 50]];
        for limit in 100..110 {
            let mut out = Vec::new();
            H264Packetizer::new().packetize(&stream(&units, &[1]), limit, &mut out).unwrap();
            assert_eq!(out.len(), if limit < 105 { 3 } else { 2 }, "{limit}");
            assert_eq!(depacketize(&out), Some(units.to_vec()), "{limit}");
        }
    }

    #[test]
    fn a_large_unit_is_cut_into_full_fragments_and_the_rest() {
        let mut out = Vec::new();
        H264Packetizer::new().packetize(&stream(&[vec![0x41; 101]], &[1]), 100, &mut out).unwrap();
        assert_eq!(out.iter().map(|payload| payload.len()).collect::<Vec<_>>(), [100, 4]);
        assert_eq!((&out[0][..3], &out[1][..3]), (&[0x5c, 0x81, 0x41][..], &[0x5c, 0x41, 0x41][..]));
    }

    #[test]
    fn an_idr_without_sets_gets_the_last_ones_in_the_first_packet() {
        let mut out = Vec::new();
        packetizer().packetize(&stream(&[SEI.into(), IDR.into()], &[1]), 1200, &mut out).unwrap();
        assert_eq!(depacketize(&out), Some(vec![SPS.to_vec(), PPS.to_vec(), SEI.to_vec(), IDR.to_vec()]));
        assert!(server_sees_key_frame(&out[0]));
    }

    #[test]
    fn an_idr_whose_sets_were_never_seen_is_refused() {
        let mut packetizer = H264Packetizer::new();
        let refused = packetizer.packetize(&stream(&[IDR.into()], &[1]), 1200, &mut Vec::new());
        assert_eq!(refused, Err(PacketizeError::MissingParameterSets));
        // Sets too long to remember are sent, and forgotten with those they replaced.
        let huge = stream(&[[&SPS[..], &[1; 9000]].concat(), PPS.into()], &[1]);
        packetizer.packetize(&huge, 1200, &mut Vec::new()).unwrap();
        let refused = packetizer.packetize(&stream(&[IDR.into()], &[1]), 1200, &mut Vec::new());
        assert_eq!(refused, Err(PacketizeError::MissingParameterSets));
    }

    #[test]
    fn what_is_no_h264_unit_is_refused() {
        let result = H264Packetizer::new().packetize(&[0, 0, 1, 0x80 | 1, 1], 1200, &mut Vec::new());
        assert!(matches!(result, Err(PacketizeError::Malformed(_))), "{result:?}");
    }
}
