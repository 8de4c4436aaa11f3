//! How a room begins, and how it ends: in good order, and never by waiting for ever.

use std::time::Duration;

use futures_util::future::{join, select};
use futures_util::{FutureExt, StreamExt};
use mediasoup_producer::v2::protocol::Refusal;
use mediasoup_producer::v2::{
    CreateProducerError, CreateTransportError, Event as RoomEvent, JoinError, JoinFailure, ProducerError,
    ProducerOptions, RequestFailure, RestartIceFailure, RoomConfig, RoomState, SendFailure, TransportError,
};
use mediasoup_producer::{Frame, MediaError, MediaKind, Originator, Track};
use serde_json::json;

use super::bench::Bench;
use super::channel::{Server, channel, settings};
use super::{spawn, yield_now};
use crate::error::SignallingError;
use crate::options::Options;
use crate::runtime::Runtime;
use crate::signalling::Signalling;
use crate::v2::{ConnectedError, Error, Event, FromServer, Room, ToServer};

fn track() -> Track {
    Track::new(MediaKind::Audio, "microphone", "")
}

fn room<R: Runtime>(runtime: &R, config: RoomConfig, signalling: impl Signalling<ToServer, FromServer>) -> Room<R> {
    Room::on(runtime.clone(), config, 1, Options::default(), signalling)
}

async fn joined<R: Runtime>(runtime: &R) -> (Room<R>, Server) {
    let (signalling, mut server) = channel(16);
    let room = room(runtime, RoomConfig::default(), signalling);
    let (joined, ()) = join(room.join("alice", None), server.admit()).await;
    joined.unwrap();
    // The first stream begins with the room, however late it is asked for; those of the tests with the call.
    assert!(matches!(room.events().next().await, Some(Event::Room(RoomEvent::Joined { .. }))));
    (room, server)
}

pub async fn joining_resolves_when_the_server_has_answered<R: Runtime>(runtime: R) {
    let (signalling, mut server) = channel(16);
    let room = room(&runtime, RoomConfig::default(), signalling);
    assert_eq!((room.state(), room.can_send(MediaKind::Audio)), (RoomState::New, false));
    let mut events = room.events();
    let (joined, ()) = join(room.join("alice", Some(json!({ "a": 1 }))), server.admit()).await;
    joined.unwrap();
    assert_eq!(events.next().await, Some(Event::Room(RoomEvent::Joined { peers: vec![] })));
    assert!(room.joined() && room.can_send(MediaKind::Audio) && room.can_send(MediaKind::Video));
    assert_eq!(room.peer_name().as_deref(), Some("alice"));
}

pub async fn a_refusal_comes_with_the_servers_words_and_another_try_is_possible<R: Runtime>(runtime: R) {
    let (signalling, mut server) = channel(16);
    let room = room(&runtime, RoomConfig::default().room_settings(settings()), signalling);
    let refusal = Refusal::new("Error: duplicated Peer [peerName:\"alice\"]");
    let (joined, _) = join(room.join("alice", None), server.answer("join", Err(refusal.clone()))).await;
    assert_eq!(joined, Err(Error::Failed(RequestFailure::from(refusal).into())));
    let (joined, _) = join(room.join("bob", None), server.answer("join", Ok(json!({ "peers": [] })))).await;
    assert_eq!(joined, Ok(()));
}

pub async fn a_silent_server_is_a_timeout<R: Runtime>(runtime: R) {
    let bench = Bench::faster(runtime, 50);
    let (signalling, _server) = channel(16);
    let room = room(&bench, RoomConfig::default(), signalling);
    let started = bench.now();
    let joined = room.join("alice", None).await;
    assert_eq!(joined, Err(Error::Failed(RequestFailure::TimedOut { method: "queryRoom".to_owned() }.into())));
    let elapsed = (bench.now() - started).as_millis();
    assert!((10_000..60_000).contains(&elapsed), "{elapsed}");
}

pub async fn a_refused_command_says_so_at_once<R: Runtime>(runtime: R) {
    let (signalling, _server) = channel(16);
    let room = room(&runtime, RoomConfig::default(), signalling);
    assert_eq!(room.create_transport(None).unwrap_err(), CreateTransportError::RoomState(RoomState::New));
    assert_eq!(room.join("", None).await, Err(Error::Command(JoinError::EmptyPeerName)));
}

pub async fn restarting_ice_everywhere_ends_when_every_transport_has_answered<R: Runtime>(runtime: R) {
    let (room, mut server) = joined(&runtime).await;
    let transport = room.create_transport(None).unwrap();
    let producer = room.create_producer(track(), ProducerOptions::default(), None).unwrap();
    let refusal = Refusal::new("Error: no");
    let mut restart = Box::pin(room.restart_ice());
    // There is nothing to restart, so it is done.
    assert_eq!((&mut restart).now_or_never(), Some(Ok(())));
    let mut send = Box::pin(producer.send(&transport));
    assert_eq!((&mut send).now_or_never(), None);
    let mut restart = Box::pin(room.restart_ice());
    assert_eq!((&mut restart).now_or_never(), None);
    let ((sent, restarted), _) =
        join(join(send, restart), server.answer("createTransport", Err(refusal.clone()))).await;
    assert_eq!(sent, Err(Error::Failed(RequestFailure::from(refusal).into())));
    assert_eq!(restarted, Err(Error::Failed(RestartIceFailure::TransportClosed)));
}

pub async fn closing_leaves_the_room_and_ends_the_connection<R: Runtime>(runtime: R) {
    let (room, mut server) = joined(&runtime).await;
    let (_, said) = join(room.close(), server.rest()).await;
    assert_eq!(said, ["leave"]);
}

pub async fn after_the_end_every_call_says_so<R: Runtime>(runtime: R) {
    let (room, _server) = joined(&runtime).await;
    let (transport, producer) = (
        room.create_transport(None).unwrap(),
        room.create_producer(track(), ProducerOptions::default(), None).unwrap(),
    );
    let mut events = room.events();
    room.close().await;
    room.close().await;
    room.ended().await;
    while events.next().await.is_some() {}
    assert_eq!(room.events().next().await, None);

    assert_eq!(room.join("alice", None).await, Err(Error::Stopped));
    assert_eq!(room.create_transport(None).unwrap_err(), CreateTransportError::RoomState(RoomState::Closed));
    let refused = room.create_producer(track(), ProducerOptions::default(), None).unwrap_err();
    assert_eq!(refused, CreateProducerError::RoomState(RoomState::Closed));
    assert_eq!(room.restart_ice().await, Err(Error::Stopped));
    assert_eq!(transport.rebind(), Err(TransportError::NotFound(transport.id())));
    assert_eq!(transport.restart_ice().await, Err(Error::Stopped));
    assert!(matches!(transport.connected().await, Err(ConnectedError::State(_))));
    assert_eq!(producer.pause(None), Err(ProducerError::NotFound(producer.id())));
    assert_eq!(producer.send(&transport).await, Err(Error::Stopped));
    let frame = Frame::new(vec![1], Duration::ZERO);
    assert_eq!(producer.write_frame(frame), Err(MediaError::ProducerNotFound(producer.id())));
    assert!(room.closed() && transport.closed() && producer.closed());
    assert!(room.transports().is_empty() && room.producers().is_empty());
    room.network_changed();
}

pub async fn dropping_the_handles_in_any_order_leaves_the_room<R: Runtime>(runtime: R) {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (room, mut server) = joined(&runtime).await;
        let transport = room.create_transport(None).unwrap();
        let producer = room.create_producer(track(), ProducerOptions::default(), None).unwrap();
        let events = room.events();
        let mut handles: [Option<Box<dyn Send>>; 3] =
            [Some(Box::new(room)), Some(Box::new(transport)), Some(Box::new(producer))];
        for handle in order {
            handles[handle] = None;
        }
        assert_eq!(server.rest().await, ["leave"], "{order:?}");
        drop(events);
    }
}

pub async fn one_handle_keeps_the_room<R: Runtime>(runtime: R) {
    let (room, mut server) = joined(&runtime).await;
    let producer = room.create_producer(track(), ProducerOptions::default(), None).unwrap();
    drop(room);
    yield_now().await;
    producer.pause(None).unwrap();
    assert!(producer.locally_paused());
    drop(producer);
    assert_eq!(server.rest().await, ["leave"]);
}

pub async fn closing_ends_what_is_under_way<R: Runtime>(runtime: R) {
    let (room, mut server) = joined(&runtime).await;
    let transport = room.create_transport(None).unwrap();
    let producer = room.create_producer(track(), ProducerOptions::default(), None).unwrap();
    let send = {
        let producer = producer.clone();
        spawn(&runtime, async move { producer.send(&transport).await })
    };
    // `createTransport` stays without an answer.
    server.next().await.unwrap();
    room.close().await;
    assert_eq!(send.await.unwrap(), Err(Error::Failed(SendFailure::RoomClosed)));
}

pub async fn giving_up_waiting_does_not_give_up_the_operation<R: Runtime>(runtime: R) {
    let (signalling, mut server) = channel(16);
    let room = room(&runtime, RoomConfig::default(), signalling);
    let mut events = room.events();
    assert!(room.join("alice", None).now_or_never().is_none(), "nobody answered");
    server.admit().await;
    assert!(matches!(events.next().await, Some(Event::Room(RoomEvent::Joined { .. }))));
}

pub async fn a_lost_connection_closes_the_room_as_the_server_would<R: Runtime>(runtime: R) {
    let (room, server) = joined(&runtime).await;
    let transport = room.create_transport(None).unwrap();
    let mut events = room.events();
    drop(server);
    assert_eq!(events.next().await, Some(Event::Disconnected { error: SignallingError::Closed { reason: None } }));
    assert_eq!(
        events.next().await,
        Some(Event::Room(RoomEvent::Closed { originator: Originator::Remote, app_data: None }))
    );
    room.ended().await;
    assert!(room.closed() && transport.closed());
    assert_eq!(room.join("alice", None).await, Err(Error::Stopped));
}

pub async fn a_lost_connection_ends_what_is_under_way<R: Runtime>(runtime: R) {
    let (signalling, server) = channel(16);
    let room = room(&runtime, RoomConfig::default(), signalling);
    let (joined, ()) = join(room.join("alice", None), async {
        yield_now().await;
        drop(server);
    })
    .await;
    assert_eq!(joined, Err(Error::Failed(JoinFailure::RoomClosed)));
}

pub async fn a_room_closed_by_the_server_can_be_joined_again<R: Runtime>(runtime: R) {
    let (room, mut server) = joined(&runtime).await;
    let mut events = room.events();
    let closed = json!({ "method": "closed", "target": "room", "notification": true });
    server.say(FromServer::Notification(closed)).await;
    assert!(matches!(events.next().await, Some(Event::Room(RoomEvent::Closed { originator: Originator::Remote, .. }))));
    let (joined, ()) = join(room.join("alice", None), server.admit()).await;
    joined.unwrap();
}

pub async fn a_server_that_takes_nothing_does_not_keep_the_room_from_ending<R: Runtime>(runtime: R) {
    let bench = Bench::faster(runtime, 10);
    let (signalling, server) = channel(0);
    let room = room(&bench, RoomConfig::default().room_settings(settings()), signalling);
    let started = bench.now();
    {
        let mut joining = Box::pin(room.join("alice", None));
        assert!((&mut joining).now_or_never().is_none());
        room.close().await;
        assert_eq!(joining.await, Err(Error::Failed(JoinFailure::RoomClosed)));
    }
    let elapsed = bench.now() - started;
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    drop(server);
}

pub async fn a_server_that_reads_nothing_is_given_up<R: Runtime>(runtime: R) {
    let (signalling, _server) = channel(1);
    let room = room(&runtime, RoomConfig::default().room_settings(settings()), signalling);
    let mut events = room.events();
    let error = loop {
        let joining = Box::pin(room.join("alice", None));
        select(joining, Box::pin(yield_now())).await;
        let _ = room.leave(None);
        let mut lost = None;
        while let Some(Some(event)) = events.next().now_or_never() {
            if let Event::Disconnected { error } = event {
                lost = Some(error);
            }
        }
        if let Some(error) = lost {
            break error;
        }
    };
    assert!(matches!(error, SignallingError::Overrun(_)), "{error}");
    room.ended().await;
}

pub async fn events_lost_by_a_slow_reader_are_counted<R: Runtime>(runtime: R) {
    let (signalling, mut server) = channel(16);
    let room = Room::on(runtime, RoomConfig::default(), 1, Options::default().events(4), signalling);
    let mut slow = room.events();
    let mut fast = room.events();
    for n in 0..10 {
        server.say(FromServer::Application { method: "hello".to_owned(), data: json!(n) }).await;
        assert_eq!(fast.next().await, Some(Event::Application { method: "hello".to_owned(), data: json!(n) }));
    }
    assert_eq!(
        StreamExt::next(&mut slow).await,
        Some(Event::Application { method: "hello".to_owned(), data: json!(6) })
    );
    assert_eq!((slow.missed(), fast.missed()), (6, 0));
}

pub async fn what_cannot_be_read_is_counted<R: Runtime>(runtime: R) {
    let (room, mut server) = joined(&runtime).await;
    let mut events = room.events();
    server.say(FromServer::Unreadable).await;
    server.say(FromServer::Notification(json!([]))).await;
    server.say(FromServer::Application { method: "done".to_owned(), data: json!(null) }).await;
    events.next().await;
    assert_eq!((room.io_stats().messages_unreadable, room.stats().messages_malformed), (1, 1));
}

pub async fn fifty_rooms_live_in_one_process<R: Runtime>(runtime: R) {
    let rooms = (0..50).map(|_| {
        let of = runtime.clone();
        spawn(&runtime, async move {
            let (room, mut server) = joined(&of).await;
            let transport = room.create_transport(None).unwrap();
            drop(transport);
            let (_, said) = join(room.close(), server.rest()).await;
            assert_eq!(said, ["leave"]);
        })
    });
    for room in rooms.collect::<Vec<_>>() {
        room.await.unwrap();
    }
}
