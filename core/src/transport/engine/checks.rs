//! The connectivity checks that are out, and which answers to them are good.
//!
//! str0m drops what is not authentic without a word, and takes an authentic answer as often as it comes and from wherever
//! it comes. Here each is judged first, so that it can be counted, and so that an answer counts once.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use str0m::IceCreds;
use str0m::crypto::Sha1HmacProvider;
use str0m::ice::StunMessage;

use crate::input::Receive;
use crate::protocol::IceProtocol;

/// Checks whose answer is awaited at most; past it the oldest is given up. At str0m's pace these are the last ten seconds
/// of all pairs together.
const MAX_AWAITED: usize = 256;

/// Our addresses as the server may see them. Each becomes a candidate that ICE never forgets, and a server that names
/// another one in each answer could have it remember without end.
const MAX_MAPPED: usize = 64;

type TransactionId = [u8; 12];

#[derive(Debug, Default)]
pub(super) struct Checks {
    awaited: VecDeque<(TransactionId, IceProtocol, SocketAddr)>,
    mapped: BTreeSet<SocketAddr>,
}

impl Checks {
    /// Takes note of what is being sent, if it is a check.
    pub(super) fn sent(&mut self, protocol: IceProtocol, destination: SocketAddr, datagram: &[u8]) {
        const BINDING_REQUEST: [u8; 2] = [0, 1];
        if datagram.starts_with(&BINDING_REQUEST)
            && let Some(id) = transaction_id(datagram)
        {
            if self.awaited.len() == MAX_AWAITED {
                self.awaited.pop_front();
            }
            self.awaited.push_back((id, protocol, destination));
        }
    }

    /// Whether a STUN message is authentic and answers a check of ours that was not answered before. Requests never are:
    /// our own password is signalled to nobody, and a lite agent makes no checks (RFC 8445 section 2.5).
    pub(super) fn is_good_answer(
        &mut self,
        receive: &Receive,
        remote: Option<&IceCreds>,
        hmac: &dyn Sha1HmacProvider,
    ) -> bool {
        let (Ok(message), Some(remote), Some(id)) =
            (StunMessage::parse(&receive.contents), remote, transaction_id(&receive.contents))
        else {
            return false;
        };
        let is_answer = message.is_successful_binding_response() || message.is_failed_binding_response();
        // RFC 8445 section 7.2.5.2.1: the answer must come from where the check went.
        let asked = (id, receive.protocol, receive.source);
        let place = self.awaited.iter().position(|awaited| *awaited == asked);
        let Some(place) = place.filter(|_| is_answer) else { return false };
        // RFC 8445 section 7.2.2: the answer is made with the password of the side that was asked.
        if !message.verify(remote.pass.as_bytes(), |key, payloads| hmac.sha1_hmac(key, payloads)) {
            return false;
        }
        self.awaited.remove(place);
        let mapped = message.mapped_address();
        mapped.is_none_or(|address| self.mapped.contains(&address) || self.is_new_mapped(address))
    }

    fn is_new_mapped(&mut self, address: SocketAddr) -> bool {
        self.mapped.len() < MAX_MAPPED && self.mapped.insert(address)
    }
}

/// RFC 8489 section 5.
fn transaction_id(datagram: &[u8]) -> Option<TransactionId> {
    datagram.get(8..20)?.try_into().ok()
}
