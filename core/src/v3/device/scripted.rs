//! A device whose media plane does as it is told.

use std::time::Instant;

use super::Device;
use crate::connection::engine::{EngineAnswer, EngineEvent, Scripted};
use crate::id::TransportId;
use crate::v3::options::DeviceConfig;
#[cfg(feature = "record")]
use crate::{error::MediaError, id::ProducerId, journal::Entered, media::Media};

impl Device {
    /// A device without ICE, DTLS and SRTP, for tests: its transports connect, fail and report when
    /// [`engine_event`](Self::engine_event) says so. Everything in it comes from the seed, in every process: CNAMEs and
    /// fingerprints too.
    ///
    /// RTP leaves in the clear: each packet that gets through is one [`Output::Transmit`](super::Output::Transmit), a header
    /// of twelve bytes and the payload.
    pub fn scripted(config: DeviceConfig, seed: u64) -> Self {
        Self::with_engines(config, seed, Box::new(Scripted::new(seed, true)))
    }

    /// As [`scripted`](Self::scripted), but nothing is transmitted.
    #[cfg(feature = "record")]
    pub(crate) fn silent(config: DeviceConfig, seed: u64) -> Self {
        Self::with_engines(config, seed, Box::new(Scripted::new(seed, false)))
    }

    /// Takes media that was taken once: it is not refused now for what came before it.
    #[cfg(feature = "record")]
    pub(crate) fn repeat_media(&mut self, now: Instant, id: ProducerId, media: &Media) {
        if let Some(streams) = self.streams_mut(id) {
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

    /// Lets the engine of a transport say something. False, and nothing happens, if it cannot speak: the device is not
    /// [`scripted`](Self::scripted), or `connect` was not answered yet.
    pub fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) -> bool {
        let speaks = self.transports.get(&transport).is_some_and(|transport| transport.machine.begun());
        if !speaks || !self.engines.scripted() {
            return false;
        }
        let now = self.advance(now);
        self.heard.push_back((transport, event));
        self.hear(now);
        true
    }

    /// Prepares the answer to the next thing the media plane is asked, in place of the usual one. False if nobody is there to
    /// give it: the device is not [`scripted`](Self::scripted), or the transport is not there.
    ///
    /// [`EngineAnswer::Made`] and [`EngineAnswer::NotMade`] are for the next engine, whatever its transport.
    pub fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) -> bool {
        if !self.engines.scripted() {
            return false;
        }
        match answer {
            EngineAnswer::Made(_) | EngineAnswer::NotMade(_) => self.engines.prepare(answer),
            EngineAnswer::NotStarted(_) | EngineAnswer::AddressRefused | EngineAnswer::Cname(_) => {
                let Some(transport) = self.transports.get_mut(&transport) else { return false };
                transport.connection.prepare(answer);
            }
        }
        true
    }
}
