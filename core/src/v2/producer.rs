//! A producer: an audio or video track sent to the room.

pub(crate) mod state;

use std::ops::Deref;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::MediaError;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::media::{Frame, Media, RtpPacket};
use crate::stats::OutboundRtpStats;
use crate::v2::error::{CommandError, ProducerError, ReplaceTrackError, SendError};
use crate::v2::input::{Accepted, Command};
use crate::v2::room::Room;

pub use state::ProducerInfo;

/// An audio or video track sent to the room, borrowed from its [`Room`]. Its properties are those of [`ProducerInfo`],
/// to which it dereferences.
#[derive(Debug)]
pub struct Producer<'a> {
    room: &'a mut Room,
    id: ProducerId,
}

impl Deref for Producer<'_> {
    type Target = ProducerInfo;

    fn deref(&self) -> &ProducerInfo {
        self.room.producer_info(self.id).expect("a handle borrows the room of a producer that is in it")
    }
}

impl<'a> Producer<'a> {
    pub(crate) const fn new(room: &'a mut Room, id: ProducerId) -> Self {
        Self { room, id }
    }

    /// Sends it over a transport. When the server has answered, [`ProducerEvent::Handled`](crate::v2::ProducerEvent::Handled)
    /// and [`Event::Settled`](crate::v2::Event::Settled) say so; a failed send can be tried again.
    pub fn send(&mut self, now: Instant, transport: TransportId) -> Result<OperationId, SendError> {
        self.room
            .execute(now, Command::Send { id: self.id, transport })
            .map(Accepted::operation)
            .map_err(CommandError::of)
    }

    /// Pauses it on this side: no RTP leaves until [`resume`](Self::resume). Paused already, it does nothing.
    pub fn pause(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room.execute(now, Command::Pause { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Resumes it on this side; media flows again unless the server pauses it too. Not paused, it does nothing.
    pub fn resume(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room.execute(now, Command::Resume { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Closes it.
    pub fn close(self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room.execute(now, Command::CloseProducer { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Sends another track in place of this one: ids, SSRCs, transport and paused state stay. The first frame of the new
    /// track may have any media time: RTP time runs on.
    pub fn replace_track(&mut self, now: Instant, track: crate::Track) -> Result<(), ReplaceTrackError> {
        self.room.execute(now, Command::ReplaceTrack { id: self.id, track }).map(drop).map_err(CommandError::of)
    }

    /// Stops its track, as when a camera is unplugged:
    /// [`ProducerEvent::TrackEnded`](crate::v2::ProducerEvent::TrackEnded) follows. It stays open; close it if that is meant.
    pub fn end_track(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.room.execute(now, Command::EndTrack { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Asks for the server's statistics every `interval`, whole milliseconds from a second to 24 days, of which the first come
    /// at once; if they are enabled already, the new interval holds from now on:
    /// [`ProducerEvent::Stats`](crate::v2::ProducerEvent::Stats). None come while it is paused.
    pub fn enable_stats(&mut self, now: Instant, interval: Duration) -> Result<(), ProducerError> {
        self.room
            .execute(now, Command::EnableProducerStats { id: self.id, interval })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Ends the server's statistics.
    pub fn disable_stats(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.room.execute(now, Command::DisableProducerStats { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Sets the application's data. The server is told what it is when the producer is sent.
    pub fn set_app_data(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room
            .execute(now, Command::SetProducerAppData { id: self.id, app_data })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Sends an encoded frame. It leaves as soon as outputs are polled, the end of a large one up to 30 ms later
    /// ([`RoomConfig::burst`](crate::v2::RoomConfig::burst)); or it is refused, and nothing is kept for later.
    pub fn write_frame(&mut self, now: Instant, frame: Frame) -> Result<(), MediaError> {
        self.room.write(now, self.id, &Media::Frame(frame))
    }

    /// Sends a ready-made RTP packet. It leaves as soon as outputs are polled, or it is refused; nothing is kept for later.
    pub fn write_packet(&mut self, now: Instant, packet: RtpPacket) -> Result<(), MediaError> {
        self.room.write(now, self.id, &Media::Packet(packet))
    }

    /// Our own statistics, one entry for each encoding; none while it is not handled.
    pub fn outbound_stats(&self) -> Vec<OutboundRtpStats> {
        self.room.outbound_stats(self.id)
    }
}
