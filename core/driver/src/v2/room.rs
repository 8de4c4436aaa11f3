//! The handle of a room.

use std::sync::Arc;

use mediasoup_producer as core;
use mediasoup_producer::v2::protocol::Peer;
use mediasoup_producer::v2::stats::RoomStats;
use mediasoup_producer::v2::{
    CreateProducerError, CreateTransportError, JoinError, JoinFailure, ProducerOptions, RestartIceFailure, RoomConfig,
    RoomError, RoomState, SendCodec,
};
use mediasoup_producer::{MediaKind, ProducerId, Track, TransportId};
use serde_json::Value;

#[cfg(feature = "websocket")]
use super::ProtooConnector;
use super::{Error, Events, FromServer, Handle, Producer, ToServer, Transport};
use crate::driver;
#[cfg(feature = "websocket")]
use crate::error::SignallingError;
use crate::options::{IoStats, Options};
use crate::runtime::Runtime;
use crate::signalling::Signalling;

/// A mediasoup room, driven by a task of its own. See [`mediasoup_producer::v2::Room`] for what each method means.
///
/// A cheap handle: clones are the same room, and so are its [`Transport`]s and [`Producer`]s. When the last of them is
/// dropped, or with [`close`](Self::close), the room is left in good order and the task ends.
///
/// Methods that are not `async` take effect before they return, and never wait for the network; they can be called from
/// any thread.
#[derive(derive_more::Debug)]
pub struct Room<R: Runtime> {
    #[debug(skip)]
    handle: Arc<Handle<R>>,
}

impl<R: Runtime> Clone for Room<R> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<R: Runtime + Default> Room<R> {
    /// Connects to a room at a `ws://` or `wss://` URL that speaks protoo, with default options and a random seed. It is
    /// to be [joined](Self::join) next.
    ///
    /// Cancel safe: if the future is dropped the connection is, too.
    #[cfg(feature = "websocket")]
    pub async fn connect(url: &str, config: RoomConfig) -> Result<Self, SignallingError> {
        let signalling = ProtooConnector::<R>::new().connect(url).await?;
        Ok(Self::new(config, core::random_seed(), signalling))
    }

    /// A room over a channel of the application's own, with default options. For `seed` see
    /// [`mediasoup_producer::v2::Room::new`].
    ///
    /// # Panics
    /// As the runtime's `default()`: on tokio, outside of a runtime with sockets and timers enabled.
    pub fn new(config: RoomConfig, seed: u64, signalling: impl Signalling<ToServer, FromServer>) -> Self {
        Self::with_options(config, seed, Options::default(), signalling)
    }

    /// A room over a channel of the application's own.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_options(
        config: RoomConfig,
        seed: u64,
        options: Options,
        signalling: impl Signalling<ToServer, FromServer>,
    ) -> Self {
        Self::on(R::default(), config, seed, options, signalling)
    }
}

impl<R: Runtime> Room<R> {
    /// A room on a runtime of the application's choice.
    pub fn on(
        runtime: R,
        config: RoomConfig,
        seed: u64,
        options: Options,
        signalling: impl Signalling<ToServer, FromServer>,
    ) -> Self {
        Self { handle: driver::spawn(runtime, core::v2::Room::new(config, seed), options, signalling) }
    }

    /// To see whether anything of it is left.
    #[cfg(feature = "suite")]
    pub(crate) fn is_gone(&self) -> impl Fn() -> bool + use<R> {
        self.handle.is_gone()
    }

    /// Joins the room as `peer_name`. A room that was left can be joined again.
    ///
    /// Cancel safe: once begun it goes on when the future is dropped, and the events tell that we are in.
    pub async fn join(
        &self,
        peer_name: impl Into<String>,
        app_data: Option<Value>,
    ) -> Result<(), Error<JoinError, JoinFailure>> {
        self.handle.operation(|room, now| room.join(now, peer_name, app_data)).await
    }

    /// Leaves the room: says so to the server, then closes everything. The connection to the server stays.
    pub fn leave(&self, app_data: Option<Value>) -> Result<(), RoomError> {
        self.handle.command(RoomError::RoomState(RoomState::Closed), |room, now| room.leave(now, app_data))
    }

    /// Leaves the room if that was not done yet, says all goodbyes (producers and transports closed, RTCP BYE, DTLS
    /// close_notify, `leave`, the WebSocket's close), closes the sockets and ends. At most a second is spent on that.
    /// Afterwards all handles are useless, and say so with typed errors.
    ///
    /// Cancel safe: once polled it goes on when the future is dropped.
    pub async fn close(&self) {
        self.handle.begin_close();
        self.handle.ended().await;
    }

    /// Waits until the room has ended, for whatever reason.
    ///
    /// Cancel safe: it only watches.
    pub async fn ended(&self) {
        self.handle.ended().await;
    }

    /// Makes a send transport.
    pub fn create_transport(&self, app_data: Option<Value>) -> Result<Transport<R>, CreateTransportError> {
        let gone = CreateTransportError::RoomState(RoomState::Closed);
        let id = self.handle.command(gone, |room, now| room.create_transport(now, app_data))?;
        Ok(Transport::new(Arc::clone(&self.handle), id))
    }

    /// Makes a producer for a track.
    pub fn create_producer(
        &self,
        track: Track,
        options: ProducerOptions,
        app_data: Option<Value>,
    ) -> Result<Producer<R>, CreateProducerError> {
        let kind = track.kind();
        let gone = CreateProducerError::RoomState(RoomState::Closed);
        let id = self.handle.command(gone, |room, now| room.create_producer(now, track, options, app_data))?;
        Ok(Producer::new(Arc::clone(&self.handle), id, kind))
    }

    /// Restarts ICE on every transport that was begun; done when all have ended. If some fail, the first of these is
    /// told, in the order in which they were made, and the others go on.
    ///
    /// Cancel safe: once begun it goes on when the future is dropped.
    pub async fn restart_ice(&self) -> Result<(), Error<RoomError, RestartIceFailure>> {
        self.handle.operations(|room, now| Ok::<_, RoomError>(((), room.restart_ice(now)?))).await
    }

    /// Says that the network has changed: every transport gets new sockets on the interfaces that lead to the server
    /// now, and the old ones are withdrawn. The server is not asked: media goes on over the new path.
    pub fn network_changed(&self) {
        let ids: Vec<_> = self.handle.look(|room| room.transports().map(core::v2::TransportInfo::id).collect());
        self.handle.rebind(ids);
    }

    /// A stream of the events. The first that is asked for begins with the room; others, and there can be several, with
    /// the call.
    pub fn events(&self) -> Events {
        self.handle.events()
    }

    /// A transport; `None` if it is not known or closed.
    pub fn transport(&self, id: TransportId) -> Option<Transport<R>> {
        self.handle.look(|room| room.transport_info(id).is_some()).then(|| Transport::new(Arc::clone(&self.handle), id))
    }

    /// A producer; `None` if it is not known or closed.
    pub fn producer(&self, id: ProducerId) -> Option<Producer<R>> {
        let kind = self.handle.look(|room| room.producer_info(id).map(core::v2::ProducerInfo::kind))?;
        Some(Producer::new(Arc::clone(&self.handle), id, kind))
    }

    /// The transports that are not closed.
    pub fn transports(&self) -> Vec<Transport<R>> {
        let ids: Vec<_> = self.handle.look(|room| room.transports().map(core::v2::TransportInfo::id).collect());
        ids.into_iter().map(|id| Transport::new(Arc::clone(&self.handle), id)).collect()
    }

    /// The producers that are not closed.
    pub fn producers(&self) -> Vec<Producer<R>> {
        let ids: Vec<_> = self.handle.look(|room| room.producers().map(|p| (p.id(), p.kind())).collect());
        ids.into_iter().map(|(id, kind)| Producer::new(Arc::clone(&self.handle), id, kind)).collect()
    }

    /// The other peers, by name.
    pub fn peers(&self) -> Vec<Peer> {
        self.handle.look(|room| room.peers().cloned().collect())
    }

    /// Where the room is in its life.
    pub fn state(&self) -> RoomState {
        self.handle.look(core::v2::Room::state)
    }

    /// Whether we are in the room.
    pub fn joined(&self) -> bool {
        self.handle.look(core::v2::Room::joined)
    }

    /// Whether the room was left or closed.
    pub fn closed(&self) -> bool {
        self.handle.look(core::v2::Room::closed)
    }

    /// The name we joined with.
    pub fn peer_name(&self) -> Option<String> {
        self.handle.look(|room| room.peer_name().map(str::to_owned))
    }

    /// Whether the room takes audio or video from us.
    pub fn can_send(&self, kind: MediaKind) -> bool {
        self.handle.look(|room| room.can_send(kind))
    }

    /// The codecs a producer of this kind can use, with their parameters, best first.
    pub fn send_codecs(&self, kind: MediaKind) -> Vec<SendCodec> {
        self.handle.look(|room| room.send_codecs(kind))
    }

    /// What the state machine dropped, and what waits in it.
    pub fn stats(&self) -> RoomStats {
        self.handle.look(core::v2::Room::stats)
    }

    /// The lines that were recorded since the last call, oldest first, if [`RoomConfig::record`] says to record; also when
    /// the room has ended. Never waits. Call it several times a second: what is not taken waits in the room, up to
    /// [`RecordOptions::waiting_bytes`](core::record::RecordOptions::waiting_bytes).
    #[cfg(feature = "record")]
    pub fn take_record(&self) -> Vec<String> {
        self.handle.take(|room| std::iter::from_fn(|| room.poll_record()).collect())
    }

    /// What went over the sockets.
    pub fn io_stats(&self) -> IoStats {
        self.handle.stats()
    }
}
