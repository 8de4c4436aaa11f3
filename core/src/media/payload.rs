//! What the packetizers share: their error, their checks, and the cutting of a frame into fragments.

use std::sync::Arc;

/// Why a frame could not be packetized. Nothing of such a frame was sent and the packetizer is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// There is nothing to send: the frame is empty, or holds only NAL units that are never sent (delimiters, filler).
    #[error("nothing to send in this frame")]
    Empty,
    /// The frame is not of the codec's format; the text says what is wrong.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
    /// A frame that must travel in one packet, as those of audio codecs, is longer than a packet.
    #[error("a frame of {len} bytes does not fit into one packet of {max}")]
    TooLong {
        /// Length of the frame.
        len: usize,
        /// What a payload may hold.
        max: usize,
    },
    /// The limit for a payload is so small that packets would be mostly headers.
    #[error("a limit of {0} bytes for a payload is too small")]
    LimitTooSmall(usize),
    /// A random access picture came without its parameter sets, and none were seen before. No receiver could decode it, and
    /// a mediasoup v2 server takes an H264 picture for a key frame only if a sequence parameter set comes with it.
    #[error("a key frame came without its parameter sets, and none were seen before")]
    MissingParameterSets,
}

/// The smallest limit a packetizer accepts: above every payload header with room for data beside it.
const MIN_LIMIT: usize = 64;

/// Checks what all packetizers that fragment ask of their input, and gives the limit to work with.
pub(super) fn checked_limit(frame: &[u8], max_payload: usize) -> Result<usize, PacketizeError> {
    if frame.is_empty() {
        return Err(PacketizeError::Empty);
    }
    if max_payload < MIN_LIMIT {
        return Err(PacketizeError::LimitTooSmall(max_payload));
    }
    // No datagram holds more, and the sizes in aggregation packets have 16 bits.
    Ok(max_payload.min(usize::from(u16::MAX)))
}

/// Cuts `data` into as few fragments of at most `capacity` bytes as possible and of nearly equal size, so that no packet is
/// a small remainder that costs as many headers as a full one. The first fragment leaves `reserved` bytes of its capacity
/// free, for a header that only the first packet has.
pub(super) fn fragments(data: &[u8], capacity: usize, reserved: usize) -> impl Iterator<Item = &[u8]> {
    let total = data.len() + reserved;
    let count = total.div_ceil(capacity.max(1)).max(1);
    let (size, larger) = (total / count, total % count);
    let mut rest = data;
    let mut index = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = if index == 0 { reserved } else { 0 };
        let len = (size + usize::from(index < larger)).saturating_sub(taken).min(rest.len());
        let (fragment, tail) = rest.split_at(len);
        rest = tail;
        index += 1;
        Some(fragment)
    })
}

/// Joins `parts` into one payload. They meet in `scratch`, reused from packet to packet, so that a payload costs one allocation.
pub(super) fn join(scratch: &mut Vec<u8>, parts: &[&[u8]]) -> Arc<[u8]> {
    scratch.clear();
    for part in parts {
        scratch.extend_from_slice(part);
    }
    Arc::from(scratch.as_slice())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fragments_are_few_nearly_equal_and_lose_nothing(
            data in prop::collection::vec(any::<u8>(), 1..8000),
            capacity in 50usize..1500,
            reserved in 0usize..9,
        ) {
            let cut: Vec<&[u8]> = fragments(&data, capacity, reserved).collect();
            prop_assert_eq!(cut.concat(), &data[..]);
            prop_assert_eq!(cut.len(), (data.len() + reserved).div_ceil(capacity));
            let mut sizes: Vec<usize> = cut.iter().map(|fragment| fragment.len()).collect();
            sizes[0] += reserved;
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| *most <= capacity && most - least <= 1));
        }
    }

    #[test]
    fn a_limit_of_headers_only_is_refused() {
        assert_eq!(checked_limit(&[0], 63), Err(PacketizeError::LimitTooSmall(63)));
        assert_eq!(checked_limit(&[0], 64), Ok(64));
        assert_eq!(checked_limit(&[0], usize::MAX), Ok(65_535));
        assert_eq!(checked_limit(&[], 1200), Err(PacketizeError::Empty));
    }
}
