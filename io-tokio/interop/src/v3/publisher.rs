//! Our side: a device on io-tokio or io-smol, loaded with what the server says, and what it has made.

use std::sync::Arc;

use mediasoup_producer::v3::{
    DeviceConfig, Event as DeviceEvent, OperationError, ProduceError, ProduceOptions, ProducerEvent, TransportEvent,
    TransportOptions, TransportParameters,
};
use mediasoup_producer::{ConnectionState, Track, stats::OutboundRtpStats};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::server::{Received, Server};
use super::session::{Session, Told};
use crate::events::Events;
use crate::io::v3 as io;
use crate::io::v3::{Device, Error, Event, answered_by};
use crate::player;
use crate::poll::{PATIENCE, eventually, within};
use crate::relay::Relay;
use crate::server::PEER;
use crate::signalling::Tampering;
use crate::source::EncodedFrame;

/// A loaded device, with all that it says. Ends when it and what was made of it are dropped.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The device.
    pub device: Device,
    /// What the device says.
    pub events: Events<Event>,
    session: Session,
    /// Does what the server says of its own accord; ends with this.
    _wired: Arc<JoinSet<()>>,
}

/// A transport that the server has made.
#[derive(Debug, Clone)]
pub struct Transport {
    publisher: Publisher,
    /// Our handle of it.
    pub handle: io::Transport,
    /// By which the server knows it.
    pub server_id: String,
}

/// A producer that the server has.
#[derive(Debug, Clone)]
pub struct Producer {
    publisher: Publisher,
    /// Our handle of it.
    pub handle: io::Producer,
    /// By which the server knows it.
    pub server_id: String,
}

impl Publisher {
    /// Connects, and loads a device.
    pub async fn join(server: &Server) -> Self {
        Self::join_as(server, DeviceConfig::default(), |_| {}).await
    }

    /// The same with a configuration, and with the router's capabilities changed before they are loaded.
    pub async fn join_as(server: &Server, config: DeviceConfig, change: impl FnOnce(&mut Value)) -> Self {
        let (session, told) = Session::connect(server.url(PEER)).await;
        let answers = session.clone();
        let device = Device::new(config, 7, answered_by(move |request| answers.clone().answer(request)));
        let events = Events::of(device.events());
        let mut wired = JoinSet::new();
        wired.spawn(wire(device.clone(), told));
        let publisher = Self { device, events, session, _wired: Arc::new(wired) };
        let mut capabilities = publisher.ask("routerRtpCapabilities", json!({})).await.expect("it is answered");
        change(&mut capabilities);
        let capabilities = serde_json::from_value(capabilities).expect("capabilities");
        publisher.device.load(capabilities, false).expect("it is loaded");
        publisher
    }

    /// Asks the server something, as the application: its answer, or its words of refusal.
    pub async fn ask(&self, method: &'static str, data: Value) -> Result<Value, String> {
        within(PATIENCE, method, self.session.ask(method, data)).await
    }

    /// Has questions changed on their way to the server from now on, by their method.
    pub fn tamper(&self, tamper: impl Fn(&str, &mut Value) + Send + 'static) {
        self.session.tamper(tamper);
    }

    /// A transport, made with options of the server's `createWebRtcTransport`.
    pub async fn transport(&self, options: Value) -> Transport {
        self.transport_as(options, |_| {}).await
    }

    /// A transport behind a relay.
    pub async fn transport_through(&self, relay: &mut Relay, options: Value) -> Transport {
        self.transport_as(options, |parameters| relay.response(parameters)).await
    }

    async fn transport_as(&self, options: Value, change: impl FnOnce(&mut Value)) -> Transport {
        let mut parameters = self.ask("createWebRtcTransport", options).await.expect("the server makes it");
        change(&mut parameters);
        let parameters: TransportParameters = serde_json::from_value(parameters).expect("parameters of a transport");
        let server_id = parameters.id.clone();
        let handle = self.device.create_send_transport(parameters, TransportOptions::default(), Map::new()).await;
        Transport { publisher: self.clone(), handle: handle.expect("it can be made"), server_id }
    }
}

/// A server that pauses, resumes or closes a producer does so for everybody.
async fn wire(device: Device, mut told: Told) {
    while let Some((method, data)) = told.recv().await {
        let of = |producer: &io::Producer| producer.server_id().as_deref() == data["producerId"].as_str();
        let Some(producer) = device.producers().into_iter().find(of) else { continue };
        match method.as_str() {
            "producerPaused" => producer.pause(),
            "producerResumed" => producer.resume(),
            "producerClosed" => producer.close(),
            _ => continue,
        }
        .expect("it is there");
    }
}

impl Transport {
    /// Makes a producer, which the server takes.
    pub async fn produce(&self, track: Track, options: ProduceOptions) -> Producer {
        self.try_produce(track, options).await.expect("the server takes it")
    }

    /// The same for one that may be refused.
    pub async fn try_produce(
        &self,
        track: Track,
        options: ProduceOptions,
    ) -> Result<Producer, Error<ProduceError, OperationError>> {
        let handle = within(PATIENCE, "the server answers", self.handle.produce(track, options)).await?;
        let server_id = handle.server_id().expect("the server has it");
        Ok(Producer { publisher: self.publisher.clone(), handle, server_id })
    }

    /// Waits until it is connected.
    pub async fn connected(&self) {
        within(PATIENCE, "the transport is connected", self.handle.connected()).await.expect("it connects");
    }

    /// The connection states that it went through from `mark` on.
    pub fn states(&self, mark: usize) -> Vec<ConnectionState> {
        self.publisher.events.all(mark, |event| match event {
            Event::Device(DeviceEvent::Transport { id, event: TransportEvent::ConnectionStateChange { state } }) => {
                (*id == self.handle.id()).then_some(*state)
            }
            _ => None,
        })
    }

    /// Restarts ICE, with new credentials of the server's.
    pub async fn restart_ice(&self) {
        let answer = self.publisher.ask("restartIce", json!({ "transportId": self.server_id })).await;
        let ice_parameters = answer.expect("the server restarts ICE")["iceParameters"].take();
        let ice_parameters = serde_json::from_value(ice_parameters).expect("credentials");
        self.handle.restart_ice(ice_parameters).await.expect("ICE restarts");
    }
}

impl Producer {
    /// Pauses, as an application does: here and at the server.
    pub async fn pause(&self) {
        self.handle.pause().expect("it is open");
        self.tell("pauseProducer").await;
    }

    /// Resumes, likewise.
    pub async fn resume(&self) {
        self.tell("resumeProducer").await;
        self.handle.resume().expect("it is open");
    }

    /// Closes, likewise.
    pub async fn close(&self) {
        self.handle.close().expect("it is open");
        self.tell("closeProducer").await;
    }

    async fn tell(&self, method: &'static str) {
        self.publisher.ask(method, json!({ "producerId": self.server_id })).await.expect("the server does it");
    }

    /// What was said about it from `mark` on, without what comes by itself (key frames, bitrates).
    pub fn events(&self, mark: usize) -> Vec<ProducerEvent> {
        self.publisher.events.all(mark, |event| match event {
            Event::Device(DeviceEvent::Producer { id, event }) if *id == self.handle.id() => match event {
                ProducerEvent::KeyFrameRequest { .. } | ProducerEvent::TargetBitrate { .. } => None,
                event => Some(event.clone()),
            },
            _ => None,
        })
    }

    /// Waits until the server has counted as many packets as we have sent, on every stream, and gives its counters. The
    /// player must have been stopped.
    pub async fn arrived(&self, server: &Server) -> Vec<Received> {
        let sent = self.sent();
        assert!(!sent.is_empty());
        let ours: Vec<_> = sent.iter().map(|stream| (stream.ssrc, stream.packets_sent)).collect();
        eventually(&format!("the server has counted {ours:?}"), async || {
            let received = server.received(&self.server_id).await;
            let theirs: Vec<_> = received.iter().map(|stream| (stream.ssrc, stream.packet_count)).collect();
            (ours == theirs).then_some(received)
        })
        .await
    }

    /// Our counters, one for each encoding.
    pub fn sent(&self) -> Vec<OutboundRtpStats> {
        self.handle.outbound_stats()
    }
}

/// Plays sources into a producer, in real time.
#[derive(Debug)]
pub struct Player;

impl Player {
    /// Plays one source into a producer without layers.
    pub fn single(producer: &Producer, source: impl Iterator<Item = EncodedFrame> + Send + 'static) -> player::Player {
        Self::layers(producer, vec![source])
    }

    /// Plays one into each of its encodings, in step.
    pub fn layers<S>(producer: &Producer, sources: Vec<S>) -> player::Player
    where
        S: Iterator<Item = EncodedFrame> + Send + 'static,
    {
        let producer = producer.handle.clone();
        player::Player::of((0..).zip(sources).collect(), move |frame| producer.write_frame(frame))
    }
}
