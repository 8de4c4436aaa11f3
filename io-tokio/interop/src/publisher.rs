//! Our side: a room joined through io-tokio, or io-smol.

use crate::io::v2::{FromServer, Producer, ProtooConnector, Room, ToServer, Transport};
use crate::io::{Options, Signalling};
use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::v2::{ProducerOptions, RoomConfig};
use mediasoup_producer::{MediaKind, Track};
use serde_json::json;

use crate::events::Events;
use crate::poll::{PATIENCE, eventually, within};
use crate::server::{PEER, Server};

/// Options for a server with the stock certificate, which the default DTLS does not take.
#[cfg(feature = "legacy-dtls")]
pub fn stock() -> RoomConfig {
    RoomConfig::default().dtls_backend(mediasoup_producer::DtlsBackend::Legacy)
}

/// A room that was joined, with all that it says.
#[derive(Debug)]
pub struct Publisher {
    /// The room.
    pub room: Room,
    /// What it says.
    pub events: Events,
}

impl Publisher {
    /// Joins the server's room.
    pub async fn join(server: &Server, config: RoomConfig) -> Self {
        Self::join_with(server, config, Options::default()).await
    }

    /// Joins the server's room, with options of the adapter.
    pub async fn join_with(server: &Server, config: RoomConfig, options: Options) -> Self {
        let signalling = ProtooConnector::new().connect(&server.url(PEER)).await.expect("the server is there");
        Self::join_over(signalling, config, options).await
    }

    /// Joins over a channel of the test's own.
    pub async fn join_over(
        signalling: impl Signalling<ToServer, FromServer>,
        config: RoomConfig,
        options: Options,
    ) -> Self {
        let publisher = Self::connect_over(signalling, config, options);
        publisher.room.join(PEER, Some(json!({ "displayName": "Alice" }))).await.expect("the room lets us in");
        publisher
    }

    /// Connects, but does not join.
    pub fn connect_over(
        signalling: impl Signalling<ToServer, FromServer>,
        config: RoomConfig,
        options: Options,
    ) -> Self {
        let room = Room::with_options(config, 7, options, signalling);
        let events = Events::of(room.events());
        Self { room, events }
    }

    /// A transport.
    pub fn transport(&self) -> Transport {
        self.room.create_transport(Some(json!({ "media": "send" }))).expect("a joined room has transports")
    }

    /// Makes a producer and sends it.
    pub async fn send(&self, transport: &Transport, track: Track, options: ProducerOptions) -> Producer {
        let producer =
            self.room.create_producer(track, options, Some(json!({ "source": "clip" }))).expect("it can be sent");
        producer.send(transport).await.expect("the server takes it");
        producer
    }

    /// Waits until a transport is connected.
    pub async fn connected(&self, transport: &Transport) {
        within(PATIENCE, "the transport is connected", transport.connected()).await.expect("it connects");
    }

    /// Waits until the server has counted as many packets as we have sent, on every stream, and gives our counters. The
    /// player must have been stopped.
    pub async fn arrived(&self, server: &Server, producer: &Producer) -> Vec<OutboundRtpStats> {
        let sent = producer.outbound_stats();
        assert!(!sent.is_empty());
        let ours: Vec<_> = sent.iter().map(|stream| (stream.ssrc, stream.packets_sent)).collect();
        eventually(&format!("the server has counted {ours:?}"), async || {
            let received = server.received(producer.id()).await;
            let theirs: Vec<_> = received.iter().map(|stream| (stream.ssrc, stream.packet_count)).collect();
            (ours == theirs).then_some(())
        })
        .await;
        sent
    }
}

/// A microphone.
pub fn audio_track() -> Track {
    Track::new(MediaKind::Audio, "beat", "The clip's beat")
}

/// A camera.
pub fn video_track() -> Track {
    Track::new(MediaKind::Video, "clip", "The clip")
}
