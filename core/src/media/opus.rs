//! Codecs whose frame is the payload: Opus (RFC 7587, 4.2), PCMU and PCMA (RFC 3551, 4.5.14).

use std::sync::Arc;

use super::payload::PacketizeError;

/// One frame, one packet. Neither payload format can fragment, and cutting an Opus packet in two would make two broken
/// ones, so a frame longer than `max_payload` is refused. PCM is cut by whoever paces it.
pub(crate) fn packetize(frame: &[u8], max_payload: usize, out: &mut Vec<Arc<[u8]>>) -> Result<(), PacketizeError> {
    if frame.is_empty() {
        return Err(PacketizeError::Empty);
    }
    if frame.len() > max_payload {
        return Err(PacketizeError::TooLong { len: frame.len(), max: max_payload });
    }
    out.push(Arc::from(frame));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_payload_or_none() {
        let mut out = Vec::new();
        assert_eq!(packetize(&[1, 2, 3], 3, &mut out), Ok(()));
        assert_eq!(packetize(&[], 3, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetize(&[0; 4], 3, &mut out), Err(PacketizeError::TooLong { len: 4, max: 3 }));
        assert_eq!(out, [Arc::from([1u8, 2, 3])]);
    }
}
