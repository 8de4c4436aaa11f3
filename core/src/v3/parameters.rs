//! What the server says of a transport that it has made, and what is answered.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rtp::or_default;
use crate::error::SetupError;
use crate::net::{DtlsFingerprint, IceParameters, IceProtocol};

/// A transport that the server has made: `id`, `iceParameters`, `iceCandidates`, `dtlsParameters` of mediasoup's
/// WebRtcTransport. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportParameters {
    /// By which the server knows it.
    pub id: String,
    /// Its ICE credentials.
    pub ice_parameters: IceParameters,
    /// Its addresses. Those with a host name are not tried: see [`resolve`](Self::resolve).
    pub ice_candidates: Vec<IceCandidate>,
    /// Its side of DTLS.
    pub dtls_parameters: DtlsParameters,
    /// Its side of SCTP, if it has any; kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_parameters: Option<Map<String, Value>>,
}

impl TransportParameters {
    /// The host names among the addresses: mediasoup announces one if it is told to. Nothing here looks a name up.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.ice_candidates.iter().filter(|candidate| candidate.ip().is_none()).map(|candidate| &*candidate.address)
    }

    /// Puts addresses in the place of a host name: one candidate becomes one for each of them. None: it stays.
    pub fn resolve(&mut self, host_name: &str, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        let resolve = |candidate: IceCandidate| -> Vec<_> {
            if candidate.address != host_name {
                return vec![candidate];
            }
            let resolved = |address: &IpAddr| IceCandidate { address: address.to_string(), ..candidate.clone() };
            addresses.iter().map(resolved).collect()
        };
        self.ice_candidates = std::mem::take(&mut self.ice_candidates).into_iter().flat_map(resolve).collect();
    }

    /// Whether a connection can be made with these: a sha-256 fingerprint (RFC 8122 section 5) and an address there must be.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let sha_256 = |fingerprint: &&DtlsFingerprint| fingerprint.algorithm.eq_ignore_ascii_case("sha-256");
        let fingerprint = self.dtls_parameters.fingerprints.iter().find(sha_256).ok_or(SetupError::NoFingerprint)?;
        let bytes: Vec<_> = fingerprint.value.split(':').collect();
        let hexadecimal = |byte: &&str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
        if bytes.len() != 32 || !bytes.iter().all(hexadecimal) {
            return Err(SetupError::BadFingerprint);
        }
        let reachable = self.ice_candidates.iter().any(|candidate| candidate.ip().is_some() && candidate.port != 0);
        if reachable { Ok(()) } else { Err(SetupError::NoAddress) }
    }
}

/// An address of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "LooseIceCandidate")]
pub struct IceCandidate {
    /// Groups candidates of the same kind.
    pub foundation: String,
    /// Higher is better (RFC 8445 section 5.1.2).
    pub priority: u32,
    /// An IP address, or a host name.
    pub address: String,
    /// UDP or TCP.
    pub protocol: IceProtocol,
    /// The port.
    pub port: u16,
    /// Always `host`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who opens a TCP connection: always `passive`, which is we; absent for UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_type: Option<String>,
}

impl IceCandidate {
    /// The address, if it is no host name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// As the connection takes it; not a host name.
    pub(crate) fn to_connection(&self) -> Option<crate::net::IceCandidate> {
        let Self { foundation, priority, protocol, port, .. } = self;
        let ip = self.ip()?;
        let (foundation, priority, protocol, port) = (foundation.clone(), *priority, *protocol, *port);
        Some(crate::net::IceCandidate { foundation, ip, port, priority, protocol })
    }
}

/// What is written as a candidate. Servers before 3.13.18 have the address under `ip` alone, later ones under both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LooseIceCandidate {
    #[serde(default, deserialize_with = "or_default")]
    foundation: String,
    #[serde(default, deserialize_with = "or_default")]
    priority: u32,
    #[serde(default, deserialize_with = "or_default")]
    address: String,
    #[serde(default, deserialize_with = "or_default")]
    ip: String,
    protocol: IceProtocol,
    port: u16,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(default)]
    tcp_type: Option<String>,
}

impl From<LooseIceCandidate> for IceCandidate {
    fn from(loose: LooseIceCandidate) -> Self {
        let LooseIceCandidate { foundation, priority, address, ip, protocol, port, kind, tcp_type } = loose;
        let address = if address.is_empty() { ip } else { address };
        let kind = if kind.is_empty() { "host".to_owned() } else { kind };
        Self { foundation, priority, address, protocol, port, kind, tcp_type }
    }
}

/// One side's part of DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// The side's role.
    #[serde(default, deserialize_with = "or_default")]
    pub role: DtlsRole,
    /// Hashes of the side's certificate (RFC 8122). In what the server says it is looked for the sha-256 one.
    pub fingerprints: Vec<DtlsFingerprint>,
}

/// Which side opens the DTLS handshake (RFC 5763 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// Whichever the other side is not.
    #[default]
    Auto,
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}
