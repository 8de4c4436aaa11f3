//! The model's names for things, and the room's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Difference;
use crate::error::{MediaError, OutputsNotPolled};
use crate::id::{ProducerId, TransportId};
use crate::v2::Room;
use crate::v2::ServerId;
use crate::v2::protocol::Request;
use crate::v2::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, InputError, JoinError, ProducerError,
    ReplaceTrackError, RestartIceError, RoomError, SendError, TransportError,
};

/// In the order of creation, as the model names them.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) transports: Vec<TransportId>,
    pub(super) producers: Vec<ProducerId>,
    /// What the server was asked to make, in the order of creation of what it is for.
    at_server: BTreeMap<(Kind, ServerId), usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Transport,
    Producer,
}

impl Names {
    pub(super) fn transport(&self, index: usize) -> TransportId {
        // Ours have eight digits.
        self.transports.get(index).copied().unwrap_or(TransportId::from(7))
    }

    pub(super) fn producer(&self, index: usize) -> ProducerId {
        self.producers.get(index).copied().unwrap_or(ProducerId::from(7))
    }

    pub(super) fn transport_index(&self, id: TransportId) -> Result<usize, Difference> {
        let at = self.transports.iter().position(|known| *known == id);
        at.ok_or_else(|| Difference(format!("transport {id} was never made")))
    }

    pub(super) fn producer_index(&self, id: ProducerId) -> Result<usize, Difference> {
        let at = self.producers.iter().position(|known| *known == id);
        at.ok_or_else(|| Difference(format!("producer {id} was never made")))
    }

    /// Takes note of what the server will call things.
    pub(super) fn learn(&mut self, room: &Room, request: &Request) -> Result<(), Difference> {
        let (key, index) = match request {
            Request::CreateTransport { id, .. } => {
                let made = |ours: &TransportId| room.transport_info(*ours).is_some_and(|info| info.server_id() == *id);
                ((Kind::Transport, *id), self.transports.iter().position(made))
            }
            Request::CreateProducer { id, .. } => {
                let made = |ours: &ProducerId| room.producer_info(*ours).is_some_and(|info| info.server_id() == *id);
                ((Kind::Producer, *id), self.producers.iter().position(made))
            }
            Request::QueryRoom | Request::Join { .. } | Request::RestartTransport { .. } => return Ok(()),
        };
        let index = index.ok_or_else(|| Difference(format!("{request:?} is for nothing that was made")))?;
        match self.at_server.insert(key, index) {
            Some(other) if other != index => Err(Difference(format!("{request:?} has the id of another"))),
            _ => Ok(()),
        }
    }

    fn index(&self, kind: Kind, id: u32) -> Result<usize, Difference> {
        let index = self.at_server.get(&(kind, id.into())).copied();
        index.ok_or_else(|| Difference(format!("the server was never asked to make {kind:?} {id}")))
    }

    /// A message with the model's names for things, and without what is ours to choose.
    pub(super) fn normal(&self, mut message: Value) -> Result<Value, Difference> {
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let Some(fields) = message.as_object_mut() else { return Ok(message) };
        for (name, value) in fields.iter_mut() {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            match (name.as_str(), id) {
                ("id", Some(id)) if !method.contains("Transport") => *value = self.index(Kind::Producer, id)?.into(),
                ("id" | "transportId", Some(id)) => *value = self.index(Kind::Transport, id)?.into(),
                ("rtpCapabilities" | "dtlsParameters", _) => *value = "ours".into(),
                ("rtpParameters", _) => {
                    let encodings = value["encodings"].as_array().into_iter().flatten();
                    *value = encodings.map(|encoding| encoding["profile"].clone()).collect();
                }
                _ => {}
            }
        }
        Ok(message)
    }
}

/// The name of an error's innermost variant, which is all that the model knows of it.
pub(super) fn error_name(error: &InputError) -> &'static str {
    match error {
        InputError::Command(error) => command_error_name(error),
        InputError::Media(error) => match error {
            MediaError::ProducerNotFound(_) => "ProducerNotFound",
            MediaError::Unhandled(_) => "Unhandled",
            MediaError::NotProduced(_) => "NotProduced",
            MediaError::NoTrack(_) => "NoTrack",
            MediaError::Inactive { .. } => "Inactive",
            MediaError::Paused(_) => "Paused",
            MediaError::NotConnected(_) => "NotConnected",
            MediaError::UnknownLayer { .. } => "UnknownLayer",
            MediaError::KeyFrameNeeded { .. } => "KeyFrameNeeded",
            MediaError::TemporalLayer { .. } => "TemporalLayer",
            MediaError::NoTemporalLayer { .. } => "NoTemporalLayer",
            MediaError::TooLarge { .. } => "TooLarge",
            MediaError::Malformed { .. } => "Malformed",
            MediaError::EmptyPacket => "EmptyPacket",
            MediaError::DuplicatePacket => "DuplicatePacket",
            MediaError::OutOfSequence => "OutOfSequence",
            MediaError::TooManyPackets(_) => "TooManyPackets",
            MediaError::Blocked(_) => "Blocked",
            MediaError::OutputsNotPolled(_) => "OutputsNotPolled",
        },
    }
}

fn command_error_name(error: &CommandError) -> &'static str {
    match error {
        CommandError::Join(JoinError::RoomState(_))
        | CommandError::Room(RoomError::RoomState(_))
        | CommandError::CreateTransport(CreateTransportError::RoomState(_))
        | CommandError::CreateProducer(CreateProducerError::RoomState(_)) => "RoomState",
        CommandError::Join(JoinError::EmptyPeerName) => "EmptyPeerName",
        CommandError::CreateTransport(CreateTransportError::Spy)
        | CommandError::CreateProducer(CreateProducerError::Spy) => "Spy",
        CommandError::CreateProducer(CreateProducerError::CannotSend { .. }) => "CannotSend",
        CommandError::CreateProducer(CreateProducerError::OptionsMismatch(_)) => "OptionsMismatch",
        CommandError::CreateProducer(CreateProducerError::TrackEnded)
        | CommandError::ReplaceTrack(ReplaceTrackError::TrackEnded) => "TrackEnded",
        CommandError::ReplaceTrack(ReplaceTrackError::TrackKind(_)) => "TrackKind",
        CommandError::Transport(TransportError::NotFound(_))
        | CommandError::AddAddress(AddAddressError::NotFound(_))
        | CommandError::RestartIce(RestartIceError::NotFound(_))
        | CommandError::Send(SendError::TransportNotFound(_)) => "TransportNotFound",
        CommandError::Producer(ProducerError::NotFound(_))
        | CommandError::ReplaceTrack(ReplaceTrackError::NotFound(_))
        | CommandError::Send(SendError::ProducerNotFound(_)) => "ProducerNotFound",
        CommandError::Send(SendError::AlreadyHandled(_)) => "AlreadyHandled",
        CommandError::RestartIce(RestartIceError::NotStarted(_)) => "NotStarted",
        CommandError::AddAddress(AddAddressError::BadAddress(_)) => "BadAddress",
        CommandError::CreateTransport(CreateTransportError::Limit(_))
        | CommandError::CreateProducer(CreateProducerError::Limit(_))
        | CommandError::AddAddress(AddAddressError::Limit(_))
        | CommandError::RestartIce(RestartIceError::Limit(_))
        | CommandError::Send(SendError::Limit(_)) => "Limit",
        CommandError::RemoteClose(OutputsNotPolled(_))
        | CommandError::Join(JoinError::OutputsNotPolled(_))
        | CommandError::Room(RoomError::OutputsNotPolled(_))
        | CommandError::CreateTransport(CreateTransportError::OutputsNotPolled(_))
        | CommandError::CreateProducer(CreateProducerError::OutputsNotPolled(_))
        | CommandError::Transport(TransportError::OutputsNotPolled(_))
        | CommandError::AddAddress(AddAddressError::OutputsNotPolled(_))
        | CommandError::RestartIce(RestartIceError::OutputsNotPolled(_))
        | CommandError::Producer(ProducerError::OutputsNotPolled(_))
        | CommandError::Send(SendError::OutputsNotPolled(_))
        | CommandError::ReplaceTrack(ReplaceTrackError::OutputsNotPolled(_)) => "OutputsNotPolled",
    }
}
