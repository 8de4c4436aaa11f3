//! What a connection to the server is made with, and what passes over it: ICE, DTLS and datagrams.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which side opens the DTLS handshake (RFC 5763 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// Sends the ClientHello.
    #[default]
    Client,
    /// Waits for it.
    Server,
}

/// One side's part of DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// The side's role.
    pub role: DtlsRole,
    /// Hashes of the side's certificate (RFC 8122).
    pub fingerprints: Vec<DtlsFingerprint>,
}

/// A hash of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsFingerprint {
    /// For example `sha-256`.
    pub algorithm: String,
    /// Upper-case hexadecimal bytes with colons.
    pub value: String,
}

/// The server's ICE credentials (RFC 8445).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// Names the session.
    pub username_fragment: String,
    /// Secret; left out of `Debug`.
    pub password: String,
    /// mediasoup is an ICE-lite agent.
    #[serde(default)]
    pub ice_lite: bool,
}

impl std::fmt::Debug for IceParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceParameters").field("username_fragment", &self.username_fragment).finish_non_exhaustive()
    }
}

/// An address of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// Groups candidates of the same kind.
    #[serde(default)]
    pub foundation: String,
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Higher is better (RFC 8445 section 5.1.2).
    #[serde(default)]
    pub priority: u32,
    /// UDP or TCP.
    pub protocol: IceProtocol,
}

/// What carries a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceProtocol {
    /// A UDP socket.
    Udp,
    /// A TCP connection that we open, with RFC 4571 framing (see [`framing`](crate::framing)).
    Tcp,
}

/// The server's side of a transport: the answer to `createTransport`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemoteTransport {
    pub(crate) ice_parameters: IceParameters,
    pub(crate) ice_candidates: Vec<IceCandidate>,
    pub(crate) dtls_parameters: DtlsParameters,
}

/// A datagram that came in, over UDP, or over TCP with its RFC 4571 framing taken off.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Receive {
    /// What carried it.
    pub protocol: IceProtocol,
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses it was sent to, as given with
    /// [`add_local_address`](crate::v2::Transport::add_local_address).
    pub destination: SocketAddr,
    /// The bytes.
    pub contents: Bytes,
}

impl std::fmt::Debug for Receive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receive")
            .field("protocol", &self.protocol)
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("bytes", &self.contents.len())
            .finish()
    }
}

/// A datagram to be sent: over UDP as it is; over TCP with RFC 4571 framing (see [`framing`](crate::framing)) on a
/// connection to `destination` that the application opens when it meets a new one.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Transmit {
    /// What carries it.
    pub protocol: IceProtocol,
    /// Which of our addresses it is to be sent from.
    pub source: SocketAddr,
    /// Where it is to be sent.
    pub destination: SocketAddr,
    /// The bytes.
    pub contents: Bytes,
}

/// The datagram at its other end, if no network on the way changes its addresses.
impl From<Transmit> for Receive {
    fn from(Transmit { protocol, source, destination, contents }: Transmit) -> Self {
        Self { protocol, source, destination, contents }
    }
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmit")
            .field("protocol", &self.protocol)
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("bytes", &self.contents.len())
            .finish()
    }
}

/// What naming all addresses that sockets of a transport send from came to; `E` says why one was not taken. The sockets of
/// those refused and removed can be closed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LocalAddresses<E> {
    /// In use from now on.
    pub taken: Vec<(IceProtocol, SocketAddr)>,
    /// Not taken, and why.
    pub refused: Vec<(IceProtocol, SocketAddr, E)>,
    /// No longer in use.
    pub removed: Vec<(IceProtocol, SocketAddr)>,
}

impl<E> LocalAddresses<E> {
    /// Adds those that are new, and removes those before if at least one was taken. Else they stay: they may come back to
    /// life.
    pub(crate) fn set<T>(
        transport: &mut T,
        before: Vec<(IceProtocol, SocketAddr)>,
        addresses: impl IntoIterator<Item = (IceProtocol, SocketAddr)>,
        add: impl Fn(&mut T, IceProtocol, SocketAddr) -> Result<(), E>,
        remove: impl Fn(&mut T, IceProtocol, SocketAddr),
    ) -> Self {
        let mut taken = Vec::new();
        let mut refused = Vec::new();
        for (protocol, address) in addresses {
            match add(transport, protocol, address) {
                Ok(()) => taken.push((protocol, address)),
                Err(error) => refused.push((protocol, address, error)),
            }
        }
        let gone = |address: &(IceProtocol, SocketAddr)| !taken.is_empty() && !taken.contains(address);
        let removed: Vec<_> = before.into_iter().filter(gone).collect();
        for (protocol, address) in &removed {
            remove(transport, *protocol, *address);
        }
        Self { taken, refused, removed }
    }
}
