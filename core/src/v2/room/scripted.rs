//! A room whose media plane does as it is told.

use std::time::Instant;

#[cfg(feature = "serde")]
use super::journal::Entered;
use crate::connection::engine::{EngineAnswer, EngineEvent, Scripted};
use crate::id::TransportId;
use crate::v2::config::RoomConfig;
use crate::v2::room::Room;
#[cfg(feature = "serde")]
use crate::{error::MediaError, id::ProducerId, media::Media};

impl Room {
    /// A room without ICE, DTLS and SRTP, for tests: its transports connect, fail and report when
    /// [`engine_event`](Self::engine_event) says so. Everything in it comes from the seed, in every process: ids, CNAMEs and
    /// fingerprints too. It runs thousands of sessions a second.
    ///
    /// RTP leaves in the clear: each packet that gets through is one [`Output::Transmit`](crate::v2::Output::Transmit), a
    /// header of twelve bytes and the payload. So a test sees what was sent, and that nothing was when nothing should be.
    ///
    /// ```
    /// # #![allow(clippy::disallowed_methods)]
    /// # use std::time::Instant;
    /// use mediasoup_producer::v2::{Room, RoomConfig};
    ///
    /// let now = Instant::now();
    /// let mut room = Room::scripted(RoomConfig::default(), 42);
    /// room.join(now, "camera-1", None)?;
    /// let first = room.poll_output();
    /// let mut again = Room::scripted(RoomConfig::default(), 42);
    /// again.join(now, "camera-1", None)?;
    /// assert_eq!(again.poll_output(), first);
    /// # Ok::<(), mediasoup_producer::v2::CommandError>(())
    /// ```
    pub fn scripted(config: RoomConfig, seed: u64) -> Self {
        Self::with_engines(config, seed, Box::new(Scripted::new(seed, true)))
    }

    /// As [`scripted`](Self::scripted), but nothing is transmitted.
    #[cfg(feature = "serde")]
    pub(crate) fn silent(config: RoomConfig, seed: u64) -> Self {
        Self::with_engines(config, seed, Box::new(Scripted::new(seed, false)))
    }

    /// Takes media that was taken once: it is not refused now for what came before it.
    #[cfg(feature = "serde")]
    pub(crate) fn repeat_media(&mut self, now: Instant, id: ProducerId, media: &Media) {
        if let Some(streams) = self.streams_mut(id) {
            streams.forgive(media);
        }
        // What media is refused is nothing to the control plane.
        let _ = self.write(now, id, media);
    }

    /// Refuses media for a reason that is known. All that may follow from it is that a key frame is asked for.
    #[cfg(feature = "serde")]
    pub(crate) fn refuse_media(&mut self, now: Instant, producer: ProducerId, media: &Media, why: &str) {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Media { producer, media });
        if let Media::Frame(frame) = media {
            let needed = MediaError::KeyFrameNeeded { producer, profile: frame.profile };
            self.frame_refused(now, producer, frame.profile, why == needed.to_string());
        }
        self.entered(now, entry.refused(&Err::<(), _>(why)));
    }

    /// Lets the engine of a transport say something. False, and nothing happens, if it cannot speak: the room is not
    /// [`scripted`](Self::scripted), or the server has not answered `createTransport` yet.
    pub fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) -> bool {
        let speaks = self.transports.get(&transport).is_some_and(|transport| transport.state.created());
        if !speaks || !self.engines.scripted() {
            return false;
        }
        let now = self.advance(now);
        self.heard.push_back((transport, event));
        self.hear(now);
        true
    }

    /// Prepares the answer to the next thing the media plane is asked, in place of the usual one. False if nobody is
    /// there to give it: the room is not [`scripted`](Self::scripted), or the transport has no engine.
    ///
    /// [`EngineAnswer::Made`] and [`EngineAnswer::NotMade`] are for the next engine, whatever its transport; a transport
    /// has its engine from its first `createTransport` on.
    pub fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) -> bool {
        if !self.engines.scripted() {
            return false;
        }
        match answer {
            EngineAnswer::Made(_) | EngineAnswer::NotMade(_) => self.engines.prepare(answer),
            EngineAnswer::NotStarted(_) | EngineAnswer::AddressRefused | EngineAnswer::Cname(_) => {
                let Some(connection) = self.connection_mut(transport) else { return false };
                connection.prepare(answer);
            }
        }
        true
    }
}
