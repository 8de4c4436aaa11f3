//! The handle of a producer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mediasoup_producer as core;
use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::v2::{
    ProducerError, ReplaceTrackError, RtpParameters, SendError, SendFailure, ServerId, SimulcastOptions,
};
use mediasoup_producer::{Codec, Frame, MediaError, MediaKind, ProducerId, RtpPacket, Track};
use serde_json::Value;

use super::{Error, Handle, Transport};
use crate::runtime::Runtime;

/// An audio or video track sent to the room. A cheap handle; see [`mediasoup_producer::v2::Producer`] for what each method
/// means.
///
/// Of a closed producer nothing is left but its id and kind: other properties are empty or false then.
#[derive(derive_more::Debug)]
pub struct Producer<R: Runtime> {
    #[debug(skip)]
    handle: Arc<Handle<R>>,
    id: ProducerId,
    kind: MediaKind,
}

impl<R: Runtime> Clone for Producer<R> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), ..*self }
    }
}

impl<R: Runtime> Producer<R> {
    pub(crate) const fn new(handle: Arc<Handle<R>>, id: ProducerId, kind: MediaKind) -> Self {
        Self { handle, id, kind }
    }

    fn look<T>(&self, at: impl FnOnce(&core::v2::ProducerInfo) -> T) -> Option<T> {
        self.handle.look(|room| room.producer_info(self.id).map(at))
    }

    fn command<E: From<ProducerError>>(
        &self,
        command: impl FnOnce(core::v2::Producer<'_>, Instant) -> Result<(), E>,
    ) -> Result<(), E> {
        let gone = || E::from(ProducerError::NotFound(self.id));
        self.handle.command(gone(), |room, now| command(room.producer(self.id).ok_or_else(gone)?, now))
    }

    fn write(
        &self,
        write: impl FnOnce(core::v2::Producer<'_>, Instant) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let gone = || MediaError::ProducerNotFound(self.id);
        let is_blocked = |error: &MediaError| matches!(error, MediaError::Blocked(_));
        self.handle.write((self.id, self.kind), gone(), is_blocked, |room, now| {
            write(room.producer(self.id).ok_or_else(gone)?, now)
        })
    }

    /// Sends an encoded frame: it leaves at once, or in steps if it is large, or is refused.
    ///
    /// Never waits, and is no future. Back-pressure: what a socket does not take, over UDP or TCP, waits, behind audio if it is
    /// video; when too much does, it is refused with [`Blocked`](MediaError::Blocked) and counted in
    /// [`IoStats::media_refused`](crate::IoStats::media_refused). Audio is not refused for the video that waits. Encode less
    /// then: the next frame of video that is taken must be a key frame.
    pub fn write_frame(&self, frame: Frame) -> Result<(), MediaError> {
        self.write(|mut producer, now| producer.write_frame(now, frame))
    }

    /// Sends a ready-made RTP packet, as [`write_frame`](Self::write_frame) does a frame.
    pub fn write_packet(&self, packet: RtpPacket) -> Result<(), MediaError> {
        self.write(|mut producer, now| producer.write_packet(now, packet))
    }

    /// Sends it over a transport; done when the server has answered. A failed send can be tried again. Media flows when
    /// the transport [is connected](Transport::connected).
    ///
    /// Cancel safe: once begun it goes on when the future is dropped; the events tell how it ends. Back-pressure: operations
    /// of a transport wait for each other, up to [`Limits::operations`](mediasoup_producer::Limits).
    pub async fn send(&self, transport: &Transport<R>) -> Result<(), Error<SendError, SendFailure>> {
        let (id, transport) = (self.id, transport.id());
        self.handle
            .operation(|room, now| room.producer(id).ok_or(SendError::ProducerNotFound(id))?.send(now, transport))
            .await
    }

    /// Pauses it on this side.
    pub fn pause(&self, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.command(|mut producer, now| producer.pause(now, app_data))
    }

    /// Resumes it on this side.
    pub fn resume(&self, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.command(|mut producer, now| producer.resume(now, app_data))
    }

    /// Closes it.
    pub fn close(&self, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.command(|producer, now| producer.close(now, app_data))
    }

    /// Sends another track in place of this one.
    pub fn replace_track(&self, track: Track) -> Result<(), ReplaceTrackError> {
        self.command(|mut producer, now| producer.replace_track(now, track))
    }

    /// Stops its track, as when a camera is unplugged. It stays open.
    pub fn end_track(&self) -> Result<(), ProducerError> {
        self.command(|mut producer, now| producer.end_track(now))
    }

    /// Asks for the server's statistics every `interval`, a second at least; if they are enabled already, the new interval holds.
    pub fn enable_stats(&self, interval: Duration) -> Result<(), ProducerError> {
        self.command(|mut producer, now| producer.enable_stats(now, interval))
    }

    /// Ends the server's statistics.
    pub fn disable_stats(&self) -> Result<(), ProducerError> {
        self.command(|mut producer, now| producer.disable_stats(now))
    }

    /// Sets the application's data.
    pub fn set_app_data(&self, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.command(|mut producer, now| producer.set_app_data(now, app_data))
    }

    /// Our own statistics, one entry for each encoding; none while it is not handled.
    pub fn outbound_stats(&self) -> Vec<OutboundRtpStats> {
        self.handle.look(|room| room.outbound_stats(self.id))
    }

    /// Unique identifier.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// By which the server knows it, or will; see [`mediasoup_producer::v2::ProducerInfo::server_id`].
    pub fn server_id(&self) -> Option<ServerId> {
        self.look(core::v2::ProducerInfo::server_id)
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Whether it was closed.
    pub fn closed(&self) -> bool {
        self.look(|_| ()).is_none()
    }

    /// The application's data.
    pub fn app_data(&self) -> Option<Value> {
        self.look(|producer| producer.app_data().cloned()).flatten()
    }

    /// What its media must be encoded with.
    pub fn codec(&self) -> Option<Codec> {
        self.look(core::v2::ProducerInfo::codec)
    }

    /// The simulcast settings, if it has layers.
    pub fn simulcast(&self) -> Option<SimulcastOptions> {
        self.look(core::v2::ProducerInfo::simulcast).flatten()
    }

    /// The clone it works on.
    pub fn track(&self) -> Option<Track> {
        self.look(|producer| producer.track().clone())
    }

    /// The track it was given.
    pub fn original_track(&self) -> Option<Track> {
        self.look(|producer| producer.original_track().clone())
    }

    /// The transport it is sent over, or about to be.
    pub fn transport(&self) -> Option<Transport<R>> {
        let id = self.look(core::v2::ProducerInfo::transport).flatten()?;
        Some(Transport::new(Arc::clone(&self.handle), id))
    }

    /// Whether the server knows it.
    pub fn handled(&self) -> bool {
        self.look(core::v2::ProducerInfo::handled).unwrap_or(false)
    }

    /// The effective RTP parameters, while it is handled.
    pub fn rtp_parameters(&self) -> Option<RtpParameters> {
        self.look(|producer| producer.rtp_parameters().cloned()).flatten()
    }

    /// Whether this side paused it.
    pub fn locally_paused(&self) -> bool {
        self.look(core::v2::ProducerInfo::locally_paused).unwrap_or(false)
    }

    /// Whether the server paused it.
    pub fn remotely_paused(&self) -> bool {
        self.look(core::v2::ProducerInfo::remotely_paused).unwrap_or(false)
    }

    /// Whether either side paused it.
    pub fn paused(&self) -> bool {
        self.look(core::v2::ProducerInfo::paused).unwrap_or(false)
    }

    /// The interval of the server's statistics, if they are enabled.
    pub fn stats_interval(&self) -> Option<Duration> {
        self.look(core::v2::ProducerInfo::stats_interval).flatten()
    }
}
