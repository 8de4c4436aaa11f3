//! stub until the crypto branch lands
use std::sync::Arc;
use std::time::Instant;
use str0m::{Rtc, RtcConfig, RtcError};
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
/// stub
pub enum DtlsBackend {
    #[default]
    /// stub
    Modern,
}
/// stub
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DtlsFailure {
    /// stub
    #[error("{0}")]
    Handshake(String),
}
pub(crate) struct DtlsWatch;
impl DtlsWatch {
    pub(crate) fn explain(&self, e: &RtcError) -> Option<DtlsFailure> {
        Some(DtlsFailure::Handshake(e.to_string()))
    }
}
pub(crate) fn build(config: RtcConfig, dtls: DtlsBackend, now: Instant) -> (Rtc, DtlsWatch) {
    (config.set_crypto_provider(Arc::new(provider(dtls))).build(now), DtlsWatch)
}
pub(crate) fn provider(_: DtlsBackend) -> str0m::crypto::CryptoProvider {
    str0m::crypto::from_feature_flags()
}
