//! No key and no password is in anything that a person may come to read: recordings, `Debug`, errors, logs.
//!
//! Spies in the cryptography note every secret that real sessions use, those of the server too: ICE passwords, master and
//! session keys of SRTP, private keys of certificates.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use serde_json::{Value, json};
use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider, Sha1HmacProvider,
    SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

use super::*;
use crate::connection::engine::crypto::srtp::{KeptHmac, KeptSrtp};
use crate::connection::engine::crypto::{Certificate, DtlsBackend};
use crate::net::{DtlsRole, IceParameters};
use crate::protoo::Protoo;
use crate::record::RecordOptions;
use crate::sim::{RoomServerConfig, Scenario, ScenarioConfig, ServerOutput};
use crate::v2::protocol::{FromServer, Refusal};
use crate::v2::{Input, RoomConfig};
use crate::{MediaKind, RequestId};

/// A secret that comes in a shape, or at a time, that the protocol does not have.
const ODD: &str = "oDdPaSsWoRd";
/// A secret where the protocol has something public. A recording must hold what was there; nothing else shows it.
const MISPLACED: &str = "mIsPlAcEdPaSsWoRd";

thread_local! {
    /// The secrets met since somebody began to watch.
    static SECRETS: RefCell<Option<BTreeSet<Vec<u8>>>> = const { RefCell::new(None) };
    /// What was logged meanwhile.
    static LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
}

fn note(secret: &[u8]) {
    SECRETS.with_borrow_mut(|secrets| {
        if let Some(secrets) = secrets.as_mut().filter(|secrets| !secrets.contains(secret)) {
            secrets.insert(secret.to_vec());
        }
    });
}

fn log(what: &str) {
    if SECRETS.with_borrow(Option::is_some) {
        LOGGED.with_borrow_mut(|logged| *logged += what);
    }
}

#[test]
fn secrets_are_in_nothing_that_is_written_for_people() {
    let _ = log::set_logger(&Logger).map(|()| log::set_max_level(log::LevelFilter::Trace));
    let backends = [
        DtlsBackend::Modern,
        #[cfg(feature = "legacy-dtls")]
        DtlsBackend::Legacy,
    ];
    let roles = [DtlsRole::Client, DtlsRole::Server];
    for (backend, role) in backends.into_iter().flat_map(|backend| roles.map(|role| (backend, role))) {
        SECRETS.set(Some(BTreeSet::from([ODD.into()])));
        LOGGED.take();
        let (mut shown, recording) = tracing::subscriber::with_default(Subscriber, || session(backend, role));
        let logged = LOGGED.take();
        assert!(logged.contains("Set remote credentials"), "str0m's log is heard");
        assert!(logged.contains("ServerHello") || backend != DtlsBackend::Modern, "and that of its DTLS");
        shown.push(logged);

        let secrets = SECRETS.take().unwrap_or_default();
        let keys = secrets.iter().filter(|secret| secret.len() <= 32 && !secret.is_ascii());
        assert!(keys.count() >= 6, "two master keys of SRTP, and the keys for SRTP and SRTCP made of each");
        assert!(secrets.iter().filter(|secret| secret.len() > 100).count() >= 2, "private keys");
        let passwords =
            secrets.iter().filter(|secret| secret.len() < 32 && secret.is_ascii() && **secret != ODD.as_bytes());
        assert!(passwords.count() >= 4, "ICE passwords, ours and the server's, before the restart and after it");
        for text in shown.iter().chain(&recording) {
            secrets.iter().for_each(|secret| assert_not_in(secret, text));
        }
        shown.iter().for_each(|text| assert_not_in(MISPLACED.as_bytes(), text));
    }
}

#[track_caller]
fn assert_not_in(secret: &[u8], text: &str) {
    // Of a private key in PKCS#8 the secret part: before it are numbers that all have.
    let part = if secret.len() > 100 { &secret[36..52] } else { secret };
    let mut shapes = vec![hex(part), hex(part).to_uppercase(), list(&format!("{part:?}")), list(&format!("{part:x?}"))];
    shapes.extend(std::str::from_utf8(part).map(str::to_owned));
    for shape in shapes {
        if let Some(at) = text.find(&shape) {
            let near = &text[text.floor_char_boundary(at.saturating_sub(300))..at];
            panic!("a secret of {} bytes after: {near}", secret.len());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(debug: &str) -> String {
    debug.trim_matches(['[', ']']).to_owned()
}

/// All that can be shown of a session in which everything happens that has to do with secrets, and its recording.
fn session(backend: DtlsBackend, role: DtlsRole) -> (Vec<String>, Vec<String>) {
    let certificate = Certificate::generate().unwrap();
    let config = ScenarioConfig::default()
        .room(RoomConfig::default().dtls_role(role).dtls_backend(backend).certificate(certificate.clone()))
        .server(RoomServerConfig::default().dtls_backend(backend));
    let mut scenario = Scenario::new(config, some_time(), 7);
    scenario.room.start_recording(RecordOptions::default().media(true).waiting_bytes(1 << 30)).unwrap();
    let mut shown = vec![format!("{certificate:?} {certificate:#?}")];
    scenario = scenario.joined();

    // Answers that make no sense, with secrets in them.
    for (place, value) in [
        ("/iceParameters", json!(ODD)),
        ("/iceParameters/password", json!([ODD])),
        ("/dtlsParameters/role", json!(MISPLACED)),
        ("/iceCandidates", json!(MISPLACED)),
    ] {
        scenario.patch_responses("createTransport", place, value);
        let transport = scenario.create_transport();
        let producer = scenario.send(transport, crate::sim::Source::opus(32_000));
        scenario.drive(Duration::from_millis(100));
        show(&mut shown, &scenario);
        assert!(!scenario.room.producer(producer).unwrap().handled());
        let now = scenario.now();
        scenario.room.producer(producer).unwrap().close(now, None).unwrap();
        scenario.room.transport(transport).unwrap().close(now, None).unwrap();
    }
    scenario.release();

    scenario = scenario.sending();
    scenario.hold_responses("restartTransport");
    scenario.room.restart_ice(scenario.now()).unwrap();
    scenario.drive(Duration::from_millis(100));
    show(&mut shown, &scenario);
    scenario.release();
    scenario.drive(Duration::from_secs(1));
    let video = scenario.producer_id(MediaKind::Video).unwrap();
    scenario.server.pause_producer(scenario.now(), video, None);
    scenario.answer("restartTransport", Err("Error: no"));
    scenario.room.restart_ice(scenario.now()).unwrap();
    scenario.drive(Duration::from_secs(1));
    show(&mut shown, &scenario);

    let message = json!({ "method": "newTurnServer", "notification": true, "credential": ODD });
    scenario.room.handle_input(scenario.now(), Input::Notification(message)).unwrap();
    scenario.drive(Duration::from_millis(10));
    scenario.room.leave(scenario.now(), None).unwrap();
    scenario.drive(Duration::from_secs(1));
    show(&mut shown, &scenario);

    let recording: Vec<_> = std::iter::from_fn(|| scenario.room.poll_record()).collect();
    assert!(recording.iter().any(|line| line.contains(r#""password":"***""#)));
    messages(&mut shown);
    (shown, recording)
}

fn show(shown: &mut Vec<String>, scenario: &Scenario) {
    shown.push(format!("{scenario:?}"));
    shown.push(format!("{scenario:#?}"));
}

/// The server's messages on their way to the room.
fn messages(shown: &mut Vec<String>) {
    fn push(shown: &mut Vec<String>, value: &dyn Debug) {
        shown.push(format!("{value:?} {value:#?}"));
    }
    let parameters = json!({ "usernameFragment": "u", "password": ODD });
    let data = json!({ "iceParameters": parameters });
    let id = RequestId::from(1);
    push(shown, &serde_json::from_value::<IceParameters>(parameters).unwrap());
    push(shown, &Input::Response { id, result: Ok(data.clone()) });
    push(shown, &Input::Notification(data.clone()));
    push(shown, &FromServer::Response { id, result: Ok(data.clone()) });
    push(shown, &FromServer::Response { id, result: Err(Refusal::new("no")) });
    push(shown, &FromServer::Notification(data.clone()));
    push(shown, &FromServer::Application { method: "iceServers".to_owned(), data: data.clone() });
    push(shown, &ServerOutput::Response { connection: crate::sim::ConnectionId(0), id: 1, result: Ok(data.clone()) });

    let frame = |method: &str| {
        json!({ "request": true, "response": method.is_empty(), "id": 1, "ok": true, "method": method, "data": data })
            .to_string()
    };
    for text in [frame(""), frame("iceServers"), frame("mediasoup-notification")] {
        push(shown, &Protoo::new().receive(&text).unwrap());
        let error = Protoo::new().receive(&text[..text.len() - 1]).unwrap_err();
        push(shown, &(error.to_string(), error));
    }
    let error = Protoo::new().receive(&Value::from(MISPLACED).to_string()).unwrap_err();
    push(shown, &(error.to_string(), error));
}

/// Puts the spies before the parts.
pub(in crate::connection::engine::crypto) fn spied(parts: CryptoProvider) -> CryptoProvider {
    let dtls_provider = Box::leak(Box::new(SpyDtls(parts.dtls_provider)));
    CryptoProvider { srtp_provider: &SpySrtp, sha1_hmac_provider: &SpyHmac, dtls_provider, ..parts }
}

/// Our ICE password is in the `Rtc` alone: no server of v2 asks for it.
pub(in crate::connection::engine::crypto) fn met(rtc: &mut str0m::Rtc) {
    note(rtc.direct_api().local_ice_credentials().pass.as_bytes());
}

#[derive(Debug)]
struct SpySrtp;

impl SrtpProvider for SpySrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &SpyAesCm
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &SpyGcm
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &SpyGcm
    }

    /// Session keys are derived from the master key so (RFC 3711 section 4.3).
    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        note(key);
        KeptSrtp.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        note(key);
        KeptSrtp.srtp_aes_256_ecb_round(key, input, output);
    }
}

#[derive(Debug)]
struct SpyAesCm;

impl SupportedAes128CmSha1_80 for SpyAesCm {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        note(&key);
        KeptSrtp.aes_128_cm_sha1_80().create_cipher(key, encrypt)
    }
}

#[derive(Debug)]
struct SpyGcm;

impl SupportedAeadAes128Gcm for SpyGcm {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        note(&key);
        KeptSrtp.aead_aes_128_gcm().create_cipher(key, encrypt)
    }
}

impl SupportedAeadAes256Gcm for SpyGcm {
    fn create_cipher(&self, key: [u8; 32], encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        note(&key);
        KeptSrtp.aead_aes_256_gcm().create_cipher(key, encrypt)
    }
}

#[derive(Debug)]
struct SpyHmac;

impl Sha1HmacProvider for SpyHmac {
    /// SRTP authenticates with it, and STUN with ICE's passwords.
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        note(key);
        KeptHmac.sha1_hmac(key, payloads)
    }
}

#[derive(Debug)]
struct SpyDtls(&'static dyn DtlsProvider);

impl DtlsProvider for SpyDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let certificate = self.0.generate_certificate()?;
        note(&certificate.private_key);
        Some(certificate)
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        dtls_version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        self.0.new_dtls(cert, now, dtls_version, mtu)
    }
}

/// Hears what str0m logs.
struct Subscriber;

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        log(&format!("{field}={value:?}\n"));
    }
}

/// Hears what its DTLS logs.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        SECRETS.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record<'_>) {
        log(&format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}
