//! Every transition of the room and, through it, of transports and producers.

use std::time::Instant;

use serde_json::Value;

use super::Room;
use super::inflight::Waiting;
use crate::connection::engine::EngineAnswer;
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::v2::error::{AddAddressError, CommandError, JoinError, OperationError, RoomError};
use crate::v2::input::{Accepted, Command};
use crate::v2::ortc::SharedCapabilities;
use crate::v2::output::Event;
use crate::v2::producer::ProducerInfo;
use crate::v2::producer::state::{Lifecycle, stats_interval};
use crate::v2::protocol::{Notification, Request, RoomSettings};
use crate::v2::transport::TransportInfo;
use crate::v2::transport::state::State;

/// Where a room is in its life.
///
/// # Every transition
///
/// What a room does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../../states/room.md")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoomState {
    /// Never joined, or a join has failed.
    New,
    /// `join` is under way.
    Joining,
    /// In the room.
    Joined,
    /// Left, or closed by the server. It can be joined again.
    Closed,
}

impl std::fmt::Display for RoomState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Joining => "joining",
            Self::Joined => "joined",
            Self::Closed => "closed",
        })
    }
}

impl Room {
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<Accepted, CommandError> {
        match command {
            Command::Join { peer_name, app_data } => return Ok(self.begin_join(now, peer_name, app_data)?),
            Command::Leave { app_data } => self.leave_room(now, app_data)?,
            Command::RemoteClose { app_data } => self.close_room(now, Originator::Remote, app_data),
            Command::CreateTransport { app_data } => return Ok(Accepted::Transport(self.new_transport(app_data)?)),
            Command::CreateProducer { track, options, app_data } => {
                let codec = self.codec_for(&track, &options)?;
                return Ok(Accepted::Producer(self.new_producer(track, codec, options.simulcast, app_data)?));
            }
            Command::RestartIce => {
                self.require(RoomState::Joined).map_err(RoomError::RoomState)?;
                let ids = self.transports_in_order(|transport| transport.state != State::New);
                // A queue that is full takes none; those on the other transports go on.
                let begun = ids.into_iter().filter_map(|id| self.restart_transport_ice(now, id).ok());
                return Ok(Accepted::Operations(begun.collect()));
            }
            Command::CloseTransport { id, app_data } => {
                self.transport_mut(id)?;
                self.close_transport(now, id, Originator::Local, app_data, true);
            }
            Command::EnableTransportStats { id, interval } => {
                let transport = self.transport_mut(id)?;
                let before = transport.stats_interval.replace(stats_interval(interval));
                if transport.state.created() {
                    if before.is_some() {
                        // The server ignores that they are enabled when they are (mediasoup's WebRtcTransport.js).
                        let id = transport.server_id;
                        self.outputs.notification(Notification::DisableTransportStats { id });
                    }
                    self.notify_transport_stats(id);
                }
            }
            Command::DisableTransportStats { id } => {
                let transport = self.transport_mut(id)?;
                if transport.stats_interval.take().is_some() && transport.state.created() {
                    let id = transport.server_id;
                    self.outputs.notification(Notification::DisableTransportStats { id });
                }
            }
            Command::SetTransportAppData { id, app_data } => self.transport_mut(id)?.app_data = app_data,
            Command::RestartTransportIce { id } => {
                return Ok(Accepted::Operation(self.restart_transport_ice(now, id)?));
            }
            Command::AddLocalAddress { id, protocol, address } => {
                let limit = self.config.limits.local_addresses;
                let transport = self.transports.get_mut(&id).ok_or(AddAddressError::NotFound(id))?;
                if address.ip().is_unspecified() || address.ip().is_multicast() {
                    return Err(AddAddressError::BadAddress(address).into());
                }
                if transport.local_addresses.len() >= limit && !transport.local_addresses.contains(&(protocol, address))
                {
                    return Err(AddAddressError::Limit(limit).into());
                }
                let taken = transport.connection.as_mut().is_none_or(|c| c.add_local_address(now, protocol, address));
                if !taken && !transport.local_addresses.contains(&(protocol, address)) {
                    self.journal.answer(now, id, || EngineAnswer::AddressRefused);
                    return Err(AddAddressError::BadAddress(address).into());
                }
                transport.local_addresses.insert((protocol, address));
                self.settle(id);
            }
            Command::RemoveLocalAddress { id, protocol, address } => {
                let transport = self.transport_mut(id)?;
                if transport.local_addresses.remove(&(protocol, address))
                    && let Some(connection) = &mut transport.connection
                {
                    connection.remove_local_address(now, protocol, address);
                    self.settle(id);
                }
            }
            Command::CloseProducer { id, app_data } => {
                self.producer_mut(id)?;
                self.close_producer(now, id, Originator::Local, app_data);
            }
            Command::Send { id, transport } => return Ok(Accepted::Operation(self.send(now, id, transport)?)),
            Command::Pause { id, app_data } => self.with_producer(now, id, |p, effects| p.pause(app_data, effects))?,
            Command::Resume { id, app_data } => {
                self.with_producer(now, id, |p, effects| p.resume(app_data, effects))?
            }
            Command::ReplaceTrack { id, track } => self.replace_track(now, id, track)?,
            Command::EndTrack { id } => self.with_producer(now, id, ProducerInfo::end_track)?,
            Command::EnableProducerStats { id, interval } => {
                self.with_producer(now, id, |p, effects| p.enable_stats(interval, effects))?;
            }
            Command::DisableProducerStats { id } => self.with_producer(now, id, ProducerInfo::disable_stats)?,
            Command::SetProducerAppData { id, app_data } => self.producer_mut(id)?.app_data = app_data,
        }
        Ok(Accepted::Done)
    }

    // Room.

    pub(super) fn begin_join(
        &mut self,
        now: Instant,
        peer_name: String,
        app_data: Option<Value>,
    ) -> Result<Accepted, JoinError> {
        match self.state {
            RoomState::New | RoomState::Closed => {}
            RoomState::Joining | RoomState::Joined => return Err(JoinError::RoomState(self.state)),
        }
        if peer_name.is_empty() {
            return Err(JoinError::EmptyPeerName);
        }
        self.state = RoomState::Joining;
        self.announced = false;
        self.peers.clear();
        self.peer_name = Some(peer_name);
        let join = self.next_operation();
        match self.config.room_settings.clone() {
            Some(settings) => self.settings_known(now, join, app_data, settings),
            None => {
                let waiting = Waiting::QueryRoom { join, app_data };
                if let Err(error) = self.request(now, Request::QueryRoom, waiting) {
                    self.join_failed(join, error);
                }
            }
        }
        Ok(Accepted::Operation(join))
    }

    pub(super) fn settings_known(
        &mut self,
        now: Instant,
        join: OperationId,
        app_data: Option<Value>,
        settings: RoomSettings,
    ) {
        self.capabilities = SharedCapabilities::new(&settings.rtp_capabilities, &self.config.codec_preferences);
        let missing = self.capabilities.missing(&settings.mandatory_codec_payload_types);
        if !missing.is_empty() {
            let name = |pt: u8| {
                let of_room = settings.rtp_capabilities.codecs.iter().find(|codec| codec.preferred_payload_type == pt);
                of_room.map_or_else(|| format!("payload type {pt}"), |codec| codec.mime_type.clone())
            };
            let names = missing.into_iter().map(name).collect();
            self.join_failed(join, OperationError::MandatoryCodecs(names));
            return;
        }
        self.announced = true;
        self.request_join(now, join, app_data);
    }

    pub(super) fn request_join(&mut self, now: Instant, join: OperationId, app_data: Option<Value>) {
        let request = Request::Join {
            peer_name: self.peer_name.clone().unwrap_or_default(),
            rtp_capabilities: self.capabilities.receiving(),
            spy: self.config.spy,
            app_data: app_data.clone(),
        };
        if let Err(error) = self.request(now, request, Waiting::Join { join, app_data }) {
            self.join_failed(join, error);
        }
    }

    pub(super) fn join_failed(&mut self, join: OperationId, error: OperationError) {
        self.state = RoomState::New;
        self.announced = false;
        self.settled(join, Err(error));
    }

    pub(super) fn leave_room(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), RoomError> {
        match self.state {
            RoomState::New => return Err(RoomError::RoomState(self.state)),
            RoomState::Closed => {}
            RoomState::Joining | RoomState::Joined => {
                if self.announced {
                    self.outputs.notification(Notification::Leave { app_data: app_data.clone() });
                }
                self.close_room(now, Originator::Local, app_data);
            }
        }
        Ok(())
    }

    /// Closes everything, without further messages. The order is mediasoup-client's: room, transports, producers.
    pub(super) fn close_room(&mut self, now: Instant, originator: Originator, app_data: Option<Value>) {
        match self.state {
            RoomState::New | RoomState::Closed => return,
            RoomState::Joining | RoomState::Joined => {}
        }
        self.state = RoomState::Closed;
        self.announced = false;
        self.outputs.event(Event::Closed { originator, app_data });
        let joins: Vec<_> = self
            .inflight
            .cancel_all()
            .filter_map(|waiting| match waiting {
                Waiting::QueryRoom { join, .. } | Waiting::Join { join, .. } => Some(join),
                Waiting::CreateTransport { .. }
                | Waiting::RestartTransport { .. }
                | Waiting::CreateProducer { .. }
                | Waiting::Closed { .. } => None,
            })
            .collect();
        for join in joins {
            self.settled(join, Err(OperationError::RoomClosed));
        }
        for id in self.transports_in_order(|_| true) {
            self.close_transport(now, id, originator, None, false);
        }
        for id in self.producers_in_order(|_| true) {
            self.close_producer(now, id, originator, None);
        }
        self.peers.clear();
    }

    /// Ids are random; what happens to several at once happens in the order of their creation, as in mediasoup-client.
    pub(super) fn transports_in_order(&self, of_interest: impl Fn(&TransportInfo) -> bool) -> Vec<TransportId> {
        let mut found: Vec<_> = self.transports.values().filter(|transport| of_interest(transport)).collect();
        found.sort_by_key(|transport| transport.order);
        found.into_iter().map(TransportInfo::id).collect()
    }

    pub(super) fn producers_in_order(&self, of_interest: impl Fn(&ProducerInfo) -> bool) -> Vec<ProducerId> {
        let mut found: Vec<_> = self.producers.values().filter(|producer| of_interest(producer)).collect();
        found.sort_by_key(|producer| producer.order);
        found.into_iter().map(ProducerInfo::id).collect()
    }

    /// The producers of a transport, in the order in which they were handled; those that are not yet come first.
    pub(super) fn producers_on(&self, transport: TransportId) -> Vec<ProducerId> {
        let handled = |producer: &ProducerInfo| match producer.lifecycle {
            Lifecycle::Unhandled | Lifecycle::Pending { .. } => 0,
            Lifecycle::Handled { order, .. } => order,
        };
        let of_it = |producer: &&ProducerInfo| producer.transport() == Some(transport);
        let mut found: Vec<_> = self.producers.values().filter(of_it).collect();
        found.sort_by_key(|producer| handled(producer));
        found.into_iter().map(ProducerInfo::id).collect()
    }

    /// Else the state it is in.
    pub(super) fn require(&self, state: RoomState) -> Result<(), RoomState> {
        if self.state == state { Ok(()) } else { Err(self.state) }
    }
}
