//! A Bevy plugin that sends what a game encodes to a mediasoup room. It is one file, to be copied.
//!
//! Once a frame [`listen`] takes in what the room said, the game encodes what [`Stream::layers`] asks for and writes it as
//! [`Encoded`], and [`send`] hands that in. Neither waits: the room is driven on smol's thread.

use std::error::Error;

use bevy_app::{App, AppExit, First, Last, Plugin, PostUpdate};
use bevy_ecs::prelude::*;
use mediasoup_producer_smol::mediasoup_producer::v2::{
    Event as RoomEvent, ProducerEvent, ProducerOptions, Profile, RoomConfig,
};
use mediasoup_producer_smol::mediasoup_producer::{Codec, ConnectionState, Frame, MediaKind, Track};
use mediasoup_producer_smol::v2::{Event, Events, Producer, Room, Transport};
use smol::Task;
use smol::future::{block_on, poll_once};

/// What all layers are taken to have room for until the room says what it can receive, in bits per second.
const INITIAL_BITRATE_BPS: u64 = 2_000_000;

/// Publishes the game's picture, in three layers of H.264.
pub(crate) struct StreamPlugin {
    /// The room's protoo URL, without the peer's name: `ws://host:port/?roomId=lobby`.
    pub(crate) url: String,
    /// The name to join with.
    pub(crate) peer_name: String,
}

/// A frame that the game has encoded: [`send`] sends it in the same frame of the game.
#[derive(Message)]
pub(crate) struct Encoded(pub(crate) Frame);

/// What the room said, for whoever wants to know more than [`Stream`] tells.
#[derive(Message)]
pub(crate) struct Heard(pub(crate) Event);

/// The connection to the room.
#[derive(Resource)]
pub(crate) struct Stream {
    state: State,
    layers: [Layer; 3],
    refused: u64,
}

/// What the encoder of a layer is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    /// Which.
    pub(crate) profile: Profile,
    /// What it should aim at, in bits per second.
    pub(crate) bitrate_bps: u64,
    /// Whether its next frame must be a key frame.
    pub(crate) key_frame: bool,
}

enum State {
    Connecting(Task<Result<Connection, Failure>>),
    Connected(Connection),
    Ended(String),
}

struct Connection {
    room: Room,
    transport: Transport,
    producer: Producer,
    events: Events,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Plugin for StreamPlugin {
    fn build(&self, app: &mut App) {
        let connecting = smol::spawn(Connection::open(self.url.clone(), self.peer_name.clone()));
        let layers = Profile::SIMULCAST.map(|profile| Layer { profile, bitrate_bps: 0, key_frame: true });
        app.insert_resource(Stream { state: State::Connecting(connecting), layers, refused: 0 })
            .add_message::<Encoded>()
            .add_message::<Heard>()
            .add_systems(First, listen)
            .add_systems(PostUpdate, send)
            .add_systems(Last, leave);
    }
}

impl Stream {
    /// The layers to encode this frame; none while nothing would be sent.
    pub(crate) fn layers(&self) -> impl Iterator<Item = Layer> {
        let flows = self.connection().is_some_and(|connection| {
            connection.transport.connection_state() == ConnectionState::Connected && !connection.producer.paused()
        });
        self.layers.into_iter().filter(move |layer| flows && layer.bitrate_bps > 0)
    }

    /// The producer, once the room knows it.
    pub(crate) fn producer(&self) -> Option<&Producer> {
        self.connection().map(|connection| &connection.producer)
    }

    /// Why there is no connection, if there will be none.
    pub(crate) fn ended(&self) -> Option<&str> {
        match &self.state {
            State::Connecting(_) | State::Connected(_) => None,
            State::Ended(why) => Some(why),
        }
    }

    /// How many frames were not taken: the socket was full, or the room paused us meanwhile.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Connecting(_) | State::Ended(_) => None,
            State::Connected(connection) => Some(connection),
        }
    }
}

impl Connection {
    async fn open(url: String, peer_name: String) -> Result<Self, Failure> {
        let config = RoomConfig::default().initial_bitrate_bps(INITIAL_BITRATE_BPS);
        let room = Room::connect(&format!("{url}&peerName={peer_name}"), config).await?;
        room.join(peer_name, None).await?;
        let transport = room.create_transport(None)?;
        let track = Track::new(MediaKind::Video, "game", "The game's picture");
        let options = ProducerOptions::default().simulcast(true).codec(Codec::H264);
        let producer = room.create_producer(track, options, None)?;
        let events = room.events();
        producer.send(&transport).await?;
        Ok(Self { room, transport, producer, events })
    }
}

/// Takes in what the room said since the last frame.
pub(crate) fn listen(mut stream: ResMut<Stream>, mut heard: MessageWriter<Heard>) {
    let Stream { state, layers, .. } = &mut *stream;
    if let State::Connecting(task) = state
        && let Some(result) = block_on(poll_once(task))
    {
        *state = result.map_or_else(|error| State::Ended(error.to_string()), State::Connected);
    }
    let State::Connected(connection) = state else { return };
    // Polled once: what is not there yet is not waited for.
    while let Some(next) = block_on(poll_once(connection.events.next())) {
        let Some(event) = next else {
            *state = State::Ended("the room has ended".to_owned());
            return;
        };
        if let Event::Room(RoomEvent::Producer { event, .. }) = &event {
            match *event {
                ProducerEvent::TargetBitrate { profile, bitrate_bps } => {
                    layers[profile.layer()].bitrate_bps = bitrate_bps;
                }
                ProducerEvent::KeyFrameRequest { profile } => layers[profile.layer()].key_frame = true,
                _ => {}
            }
        }
        heard.write(Heard(event));
    }
}

/// Sends what the game encoded.
pub(crate) fn send(mut stream: ResMut<Stream>, mut encoded: MessageReader<Encoded>) {
    for Encoded(frame) in encoded.read() {
        // The bytes are shared, not copied.
        let sent = stream.producer().is_some_and(|producer| producer.write_frame(frame.clone()).is_ok());
        // After a frame that was refused a decoder cannot go on.
        if !sent {
            stream.refused += 1;
            stream.layers[frame.layer].key_frame = true;
        } else if frame.key_frame {
            stream.layers[frame.layer].key_frame = false;
        }
    }
}

/// Says goodbye when the game ends: the only thing here that waits, for a second at most.
fn leave(stream: Res<Stream>, exits: MessageReader<AppExit>) {
    if !exits.is_empty()
        && let Some(connection) = stream.connection()
    {
        block_on(connection.room.close());
    }
}
