//! The model's names for things, and the room's.

use serde_json::Value;

use super::Difference;
use crate::error::{CommandError, InputError, MediaError};
use crate::id::{ProducerId, TransportId};

/// In the order of creation, as the model names them.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) transports: Vec<TransportId>,
    pub(super) producers: Vec<ProducerId>,
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

    /// A message with the model's names for things, and without what is ours to choose.
    pub(super) fn normal(&self, mut message: Value) -> Result<Value, Difference> {
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let Some(fields) = message.as_object_mut() else { return Ok(message) };
        for (name, value) in fields.iter_mut() {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            match (name.as_str(), id) {
                ("id", Some(id)) if !method.contains("Transport") => *value = self.producer_index(id.into())?.into(),
                ("id" | "transportId", Some(id)) => *value = self.transport_index(id.into())?.into(),
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
        InputError::Command(error) => match error {
            CommandError::RoomState(_) => "RoomState",
            CommandError::EmptyPeerName => "EmptyPeerName",
            CommandError::Spy => "Spy",
            CommandError::CannotSend { .. } => "CannotSend",
            CommandError::OptionsMismatch(_) => "OptionsMismatch",
            CommandError::TrackEnded => "TrackEnded",
            CommandError::TrackKind(_) => "TrackKind",
            CommandError::TransportNotFound(_) => "TransportNotFound",
            CommandError::ProducerNotFound(_) => "ProducerNotFound",
            CommandError::AlreadyHandled(_) => "AlreadyHandled",
            CommandError::NotStarted(_) => "NotStarted",
            CommandError::BadAddress(_) => "BadAddress",
            CommandError::Limit { .. } => "Limit",
            CommandError::OutputsNotPolled(_) => "OutputsNotPolled",
        },
        InputError::Media(error) => match error {
            MediaError::ProducerNotFound(_) => "ProducerNotFound",
            MediaError::Unhandled(_) => "Unhandled",
            MediaError::Paused(_) => "Paused",
            MediaError::NotConnected(_) => "NotConnected",
            MediaError::UnknownProfile { .. } => "UnknownProfile",
            MediaError::KeyFrameNeeded { .. } => "KeyFrameNeeded",
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
