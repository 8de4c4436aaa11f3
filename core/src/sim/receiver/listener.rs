//! Transports that share their addresses: which of them a datagram is for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::ice::StunMessage;

use super::Receiver;
use crate::connection::engine::crypto::{self, DtlsBackend};
use crate::connection::engine::endpoint::{Kind, Received, Refused};
use crate::id::TransportId;
use crate::net::{IceProtocol, Receive};

/// Tells transports apart by ICE user name, and by the peer's address from then on.
#[derive(Debug)]
pub(in crate::sim) struct Listener {
    dtls: DtlsBackend,
    limits: AddressLimits,
    /// ICE user names of transports.
    users: BTreeMap<String, TransportId>,
    /// Where transports are heard from.
    routes: BTreeMap<(IceProtocol, SocketAddr), TransportId>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct AddressLimits {
    /// Addresses from which one transport is heard at a time.
    pub(in crate::sim) at_a_time: usize,
    /// Addresses from which one transport was ever heard.
    pub(in crate::sim) remembered: usize,
}

/// The transports of a server.
pub(in crate::sim) trait Transports {
    fn receiver(&mut self, id: TransportId) -> Option<&mut Receiver>;

    /// Takes what is no STUN, for a transport that there is.
    fn handle_secured(&mut self, now: Instant, id: TransportId, receive: &Receive) -> Received;
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Heard {
    Taken,
    NotOurs,
    Refused(Refused),
    /// An authentic binding request from one address more than are remembered.
    OneAddressMore,
}

impl From<Received> for Heard {
    fn from(received: Received) -> Self {
        match received {
            Received::Taken => Self::Taken,
            Received::NotOurs => Self::NotOurs,
            Received::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl Listener {
    pub(in crate::sim) const fn new(dtls: DtlsBackend, limits: AddressLimits) -> Self {
        Self { dtls, limits, users: BTreeMap::new(), routes: BTreeMap::new() }
    }

    pub(in crate::sim) fn add_user(&mut self, user: &str, id: TransportId) {
        self.users.insert(user.to_owned(), id);
    }

    pub(in crate::sim) fn remove_user(&mut self, user: &str) {
        self.users.remove(user);
    }

    /// Forgets a transport.
    pub(in crate::sim) fn remove(&mut self, id: TransportId) {
        self.users.retain(|_, of| *of != id);
        self.routes.retain(|_, of| *of != id);
    }

    /// Takes a datagram. The transport it was for is to be asked what it has to say.
    pub(in crate::sim) fn handle_receive(
        &mut self,
        now: Instant,
        receive: &Receive,
        transports: &mut impl Transports,
    ) -> (Option<TransportId>, Heard) {
        if Kind::of(&receive.contents) == Kind::Stun {
            return self.binding_request(now, receive, transports);
        }
        let id = self.routes.get(&(receive.protocol, receive.source)).copied();
        let received = id.map_or(Received::NotOurs, |id| transports.handle_secured(now, id, receive));
        (id, received.into())
    }

    fn binding_request(
        &mut self,
        now: Instant,
        receive: &Receive,
        transports: &mut impl Transports,
    ) -> (Option<TransportId>, Heard) {
        let Some(Request { id, ours, theirs, nominates }) = self.authentic_request(receive, transports) else {
            return (None, Heard::Refused(Refused::Stun));
        };
        let Some(receiver) = transports.receiver(id) else { return (None, Heard::NotOurs) };
        let from = (receive.protocol, receive.source);
        // ICE never forgets an address.
        if !receiver.addresses.contains(&from) {
            if receiver.addresses.len() >= self.limits.remembered {
                return (None, Heard::OneAddressMore);
            }
            receiver.addresses.insert(from);
        }
        if let Some(old) = receiver.take_up_credentials(&ours) {
            self.users.remove(&old);
        }
        receiver.learn_remote_user(&theirs);
        let received = receiver.handle_receive(now, receive);
        if received != Received::Taken {
            return (None, received.into());
        }
        receiver.select_path(now, receive, nominates);
        // What else comes from there is this transport's.
        if self.routes.insert(from, id) != Some(id) {
            receiver.remote_addresses.push_back(from);
            if receiver.remote_addresses.len() > self.limits.at_a_time
                && let Some(oldest) = receiver.remote_addresses.pop_front()
                && self.routes.get(&oldest) == Some(&id)
            {
                self.routes.remove(&oldest);
            }
        }
        (Some(id), Heard::Taken)
    }

    fn authentic_request(&self, receive: &Receive, transports: &mut impl Transports) -> Option<Request> {
        let message = StunMessage::parse(&receive.contents).ok().filter(StunMessage::is_binding_request)?;
        let (ours, theirs) = message.split_username()?;
        let id = *self.users.get(ours)?;
        let password = transports.receiver(id)?.password(ours)?;
        let hmac = crypto::provider(self.dtls).sha1_hmac_provider;
        let authentic = message.verify(password.as_bytes(), |key, payloads| hmac.sha1_hmac(key, payloads));
        let (ours, theirs) = (ours.to_owned(), theirs.to_owned());
        authentic.then(|| Request { id, ours, theirs, nominates: message.use_candidate() })
    }
}

/// A binding request of whoever knows the password.
struct Request {
    id: TransportId,
    /// The user name it was made with, and that of who asks.
    ours: String,
    theirs: String,
    nominates: bool,
}
