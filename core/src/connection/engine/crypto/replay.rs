//! RTCP that was recorded and is sent again.
//!
//! RFC 3711 section 3.3.2 demands replay protection for SRTCP; str0m 0.25 has it for SRTP alone. A REMB or a NACK from a
//! minute ago would be heeded as if it were new. So the index that each packet carries is looked at here first.

use std::collections::VecDeque;

use str0m::crypto::dtls::SrtpProfile;

use super::srtp::authentic;

/// Senders whose packets are told apart, the one heard last at the end. mediasoup uses one; past the limit the one not
/// heard for longest is forgotten, which only an authentic packet can bring about.
const MAX_SENDERS: usize = 64;

/// How many packets before the latest may still come: RFC 3711 section 3.3.2 wants 64 at least.
const WINDOW: u32 = 128;

/// Takes each SRTCP packet of a transport once.
#[derive(Debug, Default)]
pub(crate) struct RtcpGuard {
    senders: VecDeque<(u32, Window)>,
}

/// What became of an SRTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RtcpVerdict {
    Authentic,
    /// Not made with the transport's keys, not encrypted, or there are no keys yet.
    Forged,
    /// Taken before, or too old to tell.
    Replayed,
}

impl RtcpGuard {
    /// Judges a packet; `hand_in` gives it to str0m. Its index is taken as used if it proves authentic there.
    pub(crate) fn judge(&mut self, profile: Option<SrtpProfile>, packet: &[u8], hand_in: impl FnOnce()) -> RtcpVerdict {
        let Some((ssrc, index)) = profile.and_then(|profile| sender_and_index(profile, packet)) else {
            return RtcpVerdict::Forged;
        };
        let place = self.senders.iter().position(|(of, _)| *of == ssrc);
        if place.is_some_and(|place| !self.senders[place].1.is_new(index)) {
            return RtcpVerdict::Replayed;
        }
        let before = authentic();
        hand_in();
        if authentic() == before {
            return RtcpVerdict::Forged;
        }
        let known = place.and_then(|place| self.senders.remove(place));
        let (_, mut window) = known.unwrap_or_default();
        window.take(index);
        if self.senders.len() == MAX_SENDERS {
            self.senders.pop_front();
        }
        self.senders.push_back((ssrc, window));
        RtcpVerdict::Authentic
    }
}

/// The sender, and the index after what is encrypted (RFC 3711 section 3.4, RFC 7714 section 9.2). None for what is too
/// short, and for what is not encrypted: DTLS-SRTP leaves no choice (RFC 5764 section 4.1.2).
fn sender_and_index(profile: SrtpProfile, packet: &[u8]) -> Option<(u32, u32)> {
    const ENCRYPTED: u32 = 1 << 31;
    // AES-CM has its tag of 80 bits behind the index, GCM has it before.
    let behind = if profile == SrtpProfile::AES128_CM_SHA1_80 { 10 } else { 0 };
    let (_, index) = packet.get(8..packet.len().checked_sub(behind)?)?.split_last_chunk()?;
    let (ssrc, _) = packet.get(4..)?.split_first_chunk()?;
    let index = u32::from_be_bytes(*index);
    (index & ENCRYPTED != 0).then(|| (u32::from_be_bytes(*ssrc), index & !ENCRYPTED))
}

/// The indices taken lately.
#[derive(Debug, Default)]
struct Window {
    latest: u32,
    /// Bit n: the one n before the latest was taken.
    taken: u128,
}

impl Window {
    const fn is_new(&self, index: u32) -> bool {
        match self.latest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && self.taken >> behind & 1 == 0,
        }
    }

    fn take(&mut self, index: u32) {
        if let Some(ahead) = index.checked_sub(self.latest) {
            self.taken = self.taken.checked_shl(ahead).unwrap_or(0);
            self.latest = index;
        }
        self.taken |= 1 << (self.latest - index);
    }
}

#[cfg(test)]
mod tests {
    use super::super::srtp::count_authentic;
    use super::*;

    fn packet(ssrc: u32, index: u32) -> Vec<u8> {
        let tag = [0; 10];
        [&[0x80, 200, 0, 1][..], &ssrc.to_be_bytes(), &[9; 20], &(index | 1 << 31).to_be_bytes(), &tag].concat()
    }

    fn judge(guard: &mut RtcpGuard, ssrc: u32, index: u32, authentic: bool) -> RtcpVerdict {
        let hand_in = || (0..u8::from(authentic)).for_each(|_| count_authentic());
        guard.judge(Some(SrtpProfile::AES128_CM_SHA1_80), &packet(ssrc, index), hand_in)
    }

    #[test]
    fn each_index_is_taken_once_in_any_order() {
        let mut guard = RtcpGuard::default();
        let indices = [0, 5, 3, 4, 127, 1, 2, 200, 128, 126];
        for index in indices {
            assert_eq!(judge(&mut guard, 1, index, true), RtcpVerdict::Authentic, "{index}");
        }
        for index in indices {
            assert_eq!(judge(&mut guard, 1, index, true), RtcpVerdict::Replayed, "{index}");
        }
        assert_eq!(judge(&mut guard, 1, 72, true), RtcpVerdict::Replayed, "too old to tell");
        assert_eq!(judge(&mut guard, 1, 73, true), RtcpVerdict::Authentic, "the oldest of the window");
        assert_eq!(judge(&mut guard, 2, 5, true), RtcpVerdict::Authentic, "another sender");
    }

    #[test]
    fn a_forged_index_is_not_used_up() {
        let mut guard = RtcpGuard::default();
        assert_eq!(judge(&mut guard, 1, 1, true), RtcpVerdict::Authentic);
        assert_eq!(judge(&mut guard, 1, 0x7fff_ffff, false), RtcpVerdict::Forged);
        assert_eq!(judge(&mut guard, 1, 2, true), RtcpVerdict::Authentic);
    }

    #[test]
    fn what_is_cut_short_or_not_encrypted_is_forged() {
        let mut guard = RtcpGuard::default();
        let whole = packet(1, 1);
        for length in 0..22 {
            let verdict = guard.judge(Some(SrtpProfile::AES128_CM_SHA1_80), &whole[..length], count_authentic);
            assert_eq!(verdict, RtcpVerdict::Forged, "{length} bytes");
        }
        let mut plain = whole.clone();
        plain[28] &= 0x7f;
        assert_eq!(guard.judge(Some(SrtpProfile::AES128_CM_SHA1_80), &plain, count_authentic), RtcpVerdict::Forged);
        assert_eq!(guard.judge(None, &whole, count_authentic), RtcpVerdict::Forged, "no keys");
    }

    #[test]
    fn senders_are_bounded() {
        let mut guard = RtcpGuard::default();
        for ssrc in 0..10_000 {
            judge(&mut guard, ssrc, 1, true);
        }
        assert_eq!(guard.senders.len(), MAX_SENDERS);
        assert_eq!(judge(&mut guard, 9_999, 1, true), RtcpVerdict::Replayed);
    }
}
