//! The handle of a transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mediasoup_producer as core;
use mediasoup_producer::v2::{RestartIceError, RestartIceFailure, ServerId, TransportError};
use mediasoup_producer::{ConnectionState, SelectedPath, TransportId};
use mediasoup_producer::{IceCandidate, IceProtocol};
use serde_json::Value;

use super::{ConnectedError, Error, Handle};
use crate::runtime::Runtime;

/// A path to the server over which producers are sent. A cheap handle; see [`mediasoup_producer::v2::Transport`] for what
/// each method means. Its sockets are opened when the server has told its addresses.
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
    pub(crate) const fn new(handle: Arc<Handle<R>>, id: TransportId) -> Self {
        Self { handle, id }
    }

    fn look<T>(&self, at: impl FnOnce(&core::v2::TransportInfo) -> T) -> Option<T> {
        self.handle.look(|room| room.transport_info(self.id).map(at))
    }

    fn command(
        &self,
        command: impl FnOnce(core::v2::Transport<'_>, std::time::Instant) -> Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        let gone = TransportError::NotFound(self.id);
        self.handle.command(gone.clone(), |room, now| command(room.transport(self.id).ok_or(gone)?, now))
    }

    /// Unique identifier.
    pub const fn id(&self) -> TransportId {
        self.id
    }

    /// By which the server knows it, or will; see [`mediasoup_producer::v2::TransportInfo::server_id`].
    pub fn server_id(&self) -> Option<ServerId> {
        self.look(core::v2::TransportInfo::server_id)
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
    pub fn app_data(&self) -> Option<Value> {
        self.look(|transport| transport.app_data().cloned()).flatten()
    }

    /// Sets the application's data.
    pub fn set_app_data(&self, app_data: Option<Value>) -> Result<(), TransportError> {
        self.command(|mut transport, now| transport.set_app_data(now, app_data))
    }

    /// As mediasoup-client names it.
    pub fn connection_state(&self) -> ConnectionState {
        self.handle.look(|room| connection_state(room, self.id))
    }

    /// Waits until it is connected. Send a producer over it first: that is what makes it connect. Fails when it is closed
    /// or has failed; the event says why.
    ///
    /// Cancel safe: it only watches.
    pub async fn connected(&self) -> Result<(), ConnectedError> {
        let state = |room: &core::v2::Room| connection_state(room, self.id);
        self.handle.connected(state).await
    }

    /// The server's addresses, once it has answered.
    pub fn remote_candidates(&self) -> Vec<IceCandidate> {
        self.look(|transport| transport.remote_candidates().to_vec()).unwrap_or_default()
    }

    /// Our addresses. For TCP the port means nothing.
    pub fn local_addresses(&self) -> Vec<(IceProtocol, SocketAddr)> {
        self.look(|transport| transport.local_addresses().collect()).unwrap_or_default()
    }

    /// Where its media goes, and how long the way there and back takes; `None` before ICE has found a path. See
    /// [`mediasoup_producer::v2::Transport::selected_path`].
    pub fn selected_path(&self) -> Option<SelectedPath> {
        self.handle.look(|room| room.selected_path(self.id))
    }

    /// Opens new sockets and withdraws the old ones: see [`Room::network_changed`](super::Room::network_changed).
    pub fn rebind(&self) -> Result<(), TransportError> {
        self.command(|_, _| Ok(()))?;
        self.handle.rebind([self.id]);
        Ok(())
    }

    /// Restarts ICE with new credentials of the server. Media goes on meanwhile.
    ///
    /// Cancel safe: once begun it goes on when the future is dropped.
    pub async fn restart_ice(&self) -> Result<(), Error<RestartIceError, RestartIceFailure>> {
        let id = self.id;
        self.handle
            .operation(|room, now| room.transport(id).ok_or(RestartIceError::NotFound(id))?.restart_ice(now))
            .await
    }

    /// The interval of the server's statistics, if they are enabled.
    pub fn stats_interval(&self) -> Option<Duration> {
        self.look(core::v2::TransportInfo::stats_interval).flatten()
    }

    /// Asks for the server's statistics every `interval`, a second at least; if they are enabled already, the new interval holds.
    pub fn enable_stats(&self, interval: Duration) -> Result<(), TransportError> {
        self.command(|mut transport, now| transport.enable_stats(now, interval))
    }

    /// Ends the server's statistics.
    pub fn disable_stats(&self) -> Result<(), TransportError> {
        self.command(|mut transport, now| transport.disable_stats(now))
    }

    /// Closes it. Its producers are un-handled, and can be sent over another.
    pub fn close(&self, app_data: Option<Value>) -> Result<(), TransportError> {
        self.command(|transport, now| transport.close(now, app_data))
    }
}

fn connection_state(room: &core::v2::Room, id: TransportId) -> ConnectionState {
    room.transport_info(id).map_or(ConnectionState::Closed, core::v2::TransportInfo::connection_state)
}
