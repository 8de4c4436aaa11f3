//! The handle of a producer.

use std::sync::Arc;
use std::time::Instant;

use mediasoup_producer as core;
use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::v3::{
    EncodingUpdate, ProducerError, ReplaceTrackError, RtpParameters, SetMaxSpatialLayerError,
};
use mediasoup_producer::{Codec, Frame, MediaError, MediaKind, ProducerId, RtpPacket, Track};
use serde_json::{Map, Value};

use super::{Handle, Transport};
use crate::runtime::Runtime;

/// An audio or video track sent to the router. A cheap handle; see [`mediasoup_producer::v3::Producer`] for what each method
/// means.
///
/// What is done here happens on this side alone, and at once: whether the server is to hear of a pause, a resume or a close
/// is for the application to decide. Of a closed producer nothing is left but its id and kind: other properties are empty or
/// false then.
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
    pub(super) const fn new(handle: Arc<Handle<R>>, id: ProducerId, kind: MediaKind) -> Self {
        Self { handle, id, kind }
    }

    fn look<T>(&self, at: impl FnOnce(&core::v3::ProducerInfo) -> T) -> Option<T> {
        self.handle.look(|device| device.producer_info(self.id).map(at))
    }

    fn command<E>(
        &self,
        gone: E,
        command: impl FnOnce(core::v3::Producer<'_>, Instant) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: Clone,
    {
        self.handle.command(gone.clone(), |device, now| command(device.producer(self.id).ok_or(gone)?, now))
    }

    fn write(
        &self,
        write: impl FnOnce(core::v3::Producer<'_>, Instant) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let gone = || MediaError::ProducerNotFound(self.id);
        let is_blocked = |error: &MediaError| matches!(error, MediaError::Blocked(_));
        self.handle.write((self.id, self.kind), gone(), is_blocked, |device, now| {
            write(device.producer(self.id).ok_or_else(gone)?, now)
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

    /// Closes it.
    pub fn close(&self) -> Result<(), ProducerError> {
        self.command(ProducerError::NotFound(self.id), |producer, now| producer.close(now))
    }

    /// Pauses it: no RTP leaves until [`resume`](Self::resume).
    pub fn pause(&self) -> Result<(), ProducerError> {
        self.command(ProducerError::NotFound(self.id), |mut producer, now| producer.pause(now))
    }

    /// Resumes it.
    pub fn resume(&self) -> Result<(), ProducerError> {
        self.command(ProducerError::NotFound(self.id), |mut producer, now| producer.resume(now))
    }

    /// Sends another track in place of this one, or none.
    pub fn replace_track(&self, track: Option<Track>) -> Result<(), ReplaceTrackError> {
        self.command(ReplaceTrackError::NotFound(self.id), |mut producer, now| producer.replace_track(now, track))
    }

    /// Stops its track, as when a camera is unplugged. It stays open.
    pub fn end_track(&self) -> Result<(), ProducerError> {
        self.command(ProducerError::NotFound(self.id), |mut producer, now| producer.end_track(now))
    }

    /// Sends the encodings up to this one, counted from 0 at the lowest resolution, and not those above it.
    pub fn set_max_spatial_layer(&self, layer: usize) -> Result<(), SetMaxSpatialLayerError> {
        let gone = SetMaxSpatialLayerError::NotFound(self.id);
        self.command(gone, |mut producer, now| producer.set_max_spatial_layer(now, layer))
    }

    /// Changes every encoding: what mediasoup-client calls `setRtpEncodingParameters`.
    pub fn set_encoding_parameters(&self, parameters: EncodingUpdate) -> Result<(), ProducerError> {
        let gone = ProducerError::NotFound(self.id);
        self.command(gone, |mut producer, now| producer.set_encoding_parameters(now, parameters))
    }

    /// Sets the application's data.
    pub fn set_app_data(&self, app_data: Map<String, Value>) -> Result<(), ProducerError> {
        self.command(ProducerError::NotFound(self.id), |mut producer, now| producer.set_app_data(now, app_data))
    }

    /// Our own statistics, one entry for each encoding.
    pub fn outbound_stats(&self) -> Vec<OutboundRtpStats> {
        self.handle.look(|device| device.outbound_stats(self.id))
    }

    /// Our handle of it.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// By which the server knows it: mediasoup-client's `producer.id`.
    pub fn server_id(&self) -> Option<String> {
        self.look(|producer| producer.server_id().map(str::to_owned)).flatten()
    }

    /// The MID: mediasoup-client's `producer.localId`.
    pub fn local_id(&self) -> Option<String> {
        self.look(|producer| producer.local_id().map(str::to_owned)).flatten()
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
    pub fn app_data(&self) -> Map<String, Value> {
        self.look(|producer| producer.app_data().clone()).unwrap_or_default()
    }

    /// What its media must be encoded with.
    pub fn codec(&self) -> Option<Codec> {
        self.look(core::v3::ProducerInfo::codec)
    }

    /// The track, if it has one.
    pub fn track(&self) -> Option<Track> {
        self.look(|producer| producer.track().cloned()).flatten()
    }

    /// The transport it is made on.
    pub fn transport(&self) -> Option<Transport<R>> {
        let id = self.look(core::v3::ProducerInfo::transport)?;
        Some(Transport::new(Arc::clone(&self.handle), id))
    }

    /// How it is sent.
    pub fn rtp_parameters(&self) -> Option<RtpParameters> {
        self.look(|producer| producer.rtp_parameters().cloned()).flatten()
    }

    /// Whether it is paused.
    pub fn paused(&self) -> bool {
        self.look(core::v3::ProducerInfo::paused).unwrap_or(false)
    }

    /// The highest encoding that is sent, if that was [bounded](Self::set_max_spatial_layer).
    pub fn max_spatial_layer(&self) -> Option<usize> {
        self.look(core::v3::ProducerInfo::max_spatial_layer).flatten()
    }

    /// Whether an encoding is sent.
    pub fn is_active(&self, layer: usize) -> bool {
        self.look(|producer| producer.is_active(layer)).unwrap_or(false)
    }
}
