//! Our side: a device that was loaded with what the server says, and handles of what it has made.

use std::net::{Ipv4Addr, SocketAddr};

use mediasoup_producer::v3::{
    Accepted, Command, Device, DeviceConfig, Event, Input, InputError, OperationError, ProduceOptions, ProducerEvent,
    TransportEvent, TransportParameters,
};
use mediasoup_producer::{
    ConnectionState, IceProtocol, Media, OperationId, ProducerId, Track, TransportId, stats::OutboundRtpStats,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::application::{self, Application, Turn};
use super::server::{Received, Server};
use crate::events::{Events, Recorder};
use crate::player;
use crate::poll::{PATIENCE, eventually, within};
use crate::relay::Relay;
use crate::server::PEER;
use crate::signalling::Tampering;
use crate::source::EncodedFrame;

/// A loaded device, with all that it says. Ends when it and the handles of it are dropped.
#[derive(Debug, Clone)]
pub struct Publisher {
    turns: mpsc::UnboundedSender<Turn>,
    /// What the device says.
    pub events: Events<Event>,
}

/// A transport that the server has made.
#[derive(Debug, Clone)]
pub struct Transport {
    publisher: Publisher,
    /// Our handle of it.
    pub id: TransportId,
    /// By which the server knows it.
    pub server_id: String,
}

/// A producer that the server has.
#[derive(Debug, Clone)]
pub struct Producer {
    publisher: Publisher,
    /// Our handle of it.
    pub id: ProducerId,
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
        let url = server.url(PEER);
        let (signalling, _) = tokio_tungstenite::connect_async(url).await.expect("the server is there");
        let (turns, receiver) = mpsc::unbounded_channel();
        let (recorder, events) = Recorder::new();
        tokio::spawn(application::run(Device::new(config, 7), signalling, recorder, receiver));
        let publisher = Self { turns, events };
        let mut capabilities = publisher.ask("routerRtpCapabilities", json!({})).await.expect("it is answered");
        change(&mut capabilities);
        let router_rtp_capabilities = serde_json::from_value(capabilities).expect("capabilities");
        let load = Command::Load { router_rtp_capabilities, prefer_local_codecs_order: false };
        publisher.command(load).await.expect("it is loaded");
        publisher
    }

    /// Does something in the loop.
    pub(crate) async fn turn<T: Send + 'static>(&self, turn: impl FnOnce(&mut Application) -> T + Send + 'static) -> T {
        let (sender, done) = oneshot::channel();
        let turn = Box::new(move |application: &mut Application| {
            // Who waits no more is a player that was stopped.
            let _ = sender.send(turn(application));
        });
        assert!(self.turns.send(turn).is_ok(), "the loop runs");
        done.await.expect("the loop runs")
    }

    /// Gives a command.
    pub async fn command(&self, command: Command) -> Result<Accepted, InputError> {
        self.turn(|application| application.command(command)).await
    }

    /// Asks the server something, as the application: its answer, or its words of refusal.
    pub async fn ask(&self, method: &'static str, data: Value) -> Result<Value, String> {
        let (sender, answer) = oneshot::channel();
        self.turn(move |application| application.ask(method, data, sender)).await;
        within(PATIENCE, method, answer).await.expect("the WebSocket is open")
    }

    /// Has questions changed on their way to the server from now on, by their method.
    pub async fn tamper(&self, tamper: impl Fn(&str, &mut Value) + Send + 'static) {
        self.turn(|application| application.tamper = Box::new(tamper)).await;
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
        let server_id = parameters["id"].as_str().expect("a transport has an id").to_owned();
        let mut parameters: TransportParameters =
            serde_json::from_value(parameters).expect("parameters of a transport");
        // The only name there is in this bench.
        parameters.resolve("localhost", &[Ipv4Addr::LOCALHOST.into()]);
        let id = self.turn(|application| application.open(parameters)).await;
        Transport { publisher: self.clone(), id, server_id }
    }

    /// How an operation ended.
    async fn settled(&self, of: OperationId) -> Result<(), OperationError> {
        self.events
            .wait("the operation ends", |event| match event {
                Event::Settled { operation, result } if *operation == of => Some(result.clone()),
                _ => None,
            })
            .await
    }
}

impl Transport {
    /// Makes a producer, which the server takes.
    pub async fn produce(&self, track: Track, options: ProduceOptions) -> Producer {
        self.try_produce(track, options).await.expect("the server takes it")
    }

    /// The same for one that may be refused.
    pub async fn try_produce(&self, track: Track, options: ProduceOptions) -> Result<Producer, OperationError> {
        let publisher = self.publisher.clone();
        let command = Command::Produce { transport: self.id, track, options };
        let Ok(Accepted::Producing(producing)) = publisher.command(command).await else { panic!("it cannot be made") };
        publisher.settled(producing.operation).await?;
        let id = producing.producer;
        let server_id = publisher.events.wait("the server's id", |event| match event {
            Event::Producer { id: of, event: ProducerEvent::Produced { producer_id } } if *of == id => {
                Some(producer_id.clone())
            }
            _ => None,
        });
        let server_id = server_id.await;
        Ok(Producer { publisher, id, server_id })
    }

    /// Waits until it is connected.
    pub async fn connected(&self) {
        self.publisher
            .events
            .wait("the transport is connected", |event| match event {
                Event::Transport { id, event: TransportEvent::ConnectionStateChange { state } } => {
                    (*id == self.id && *state == ConnectionState::Connected).then_some(())
                }
                _ => None,
            })
            .await;
    }

    /// The connection states that it went through from `mark` on.
    pub fn states(&self, mark: usize) -> Vec<ConnectionState> {
        self.publisher.events.all(mark, |event| match event {
            Event::Transport { id, event: TransportEvent::ConnectionStateChange { state } } if *id == self.id => {
                Some(*state)
            }
            _ => None,
        })
    }

    /// Restarts ICE, with new credentials of the server's.
    pub async fn restart_ice(&self) {
        let mut answer = self.publisher.ask("restartIce", json!({ "transportId": self.server_id })).await;
        let ice_parameters = answer.as_mut().map(|answer| answer["iceParameters"].take());
        let ice_parameters =
            serde_json::from_value(ice_parameters.expect("the server restarts ICE")).expect("credentials");
        let restart = Command::RestartIce { id: self.id, ice_parameters };
        let Ok(Accepted::Operation(operation)) = self.publisher.command(restart).await else { panic!("it cannot be") };
        self.publisher.settled(operation).await.expect("ICE restarts");
    }

    /// One more socket of ours for UDP.
    pub async fn socket(&self, server: SocketAddr) -> SocketAddr {
        let id = self.id;
        self.publisher.turn(move |application| application.socket(id, IceProtocol::Udp, server)).await
    }

    /// One less.
    pub async fn close_socket(&self, address: SocketAddr) {
        let id = self.id;
        self.publisher.turn(move |application| application.close(id, IceProtocol::Udp, address)).await;
    }
}

impl Producer {
    /// Gives a command that is done at once.
    pub async fn command(&self, command: Command) {
        self.publisher.command(command).await.expect("it can be done");
    }

    /// Pauses, as an application does: here and at the server.
    pub async fn pause(&self) {
        self.command(Command::Pause { id: self.id }).await;
        self.tell("pauseProducer").await;
    }

    /// Resumes, likewise.
    pub async fn resume(&self) {
        self.tell("resumeProducer").await;
        self.command(Command::Resume { id: self.id }).await;
    }

    /// Closes, likewise.
    pub async fn close(&self) {
        self.command(Command::CloseProducer { id: self.id }).await;
        self.tell("closeProducer").await;
    }

    async fn tell(&self, method: &'static str) {
        self.publisher.ask(method, json!({ "producerId": self.server_id })).await.expect("the server does it");
    }

    /// What was said about it from `mark` on, without what comes by itself (key frames, bitrates).
    pub fn events(&self, mark: usize) -> Vec<ProducerEvent> {
        self.publisher.events.all(mark, |event| match event {
            Event::Producer { id, event } if *id == self.id => match event {
                ProducerEvent::KeyFrameRequest { .. } | ProducerEvent::TargetBitrate { .. } => None,
                event => Some(event.clone()),
            },
            _ => None,
        })
    }

    /// Our counters, one for each encoding.
    pub async fn sent(&self) -> Vec<OutboundRtpStats> {
        let id = self.id;
        self.publisher.turn(move |application| application.device.outbound_stats(id)).await
    }

    /// Waits until the server has counted as many packets as we have sent, on every stream, and gives its counters. The
    /// player must have been stopped.
    pub async fn arrived(&self, server: &Server) -> Vec<Received> {
        let sent = self.sent().await;
        assert!(!sent.is_empty());
        let ours: Vec<_> = sent.iter().map(|stream| (stream.ssrc, stream.packets_sent)).collect();
        eventually(&format!("the server has counted {ours:?}"), async || {
            let received = server.received(&self.server_id).await;
            let theirs: Vec<_> = received.iter().map(|stream| (stream.ssrc, stream.packet_count)).collect();
            (ours == theirs).then_some(received)
        })
        .await
    }
}

/// Plays sources into a producer, in real time. Ends when dropped.
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
        let (publisher, producer) = (producer.publisher.clone(), producer.id);
        player::Player::of((0..).zip(sources).collect(), move |frame| {
            let publisher = publisher.clone();
            async move {
                let input = Input::Media { producer, media: Media::Frame(frame) };
                match publisher.turn(|application| application.input(input)).await {
                    Ok(_) => Ok(()),
                    Err(InputError::Media(error)) => Err(error),
                    Err(error) => unreachable!("media is not a command: {error}"),
                }
            }
        })
    }
}
