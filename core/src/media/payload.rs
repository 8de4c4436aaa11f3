//! What the packetizers share: their error, their checks, and the cutting of a frame into fragments.

use std::iter;
use std::sync::Arc;

/// Why a frame could not be packetized. Nothing of such a frame was sent and the packetizer is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// There is nothing to send: the frame is empty, or holds only NAL units that are never sent (delimiters, filler, types
    /// without a meaning in RTP).
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

/// Cuts `data` into fragments of `capacity` bytes and a last one of what is left: datagrams of one length, and a shorter
/// one that ends them, leave in one system call. The first fragment leaves `reserved` bytes of its capacity free, for a
/// header that only the first packet has.
pub(super) fn fragments(data: &[u8], capacity: usize, reserved: usize) -> impl Iterator<Item = &[u8]> {
    let (first, rest) = data.split_at(data.len().min(capacity.saturating_sub(reserved)));
    [first].into_iter().filter(|first| !first.is_empty()).chain(rest.chunks(capacity.max(1)))
}

/// Joins `parts` into one payload: one allocation, into which each byte is copied once.
pub(super) fn join<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Arc<[u8]> {
    let len = parts.clone().map(<[u8]>::len).sum();
    let mut payload: Arc<[u8]> = iter::repeat_n(0, len).collect();
    let mut rest = Arc::get_mut(&mut payload).expect("nobody else has it yet");
    for part in parts {
        let (place, after) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = after;
    }
    payload
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fragments_are_full_but_for_the_last_and_lose_nothing(
            data in prop::collection::vec(any::<u8>(), 1..8000),
            capacity in 50usize..1500,
            reserved in 0usize..9,
        ) {
            let cut: Vec<&[u8]> = fragments(&data, capacity, reserved).collect();
            prop_assert_eq!(cut.concat(), &data[..]);
            let mut sizes: Vec<usize> = cut.iter().map(|fragment| fragment.len()).collect();
            sizes[0] += reserved;
            let (last, full) = sizes.split_last().unwrap();
            prop_assert!(full.iter().all(|size| *size == capacity) && (1..=capacity).contains(last));
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
