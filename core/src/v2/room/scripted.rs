//! A room whose media plane does as it is told.

use std::time::Instant;

use crate::connection::engine::{EngineAnswer, EngineEvent, Scripted};
use crate::id::TransportId;
#[cfg(feature = "record")]
use crate::journal::Entered;
use crate::v2::config::RoomConfig;
use crate::v2::room::Room;
#[cfg(feature = "record")]
use crate::{error::MediaError, id::ProducerId, media::Media};

impl Room {
    /// [`Scripted::scripted`](crate::sim::Scripted::scripted).
    pub(crate) fn scripted(config: RoomConfig, seed: u64) -> Self {
        Self::with_engines(config, seed, Box::new(Scripted::new(seed, true)))
    }

    /// As [`scripted`](Self::scripted), but nothing is transmitted.
    #[cfg(feature = "record")]
    pub(crate) fn silent(config: RoomConfig, seed: u64) -> Self {
        Self::with_engines(config, seed, Box::new(Scripted::new(seed, false)))
    }

    /// Takes media that was taken once: it is not refused now for what came before it.
    #[cfg(feature = "record")]
    pub(crate) fn repeat_media(&mut self, now: Instant, id: ProducerId, media: &Media) {
        if let Some(streams) = self.media.streams_mut(id) {
            streams.forgive(media);
        }
        // What media is refused is nothing to the control plane.
        let _ = self.write(now, id, media);
    }

    /// Refuses media for a reason that is known. All that may follow from it is that a key frame is asked for.
    #[cfg(feature = "record")]
    pub(crate) fn refuse_media(&mut self, now: Instant, producer: ProducerId, media: &Media, why: &str) {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Media { producer, media });
        if let Media::Frame(frame) = media {
            let needed = MediaError::KeyFrameNeeded { producer, layer: frame.layer };
            self.frame_refused(now, producer, frame.layer, why == needed.to_string());
        }
        self.entered(now, entry.refused(&Err::<(), _>(why)));
    }

    /// [`Scripted::engine_event`](crate::sim::Scripted::engine_event).
    pub(crate) fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) -> bool {
        let speaks = self.transports.get(&transport).is_some_and(|transport| transport.created());
        if !speaks || !self.media.engines.scripted() {
            return false;
        }
        let now = self.advance(now);
        self.media.heard.push_back((transport, event));
        self.hear(now);
        true
    }

    /// [`Scripted::engine_answer`](crate::sim::Scripted::engine_answer).
    pub(crate) fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) -> bool {
        if !self.media.engines.scripted() {
            return false;
        }
        match answer {
            EngineAnswer::Made(_) | EngineAnswer::NotMade(_) => self.media.engines.prepare(answer),
            EngineAnswer::NotStarted(_) | EngineAnswer::AddressRefused | EngineAnswer::Cname(_) => {
                let Some(connection) = self.media.connection_mut(transport) else { return false };
                connection.prepare(answer);
            }
        }
        true
    }
}
