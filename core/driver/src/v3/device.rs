//! The handle of a device.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use mediasoup_producer as core;
use mediasoup_producer::v3::{
    CreateSendTransportError, DeviceConfig, DeviceStats, LoadError, RtpCapabilities, TransportOptions,
    TransportParameters,
};
use mediasoup_producer::{MediaKind, ProducerId, SetupError, TransportId};
use serde_json::{Map, Value};

use super::{CreateTransportError, Error, Events, FromServer, Handle, Producer, ToServer, Transport};
use crate::driver;
use crate::options::{IoStats, Options};
use crate::runtime::Runtime;
use crate::signalling::Signalling;

/// What can send to one router of mediasoup 3, driven by a task of its own. See [`mediasoup_producer::v3::Device`] for what
/// each method means.
///
/// A cheap handle: clones are the same device, and so are its [`Transport`]s and [`Producer`]s. When the last of them is
/// dropped, or with [`close`](Self::close), the transports are closed in good order and the task ends.
///
/// Methods that are not `async` take effect before they return, and never wait for the network; they can be called from
/// any thread.
#[derive(derive_more::Debug)]
pub struct Device<R: Runtime> {
    #[debug(skip)]
    handle: Arc<Handle<R>>,
}

impl<R: Runtime> Clone for Device<R> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<R: Runtime + Default> Device<R> {
    /// A device whose requests the application takes to the server, with default options; see
    /// [`answered_by`](super::answered_by). For `seed` see [`mediasoup_producer::v3::Device::new`].
    ///
    /// # Panics
    /// As the runtime's `default()`: on tokio, outside of a runtime with sockets and timers enabled.
    pub fn new(config: DeviceConfig, seed: u64, signalling: impl Signalling<ToServer, FromServer>) -> Self {
        Self::with_options(config, seed, Options::default(), signalling)
    }

    /// The same with options.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_options(
        config: DeviceConfig,
        seed: u64,
        options: Options,
        signalling: impl Signalling<ToServer, FromServer>,
    ) -> Self {
        Self::on(R::default(), config, seed, options, signalling)
    }
}

impl<R: Runtime> Device<R> {
    /// A device on a runtime of the application's choice.
    pub fn on(
        runtime: R,
        config: DeviceConfig,
        seed: u64,
        options: Options,
        signalling: impl Signalling<ToServer, FromServer>,
    ) -> Self {
        Self { handle: driver::spawn(runtime, core::v3::Device::new(config, seed), options, signalling) }
    }

    /// To see whether anything of it is left.
    #[cfg(feature = "suite")]
    pub(crate) fn is_gone(&self) -> impl Fn() -> bool + use<R> {
        self.handle.is_gone()
    }

    /// Loads it with the capabilities of a router, once. Of the codecs in common the router's order is kept, or ours.
    pub fn load(
        &self,
        router_rtp_capabilities: RtpCapabilities,
        prefer_local_codecs_order: bool,
    ) -> Result<(), Error<LoadError, Infallible>> {
        self.handle.command(Error::Stopped, |device, now| {
            device.load(now, router_rtp_capabilities, prefer_local_codecs_order).map_err(Error::Command)
        })
    }

    /// Whether it has the capabilities of a router.
    pub fn loaded(&self) -> bool {
        self.handle.look(core::v3::Device::loaded)
    }

    /// Whether the router takes audio or video that we can send. False before it is loaded.
    pub fn can_produce(&self, kind: MediaKind) -> bool {
        self.handle.look(|device| device.can_produce(kind))
    }

    /// What can be sent to the router, best first. None before it is loaded.
    pub fn send_rtp_capabilities(&self) -> Option<RtpCapabilities> {
        self.handle.look(core::v3::Device::send_rtp_capabilities)
    }

    /// Makes our side of a transport that the server has made. Host names among its addresses are looked up first; then its
    /// sockets are opened.
    ///
    /// Cancel safe: if the future is dropped while names are looked up, nothing is made.
    pub async fn create_send_transport(
        &self,
        mut parameters: TransportParameters,
        options: TransportOptions,
        app_data: Map<String, Value>,
    ) -> Result<Transport<R>, CreateTransportError> {
        let unresolved = self.resolve(&mut parameters).await;
        let made = self.handle.command(CreateTransportError::Stopped, |device, now| {
            device.create_send_transport(now, parameters, options, app_data).map_err(CreateTransportError::Device)
        });
        let id = made.map_err(|error| match (error, unresolved) {
            (CreateTransportError::Device(CreateSendTransportError::Setup(SetupError::NoAddress)), Some(failure)) => {
                let (host, error) = failure;
                CreateTransportError::Unresolved { host, reason: error.to_string() }
            }
            (error, _) => error,
        })?;
        self.handle.rebind([id]);
        Ok(Transport::new(Arc::clone(&self.handle), id))
    }

    /// Puts addresses in the place of host names; the last of these that has none, which
    /// [`DeviceStats::candidates_unresolved`] counts.
    async fn resolve(&self, parameters: &mut TransportParameters) -> Option<(String, io::Error)> {
        let mut failure = None;
        let hosts: BTreeSet<_> = parameters.host_names().map(str::to_owned).collect();
        for host in hosts {
            let name = host.clone();
            let found = self.handle.runtime().unblock(move || look_up(&name)).await.flatten();
            match found {
                Ok(addresses) => parameters.resolve(&host, &addresses),
                Err(error) => failure = Some((host, error)),
            }
        }
        failure
    }

    /// Closes its transports if that was not done yet, says all goodbyes (RTCP BYE, DTLS close_notify), closes the sockets and
    /// the channel to the server, and ends. At most a second is spent on that. Afterwards all handles are useless, and say so
    /// with typed errors. The server's transports are the application's to close.
    ///
    /// Cancel safe: once polled it goes on when the future is dropped.
    pub async fn close(&self) {
        self.handle.begin_close();
        self.handle.ended().await;
    }

    /// Waits until the device has ended, for whatever reason.
    ///
    /// Cancel safe: it only watches.
    pub async fn ended(&self) {
        self.handle.ended().await;
    }

    /// Says that the network has changed: every transport gets new sockets on the interfaces that lead to the server
    /// now, and the old ones are withdrawn. The server is not asked: media goes on over the new path.
    pub fn network_changed(&self) {
        let ids: Vec<_> = self.handle.look(|device| device.transports().map(core::v3::TransportInfo::id).collect());
        self.handle.rebind(ids);
    }

    /// A stream of the events. The first that is asked for begins with the device; others, and there can be several, with
    /// the call.
    pub fn events(&self) -> Events {
        self.handle.events()
    }

    /// A transport; `None` if it is not known or closed.
    pub fn transport(&self, id: TransportId) -> Option<Transport<R>> {
        let is_there = self.handle.look(|device| device.transport_info(id).is_some());
        is_there.then(|| Transport::new(Arc::clone(&self.handle), id))
    }

    /// A producer; `None` if it is not known or closed.
    pub fn producer(&self, id: ProducerId) -> Option<Producer<R>> {
        let kind = self.handle.look(|device| device.producer_info(id).map(core::v3::ProducerInfo::kind))?;
        Some(Producer::new(Arc::clone(&self.handle), id, kind))
    }

    /// The transports that are not closed.
    pub fn transports(&self) -> Vec<Transport<R>> {
        let ids: Vec<_> = self.handle.look(|device| device.transports().map(core::v3::TransportInfo::id).collect());
        ids.into_iter().map(|id| Transport::new(Arc::clone(&self.handle), id)).collect()
    }

    /// The producers that are not closed, those that the server has not made yet among them.
    pub fn producers(&self) -> Vec<Producer<R>> {
        let ids: Vec<_> = self.handle.look(|device| device.producers().map(|p| (p.id(), p.kind())).collect());
        ids.into_iter().map(|(id, kind)| Producer::new(Arc::clone(&self.handle), id, kind)).collect()
    }

    /// What the state machine dropped, and what waits in it.
    pub fn stats(&self) -> DeviceStats {
        self.handle.look(core::v3::Device::stats)
    }

    /// The lines that were recorded since the last call, oldest first, if [`DeviceConfig::record`] says to record; also when
    /// the device is closed. Never waits. Call it several times a second: what is not taken waits in the device, up to
    /// [`RecordOptions::waiting_bytes`](core::record::RecordOptions::waiting_bytes).
    #[cfg(feature = "record")]
    pub fn take_record(&self) -> Vec<String> {
        self.handle.take(|device| std::iter::from_fn(|| device.poll_record()).collect())
    }

    /// What went over the sockets.
    pub fn io_stats(&self) -> IoStats {
        self.handle.stats()
    }
}

/// Of each family the address that the system puts first: which of the two leads there, ICE finds out.
fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found: Vec<_> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    let first = |v4: bool| found.iter().copied().find(|address| address.is_ipv4() == v4);
    let addresses: Vec<_> = first(true).into_iter().chain(first(false)).collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}
