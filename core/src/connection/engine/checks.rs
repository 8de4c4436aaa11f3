//! The connectivity checks that are out, and which answers to them are good.
//!
//! str0m drops what is not authentic without a word, and takes an authentic answer as often as it comes and from wherever
//! it comes. Here each is judged first, so that it can be counted, and so that an answer counts once.
//!
//! An answer says which address of ours the server saw. Each that is new would become a candidate, which str0m never forgets;
//! but it is no use: it has the base of the one that was checked from, it is paired with nothing, and nobody is told of it
//! (RFC 8445 section 7.2.5.3.1). TCP has a new one for each connection, a NAT as often as it likes, and a hostile server for
//! each answer. So ICE hears that the server saw the address from which the check was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::IceCreds;
use str0m::crypto::Sha1HmacProvider;
use str0m::ice::StunMessage;

use crate::net::IceProtocol;
use crate::net::Receive;
use crate::net::Transmit;

/// Checks whose answer is awaited at most; past it the oldest is given up. At str0m's pace these are the last ten seconds
/// of all pairs together.
const MAX_AWAITED: usize = 256;

/// A binding answer of ours has header, address, integrity and fingerprint: 72 bytes with IPv6.
const MAX_ANSWER_BYTES: usize = 128;

type TransactionId = [u8; 12];

#[derive(Debug, Default)]
pub(super) struct Checks {
    awaited: VecDeque<Check>,
    /// The last round trip of each path.
    round_trips: Vec<(Path, Duration)>,
}

/// A pair of addresses: ours and the server's.
pub(super) type Path = (IceProtocol, SocketAddr, SocketAddr);

#[derive(Debug)]
struct Check {
    id: TransactionId,
    protocol: IceProtocol,
    source: SocketAddr,
    destination: SocketAddr,
    sent_at: Instant,
}

impl Checks {
    /// Takes note of what is being sent, if it is a check.
    pub(super) fn sent(&mut self, now: Instant, transmit: &Transmit) {
        const BINDING_REQUEST: [u8; 2] = [0, 1];
        let Transmit { protocol, source, destination, ref contents } = *transmit;
        if contents.starts_with(&BINDING_REQUEST)
            && let Some(id) = transaction_id(contents)
        {
            if self.awaited.len() == MAX_AWAITED {
                self.awaited.pop_front();
            }
            self.awaited.push_back(Check { id, protocol, source, destination, sent_at: now });
        }
    }

    /// How long the last check of a path took to be answered.
    pub(super) fn round_trip_time(&self, path: Path) -> Option<Duration> {
        self.round_trips.iter().find_map(|(of, time)| (*of == path).then_some(*time))
    }

    /// What ICE is to hear of a STUN message: none unless it is authentic and answers a check of ours that was not answered
    /// before. Requests never are: our own password is signalled to nobody, and a lite agent makes no checks (RFC 8445
    /// section 2.5).
    pub(super) fn answer(
        &mut self,
        now: Instant,
        receive: &Receive,
        remote: Option<&IceCreds>,
        hmac: &dyn Sha1HmacProvider,
    ) -> Option<Bytes> {
        let message = StunMessage::parse(&receive.contents).ok()?;
        let password = remote?.pass.as_bytes();
        let id = transaction_id(&receive.contents)?;
        let succeeded = message.is_successful_binding_response();
        if !succeeded && !message.is_failed_binding_response() {
            return None;
        }
        // RFC 8445 section 7.2.5.2.1: the answer must come from where the check went.
        let asked =
            |check: &Check| (check.id, check.protocol, check.destination) == (id, receive.protocol, receive.source);
        let place = self.awaited.iter().position(asked)?;
        // RFC 8445 section 7.2.2: the answer is made with the password of the side that was asked.
        if !message.verify(password, |key, payloads| hmac.sha1_hmac(key, payloads)) {
            return None;
        }
        let Check { protocol, source, destination, sent_at, .. } = self.awaited.remove(place)?;
        let path = (protocol, source, destination);
        let time = now.saturating_duration_since(sent_at);
        match self.round_trips.iter_mut().find(|(of, _)| *of == path) {
            Some((_, last)) => *last = time,
            None => {
                if self.round_trips.len() == MAX_AWAITED {
                    self.round_trips.clear();
                }
                self.round_trips.reserve_exact(1);
                self.round_trips.push((path, time));
            }
        }
        if !succeeded || message.mapped_address() == Some(source) {
            return Some(receive.contents.clone());
        }
        let mut bytes = vec![0; MAX_ANSWER_BYTES];
        let told = StunMessage::binding_reply(message.trans_id(), source);
        let length = told.to_bytes(Some(password), &mut bytes, |key, payloads| hmac.sha1_hmac(key, payloads)).ok()?;
        bytes.truncate(length);
        Some(bytes.into())
    }
}

/// RFC 8489 section 5.
fn transaction_id(datagram: &[u8]) -> Option<TransactionId> {
    datagram.get(8..20)?.try_into().ok()
}
