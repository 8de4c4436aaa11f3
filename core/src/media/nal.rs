//! What H264 and H265 have in common in RTP: Annex B input, aggregation, fragmentation, remembered parameter sets.
//!
//! RFC 6184 and RFC 7798 differ in the size and bits of their headers only; [`NalCodec`] is that difference.

use std::iter;
use std::marker::PhantomData;
use std::sync::Arc;

use super::payload::{PacketizeError, checked_limit, fragments, join};

/// What a packetizer does with a NAL unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Aggregated and remembered. The number is its kind, in the order in which a decoder needs them.
    ParameterSet(usize),
    /// Aggregated with the parameter sets.
    Supplement,
    /// A slice of a picture at which a decoder can start. Needs parameter sets of every kind before it.
    RandomAccess,
    /// Sent as it is.
    Other,
    /// Never sent, and nothing is lost with it: the payload format says it in another way, or nobody needs it.
    Superfluous,
    /// Cannot be sent: its type means nothing in RTP, or something else.
    Unspecified,
}

pub(crate) trait NalCodec {
    /// A NAL unit header, which is also what an aggregation packet begins with. A fragment has one octet more.
    type Header: AsRef<[u8]>;
    const HEADER_LEN: usize;
    /// How many kinds of parameter sets there are.
    const PARAMETER_SETS: usize;

    /// What to do with `unit`, which is not empty.
    fn role(unit: &[u8]) -> Result<Role, PacketizeError>;

    /// Header of an aggregation packet of `units`.
    fn aggregation_header(units: &[&[u8]]) -> Self::Header;

    /// Header of the fragments of `unit`, and its type, to stand in their FU headers.
    fn fragment_header(unit: &[u8]) -> (Self::Header, u8);
}

/// How much of one kind of parameter sets is remembered. Real ones have tens of bytes, a few hundred with scaling lists.
const MAX_REMEMBERED: usize = 8192;

/// The packetizer of both. Input is the byte stream format (Annex B); the length-prefixed form of MP4 files is not
/// understood and is refused. A random access picture that lacks its parameter sets gets the last ones seen. What cannot be
/// sent is left out and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NalPacketizer<C> {
    /// For each kind, the parameter sets of the last frame that held any of that kind.
    remembered: Vec<Vec<Vec<u8>>>,
    dropped: u64,
    codec: PhantomData<C>,
}

impl<C: NalCodec> NalPacketizer<C> {
    pub(crate) fn new() -> Self {
        Self { remembered: vec![Vec::new(); C::PARAMETER_SETS], dropped: 0, codec: PhantomData }
    }

    /// How many NAL units could not be sent, of the frames that were.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Appends the payloads of one access unit to `out`; the marker bit belongs on the last one. An error changes nothing.
    pub(crate) fn packetize(
        &mut self,
        frame: &[u8],
        max_payload: usize,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<(), PacketizeError> {
        let limit = checked_limit(frame, max_payload)?;
        let (mut units, mut dropped) = (Vec::new(), 0);
        for unit in annex_b(frame)? {
            let unit = unit?;
            match C::role(unit)? {
                Role::Superfluous => {}
                Role::Unspecified => dropped += 1,
                role @ (Role::ParameterSet(_) | Role::Supplement | Role::RandomAccess | Role::Other) => {
                    units.push((role, unit));
                }
            }
        }
        if units.is_empty() {
            return Err(PacketizeError::Empty);
        }
        self.write(&self.completed(&units)?, limit, out);
        self.remember(&units);
        self.dropped += dropped;
        Ok(())
    }

    /// `units` with the parameter sets put in that a random access picture lacks: behind those of the kinds before, else in front.
    fn completed<'a>(&'a self, units: &[(Role, &'a [u8])]) -> Result<Vec<(Role, &'a [u8])>, PacketizeError> {
        let mut units = units.to_vec();
        if !units.iter().any(|(role, _)| *role == Role::RandomAccess) {
            return Ok(units);
        }
        for (kind, remembered) in self.remembered.iter().enumerate() {
            let role = Role::ParameterSet(kind);
            if units.iter().any(|(present, _)| *present == role) {
                continue;
            }
            if remembered.is_empty() {
                return Err(PacketizeError::MissingParameterSets);
            }
            let before = |present: &Role| matches!(present, Role::ParameterSet(other) if *other < kind);
            let place = units.iter().rposition(|(present, _)| before(present)).map_or(0, |last| last + 1);
            units.splice(place..place, remembered.iter().map(|set| (role, set.as_slice())));
        }
        Ok(units)
    }

    fn write(&self, units: &[(Role, &[u8])], limit: usize, out: &mut Vec<Arc<[u8]>>) {
        let mut gathered: Vec<&[u8]> = Vec::new();
        let mut gathered_len = C::HEADER_LEN;
        for &(role, unit) in units {
            let small = matches!(role, Role::ParameterSet(_) | Role::Supplement);
            if !small || gathered_len + 2 + unit.len() > limit {
                write_gathered::<C>(&mut gathered, out);
                gathered_len = C::HEADER_LEN;
            }
            if small && gathered_len + 2 + unit.len() <= limit {
                gathered.push(unit);
                gathered_len += 2 + unit.len();
            } else if unit.len() <= limit {
                out.push(Arc::from(unit));
            } else {
                write_fragments::<C>(unit, limit, out);
            }
        }
        write_gathered::<C>(&mut gathered, out);
    }

    fn remember(&mut self, units: &[(Role, &[u8])]) {
        for (kind, remembered) in self.remembered.iter_mut().enumerate() {
            let of_kind = || units.iter().filter(|(role, _)| *role == Role::ParameterSet(kind)).map(|(_, set)| *set);
            if of_kind().next().is_none() || of_kind().eq(remembered.iter().map(Vec::as_slice)) {
                continue;
            }
            remembered.clear();
            // The old ones no longer hold, and what is too long is not worth the memory: then none are known.
            if of_kind().map(<[u8]>::len).sum::<usize>() <= MAX_REMEMBERED {
                remembered.extend(of_kind().map(<[u8]>::to_vec));
            }
        }
    }
}

/// Whether `frame` holds a slice of a picture at which a decoder can start.
pub(super) fn has_random_access<C: NalCodec>(frame: &[u8]) -> bool {
    annex_b(frame).is_ok_and(|mut units| units.any(|unit| unit.and_then(C::role) == Ok(Role::RandomAccess)))
}

/// One unit travels alone as it is; several make an aggregation packet: its header, then each with its 16-bit size
/// (RFC 6184, 5.7.1; RFC 7798, 4.4.2).
fn write_gathered<C: NalCodec>(gathered: &mut Vec<&[u8]>, out: &mut Vec<Arc<[u8]>>) {
    match gathered.as_slice() {
        [] => {}
        [unit] => out.push(Arc::from(*unit)),
        units => {
            let header = C::aggregation_header(units);
            // The limit, which an aggregation packet keeps, is at most 65535.
            let size = |unit: &&[u8]| u16::try_from(unit.len()).unwrap_or(u16::MAX).to_be_bytes();
            let sizes: Vec<_> = units.iter().map(size).collect();
            let sized = sizes.iter().zip(units).flat_map(|(size, unit)| [&size[..], unit]);
            out.push(join(iter::once(header.as_ref()).chain(sized)));
        }
    }
    gathered.clear();
}

/// Fragmentation units (RFC 6184, 5.8; RFC 7798, 4.4.3): the unit's own header is left out, its type goes into the FU header
/// beside the start and end bits. A unit longer than the limit makes at least two, as is required.
fn write_fragments<C: NalCodec>(unit: &[u8], limit: usize, out: &mut Vec<Arc<[u8]>>) {
    let (header, unit_type) = C::fragment_header(unit);
    let data = unit.get(C::HEADER_LEN..).unwrap_or_default();
    let mut parts = fragments(data, limit - C::HEADER_LEN - 1, 0).peekable();
    let mut position = 0x80;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            position |= 0x40;
        }
        out.push(join([header.as_ref(), &[position | unit_type], part].into_iter()));
        position = 0;
    }
}

/// The NAL units of a byte stream (Annex B of both codecs): between start codes, without the zeros before and after. A unit
/// never ends in a zero byte itself.
fn annex_b(frame: &[u8]) -> Result<impl Iterator<Item = Result<&[u8], PacketizeError>>, PacketizeError> {
    const NO_START_CODE: PacketizeError =
        PacketizeError::Malformed("no Annex B start code in front of the first NAL unit");

    let (before, rest) = split_at_start_code(frame);
    let mut rest = Some(rest.filter(|_| before.iter().all(|byte| *byte == 0)).ok_or(NO_START_CODE)?);
    Ok(std::iter::from_fn(move || {
        let (unit, next) = split_at_start_code(rest?);
        rest = next;
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(match unit.get(..len) {
            None | Some([]) => Err(PacketizeError::Malformed("empty NAL unit")),
            Some(unit) => Ok(unit),
        })
    }))
}

/// What stands before the first `00 00 01`, and behind it.
fn split_at_start_code(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while let Some(&[first, second, third]) = data.get(at..).and_then(<[u8]>::first_chunk) {
        // A third byte above 1 can be part of no start code, so that most steps are of three bytes.
        at += match (first, second, third) {
            (0, 0, 1) => return (&data[..at], Some(&data[at + 3..])),
            (_, _, 2..) => 3,
            (_, _, 0..=1) => 1,
        };
    }
    (data, None)
}

#[cfg(test)]
pub(super) mod testing {
    use proptest::prelude::*;

    /// A NAL unit's bytes behind its header, as an encoder would emit them: no start code within, no zero at the end.
    pub(crate) fn body() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => any::<u8>(), 1 => 0u8..4];
        let len = prop_oneof![4 => 1usize..60, 1 => 60usize..5000];
        len.prop_flat_map(move |len| prop::collection::vec(byte.clone(), len)).prop_map(|mut bytes| {
            for at in 2..bytes.len() {
                if bytes[at - 2] == 0 && bytes[at - 1] == 0 && bytes[at] <= 3 {
                    bytes[at] = 4;
                }
            }
            if let Some(last @ 0) = bytes.last_mut() {
                *last = 0x80;
            }
            bytes
        })
    }

    /// Writes `units` as a byte stream, in all the ways allowed: long and short start codes, zeros behind a unit.
    pub(crate) fn stream(units: &[Vec<u8>], zeros: &[usize]) -> Vec<u8> {
        let mut stream = Vec::new();
        for (unit, zeros) in units.iter().zip(zeros.iter().cycle()) {
            stream.resize(stream.len() + zeros, 0);
            stream.extend_from_slice(&[0, 0, 1]);
            stream.extend_from_slice(unit);
        }
        stream.resize(stream.len() + zeros.last().copied().unwrap_or(0), 0);
        stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(stream: &[u8]) -> Result<Vec<&[u8]>, PacketizeError> {
        annex_b(stream)?.collect()
    }

    #[test]
    fn start_codes_of_both_lengths_and_zeros_are_understood() {
        let stream = [0, 0, 0, 0, 1, 9, 8, 0, 0, 1, 7, 0, 0, 3, 0, 0, 0, 0, 1, 6, 0, 0, 0];
        assert_eq!(split(&stream), Ok(vec![&[9, 8][..], &[7, 0, 0, 3], &[6]]));
    }

    #[test]
    fn what_is_no_byte_stream_is_refused() {
        let no_start = Err(PacketizeError::Malformed("no Annex B start code in front of the first NAL unit"));
        let empty = Err(PacketizeError::Malformed("empty NAL unit"));
        assert_eq!(split(&[0x65, 1, 2]), no_start);
        assert_eq!(split(&[0, 0, 0, 9, 0x65, 0, 0, 1, 2]), no_start, "length-prefixed");
        assert_eq!(split(&[0, 0, 0]), no_start);
        assert_eq!(split(&[0, 0, 1]), empty);
        assert_eq!(split(&[0, 0, 1, 0, 0, 1, 5]), empty);
    }
}
