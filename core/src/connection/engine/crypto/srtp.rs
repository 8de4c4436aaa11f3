//! SRTP and HMAC that keep their keys.
//!
//! mediasoup v2 protects media with AES-CM and HMAC-SHA1 (RFC 3711). str0m's stock parts expand both keys anew for
//! every packet; these do it once for each key.
//!
//! The cipher is one object for each SRTP context, so it simply owns its key schedule. HMAC is not: str0m asks one
//! process-wide object, with the key as an argument, and a cipher sees neither that key nor the bytes it covers. So
//! expanded HMAC keys are kept in a small table in each thread. It holds the authentication keys of SRTP alone, no
//! more than [`SLOTS`] of them, and it is emptied when any SRTP context anywhere ends: at once in the thread that
//! ends it, elsewhere before the next use. aws-lc-rs wipes what it expanded, and we wipe the key beside it.
//!
//! They also count what proved authentic ([`authentic`]): str0m drops what does not without a word.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
#[cfg(feature = "sim")]
use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80, Aes128CmSha1_80Cipher};
use str0m::crypto::{CryptoError, Sha1HmacProvider, SrtpProvider};
use str0m::crypto::{SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80};
use zeroize::Zeroize;

use super::stock;

/// How many expanded HMAC keys a thread keeps, at 1.3 KB each.
///
/// A sender uses one for each packet, and two more now and then (RTCP in and out). A larger table would fetch from
/// memory what takes as long to compute.
const SLOTS: usize = 64;

const HMAC_KEY_LEN: usize = Aes128CmSha1_80::HMAC_KEY_LEN;

/// How many SRTP contexts have ended in this process: a table made before the last of them is out of date.
static ENDED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static KEPT: RefCell<HmacKeys> = const { RefCell::new(HmacKeys::new()) };
    static AUTHENTIC: Cell<u64> = const { Cell::new(0) };
}

/// How many packets have proved authentic in this thread. What str0m is handed in between two looks at this was authentic
/// if it has grown.
///
/// With AES-CM, str0m decrypts after it has compared the tag and not otherwise (RFC 3711 section 3.3); with GCM decrypting
/// is comparing (RFC 7714 section 5).
pub(crate) fn authentic() -> u64 {
    AUTHENTIC.get()
}

pub(super) fn count_authentic() {
    AUTHENTIC.set(AUTHENTIC.get().wrapping_add(1));
}

/// The tag that a profile adds to each packet, in bytes (RFC 3711 section 5.2, RFC 7714 section 8.1).
#[cfg(feature = "sim")]
pub(crate) fn tag_bytes(profile: SrtpProfile) -> usize {
    if profile == SrtpProfile::AES128_CM_SHA1_80 { 10 } else { 16 }
}

/// SRTP whose AES-CM cipher keeps its key schedule. The rest is str0m's, whose GCM ciphers keep theirs already.
#[derive(Debug)]
pub(super) struct KeptSrtp;

impl SrtpProvider for KeptSrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &AesCmFactory
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &GcmFactory
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &GcmFactory
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        stock().srtp_provider.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        stock().srtp_provider.srtp_aes_256_ecb_round(key, input, output);
    }
}

/// HMAC-SHA1 that keeps the expanded keys of SRTP.
#[derive(Debug)]
pub(super) struct KeptHmac;

impl Sha1HmacProvider for KeptHmac {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        // Other lengths are the passwords of ICE: used a few times a second, and not worth a slot.
        let Ok(srtp_key) = <&[u8; HMAC_KEY_LEN]>::try_from(key) else {
            return sign(&expand(key), payloads);
        };
        // No place for it, or no table any more because this thread is ending: expanded for this once.
        KEPT.try_with(|kept| kept.borrow_mut().expanded(srtp_key).map(|key| sign(key, payloads)))
            .ok()
            .flatten()
            .unwrap_or_else(|| sign(&expand(key), payloads))
    }
}

#[derive(Debug)]
struct AesCmFactory;

impl SupportedAes128CmSha1_80 for AesCmFactory {
    fn create_cipher(&self, mut key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        let schedule = UnboundCipherKey::new(&AES_128, &key)
            .and_then(EncryptingKey::ctr)
            .expect("any 16 bytes are an AES-128 key, and AES-128 has a counter mode");
        key.zeroize();
        Box::new(AesCm { schedule })
    }
}

/// AES in counter mode (RFC 3711 section 4.1.1): the same operation both ways.
struct AesCm {
    schedule: EncryptingKey,
}

impl AesCm {
    fn apply(&self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let output = output
            .get_mut(..input.len())
            .ok_or_else(|| CryptoError::Other("AES-CM: the output is shorter than the input".into()))?;
        output.copy_from_slice(input);
        self.schedule
            .less_safe_encrypt(output, EncryptionContext::Iv128(FixedLength::from(*iv)))
            .map(|_| ())
            .map_err(|_| CryptoError::Other("AES-CM failed".into()))
    }
}

impl Aes128CmSha1_80Cipher for AesCm {
    fn encrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, input, output)
    }

    fn decrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        count_authentic();
        self.apply(iv, input, output)
    }
}

impl fmt::Debug for AesCm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCm")
    }
}

/// A cipher ends with its SRTP context, and that context's HMAC key must not outlive it.
impl Drop for AesCm {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::Relaxed);
        // If there is no table any more, there is nothing to wipe. It is never borrowed here: nothing that runs
        // under its borrow drops a cipher.
        let _ = KEPT.try_with(|kept| kept.borrow_mut().catch_up());
    }
}

#[derive(Debug)]
struct GcmFactory;

/// str0m's own GCM, counted.
#[derive(Debug)]
struct Gcm<C>(C);

impl SupportedAeadAes128Gcm for GcmFactory {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Gcm(stock().srtp_provider.aead_aes_128_gcm().create_cipher(key, encrypt)))
    }
}

impl SupportedAeadAes256Gcm for GcmFactory {
    fn create_cipher(&self, key: [u8; 32], encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Gcm(stock().srtp_provider.aead_aes_256_gcm().create_cipher(key, encrypt)))
    }
}

impl AeadAes128GcmCipher for Gcm<Box<dyn AeadAes128GcmCipher>> {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.0.encrypt(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.0.decrypt(iv, aads, input, output).inspect(|_| count_authentic())
    }
}

impl AeadAes256GcmCipher for Gcm<Box<dyn AeadAes256GcmCipher>> {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.0.encrypt(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.0.decrypt(iv, aads, input, output).inspect(|_| count_authentic())
    }
}

/// Expanded HMAC keys, each in the slot its first byte names: keys are the output of a key derivation, so they spread
/// by themselves. A key takes an occupied slot only when it comes twice in a row. So packets in runs find their key,
/// and with far more senders than slots, each sending one packet in turn, none pays for a place it will not use.
struct HmacKeys {
    slots: Vec<Slot>,
    ended: u64,
}

#[derive(Default)]
struct Slot {
    kept: Option<HmacKey>,
    /// Last byte of the key that last found the slot occupied: enough to guess whether it comes again.
    rival: u8,
}

struct HmacKey {
    key: [u8; HMAC_KEY_LEN],
    expanded: hmac::Key,
}

impl HmacKeys {
    const fn new() -> Self {
        HmacKeys { slots: Vec::new(), ended: 0 }
    }

    /// Nothing if there is no place for it.
    fn expanded(&mut self, key: &[u8; HMAC_KEY_LEN]) -> Option<&hmac::Key> {
        self.catch_up();
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let slot = &mut self.slots[usize::from(key[0]) % SLOTS];
        let last = key[HMAC_KEY_LEN - 1];
        if slot.kept.as_ref().is_some_and(|kept| kept.key != *key) {
            if slot.rival != last {
                slot.rival = last;
                return None;
            }
            slot.kept = None;
        }
        Some(&slot.kept.get_or_insert_with(|| HmacKey { key: *key, expanded: expand(key) }).expanded)
    }

    /// Forgets everything if an SRTP context has ended since the last look.
    fn catch_up(&mut self) {
        let ended = ENDED.load(Ordering::Relaxed);
        if self.ended != ended {
            self.ended = ended;
            self.slots.clear();
        }
    }
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

fn expand(key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key)
}

fn sign(key: &hmac::Key, payloads: &[&[u8]]) -> [u8; 20] {
    let mut context = hmac::Context::with_key(key);
    for payload in payloads {
        context.update(payload);
    }
    let tag = context.sign();
    tag.as_ref().try_into().expect("an HMAC-SHA1 tag has 20 bytes")
}

#[cfg(test)]
mod tests {
    use str0m::crypto::CryptoProvider;

    use super::*;

    fn kept() -> usize {
        KEPT.with(|kept| kept.borrow().slots.iter().filter(|slot| slot.kept.is_some()).count())
    }

    fn key(n: u8) -> [u8; HMAC_KEY_LEN] {
        let mut key = [0xa5; HMAC_KEY_LEN];
        key[0] = n;
        key
    }

    fn cipher() -> Box<dyn Aes128CmSha1_80Cipher> {
        KeptSrtp.aes_128_cm_sha1_80().create_cipher([3; 16], true)
    }

    /// Keeps other tests of this process, whose contexts end when they like, from emptying this thread's table while
    /// `test` counts what is in it: such a run is repeated.
    fn undisturbed(test: impl Fn()) {
        let calm = (0..100).any(|_| std::panic::catch_unwind(std::panic::AssertUnwindSafe(&test)).is_ok());
        assert!(calm, "fails every time");
    }

    #[test]
    fn aes_cm_equals_stock_at_every_length() {
        let CryptoProvider { srtp_provider, .. } = stock();
        let mut theirs = srtp_provider.aes_128_cm_sha1_80().create_cipher([3; 16], true);
        let mut ours = cipher();
        for len in [0, 1, 15, 16, 17, 160, 1200] {
            let input: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (mut a, mut b) = (vec![0; len + 15], vec![0; len + 15]);
            for iv in [[0; 16], [0xff; 16]] {
                theirs.encrypt(&iv, &input, &mut a).unwrap();
                ours.encrypt(&iv, &input, &mut b).unwrap();
                assert_eq!(a, b, "{len}");
                let mut back = vec![0; len];
                ours.decrypt(&iv, &b[..len], &mut back).unwrap();
                assert_eq!(back, input);
            }
        }
    }

    #[test]
    fn aes_cm_with_too_little_room_is_an_error() {
        assert!(cipher().encrypt(&[0; 16], &[0; 20], &mut [0; 19]).is_err());
    }

    #[test]
    fn hmac_equals_stock_for_every_length_of_key() {
        for len in 0..=80 {
            let key: Vec<u8> = (0..len).collect();
            let payloads: [&[u8]; 3] = [b"header and payload", b"", b"rollover"];
            let expected = stock().sha1_hmac_provider.sha1_hmac(&key, &payloads);
            for _ in 0..2 {
                assert_eq!(KeptHmac.sha1_hmac(&key, &payloads), expected);
            }
        }
    }

    #[test]
    fn keys_that_share_a_slot_are_told_apart() {
        let (mut a, b) = (key(1), key(1 + SLOTS as u8));
        let expected = |key: &[u8]| stock().sha1_hmac_provider.sha1_hmac(key, &[b"x"]);
        for _ in 0..3 {
            // The same first byte, the same slot, and different in the last byte alone.
            a[HMAC_KEY_LEN - 1] ^= 1;
            assert_eq!(KeptHmac.sha1_hmac(&a, &[b"x"]), expected(&a));
            assert_eq!(KeptHmac.sha1_hmac(&b, &[b"x"]), expected(&b));
        }
    }

    #[test]
    fn key_that_comes_twice_in_a_row_takes_the_slot() {
        undisturbed(|| {
            let mut keys = HmacKeys::new();
            let (mut resident, mut rival) = (key(1), key(1));
            (resident[HMAC_KEY_LEN - 1], rival[HMAC_KEY_LEN - 1]) = (10, 20);
            assert!(keys.expanded(&resident).is_some());
            assert!(keys.expanded(&rival).is_none());
            assert!(keys.expanded(&resident).is_some());
            assert!(keys.expanded(&rival).is_some());
            assert!(keys.expanded(&resident).is_none());
        });
    }

    #[test]
    fn only_srtp_keys_are_kept_and_no_more_than_there_are_slots() {
        undisturbed(|| {
            drop(cipher());
            KeptHmac.sha1_hmac(b"the password of an ICE session", &[b"x"]);
            assert_eq!(kept(), 0);
            for n in 0..=255 {
                KeptHmac.sha1_hmac(&key(n), &[b"x"]);
            }
            assert_eq!(kept(), SLOTS);
        });
    }

    #[test]
    fn end_of_a_context_empties_the_table_of_its_thread_at_once() {
        undisturbed(|| {
            let cipher = cipher();
            KeptHmac.sha1_hmac(&key(1), &[b"x"]);
            assert_eq!(kept(), 1);
            drop(cipher);
            assert_eq!(kept(), 0);
        });
    }

    #[test]
    fn end_of_a_context_in_another_thread_empties_the_table_before_its_next_use() {
        undisturbed(|| {
            let cipher = cipher();
            KeptHmac.sha1_hmac(&key(1), &[b"x"]);
            std::thread::spawn(|| drop(cipher)).join().unwrap();
            KeptHmac.sha1_hmac(&key(2), &[b"x"]);
            assert_eq!(kept(), 1);
        });
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?} {:?} {:?}", cipher(), KeptSrtp, KeptHmac);
        assert_eq!(shown, "AesCm KeptSrtp KeptHmac");
    }
}
