//! A media plane that does as it is told.

use std::time::Instant;

use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::TransportId;
use crate::v2::{Room, RoomConfig};

/// What stands on a media plane that does as it is told, for tests of all that is above it.
pub trait Scripted: Sized {
    /// What it is made with.
    type Config;

    /// Made without ICE, DTLS and SRTP, for tests: its transports connect, fail and report when
    /// [`engine_event`](Self::engine_event) says so. Everything in it comes from the seed, in every process: ids, CNAMEs and
    /// fingerprints too. It runs thousands of sessions a second.
    ///
    /// RTP leaves in the clear: each packet that gets through is one [`Output::Transmit`](crate::v2::Output::Transmit), a
    /// header of twelve bytes and the payload. So a test sees what was sent, and that nothing was when nothing should be.
    ///
    /// ```
    /// # #![allow(clippy::disallowed_methods)]
    /// # use std::time::Instant;
    /// use mediasoup_producer::sim::Scripted;
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
    fn scripted(config: Self::Config, seed: u64) -> Self;

    /// Lets the engine of a transport say something. False, and nothing happens, if it cannot speak: the room is not
    /// [`scripted`](Self::scripted), or the server has not answered `createTransport` yet.
    fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) -> bool;

    /// Prepares the answer to the next thing the media plane is asked, in place of the usual one. False if nobody is
    /// there to give it: the room is not [`scripted`](Self::scripted), or the transport has no engine.
    ///
    /// [`EngineAnswer::Made`] and [`EngineAnswer::NotMade`] are for the next engine, whatever its transport; a transport
    /// has its engine from its first `createTransport` on.
    fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) -> bool;
}

impl Scripted for Room {
    type Config = RoomConfig;

    fn scripted(config: RoomConfig, seed: u64) -> Self {
        Room::scripted(config, seed)
    }

    fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) -> bool {
        Room::engine_event(self, now, transport, event)
    }

    fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) -> bool {
        Room::engine_answer(self, transport, answer)
    }
}
