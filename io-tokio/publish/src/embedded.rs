//! A room inside the program: `sim`'s server of either dialect on a real UDP socket and a real WebSocket.
//!
//! Who publishes to it joins through the front door, [`EmbeddedRoom::ws_url`], as with any other room. What it receives
//! can be listened to with [`Handle::packets`], and the [`Handle`] does what an application on the server's side could:
//! pause, resume, ask for key frames.

mod driver;
mod front_door;
mod many;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Codec, MediaKind, ProducerId};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::args::Dialect;
use driver::{Driver, Server};

pub use many::Rooms;

/// Packets kept for a listener that is slow; past it the oldest are lost to it. About two seconds of the bundled clip.
const PACKETS_KEPT: usize = 1024;

/// Commands that wait to be taken; past it their senders wait.
const COMMANDS_WAITING: usize = 64;

/// Starts rooms.
#[derive(Debug)]
pub struct Room;

/// A room that runs. It ends when this and all its handles are dropped.
#[derive(Debug)]
pub struct EmbeddedRoom {
    /// Where to join it: `ws://127.0.0.1:PORT/?roomId=embedded`. Add `&peerName=..`, or in v3 `&peerId=..`.
    pub ws_url: String,
    /// The server's side of it.
    pub handle: Handle,
}

/// Why the room cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the embedded room cannot listen on {address}: {source}; is the loopback interface up?")]
pub struct StartError {
    address: SocketAddr,
    source: io::Error,
}

/// The server's side of an embedded room. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    packets: broadcast::Sender<Packet>,
    producers: watch::Receiver<BTreeMap<ProducerKey, ProducerView>>,
}

/// Names a producer: ids are unique within a peer only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKey {
    /// The peer.
    pub peer: Arc<str>,
    /// Its producer.
    pub producer: ProducerId,
}

/// An RTP packet that the room received: decrypted, repaired ones included, duplicates not.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The producer it belongs to.
    pub producer: ProducerKey,
    /// The layer; [`Profile::Default`] without simulcast.
    pub profile: Profile,
    /// The codec.
    pub codec: Codec,
    /// The publisher's stream.
    pub ssrc: u32,
    /// The room's payload type for the codec.
    pub payload_type: u8,
    /// Extended: it does not wrap. May arrive out of order.
    pub sequence_number: u64,
    /// RTP time, in the codec's clock rate.
    pub timestamp: u32,
    /// The marker bit: for video the last packet of a frame.
    pub marker: bool,
    /// The codec's payload, with the descriptor of its RTP format.
    pub payload: Bytes,
}

/// A producer as the room sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerView {
    /// Audio or video.
    pub kind: MediaKind,
    /// The codec.
    pub codec: Codec,
    /// Whether the publisher has paused it.
    pub paused_by_peer: bool,
    /// Whether the room has paused it.
    pub paused_by_room: bool,
    /// One for each encoding, the lowest layer first.
    pub layers: Vec<LayerView>,
}

/// An encoding of a producer as the room counts it, brought up to date several times a second.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerView {
    /// The layer; [`Profile::Default`] without simulcast.
    pub profile: Profile,
    /// The publisher's stream.
    pub ssrc: u32,
    /// Packets received, duplicates not.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets lost for good so far.
    pub lost: i64,
    /// The received rate of the last second, in bits per second.
    pub bitrate_bps: u64,
}

/// What the server's side can do to a producer. Unknown producers are ignored: they may have been closed meanwhile.
#[derive(Debug)]
enum Command {
    Pause(ProducerKey),
    Resume(ProducerKey),
    RequestKeyFrame(ProducerKey, Profile),
    Close(oneshot::Sender<()>),
}

impl Room {
    /// Starts a v2 room on the loopback interface, on ports that the operating system chooses. Needs a tokio runtime.
    /// Programs can join it, web pages cannot.
    pub async fn start() -> Result<EmbeddedRoom, StartError> {
        Self::start_for(Dialect::V2, Vec::new()).await
    }

    /// Starts a room of either dialect, which scripts of web pages with these origins (`http://localhost:8080`) can join, too.
    /// Of others no WebSocket is taken: any page that a browser on this machine shows could open one, and see the picture.
    pub async fn start_for(dialect: Dialect, origins: Vec<String>) -> Result<EmbeddedRoom, StartError> {
        match dialect {
            Dialect::V2 => Self::serve(|address, seed| v2::Room::new(address, seed, true), origins).await,
            Dialect::V3 => Self::serve(|address, seed| v3::Room::new(address, seed, true), origins).await,
        }
    }

    async fn serve<S: Server>(
        server: impl FnOnce(SocketAddr, u64) -> S,
        origins: Vec<String>,
    ) -> Result<EmbeddedRoom, StartError> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let refused = |source| StartError { address: any_port, source };
        let socket = UdpSocket::bind(any_port).await.map_err(refused)?;
        let listener = TcpListener::bind(any_port).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let ws_url = format!("ws://{address}/?roomId=embedded");

        let (commands, orders) = mpsc::channel(COMMANDS_WAITING);
        let packets = broadcast::Sender::new(PACKETS_KEPT);
        let (views, producers) = watch::channel(BTreeMap::new());
        let (visitors, door) = front_door::open(listener, origins);
        let driver = Driver::new(server, socket, visitors, orders, packets.clone(), views).map_err(refused)?;
        tokio::spawn(async move {
            driver.run().await;
            door.abort();
        });
        Ok(EmbeddedRoom { ws_url, handle: Handle { commands, packets, producers } })
    }
}

impl Handle {
    /// All packets received from now on. A listener that falls behind is told so, and goes on with later ones.
    pub fn packets(&self) -> broadcast::Receiver<Packet> {
        self.packets.subscribe()
    }

    /// The producers that are there, watched: changes with each that comes or goes or is paused, and as they count.
    pub fn producers(&self) -> watch::Receiver<BTreeMap<ProducerKey, ProducerView>> {
        self.producers.clone()
    }

    /// Pauses a producer from the server's side. In v2 the publisher is told, and stops sending; in v3 it is not, and what
    /// it sends is for nobody.
    pub async fn pause(&self, producer: ProducerKey) {
        self.command(Command::Pause(producer)).await;
    }

    /// Ends the server's pause.
    pub async fn resume(&self, producer: ProducerKey) {
        self.command(Command::Resume(producer)).await;
    }

    /// Asks the publisher for a key frame of a layer (PLI).
    pub async fn request_key_frame(&self, producer: ProducerKey, profile: Profile) {
        self.command(Command::RequestKeyFrame(producer, profile)).await;
    }

    /// Closes the room: the peers are told. Returns when that is done.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.command(Command::Close(done)).await;
        // Dropped without an answer: it was closed before.
        let _ = closed.await;
    }

    async fn command(&self, command: Command) {
        // A room that is gone has nothing to be commanded.
        let _ = self.commands.send(command).await;
    }
}
