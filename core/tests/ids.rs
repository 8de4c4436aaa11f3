//! Ids at the server, which are unique among all peers of its room.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mediasoup_producer::IceProtocol;
use mediasoup_producer::record::{RecordOptions, replay};
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, Scenario, ServerOutput};
use mediasoup_producer::v2::protocol::{Refusal, RefusalKind, Request};
use mediasoup_producer::v2::{
    Event, Input, Output, ProducerEvent, ProducerOptions, RequestFailure, Room, RoomConfig, TransportEvent,
};
use mediasoup_producer::{MediaKind, Originator, ProducerId, RequestId, Track, TransportId, random_seed};
use serde_json::{Value, json};

const TAKEN: [&str; 2] = [
    "Error: a Transport with same transportId already exists",
    "Error: a Producer with same producerId already exists",
];

/// Rooms beside each other in one room of the server; what is said arrives at once.
struct World {
    now: Instant,
    server: RoomServer,
    rooms: BTreeMap<ConnectionId, Room>,
    events: Vec<(ConnectionId, Event)>,
}

impl World {
    fn new() -> Self {
        let config = RoomServerConfig::default().address(IceProtocol::Udp, Scenario::SERVER);
        let server = RoomServer::new(config, 1);
        Self { now: Instant::now(), server, rooms: BTreeMap::new(), events: Vec::new() }
    }

    fn join(&mut self, number: u64, seed: u64) -> ConnectionId {
        let connection = ConnectionId(number);
        let mut room = Room::scripted(RoomConfig::default(), seed);
        room.start_recording(RecordOptions::default()).unwrap();
        room.join(self.now, format!("camera-{number}"), None).unwrap();
        self.rooms.insert(connection, room);
        self.settle();
        connection
    }

    fn room(&mut self, connection: ConnectionId) -> &mut Room {
        self.rooms.get_mut(&connection).unwrap()
    }

    fn publish(&mut self, connection: ConnectionId) -> (TransportId, [ProducerId; 2]) {
        let now = self.now;
        let room = self.room(connection);
        let on = room.create_transport(now, None).unwrap();
        let producers = [MediaKind::Audio, MediaKind::Video].map(|kind| {
            let options = ProducerOptions::default().simulcast(true);
            let id = room.create_producer(now, Track::new(kind, "track", ""), options, None).unwrap();
            room.producer(id).unwrap().send(now, on).unwrap();
            id
        });
        self.settle();
        (on, producers)
    }

    fn settle(&mut self) {
        let now = self.now;
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for (connection, room) in &mut self.rooms {
                while let Some(output) = room.poll_output() {
                    busy = true;
                    match output {
                        Output::Request { id, request } => {
                            self.server.handle_request(now, *connection, id.value(), &request.to_json());
                        }
                        Output::Notification(notification) => {
                            self.server.handle_notification(now, *connection, &notification.to_json());
                        }
                        Output::Event(event) => self.events.push((*connection, event)),
                        _ => {}
                    }
                }
            }
            while let Some(output) = self.server.poll_output() {
                let (connection, input) = match output {
                    ServerOutput::Response { connection, id, result } => {
                        (connection, Input::Response { id: id.into(), result: result.map_err(Refusal::new) })
                    }
                    ServerOutput::Notification { connection, message } => (connection, Input::Notification(message)),
                    _ => continue,
                };
                self.rooms.get_mut(&connection).unwrap().handle_input(now, input).unwrap();
                busy = true;
            }
        }
    }

    fn heard(&mut self, connection: ConnectionId) -> Vec<Event> {
        let all = std::mem::take(&mut self.events);
        all.into_iter().filter(|(of, _)| *of == connection).map(|(_, event)| event).collect()
    }
}

#[test]
fn two_rooms_of_one_seed_in_one_room_both_publish() {
    let mut world = World::new();
    let (first, second) = (world.join(1, 42), world.join(2, 42));
    assert_eq!(world.publish(first), world.publish(second), "their own names are the same");
    let (on, [audio, video]) = world.publish(second);
    assert_eq!((world.server.transports().count(), world.server.producers().count()), (3, 6));
    for connection in [first, second] {
        assert!(world.room(connection).producers().all(|producer| producer.handled()));
        assert_eq!(world.room(connection).stats().messages_unexpected, 0);
    }
    let failed = |event: &(ConnectionId, Event)| matches!(event.1, Event::Settled { result: Err(_), .. });
    assert!(!world.events.iter().any(failed), "{:?}", world.events);
    let names =
        |room: &Room| room.producers().filter(|producer| producer.server_id().value() != producer.id().value()).count();
    assert_eq!((names(world.room(first)), names(world.room(second))), (0, 2));

    // What either side says of them reaches the right one, under the name of the other's side.
    world.heard(second);
    let now = world.now;
    let renamed = world.room(second).producers().find(|p| p.server_id().value() != p.id().value()).unwrap();
    let (ours, theirs) = (renamed.id(), renamed.server_id());
    let of_server = world.server.producers().find(|producer| producer.id().value() == theirs.value()).unwrap();
    assert_eq!(of_server.peer(), "camera-2");
    let of_server = of_server.id();
    assert!(world.server.pause_producer(now, of_server, None));
    world.settle();
    assert!(world.room(second).producer_info(ours).unwrap().remotely_paused());
    assert!(world.room(first).producers().all(|producer| !producer.paused()));
    world.room(second).producer(ours).unwrap().pause(now, None).unwrap();
    world.room(second).producer(ours).unwrap().enable_stats(now, Duration::from_secs(1)).unwrap();
    world.settle();
    let paused = |world: &World, id: u32| {
        world.server.producers().find(|producer| producer.id().value() == id).map(|producer| producer.paused_by_peer())
    };
    assert_eq!((paused(&world, theirs.value()), paused(&world, ours.value())), (Some(true), Some(false)));
    let foreign = json!({ "method": "producerClosed", "notification": true, "id": ours });
    world.room(second).handle_input(now, Input::Notification(foreign)).unwrap();
    assert_eq!(world.room(second).stats().messages_unexpected, 1, "that is the name of another's producer");
    world.room(second).producer(ours).unwrap().close(now, None).unwrap();
    world.settle();
    assert_eq!((paused(&world, theirs.value()), paused(&world, ours.value())), (None, Some(false)));
    assert_eq!(world.server.counters().notifications_refused, 0);

    // Transports likewise.
    let other = world.room(second).transports().find(|transport| transport.id() != on).unwrap();
    let (ours, theirs) = (other.id(), other.server_id());
    assert_ne!(ours.value(), theirs.value());
    world.room(second).transport(ours).unwrap().enable_stats(now, Duration::from_secs(1)).unwrap();
    world.settle();
    let told =
        Event::Transport { id: ours, event: TransportEvent::Close { originator: Originator::Remote, app_data: None } };
    let of_server = world.server.transports().find(|transport| transport.id().value() == theirs.value()).unwrap().id();
    assert!(world.server.close_transport(now, of_server, None));
    world.settle();
    let heard = world.heard(second);
    assert!(
        heard
            .iter()
            .any(|event| matches!(event, Event::Transport { id, event: TransportEvent::Stats { .. } } if *id == ours))
    );
    assert!(heard.contains(&told), "{heard:?}");
    assert!(world.room(second).producer_info(audio).is_some() && world.room(second).producer_info(video).is_some());
    world.room(second).transport(on).unwrap().close(now, None).unwrap();
    world.settle();
    assert_eq!((world.server.transports().count(), world.server.producers().count()), (1, 2));

    // And it repeats.
    let lines: Vec<_> = std::iter::from_fn(|| world.room(second).poll_record()).collect();
    let again = replay(Instant::now(), &lines.join("\n")).unwrap();
    assert_eq!((again.difference, again.recording), (None, lines));
}

/// Answers as a server that refuses some.
struct Refusing {
    room: Room,
    now: Instant,
    requests: Vec<(RequestId, Request)>,
    messages: Vec<Value>,
    events: Vec<Event>,
}

impl Refusing {
    fn sending() -> (Self, TransportId, ProducerId) {
        let room = Room::scripted(RoomConfig::default(), 42);
        let now = Instant::now();
        let mut this = Self { room, now, requests: Vec::new(), messages: Vec::new(), events: Vec::new() };
        this.room.join(now, "camera", None).unwrap();
        this.answer(None);
        this.answer(None);
        let on = this.room.create_transport(now, None).unwrap();
        let track = Track::new(MediaKind::Video, "track", "");
        let id = this.room.create_producer(now, track, ProducerOptions::default(), None).unwrap();
        this.room.producer(id).unwrap().send(now, on).unwrap();
        this.drain();
        (this, on, id)
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    self.messages.push(request.to_json());
                    self.requests.push((id, request));
                }
                Output::Notification(notification) => self.messages.push(notification.to_json()),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn answer(&mut self, refusal: Option<&str>) {
        self.drain();
        let (id, request) = self.requests.remove(0);
        let result = refusal.map_or_else(|| Ok(answer(&request)), |words| Err(Refusal::new(words)));
        self.room.handle_input(self.now, Input::Response { id, result }).unwrap();
        self.drain();
    }
}

fn answer(request: &Request) -> Value {
    match request {
        Request::QueryRoom => json!({ "rtpCapabilities": { "codecs": [
            { "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101 },
        ] } }),
        Request::CreateTransport { .. } => json!({
            "iceParameters": { "usernameFragment": "ufrag", "password": "0123456789abcdef01234567" },
            "iceCandidates": [{ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" }],
            "dtlsParameters": { "role": "server", "fingerprints": [] },
        }),
        _ => Value::Null,
    }
}

#[test]
fn a_server_that_takes_no_id_is_not_asked_without_end() {
    let (mut session, on, id) = Refusing::sending();
    for (method, words, kind) in [
        ("createTransport", TAKEN[0], RefusalKind::DuplicatedTransport),
        ("createProducer", TAKEN[1], RefusalKind::DuplicatedProducer),
    ] {
        session.events.clear();
        session.messages.clear();
        while !session.requests.is_empty() {
            session.answer(Some(words));
        }
        let asked: Vec<_> = session.messages.iter().filter(|message| message["method"] == method).collect();
        assert_eq!(asked.len(), 4);
        let refused = |event: &Event| match event {
            Event::Settled { result: Err(failure), .. } => match failure.request() {
                Some(RequestFailure::Refused(refusal)) => Some(refusal.kind),
                _ => None,
            },
            _ => None,
        };
        assert_eq!(session.events.iter().filter_map(refused).collect::<Vec<_>>(), [kind]);
        // The next time it has better luck.
        session.room.producer(id).unwrap().send(session.now, on).unwrap();
        session.answer(None);
    }
    while !session.requests.is_empty() {
        session.answer(None);
    }
    assert!(session.room.producer_info(id).unwrap().handled());
}

#[test]
fn what_happens_while_another_id_is_tried_is_not_lost() {
    let (mut session, _, id) = Refusing::sending();
    session.answer(None);
    let now = session.now;
    session.room.producer(id).unwrap().pause(now, Some(json!("first"))).unwrap();
    session.room.producer(id).unwrap().enable_stats(now, Duration::from_secs(1)).unwrap();
    session.messages.clear();
    session.answer(Some(TAKEN[1]));
    assert_eq!(session.messages[0]["paused"], true);
    session.room.producer(id).unwrap().resume(now, Some(json!("second"))).unwrap();
    session.answer(None);
    let theirs = session.room.producer_info(id).unwrap().server_id();
    let said: Vec<_> = session.messages.iter().map(|message| (&message["method"], &message["id"])).collect();
    assert_eq!(
        said,
        [
            (&json!("createProducer"), &json!(theirs)),
            (&json!("resumeProducer"), &json!(theirs)),
            (&json!("enableProducerStats"), &json!(theirs))
        ]
    );
    assert!(session.events.contains(&Event::Producer { id, event: ProducerEvent::Handled }));

    // Closed before the server refuses its id, nobody wants another.
    let (mut session, _, id) = Refusing::sending();
    session.answer(None);
    session.room.producer(id).unwrap().close(now, None).unwrap();
    session.messages.clear();
    session.answer(Some(TAKEN[1]));
    assert!(session.messages.is_empty() && session.requests.is_empty());
}

#[test]
fn a_random_seed_is_another_each_time_and_stands_in_the_recording() {
    let seeds = [random_seed(), random_seed(), std::thread::spawn(random_seed).join().unwrap()];
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
    let mut room = Room::new(RoomConfig::default().record(RecordOptions::default()), seeds[0]);
    let header: Value = serde_json::from_str(&room.poll_record().unwrap()).unwrap();
    assert_eq!(header["seed"], seeds[0]);
}
