//! Why a DTLS failed, as a value.
//!
//! str0m turns a DTLS error into a string, and what went wrong is often known only from what came before. Its DTLS
//! is a part we bring, though, so each instance writes the cause into a cell that the transport's engine can read.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dimpl::{CertificateError, CryptoError as SignatureError, SecurityError};
use str0m::RtcError;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider};
use str0m::crypto::dtls::{DtlsVersion, ProtocolVersion, SrtpProfile};

use super::{CertificateRefusal, DtlsFailure, stock};

/// The largest certificate message a handshake may bring.
///
/// str0m takes a certificate out of DTLS with a buffer of 2000 bytes, and its DTLS panics on a larger one. An
/// RSA-4096 certificate that signs itself has about 1300.
const MAX_CERTIFICATE: usize = 2000;

/// `handshake_failure` (RFC 5246 section 7.2.2).
const HANDSHAKE_FAILURE: u8 = 40;

thread_local! {
    /// The watch of the DTLS instance made last in this thread. `DtlsProvider` is one object for all transports and
    /// has no other way to tell `over` which instance it made.
    static NEWEST: RefCell<Option<DtlsWatch>> = const { RefCell::new(None) };
}

/// Tells why a transport's DTLS failed, and what its handshake agreed on. Each is written once, by its DTLS instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct DtlsWatch(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    failure: OnceLock<DtlsFailure>,
    profile: OnceLock<SrtpProfile>,
}

impl DtlsWatch {
    /// What `build` makes, and the watch over the DTLS instance it made on the way.
    pub(super) fn over<T>(build: impl FnOnce() -> T) -> (T, DtlsWatch) {
        NEWEST.take();
        let built = build();
        (built, NEWEST.take().unwrap_or_default())
    }

    /// A watch for a new DTLS instance.
    pub(super) fn begin() -> DtlsWatch {
        let watch = DtlsWatch::default();
        NEWEST.set(Some(watch.clone()));
        watch
    }

    /// The first cause is the true one; what follows is its consequence.
    pub(super) fn failed(&self, failure: DtlsFailure) {
        let _ = self.0.failure.set(failure);
    }

    /// The handshake brought keys for media.
    pub(super) fn agreed(&self, profile: SrtpProfile) {
        let _ = self.0.profile.set(profile);
    }

    /// How media is protected, once the handshake has told.
    pub(crate) fn profile(&self) -> Option<SrtpProfile> {
        self.0.profile.get().copied()
    }

    /// What `error`, returned by the watched `Rtc`, means; nothing if it does not come from DTLS.
    pub(crate) fn explain(&self, error: &RtcError) -> Option<DtlsFailure> {
        match error {
            RtcError::Dtls(error) => {
                Some(self.failure().cloned().unwrap_or_else(|| DtlsFailure::Handshake(error.to_string())))
            }
            // Without SDP this comes from the comparison of fingerprints and from nowhere else; str0m tells its
            // three outcomes apart in words only.
            RtcError::RemoteSdp(message) if message.contains("no match") => Some(DtlsFailure::FingerprintMismatch),
            RtcError::RemoteSdp(message) => Some(DtlsFailure::Handshake(message.clone())),
            _ => None,
        }
    }

    /// What the DTLS instance has written.
    pub(super) fn failure(&self) -> Option<&DtlsFailure> {
        self.0.failure.get()
    }
}

/// str0m's own DTLS, watched.
#[derive(Debug)]
pub(super) struct WatchedDtls;

impl DtlsProvider for WatchedDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        stock().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        dtls_version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Watched {
            inner: stock().dtls_provider.new_dtls(cert, now, dtls_version, mtu)?,
            watch: DtlsWatch::begin(),
            server_spoke: false,
            connected: false,
        }))
    }
}

#[derive(Debug)]
struct Watched {
    inner: Box<dyn DtlsInstance>,
    watch: DtlsWatch,
    /// A `ServerHello` has come: the peer has found a cipher suite.
    server_spoke: bool,
    connected: bool,
}

impl Watched {
    fn note<T>(&self, result: Result<T, DtlsImplError>) -> Result<T, DtlsImplError> {
        result.inspect_err(|error| self.watch.failed(self.cause(error)))
    }

    fn cause(&self, error: &DtlsImplError) -> DtlsFailure {
        let refused = |refusal| DtlsFailure::WeakCertificate { refusal };
        match error {
            DtlsImplError::SecurityError(SecurityError::FatalAlert { description }) => {
                let unanswered = self.inner.is_active() && !self.server_spoke;
                if unanswered && *description == HANDSHAKE_FAILURE {
                    refused(CertificateRefusal::NoCommonCipher)
                } else {
                    DtlsFailure::Alert { description: *description }
                }
            }
            DtlsImplError::CertificateError(CertificateError::NoClientCertificateReceived) => {
                refused(CertificateRefusal::NotShown)
            }
            DtlsImplError::CryptoError(
                SignatureError::UnsupportedSignatureAlgorithm(_)
                | SignatureError::SignatureAlgorithmNotOfferedByClient
                | SignatureError::SignatureAlgorithmMismatch { .. }
                | SignatureError::UnsupportedSignaturePair { .. }
                | SignatureError::UnsupportedSignatureVerification { .. }
                | SignatureError::UnsupportedPublicKeyAlgorithm
                | SignatureError::UnsupportedEcCurve,
            ) => refused(CertificateRefusal::NotEcdsa),
            DtlsImplError::Timeout(_) => DtlsFailure::Timeout,
            other => DtlsFailure::Handshake(other.to_string()),
        }
    }
}

impl DtlsInstance for Watched {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if !self.connected {
            for message in plain_handshake_messages(packet) {
                self.server_spoke |= message.kind == Message::SERVER_HELLO;
                if message.kind == Message::CERTIFICATE && message.len > MAX_CERTIFICATE {
                    self.watch.failed(DtlsFailure::Handshake(format!(
                        "the server's certificate has {} bytes, more than {MAX_CERTIFICATE} cannot be taken",
                        message.len
                    )));
                    return Err(DtlsImplError::CertificateError(CertificateError::ParseFailed));
                }
            }
        }
        let result = self.inner.handle_packet(packet);
        self.note(result)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buf);
        self.connected |= matches!(output, DtlsOutput::Connected);
        if let DtlsOutput::KeyingMaterial(_, profile) = &output {
            self.watch.agreed(*profile);
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        let result = self.inner.handle_timeout(now);
        self.note(result)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

/// Whether a datagram begins a handshake that is not for us: a second client says hello to a client, or a server to a
/// server. Before the handshake ends nothing in it is authentic, but this much can be told from our own role, and DTLS need
/// not queue what it will never use.
pub(crate) fn is_wrong_way_hello(datagram: &[u8], we_are_client: bool) -> bool {
    let wrong = |kind| match kind {
        Message::CLIENT_HELLO => we_are_client,
        Message::SERVER_HELLO | Message::HELLO_VERIFY_REQUEST => !we_are_client,
        _ => false,
    };
    plain_handshake_messages(datagram).any(|message| wrong(message.kind))
}

/// The header of a handshake message, or of a fragment of one (RFC 6347 section 4.2.2).
struct Message {
    kind: u8,
    /// Of the whole message.
    len: usize,
}

impl Message {
    const CLIENT_HELLO: u8 = 1;
    const SERVER_HELLO: u8 = 2;
    const HELLO_VERIFY_REQUEST: u8 = 3;
    const CERTIFICATE: u8 = 11;
}

/// The handshake messages a datagram carries in the clear. Stops where it is not well formed: DTLS judges that.
fn plain_handshake_messages(datagram: &[u8]) -> impl Iterator<Item = Message> {
    const HANDSHAKE: u8 = 22;
    const EPOCH_OF_PLAINTEXT: [u8; 2] = [0, 0];

    let mut records = datagram;
    let mut messages: &[u8] = &[];
    std::iter::from_fn(move || {
        loop {
            if let Some((header, rest)) = messages.split_first_chunk::<12>() {
                let fragment_len = be24(&header[9..]);
                messages = rest.get(fragment_len..).unwrap_or_default();
                return Some(Message { kind: header[0], len: be24(&header[1..]) });
            }
            // RFC 6347 section 4.1: type, version, epoch, sequence number, length.
            let (header, rest) = records.split_first_chunk::<13>()?;
            let record_len = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let (body, rest) = rest.split_at_checked(record_len)?;
            records = rest;
            if header[0] == HANDSHAKE && header[3..5] == EPOCH_OF_PLAINTEXT {
                messages = body;
            }
        }
    })
}

fn be24(bytes: &[u8]) -> usize {
    bytes.iter().take(3).fold(0, |value, byte| (value << 8) | usize::from(*byte))
}
