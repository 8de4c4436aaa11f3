//! Key frames: how they begin, and how they are asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtp::Codec;

/// As the real router: one that does not come within this time is asked for once more.
const COMES_WITHIN: Duration = Duration::from_secs(1);

/// Requests that wait for their key frame.
#[derive(Debug, Default)]
pub(super) struct KeyFrameRequests {
    /// Of each stream: until when it may come, and whether it is asked for again then.
    waiting: BTreeMap<u32, (Instant, bool)>,
}

impl KeyFrameRequests {
    /// One of a stream is wanted. True: it is to be asked for now; false: it has been, and will be again if it does not come.
    pub(super) fn wanted(&mut self, now: Instant, ssrc: u32) -> bool {
        if let Some((_, again)) = self.waiting.get_mut(&ssrc) {
            *again = true;
            return false;
        }
        self.waiting.insert(ssrc, (now + COMES_WITHIN, true));
        true
    }

    pub(super) fn came(&mut self, ssrc: u32) {
        self.waiting.remove(&ssrc);
    }

    pub(super) fn forget(&mut self, mut of: impl FnMut(u32) -> bool) {
        self.waiting.retain(|ssrc, _| !of(*ssrc));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|(due, _)| *due).min()
    }

    /// Those that are to be asked for again.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<u32> {
        let mut again = Vec::new();
        self.waiting.retain(|ssrc, (due, ask_again)| {
            if *due > now {
                return true;
            }
            if *ask_again {
                again.push(*ssrc);
                (*due, *ask_again) = (now + COMES_WITHIN, false);
                return true;
            }
            false
        });
        again
    }
}

/// Whether a packet is the first of a key frame, for the real router: VP8 by its descriptor and frame tag, VP9 by its
/// descriptor, H.264 by a sequence parameter set.
pub(super) fn begins_key_frame(codec: Option<Codec>, payload: &[u8]) -> bool {
    match codec {
        Some(Codec::Vp8) => vp8(payload),
        Some(Codec::Vp9) => vp9(payload),
        Some(Codec::H264) => h264(payload),
        Some(Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::H265) | None => false,
    }
}

/// RFC 7741 section 4.2: S and partition 0, and the lowest bit of the frame tag after the descriptor (RFC 6386 section 9.1).
fn vp8(payload: &[u8]) -> bool {
    let Some(first) = payload.first() else { return false };
    if first & 0x17 != 0x10 {
        return false;
    }
    let mut length = 1;
    if first & 0x80 != 0 {
        let Some(extended) = payload.get(1) else { return false };
        length = 2;
        if extended & 0x80 != 0 {
            let Some(picture_id) = payload.get(2) else { return false };
            length += if picture_id & 0x80 == 0 { 1 } else { 2 };
        }
        length += usize::from(extended & 0x40 != 0) + usize::from(extended & 0x30 != 0);
    }
    payload.get(length).is_some_and(|tag| tag & 1 == 0)
}

/// RFC 9628 section 4.2: not predicted from another picture, the beginning of a frame, of the lowest spatial layer.
fn vp9(payload: &[u8]) -> bool {
    const I: u8 = 0x80;
    const P: u8 = 0x40;
    const L: u8 = 0x20;
    const B: u8 = 0x08;
    let Some(first) = payload.first() else { return false };
    if first & P != 0 || first & B == 0 {
        return false;
    }
    if first & L == 0 {
        return true;
    }
    let picture_id = match payload.get(1) {
        Some(id) if first & I != 0 => 1 + usize::from(id & 0x80 != 0),
        _ => 0,
    };
    payload.get(1 + picture_id).is_some_and(|layers| layers & 0x0e == 0)
}

/// RFC 6184 section 5: the packet is a sequence parameter set, a STAP-A with one in it, or the start of one in fragments.
fn h264(payload: &[u8]) -> bool {
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let Some((header, rest)) = payload.split_first() else { return false };
    match header & 0x1f {
        SPS => true,
        STAP_A => {
            let mut rest = rest;
            while let [high, low, unit @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if unit.first().is_some_and(|unit| unit & 0x1f == SPS) {
                    return true;
                }
                rest = unit.get(length..).unwrap_or_default();
            }
            false
        }
        FU_A => rest.first().is_some_and(|fragment| fragment & 0x80 != 0 && fragment & 0x1f == SPS),
        _ => false,
    }
}
