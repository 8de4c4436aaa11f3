//! H265 in RTP (RFC 7798), without decoding order numbers: single NAL units, aggregation packets, fragmentation units.

use super::nal::{self, NalCodec, NalPacketizer, Role};
use super::payload::PacketizeError;

/// Cuts H265 access units into RTP payloads; one for each stream. Input is the byte stream format (Annex B).
pub(crate) type H265Packetizer = NalPacketizer<H265>;

/// Whether `frame` holds a slice of an IRAP picture (NAL unit types 16 to 23: BLA, IDR, CRA).
pub(crate) fn is_key_frame(frame: &[u8]) -> bool {
    nal::has_random_access::<H265>(frame)
}

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct H265;

impl NalCodec for H265 {
    /// |F|   Type    |  LayerId  | TID |, of 1, 6, 6 and 3 bits.
    type Header = [u8; 2];
    const HEADER_LEN: usize = 2;
    /// Video, sequence and picture parameter sets.
    const PARAMETER_SETS: usize = 3;

    fn role(unit: &[u8]) -> Result<Role, PacketizeError> {
        let &[high, low, ..] = unit else {
            return Err(PacketizeError::Malformed("NAL unit shorter than its header"));
        };
        if high & 0x80 != 0 {
            return Err(PacketizeError::Malformed("forbidden bit set in a NAL unit"));
        }
        // RFC 7798, 1.1.4: TID is the temporal layer plus one.
        if low & 0x07 == 0 {
            return Err(PacketizeError::Malformed("NAL unit without a temporal layer"));
        }
        match high >> 1 {
            // H.265 leaves them to others, and in RTP they mean something else (48 to 50) or nothing (RFC 7798, 4.4).
            48.. => Ok(Role::Unspecified),
            16..=23 => Ok(Role::RandomAccess),
            32 => Ok(Role::ParameterSet(0)),
            33 => Ok(Role::ParameterSet(1)),
            34 => Ok(Role::ParameterSet(2)),
            // Access unit delimiters say what the marker bit says, filler data says nothing.
            35 | 38 => Ok(Role::Superfluous),
            39 | 40 => Ok(Role::Supplement),
            0..=15 | 24..=31 | 36 | 37 | 41..=47 => Ok(Role::Other),
        }
    }

    /// LayerId and TID are the lowest of the units' (RFC 7798, 4.4.2).
    fn aggregation_header(units: &[&[u8]]) -> [u8; 2] {
        let headers = || units.iter().filter_map(|unit| unit.first_chunk()).map(|header| u16::from_be_bytes(*header));
        let layer = headers().map(|header| header & 0x01f8).min().unwrap_or(0);
        let temporal = headers().map(|header| header & 0x0007).min().unwrap_or(1);
        (u16::from(AGGREGATION) << 9 | layer | temporal).to_be_bytes()
    }

    fn fragment_header(unit: &[u8]) -> ([u8; 2], u8) {
        let [high, low] = unit.first_chunk().copied().unwrap_or([0, 1]);
        ([high & 0x81 | FRAGMENTATION << 1, low], high >> 1 & 0x3f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::nal::testing::{body, stream};
    use super::*;

    const VPS: [u8; 3] = [0x40, 0x01, 0x0c];
    const SPS: [u8; 3] = [0x42, 0x01, 0x01];
    const PPS: [u8; 3] = [0x44, 0x01, 0xc1];
    const IDR: [u8; 3] = [0x26, 0x01, 0xaf];

    fn kind(unit: &[u8]) -> u8 {
        unit[0] >> 1 & 0x3f
    }

    /// The NAL units in `payloads`, or `None` where a packet breaks RFC 7798.
    fn depacketize(payloads: &[Arc<[u8]>]) -> Option<Vec<Vec<u8>>> {
        let mut units: Vec<Vec<u8>> = Vec::new();
        let mut open = false;
        for payload in payloads {
            let (&[high, low], mut rest) = payload.split_first_chunk()?;
            if high & 0x80 != 0 || open && kind(payload) != 49 {
                return None;
            }
            match kind(payload) {
                0..=47 => units.push(payload.to_vec()),
                48 => {
                    let (mut layer, mut temporal, mut count) = (63, 7, 0);
                    while let Some((size, tail)) = rest.split_first_chunk() {
                        let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
                        layer = layer.min((unit.first()? & 1) << 5 | unit.get(1)? >> 3);
                        temporal = temporal.min(unit[1] & 7);
                        units.push(unit.to_vec());
                        rest = tail;
                        count += 1;
                    }
                    if !rest.is_empty() || count < 2 || (layer, temporal) != ((high & 1) << 5 | low >> 3, low & 7) {
                        return None;
                    }
                }
                49 => {
                    let (&fu, data) = rest.split_first()?;
                    let (start, end) = (fu & 0x80 != 0, fu & 0x40 != 0);
                    if start == open || start && end || data.is_empty() {
                        return None;
                    }
                    if start {
                        units.push(vec![high & 0x81 | (fu & 0x3f) << 1, low]);
                    }
                    units.last_mut()?.extend_from_slice(data);
                    open = !end;
                }
                _ => return None,
            }
        }
        (!open).then_some(units)
    }

    fn unit() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![Just(1u8), Just(19), Just(21), 32u8..41, 0u8..64];
        (kind, 0u8..64, 1u8..8, body()).prop_map(|(kind, layer, temporal, body)| {
            [vec![kind << 1 | layer >> 5, layer << 3 | temporal], body].concat()
        })
    }

    fn packetizer() -> H265Packetizer {
        let mut packetizer = H265Packetizer::new();
        let sets = stream(&[VPS.to_vec(), SPS.to_vec(), PPS.to_vec()], &[1]);
        packetizer.packetize(&sets, 1200, &mut Vec::new()).unwrap();
        packetizer
    }

    proptest! {
        #[test]
        fn every_unit_comes_back_and_a_random_access_picture_has_its_sets(
            frame in prop::collection::vec(unit(), 1..8),
            zeros in prop::collection::vec(0usize..4, 1..4),
            max in 100usize..1500,
        ) {
            let mut out = Vec::new();
            let result = packetizer().packetize(&stream(&frame, &zeros), max, &mut out);
            let mut expected: Vec<_> = frame.iter().filter(|unit| !matches!(kind(unit), 35 | 38 | 48..)).cloned().collect();
            if expected.is_empty() {
                prop_assert_eq!(result, Err(PacketizeError::Empty));
                return Ok(());
            }
            prop_assert_eq!(result, Ok(()));
            let random_access = expected.iter().any(|unit| matches!(kind(unit), 16..=23));
            prop_assert_eq!(random_access, is_key_frame(&stream(&frame, &zeros)));
            for (number, set) in [(32, VPS), (33, SPS), (34, PPS)] {
                if random_access && !frame.iter().any(|unit| kind(unit) == number) {
                    let place = expected.iter().rposition(|unit| (32..number).contains(&kind(unit)));
                    expected.insert(place.map_or(0, |last| last + 1), set.to_vec());
                }
            }
            prop_assert!(out.iter().all(|payload| payload.len() <= max));
            prop_assert_eq!(depacketize(&out), Some(expected));
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
    fn parameter_sets_share_a_packet() {
        let frame = stream(&[vec![0x46, 0x01, 0x50], VPS.into(), SPS.into(), PPS.into(), IDR.into()], &[1]);
        let mut out = Vec::new();
        H265Packetizer::new().packetize(&frame, 1200, &mut out).unwrap();
        let aggregate = [&[0x60, 0x01, 0, 3][..], &VPS, &[0, 3], &SPS, &[0, 3], &PPS].concat();
        assert_eq!(out, [Arc::from(aggregate), Arc::from(IDR)]);
    }

    #[test]
    fn an_aggregation_packet_has_the_lowest_layer_and_temporal_id() {
        // Layers 40 and 33, temporal ids 2 and 3.
        let units = [vec![0x43, 0x42, 9], vec![0x45, 0x0b, 9]];
        let mut out = Vec::new();
        H265Packetizer::new().packetize(&stream(&units, &[1]), 1200, &mut out).unwrap();
        assert_eq!(out[0][..2], [0x61, 0x0a]);
        assert_eq!(depacketize(&out), Some(units.to_vec()));
    }

    #[test]
    fn a_large_unit_is_cut_into_full_fragments_and_the_rest() {
        let mut out = Vec::new();
        let unit = [&[0x02, 0x01][..], &[7; 100]].concat();
        H265Packetizer::new().packetize(&stream(&[unit], &[1]), 100, &mut out).unwrap();
        assert_eq!(out.iter().map(|payload| payload.len()).collect::<Vec<_>>(), [100, 6]);
        assert_eq!((&out[0][..4], &out[1][..4]), (&[0x62, 0x01, 0x81, 7][..], &[0x62, 0x01, 0x41, 7][..]));
    }

    #[test]
    fn a_picture_whose_sets_were_never_seen_is_refused() {
        let refused = H265Packetizer::new().packetize(&stream(&[IDR.into()], &[1]), 1200, &mut Vec::new());
        assert_eq!(refused, Err(PacketizeError::MissingParameterSets));
    }

    #[test]
    fn what_is_no_h265_unit_is_refused() {
        for unit in [&[0x82, 0x01][..], &[0x02, 0x08, 1], &[0x02]] {
            let result = H265Packetizer::new().packetize(&[&[0, 0, 1], unit].concat(), 1200, &mut Vec::new());
            assert!(matches!(result, Err(PacketizeError::Malformed(_))), "{unit:?}: {result:?}");
        }
    }
}
