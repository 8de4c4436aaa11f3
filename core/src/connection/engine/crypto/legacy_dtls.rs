//! DTLS 1.2 over OpenSSL, for servers whose certificate str0m's own DTLS refuses: RSA, of 1024 bits at that.
//!
//! ```text
//!   New --set_active--> Handshake --finished--> Open --close, or the peer's close_notify--> Closed
//!    |                      |                     |                                           ^
//!    +----cannot set up-----+------error----------+--error--> Failed ---------close-----------+
//! ```
//!
//! # Lost datagrams and the clock
//! OpenSSL resends a lost flight when it is called after its timer ran out, and that timer reads the wall clock, which
//! no safe interface can replace. So the flight last sent is kept here too and a timer on the time we are told (1 s,
//! doubling, as RFC 6347 section 4.2.4.1 has it, and as OpenSSL does) looks in on OpenSSL, and sends the same
//! datagrams again if OpenSSL did not. On a real clock the two agree and OpenSSL does the work. On a virtual one our
//! copies do it, with one exception: if the *last* flight of an OpenSSL server is lost, that server takes our copies
//! for the network's duplicates and drops them (section 4.1.2.6); only records made anew, and so OpenSSL's timer, a
//! second later on the wall clock, wake it. A server on str0m's DTLS answers the copies.
//!
//! # OpenSSL's configuration
//! Versions, cipher suites, groups, signature algorithms and the security level are all set here: what the system's
//! `openssl.cnf` says of them does not matter. Needs OpenSSL 1.1.1 or later.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use dimpl::{SecurityError, TimeoutError};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::srtp::SrtpProfileId;
use openssl::ssl::{ErrorCode, Ssl, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode};
use openssl::ssl::{SslStream, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use str0m::DATAGRAM_MTU_TARGET;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider};
use str0m::crypto::dtls::{DtlsVersion, KeyingMaterial, ProtocolVersion, SrtpProfile};
use zeroize::Zeroize;

use super::{DtlsFailure, DtlsWatch, stock};

/// What transports use. Security level 2 is OpenSSL's own usual one: it rules what we offer. It would rule out an
/// RSA-1024 certificate of the peer as well, if that were not left to the fingerprint.
pub(super) static LEGACY: LegacyDtls = LegacyDtls { security_level: 2 };

/// Until the first resend (RFC 6347 section 4.2.4.1).
const FIRST_RESEND: Duration = Duration::from_secs(1);

/// From the first flight to the end of the handshake; the same as in str0m's own DTLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(40);

/// How far away the deadline of an instance is that waits for nothing. The trait has no "never": like str0m's own.
const IDLE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Datagrams, or received data, waiting to be polled. More are dropped, as the network would do. A flight has up to 5.
const MAX_WAITING: usize = 64;

/// The largest DTLS record's content (RFC 6347 section 4.1).
const MAX_RECORD: usize = 1 << 14;

/// RFC 5764 section 4.2.
const SRTP_KEY_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// OpenSSL's reason for a fatal alert it received is the alert's number above this.
const ALERT_REASON: i32 = 1000;

#[derive(Debug)]
pub(super) struct LegacyDtls {
    pub(super) security_level: u32,
}

impl DtlsProvider for LegacyDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        stock().dtls_provider.generate_certificate()
    }

    /// Never fails, since str0m panics if it does: what cannot be set up fails once the handshake is to start.
    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        dtls_version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = Config {
            cert: cert.clone(),
            mtu: mtu.unwrap_or(DATAGRAM_MTU_TARGET),
            security_level: self.security_level,
            dtls_version,
        };
        Ok(Box::new(Session {
            state: State::New(config),
            active: false,
            now,
            datagrams: VecDeque::new(),
            news: VecDeque::new(),
            watch: DtlsWatch::begin(),
        }))
    }
}

struct Session {
    state: State,
    active: bool,
    /// The time we were last told.
    now: Instant,
    /// To be sent.
    datagrams: VecDeque<Vec<u8>>,
    /// To be told.
    news: VecDeque<News>,
    watch: DtlsWatch,
}

enum State {
    New(Config),
    Handshake {
        ssl: SslStream<Wire>,
        flight: Flight,
    },
    Open {
        ssl: SslStream<Wire>,
    },
    Closed,
    /// `unsaid` is the error that no call could return yet.
    Failed {
        unsaid: Option<DtlsImplError>,
    },
}

enum News {
    PeerCert(Vec<u8>),
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Data(Vec<u8>),
    CloseNotify,
}

impl Session {
    /// Lets OpenSSL do what it can with what has arrived, and collects what it has to say.
    fn advance(&mut self) -> Result<(), DtlsImplError> {
        // OpenSSL keeps errors by thread: one that others left there would be taken for ours.
        drop(ErrorStack::get());

        if let State::Handshake { ssl, flight } = &mut self.state {
            let handshake = ssl.do_handshake();
            let sent = mem::take(&mut ssl.get_mut().sent);
            if !sent.is_empty() {
                flight.replace(sent.clone());
            }
            queue(&mut self.datagrams, sent);
            match handshake {
                Ok(()) => {}
                Err(error) if is_waiting(&error) => return Ok(()),
                Err(error) => return Err(self.fail(failure(&error))),
            }
            match outcome(ssl.ssl()) {
                Ok(outcome) => self.news.extend(outcome),
                Err(failure) => return Err(self.fail(failure)),
            }
            if let State::Handshake { ssl, .. } = mem::replace(&mut self.state, State::Closed) {
                self.state = State::Open { ssl };
            }
        }

        let State::Open { ssl } = &mut self.state else {
            return Ok(());
        };
        let mut buf = [0; MAX_RECORD];
        let end = loop {
            match ssl.ssl_read(&mut buf) {
                Ok(len) if self.news.len() < MAX_WAITING => self.news.push_back(News::Data(buf[..len].to_vec())),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        // The peer lost our last flight and asked for it again.
        queue(&mut self.datagrams, mem::take(&mut ssl.get_mut().sent));
        if is_waiting(&end) {
            return Ok(());
        }
        if end.code() == ErrorCode::ZERO_RETURN {
            self.shut_down();
            self.news.push_back(News::CloseNotify);
            return Ok(());
        }
        Err(self.fail(failure(&end)))
    }

    /// Sends a close_notify, of our own or in answer to the peer's (RFC 5246 section 7.2.1).
    fn shut_down(&mut self) {
        if let State::Open { ssl } = &mut self.state {
            // All that matters of its result is in `sent`.
            let _ = ssl.shutdown();
            queue(&mut self.datagrams, mem::take(&mut ssl.get_mut().sent));
        }
        self.state = State::Closed;
    }

    fn fail(&mut self, failure: DtlsFailure) -> DtlsImplError {
        let error = match &failure {
            DtlsFailure::Alert { description } => {
                DtlsImplError::SecurityError(SecurityError::FatalAlert { description: *description })
            }
            DtlsFailure::Timeout => DtlsImplError::Timeout(TimeoutError::Handshake),
            // The trait's error has no words of ours: the watch has them.
            DtlsFailure::WeakCertificate { .. }
            | DtlsFailure::FingerprintMismatch
            | DtlsFailure::NoSrtpProfile
            | DtlsFailure::Handshake(_) => DtlsImplError::ConnectionClosed,
        };
        self.watch.failed(failure);
        self.state = State::Failed { unsaid: None };
        error
    }
}

impl DtlsInstance for Session {
    fn set_active(&mut self, active: bool) {
        let State::New(config) = &self.state else {
            return;
        };
        self.active = active;
        match config.stream(active) {
            Ok(ssl) => self.state = State::Handshake { ssl, flight: Flight::default() },
            Err(failure) => {
                let error = self.fail(failure);
                self.state = State::Failed { unsaid: Some(error) };
            }
        }
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let ssl = match &mut self.state {
            State::Handshake { ssl, .. } | State::Open { ssl } => ssl,
            State::New(_) | State::Closed | State::Failed { .. } => return Ok(()),
        };
        if !packet.is_empty() {
            ssl.get_mut().received = Some(packet.to_vec());
            return self.advance();
        }
        // str0m starts a client with an empty packet, and ignores what comes of it.
        if let Err(error) = self.advance() {
            self.state = State::Failed { unsaid: Some(error) };
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        // What does not fit stays, and with it all that follows: str0m must not hear of keys without the certificate.
        let needed = match (self.datagrams.front(), self.news.front()) {
            (Some(bytes), _) | (None, Some(News::PeerCert(bytes) | News::Data(bytes))) => bytes.len(),
            (None, _) => 0,
        };
        if needed > buf.len() {
            return DtlsOutput::BufferTooSmall { needed };
        }
        if let Some(datagram) = self.datagrams.pop_front() {
            return DtlsOutput::Packet(copy(&datagram, buf));
        }
        match self.news.pop_front() {
            Some(News::PeerCert(der)) => DtlsOutput::PeerCert(copy(&der, buf)),
            Some(News::Keys(keys, profile)) => {
                self.watch.agreed(profile);
                DtlsOutput::KeyingMaterial(keys, profile)
            }
            Some(News::Connected) => DtlsOutput::Connected,
            Some(News::Data(data)) => DtlsOutput::ApplicationData(copy(&data, buf)),
            Some(News::CloseNotify) => DtlsOutput::CloseNotify,
            None => DtlsOutput::Timeout(match &self.state {
                State::Handshake { flight, .. } => flight.deadline(self.now),
                State::Failed { unsaid: Some(_) } => self.now,
                State::New(_) | State::Open { .. } | State::Closed | State::Failed { unsaid: None } => self.now + IDLE,
            }),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        let flight = match &mut self.state {
            State::Handshake { flight, .. } => flight,
            State::Failed { unsaid } => return unsaid.take().map_or(Ok(()), Err),
            State::New(_) | State::Open { .. } | State::Closed => return Ok(()),
        };
        match flight.due(now) {
            Due::Nothing => Ok(()),
            Due::Failure => Err(self.fail(DtlsFailure::Timeout)),
            Due::Resend { next_wait } => {
                let copies = mem::take(&mut flight.datagrams);
                // If OpenSSL thinks it time too, its new records are better than copies.
                self.advance()?;
                if let State::Handshake { flight, .. } = &mut self.state {
                    if flight.datagrams.is_empty() {
                        flight.datagrams = copies.clone();
                        queue(&mut self.datagrams, copies);
                    }
                    flight.arm(now, next_wait);
                }
                Ok(())
            }
        }
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        if data.is_empty() {
            return Ok(0);
        }
        let ssl = match &mut self.state {
            State::Open { ssl } => ssl,
            State::New(_) | State::Handshake { .. } => return Ok(0),
            State::Closed | State::Failed { .. } => return Err(DtlsImplError::ConnectionClosed),
        };
        drop(ErrorStack::get());
        let written = ssl.ssl_write(data);
        queue(&mut self.datagrams, mem::take(&mut ssl.get_mut().sent));
        match written {
            Ok(len) => Ok(len),
            Err(error) if is_waiting(&error) => Ok(0),
            Err(error) => Err(self.fail(failure(&error))),
        }
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        matches!(self.state, State::Open { .. }).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        matches!(self.state, State::Closed) && !self.is_closed()
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed) && self.datagrams.is_empty() && self.news.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.shut_down();
        Ok(())
    }
}

/// Prints neither keys nor what OpenSSL knows.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New(_) => "New",
            State::Handshake { .. } => "Handshake",
            State::Open { .. } => "Open",
            State::Closed => "Closed",
            State::Failed { .. } => "Failed",
        };
        f.debug_struct("Session").field("state", &state).field("active", &self.active).finish_non_exhaustive()
    }
}

/// What an OpenSSL session is made of.
struct Config {
    cert: DtlsCert,
    mtu: usize,
    security_level: u32,
    dtls_version: DtlsVersion,
}

impl Config {
    fn stream(&self, active: bool) -> Result<SslStream<Wire>, DtlsFailure> {
        if self.dtls_version == DtlsVersion::Dtls13 {
            return Err(DtlsFailure::Handshake("OpenSSL has no DTLS 1.3".into()));
        }
        let mut ssl = self.ssl().map_err(|errors| DtlsFailure::Handshake(reasons(&errors)))?;
        if active {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        SslStream::new(ssl, Wire::default()).map_err(|errors| DtlsFailure::Handshake(reasons(&errors)))
    }

    fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::dtls())?;
        context.set_security_level(self.security_level);
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
        // Forward secrecy and authenticated encryption (RFC 8827 section 6.5); OpenSSL 1.1.0 in the server has them.
        context.set_cipher_list("ECDHE+AESGCM:ECDHE+CHACHA20")?;
        context.set_groups_list("X25519:P-256:P-384")?;
        context.set_sigalgs_list("ECDSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA256:RSA+SHA256:RSA+SHA384:RSA+SHA512")?;
        context.set_tlsext_use_srtp("SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80")?;
        // A certificate is trusted for its fingerprint, which str0m compares, and for nothing else.
        context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
        context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_private_key(&*PKey::private_key_from_der(&self.cert.private_key)?)?;
        context.set_certificate(&*X509::from_der(&self.cert.certificate)?)?;
        let mut ssl = Ssl::new(&context.build())?;
        ssl.set_mtu(u32::try_from(self.mtu).unwrap_or(u32::MAX))?;
        Ok(ssl)
    }
}

/// What OpenSSL reads from and writes to: each call is one datagram.
#[derive(Default)]
struct Wire {
    /// OpenSSL reads until there is no more, so there is never more than the one just handed in.
    received: Option<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl io::Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let datagram = self.received.take().ok_or(io::ErrorKind::WouldBlock)?;
        // As from a socket: the rest of a datagram that is too long is lost.
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl io::Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.sent.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The flight last sent, and when to send it again.
#[derive(Default)]
struct Flight {
    datagrams: Vec<Vec<u8>>,
    /// When, and how long that was after the last time. Nothing until the time of sending is known: a datagram
    /// arrives without the time.
    resend: Option<(Instant, Duration)>,
    /// Of the whole handshake, from the first flight on.
    end: Option<Instant>,
}

enum Due {
    Nothing,
    Resend { next_wait: Duration },
    Failure,
}

impl Flight {
    fn replace(&mut self, datagrams: Vec<Vec<u8>>) {
        self.datagrams = datagrams;
        self.resend = None;
    }

    fn arm(&mut self, now: Instant, wait: Duration) {
        self.resend = Some((now + wait, wait));
        self.end.get_or_insert(now + HANDSHAKE_TIMEOUT);
    }

    /// `told` is the time we were last told.
    fn deadline(&self, told: Instant) -> Instant {
        match (self.resend, self.end) {
            _ if self.datagrams.is_empty() => told + IDLE,
            (Some((resend, _)), Some(end)) => resend.min(end),
            // At once: the timer is set when we are told the time.
            (Some(_), None) | (None, _) => told,
        }
    }

    fn due(&mut self, now: Instant) -> Due {
        if self.end.is_some_and(|end| end <= now) {
            return Due::Failure;
        }
        match self.resend {
            Some((at, wait)) if at <= now => Due::Resend { next_wait: wait * 2 },
            Some(_) => Due::Nothing,
            None => {
                if !self.datagrams.is_empty() {
                    self.arm(now, FIRST_RESEND);
                }
                Due::Nothing
            }
        }
    }
}

/// What a finished handshake has brought. The certificate comes first: keys are of no use if it is the wrong one.
fn outcome(ssl: &SslRef) -> Result<[News; 3], DtlsFailure> {
    let unusable = |errors: ErrorStack| DtlsFailure::Handshake(reasons(&errors));
    let certificate = ssl
        .peer_certificate()
        .ok_or_else(|| DtlsFailure::Handshake("the server showed no certificate".into()))?
        .to_der()
        .map_err(unusable)?;
    let profile = match ssl.selected_srtp_profile().map(|profile| profile.id()) {
        Some(SrtpProfileId::SRTP_AES128_CM_SHA1_80) => SrtpProfile::AES128_CM_SHA1_80,
        Some(SrtpProfileId::SRTP_AEAD_AES_128_GCM) => SrtpProfile::AEAD_AES_128_GCM,
        Some(SrtpProfileId::SRTP_AEAD_AES_256_GCM) => SrtpProfile::AEAD_AES_256_GCM,
        Some(_) | None => return Err(DtlsFailure::NoSrtpProfile),
    };
    let mut bytes = vec![0; profile.keying_material_len()];
    ssl.export_keying_material(&mut bytes, SRTP_KEY_LABEL, None).map_err(unusable)?;
    let keys = KeyingMaterial::new(&bytes);
    bytes.zeroize();
    Ok([News::PeerCert(certificate), News::Keys(keys, profile), News::Connected])
}

fn is_waiting(error: &openssl::ssl::Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

fn failure(error: &openssl::ssl::Error) -> DtlsFailure {
    let Some(errors) = error.ssl_error() else {
        return DtlsFailure::Handshake(error.to_string());
    };
    let alert = errors.errors().iter().find_map(|error| u8::try_from(error.reason_code() - ALERT_REASON).ok());
    match alert {
        Some(description) => DtlsFailure::Alert { description },
        None => DtlsFailure::Handshake(reasons(errors)),
    }
}

/// OpenSSL's reasons, without its file names and line numbers.
fn reasons(errors: &ErrorStack) -> String {
    let reasons: Vec<_> = errors.errors().iter().map(|error| error.reason().unwrap_or("unknown reason")).collect();
    format!("OpenSSL: {}", if reasons.is_empty() { "no reason given".into() } else { reasons.join(", ") })
}

fn queue(datagrams: &mut VecDeque<Vec<u8>>, new: Vec<Vec<u8>>) {
    let room = MAX_WAITING.saturating_sub(datagrams.len());
    datagrams.extend(new.into_iter().take(room));
}

/// `buf` is known to be large enough.
fn copy<'a>(bytes: &[u8], buf: &'a mut [u8]) -> &'a [u8] {
    buf[..bytes.len()].copy_from_slice(bytes);
    &buf[..bytes.len()]
}
