//! The handle of a transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mediasoup_producer as core;
use mediasoup_producer::v3::{
    IceCandidate, OperationError, ProduceError, ProduceOptions, RestartIceError, TransportError,
};
use mediasoup_producer::{ConnectionState, IceParameters, IceProtocol, SelectedPath, Track, TransportId};
use serde_json::{Map, Value};

use super::{ConnectedError, Error, Handle, Producer};
use crate::runtime::Runtime;

/// A path to the server over which producers are sent. A cheap handle; see [`mediasoup_producer::v3::Transport`] for what
/// each method means.
///
/// Of a closed transport nothing is left but its id: properties are empty then.
#[derive(derive_more::Debug)]
pub struct Transport<R: Runtime> {
    #[debug(skip)]
    handle: Arc<Handle<R>>,
    id: TransportId,
}

impl<R: Runtime> Clone for Transport<R> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), ..*self }
    }
}

impl<R: Runtime> Transport<R> {
    pub(super) const fn new(handle: Arc<Handle<R>>, id: TransportId) -> Self {
        Self { handle, id }
    }

    fn look<T>(&self, at: impl FnOnce(&core::v3::TransportInfo) -> T) -> Option<T> {
        self.handle.look(|device| device.transport_info(self.id).map(at))
    }

    fn command(
        &self,
        command: impl FnOnce(core::v3::Transport<'_>, Instant) -> Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        let gone = TransportError::NotFound(self.id);
        self.handle.command(gone.clone(), |device, now| command(device.transport(self.id).ok_or(gone)?, now))
    }

    /// Makes a producer of a track; done when the server has answered. Media flows when the transport
    /// [is connected](Self::connected), which the first producer brings about.
    ///
    /// Cancel safe: once begun it goes on when the future is dropped; the events tell how it ends, and
    /// [`Device::producers`](super::Device::producers) has it. Back-pressure: operations of a transport wait for each other,
    /// up to [`Limits::operations`](mediasoup_producer::Limits).
    pub async fn produce(
        &self,
        track: Track,
        options: ProduceOptions,
    ) -> Result<Producer<R>, Error<ProduceError, OperationError>> {
        let (id, kind) = (self.id, track.kind());
        let begin = |device: &mut core::v3::Device, now| {
            let mut transport = device.transport(id).ok_or(ProduceError::NotFound(id))?;
            let producing = transport.produce(now, track, options)?;
            Ok((producing.producer, vec![producing.operation]))
        };
        let producer = self.handle.operations::<_, _, Error<ProduceError, OperationError>>(begin).await?;
        Ok(Producer::new(Arc::clone(&self.handle), producer, kind))
    }

    /// Restarts ICE with new credentials, which the application has got from the server. Media goes on meanwhile.
    ///
    /// Cancel safe: once begun it goes on when the future is dropped.
    pub async fn restart_ice(
        &self,
        ice_parameters: IceParameters,
    ) -> Result<(), Error<RestartIceError, OperationError>> {
        let id = self.id;
        self.handle
            .operation(|device, now| {
                device.transport(id).ok_or(RestartIceError::NotFound(id))?.restart_ice(now, ice_parameters)
            })
            .await
    }

    /// Closes it and its producers on this side. The server's side is the application's to close.
    pub fn close(&self) -> Result<(), TransportError> {
        self.command(|transport, now| transport.close(now))
    }

    /// Waits until it is connected. Make a producer on it first: that is what makes it connect. Fails when it is closed or
    /// has failed; the event says why.
    ///
    /// Cancel safe: it only watches.
    pub async fn connected(&self) -> Result<(), ConnectedError> {
        let state = |device: &core::v3::Device| connection_state(device, self.id);
        self.handle.connected(state).await
    }

    /// Opens new sockets and withdraws the old ones: see [`Device::network_changed`](super::Device::network_changed).
    pub fn rebind(&self) -> Result<(), TransportError> {
        self.command(|_, _| Ok(()))?;
        self.handle.rebind([self.id]);
        Ok(())
    }

    /// Sets the application's data.
    pub fn set_app_data(&self, app_data: Map<String, Value>) -> Result<(), TransportError> {
        self.command(|mut transport, now| transport.set_app_data(now, app_data))
    }

    /// Our handle of it.
    pub const fn id(&self) -> TransportId {
        self.id
    }

    /// By which the server knows it: mediasoup-client's `transport.id`.
    pub fn server_id(&self) -> Option<String> {
        self.look(|transport| transport.server_id().to_owned())
    }

    /// Whether it was closed.
    pub fn closed(&self) -> bool {
        self.look(|_| ()).is_none()
    }

    /// Always `send`.
    pub const fn direction(&self) -> &'static str {
        "send"
    }

    /// The application's data.
    pub fn app_data(&self) -> Map<String, Value> {
        self.look(|transport| transport.app_data().clone()).unwrap_or_default()
    }

    /// As mediasoup-client names it.
    pub fn connection_state(&self) -> ConnectionState {
        self.handle.look(|device| connection_state(device, self.id))
    }

    /// The server's addresses, best first.
    pub fn remote_candidates(&self) -> Vec<IceCandidate> {
        self.look(|transport| transport.remote_candidates().to_vec()).unwrap_or_default()
    }

    /// Our addresses. For TCP the port means nothing.
    pub fn local_addresses(&self) -> Vec<(IceProtocol, SocketAddr)> {
        self.look(|transport| transport.local_addresses().collect()).unwrap_or_default()
    }

    /// Where its media goes, and how long the way there and back takes; `None` before ICE has found a path.
    pub fn selected_path(&self) -> Option<SelectedPath> {
        self.look(core::v3::TransportInfo::selected_path).flatten()
    }
}

fn connection_state(device: &core::v3::Device, id: TransportId) -> ConnectionState {
    device.transport_info(id).map_or(ConnectionState::Closed, core::v3::TransportInfo::connection_state)
}
