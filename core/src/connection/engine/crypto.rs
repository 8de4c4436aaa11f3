//! The parts we bring to str0m.
//!
//! str0m takes its cryptography as a struct of parts, so only those are replaced that have to be:
//!
//! | part | whose | why |
//! | --- | --- | --- |
//! | SRTP, HMAC-SHA1 | ours over aws-lc-rs ([`srtp`]) | the stock ones expand their keys anew for every packet |
//! | DTLS, modern | str0m's, wrapped ([`watch`]) | says why a handshake failed, as a value |
//! | DTLS, legacy | ours over OpenSSL (`legacy_dtls`) | shakes hands with a server whose certificate is RSA |
//! | SHA-1, SHA-256 | str0m's | |
//!
//! And [`replay`] stands before str0m for RTCP, which it takes as often as it comes.
//!
//! Trust never comes from a certificate's issuer here. Both DTLS backends hand the certificate to str0m, which
//! compares it with the fingerprint that came over signalling (RFC 8122 section 5, RFC 8827 section 5.6.4).

mod certificate;
mod replay;
mod srtp;
mod watch;

#[cfg(feature = "legacy-dtls")]
mod legacy_dtls;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use str0m::crypto::dtls::DtlsProvider;
use str0m::crypto::{CryptoProvider, from_feature_flags};
use str0m::{Input, Output, Rtc, RtcConfig};
use tracing::subscriber::NoSubscriber;

pub use certificate::Certificate;
pub(crate) use replay::{RtcpGuard, RtcpVerdict};
pub(crate) use srtp::authentic;
#[cfg(feature = "sim")]
pub(crate) use srtp::tag_bytes;
pub(crate) use watch::{DtlsWatch, is_wrong_way_hello};

/// Which DTLS implementation a transport handshakes with.
///
/// What kind of certificate a server has is not signalled, so it cannot be chosen by server before the handshake: the
/// application chooses, with [`RoomConfig::dtls_backend`](crate::v2::RoomConfig::dtls_backend). `Legacy` works with every server
/// and is there with the feature `legacy-dtls`, which changes nothing by itself. It trusts no more than the other does: the
/// fingerprint decides either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DtlsBackend {
    /// str0m's own over aws-lc-rs. Takes ECDSA certificates (P-256, P-384) and no other: the one that a stock
    /// mediasoup v2 server makes for itself (RSA-1024, signed with SHA-1) is refused.
    #[default]
    Modern,
    /// OpenSSL's, which takes RSA certificates too.
    #[cfg(feature = "legacy-dtls")]
    Legacy,
}

/// Why a DTLS handshake, or the connection it made, failed. Its text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DtlsFailure {
    /// The server has no certificate that the modern DTLS accepts.
    ///
    /// Comes from [`DtlsBackend::Modern`] alone, and in the moment the server's answer shows it.
    #[error(
        "the server's certificate is refused: {refusal}. A stock mediasoup v2 server makes itself one with an \
         RSA-1024 key, signed with SHA-1. Either configure the server with an ECDSA P-256 certificate \
         (dtlsCertificateFile, dtlsPrivateKeyFile) or {}",
        legacy_remedy()
    )]
    WeakCertificate {
        /// How it showed.
        refusal: CertificateRefusal,
    },
    /// The server proved to hold a certificate, but not the one it signalled.
    #[error(
        "the certificate shown in the DTLS handshake is not the one whose fingerprint was signalled: someone is in \
         between, or the signalled fingerprint is that of another server"
    )]
    FingerprintMismatch,
    /// The server ended the handshake, or the connection, with a fatal alert.
    #[error("the server ended DTLS with the alert {} ({description}): its log says why", alert_name(*description))]
    Alert {
        /// The number of the alert (RFC 5246 section 7.2).
        description: u8,
    },
    /// The handshake began and did not end in time.
    #[error(
        "the DTLS handshake got no answer in time: datagrams of that size do not get through, or the server is gone"
    )]
    Timeout,
    /// The handshake ended without a key for media.
    #[error("the server agreed on no SRTP profile: it does not want media on this transport")]
    NoSrtpProfile,
    /// Anything else, in the words of the DTLS implementation.
    #[error("DTLS failed: {0}")]
    Handshake(String),
}

/// How it shows that a server has no certificate the modern DTLS accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum CertificateRefusal {
    /// As the DTLS server it answered our hello with `handshake_failure`: we offer suites for ECDSA alone. The
    /// certificate itself was never shown, so this is the likely cause, not a proven one.
    NoCommonCipher,
    /// As the DTLS client it was asked for an ECDSA certificate and showed none.
    NotShown,
    /// It showed a certificate or a signature that is not ECDSA over P-256 or P-384.
    NotEcdsa,
}

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateRefusal::NoCommonCipher => {
                "offered cipher suites for an ECDSA certificate, the server found none it can use"
            }
            CertificateRefusal::NotShown => "asked for an ECDSA certificate, the server showed none",
            CertificateRefusal::NotEcdsa => "it is not ECDSA over P-256 or P-384",
        })
    }
}

/// Builds a transport's `Rtc` with our parts, and the watch that tells why its DTLS failed.
pub(crate) fn build(config: RtcConfig, dtls: DtlsBackend, now: Instant) -> (Rtc, DtlsWatch) {
    let config = config.set_crypto_provider(Arc::new(provider(dtls)));
    let (mut rtc, watch) = DtlsWatch::over(|| config.build(now));
    // str0m logs our ICE password (at trace level) when it is first told the time. Nobody is to hear that. All it says
    // then is that ICE has begun; an error would come again with the next input.
    tracing::subscriber::with_default(NoSubscriber::new(), || {
        let _ = rtc.handle_input(Input::Timeout(now));
        while let Ok(Output::Transmit(_) | Output::Event(_)) = rtc.poll_output() {}
    });
    #[cfg(all(test, feature = "sim", feature = "record"))]
    tests::secrets::met(&mut rtc);
    (rtc, watch)
}

/// str0m's parts with ours put in.
pub(crate) fn provider(dtls: DtlsBackend) -> CryptoProvider {
    let dtls_provider: &'static dyn DtlsProvider = match dtls {
        DtlsBackend::Modern => &watch::WatchedDtls,
        #[cfg(feature = "legacy-dtls")]
        DtlsBackend::Legacy => &legacy_dtls::LEGACY,
    };
    let parts = CryptoProvider {
        srtp_provider: &srtp::KeptSrtp,
        sha1_hmac_provider: &srtp::KeptHmac,
        dtls_provider,
        ..stock()
    };
    #[cfg(all(test, feature = "sim", feature = "record"))]
    let parts = tests::secrets::spied(parts);
    parts
}

/// str0m's own parts: aws-lc-rs, by our choice of its features.
fn stock() -> CryptoProvider {
    from_feature_flags()
}

fn legacy_remedy() -> &'static str {
    if cfg!(feature = "legacy-dtls") {
        "choose the legacy DTLS: RoomConfig::dtls_backend(DtlsBackend::Legacy)"
    } else {
        "build with the feature `legacy-dtls` and choose the legacy DTLS: RoomConfig::dtls_backend(DtlsBackend::Legacy)"
    }
}

/// RFC 5246 section 7.2, those that end a handshake.
fn alert_name(description: u8) -> &'static str {
    match description {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        100 => "no_renegotiation",
        110 => "unsupported_extension",
        _ => "of an unknown number",
    }
}
