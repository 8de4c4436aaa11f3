//! What a stay in a room asks of a dialect.

use std::time::Duration;

use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::{ConnectionState, Frame, MediaError, Originator, ProducerId, RtpPacket};
use mediasoup_producer_tokio::{v2, v3};

use super::RunError;
use super::feed::TrackInfo;
use crate::args::Args;
use crate::report::{Event, RoomCount, Sockets};

/// The connection to a server, and what is made over it. A cheap handle.
pub(super) trait Line: Clone + Send + 'static {
    type Ear: Ear;
    type Transport: Clone;
    type Producer: Sending;

    /// Connects to the server, which is to tell so often what it counts.
    async fn connect(args: &Args, url: &str, count_every: Duration) -> Result<(Self, Self::Ear), RunError>;

    /// What its sockets did not take so far.
    fn sockets(&self) -> Sockets;

    /// What was recorded since the last call, if it is to be.
    fn take_record(&self) -> Vec<String>;

    /// Joins the room and makes a transport. Gives who else is there, too.
    async fn enter(&self, peer: &str) -> Result<(Self::Transport, Vec<String>), RunError>;

    /// Has the server take a track, the `index`th. It is told what the room counts of it from here on.
    async fn produce(
        &self,
        transport: &Self::Transport,
        index: usize,
        track: &TrackInfo,
    ) -> Result<Self::Producer, RunError>;

    /// Waits until the transport is connected. False: it will not be.
    async fn connected(transport: &Self::Transport) -> bool;

    /// The server's addresses, for people.
    fn offered(transport: &Self::Transport) -> Vec<String>;

    /// Begins to look for another path with new credentials. The events tell whether it helps.
    fn restart_ice(&self, transport: &Self::Transport);

    /// Asks at once what the room counts.
    fn recount(&self, producers: &[Self::Producer]);

    /// Leaves in good order.
    async fn leave(&self, producers: &[Self::Producer]);
}

/// What the server and the driver say.
pub(super) trait Ear {
    /// What they say next. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> News;
}

/// A producer.
pub(super) trait Sending {
    fn id(&self) -> ProducerId;
    fn paused(&self) -> bool;
    fn write_frame(&self, frame: Frame) -> Result<(), MediaError>;
    fn write_packet(&self, packet: RtpPacket) -> Result<(), MediaError>;
    fn outbound_stats(&self) -> Vec<OutboundRtpStats>;
}

/// The handles of both dialects have the same methods for media.
macro_rules! sending {
    ($($producer:ty),*) => {$(
        impl Sending for $producer {
            fn id(&self) -> ProducerId {
                self.id()
            }

            fn paused(&self) -> bool {
                self.paused()
            }

            fn write_frame(&self, frame: Frame) -> Result<(), MediaError> {
                self.write_frame(frame)
            }

            fn write_packet(&self, packet: RtpPacket) -> Result<(), MediaError> {
                self.write_packet(packet)
            }

            fn outbound_stats(&self) -> Vec<OutboundRtpStats> {
                self.outbound_stats()
            }
        }
    )*};
}

sending!(v2::Producer, v3::Producer);

/// Something that a stay acts on.
#[derive(Debug)]
pub(super) enum News {
    /// Only to be told.
    Told(Event),
    /// The transport has got into this state.
    Connection(ConnectionState),
    /// Something about a producer.
    Producer(ProducerId, OfProducer),
    /// The room does not say what it receives.
    Untold,
    /// The stay is over.
    Over(RunError),
    /// Of no consequence here.
    Nothing,
}

/// Something about a producer.
#[derive(Debug)]
pub(super) enum OfProducer {
    /// What the room has received of it, by SSRC.
    Received(Vec<(u32, RoomCount)>),
    /// The server has closed it.
    Closed,
    Paused(Originator),
    Resumed(Originator),
    /// Of the layer.
    KeyFrameRequest(usize),
    /// In the layer.
    TimeWentBack(usize),
    TargetBitrate {
        layer: usize,
        bitrate_bps: u64,
    },
}
