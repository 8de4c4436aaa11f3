//! Our own certificate.

use std::fmt;
use std::sync::Arc;

use str0m::config::DtlsCert;

use super::{DtlsBackend, provider};
use crate::error::SetupError;

/// A DTLS certificate (ECDSA P-256, signed by itself) with its key, for any number of rooms: see
/// [`RoomConfig::certificate`](crate::v2::RoomConfig::certificate). It serves with either [`DtlsBackend`].
///
/// A clone is the same certificate. The key is shown nowhere: not in `Debug`, not in a recording.
#[derive(Clone)]
pub struct Certificate(Arc<DtlsCert>);

impl Certificate {
    /// Makes keys and a certificate that they sign. Fails with [`SetupError::NoCertificate`].
    pub fn generate() -> Result<Self, SetupError> {
        // Both backends make the same kind.
        let made = provider(DtlsBackend::default()).dtls_provider.generate_certificate();
        made.map(|certificate| Self(Arc::new(certificate))).ok_or(SetupError::NoCertificate)
    }

    pub(crate) fn to_dtls(&self) -> DtlsCert {
        DtlsCert::clone(&self.0)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}
