//! How a room begins, and how it ends: in good order, and never by waiting for ever.

mod common;

use common::{channel, settings};
use futures_util::SinkExt;
use mediasoup_producer::protocol::Refusal;
use mediasoup_producer::{
    CommandError, Event as RoomEvent, Frame, MediaError, MediaKind, OperationError, Originator, ProducerOptions,
    RoomConfig, RoomState, Track,
};
use mediasoup_producer_tokio::{Error, Event, FromServer, Options, Room, SignallingError};
use serde_json::json;
use std::time::Duration;

fn track() -> Track {
    Track::new(MediaKind::Audio, "microphone", "")
}

async fn joined() -> (Room, common::Server) {
    let (signalling, mut server) = channel(16);
    let room = Room::new(RoomConfig::default(), 1, signalling);
    let (joined, ()) = tokio::join!(room.join("alice", None), server.admit());
    joined.unwrap();
    // The first stream begins with the room, however late it is asked for; those of the tests with the call.
    assert!(matches!(room.events().next().await, Some(Event::Room(RoomEvent::Joined { .. }))));
    (room, server)
}

#[tokio::test]
async fn joining_resolves_when_the_server_has_answered() {
    let (signalling, mut server) = channel(16);
    let room = Room::new(RoomConfig::default(), 1, signalling);
    assert_eq!((room.state(), room.can_send(MediaKind::Audio)), (RoomState::New, false));
    let mut events = room.events();
    let (joined, ()) = tokio::join!(room.join("alice", Some(json!({ "a": 1 }))), server.admit());
    joined.unwrap();
    assert_eq!(events.next().await, Some(Event::Room(RoomEvent::Joined { peers: vec![] })));
    assert!(room.joined() && room.can_send(MediaKind::Audio) && room.can_send(MediaKind::Video));
    assert_eq!(room.peer_name().as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_refusal_comes_with_the_servers_words_and_another_try_is_possible() {
    let (signalling, mut server) = channel(16);
    let room = Room::new(RoomConfig::default().room_settings(settings()), 1, signalling);
    let refusal = Refusal::new("Error: duplicated Peer [peerName:\"alice\"]");
    let (joined, _) = tokio::join!(room.join("alice", None), server.answer("join", Err(refusal.clone())));
    assert_eq!(joined, Err(Error::Operation(OperationError::Refused(refusal))));
    let (joined, _) = tokio::join!(room.join("bob", None), server.answer("join", Ok(json!({ "peers": [] }))));
    assert_eq!(joined, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_a_timeout() {
    let (signalling, _server) = channel(16);
    let room = Room::new(RoomConfig::default(), 1, signalling);
    let started = tokio::time::Instant::now();
    let joined = room.join("alice", None).await;
    assert_eq!(joined, Err(Error::Operation(OperationError::TimedOut { method: "queryRoom".to_owned() })));
    assert!((10_000..10_100).contains(&started.elapsed().as_millis()));
}

#[tokio::test]
async fn a_refused_command_says_so_at_once() {
    let (signalling, _server) = channel(16);
    let room = Room::new(RoomConfig::default(), 1, signalling);
    assert_eq!(room.create_transport(None).unwrap_err(), CommandError::RoomState(RoomState::New));
    assert_eq!(room.join("", None).await, Err(Error::Command(CommandError::EmptyPeerName)));
}

#[tokio::test]
async fn closing_leaves_the_room_and_ends_the_connection() {
    let (room, mut server) = joined().await;
    let (_, said) = tokio::join!(room.close(), server.rest());
    assert_eq!(said, ["leave"]);
}

#[tokio::test]
async fn after_the_end_every_call_says_so() {
    let (room, _server) = joined().await;
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

    let ended = CommandError::RoomState(RoomState::Closed);
    assert_eq!(room.join("alice", None).await, Err(Error::Stopped));
    assert_eq!(room.create_transport(None).unwrap_err(), ended);
    assert_eq!(room.create_producer(track(), ProducerOptions::default(), None).unwrap_err(), ended);
    assert_eq!(room.restart_ice(), Err(ended.clone()));
    assert_eq!(transport.rebind(), Err(ended.clone()));
    assert_eq!(transport.restart_ice().await, Err(Error::Stopped));
    assert!(matches!(transport.connected().await, Err(Error::Connection(_))));
    assert_eq!(producer.pause(None), Err(ended));
    assert_eq!(producer.send(&transport).await, Err(Error::Stopped));
    let frame = Frame::new(vec![1], Duration::ZERO);
    assert_eq!(producer.write_frame(frame), Err(MediaError::ProducerNotFound(producer.id())));
    assert!(room.closed() && transport.closed() && producer.closed());
    assert!(room.transports().is_empty() && room.producers().is_empty());
    room.network_changed();
}

#[tokio::test]
async fn dropping_the_handles_in_any_order_leaves_the_room() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (room, mut server) = joined().await;
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

#[tokio::test]
async fn one_handle_keeps_the_room() {
    let (room, mut server) = joined().await;
    let producer = room.create_producer(track(), ProducerOptions::default(), None).unwrap();
    drop(room);
    tokio::task::yield_now().await;
    producer.pause(None).unwrap();
    assert!(producer.locally_paused());
    drop(producer);
    assert_eq!(server.rest().await, ["leave"]);
}

#[tokio::test]
async fn closing_ends_what_is_under_way() {
    let (room, mut server) = joined().await;
    let transport = room.create_transport(None).unwrap();
    let producer = room.create_producer(track(), ProducerOptions::default(), None).unwrap();
    let send = {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send(&transport).await })
    };
    // `createTransport` stays without an answer.
    server.next().await.unwrap();
    room.close().await;
    assert_eq!(send.await.unwrap(), Err(Error::Operation(OperationError::RoomClosed)));
}

#[tokio::test]
async fn giving_up_waiting_does_not_give_up_the_operation() {
    let (signalling, mut server) = channel(16);
    let room = Room::new(RoomConfig::default(), 1, signalling);
    let mut events = room.events();
    tokio::select! {
        biased;
        _ = room.join("alice", None) => panic!("nobody answered"),
        () = std::future::ready(()) => {}
    }
    server.admit().await;
    assert!(matches!(events.next().await, Some(Event::Room(RoomEvent::Joined { .. }))));
}

#[tokio::test]
async fn a_lost_connection_closes_the_room_as_the_server_would() {
    let (room, server) = joined().await;
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

#[tokio::test]
async fn a_lost_connection_ends_what_is_under_way() {
    let (signalling, server) = channel(16);
    let room = Room::new(RoomConfig::default(), 1, signalling);
    let (joined, ()) = tokio::join!(room.join("alice", None), async {
        tokio::task::yield_now().await;
        drop(server);
    });
    assert_eq!(joined, Err(Error::Operation(OperationError::RoomClosed)));
}

#[tokio::test]
async fn a_room_closed_by_the_server_can_be_joined_again() {
    let (room, mut server) = joined().await;
    let mut events = room.events();
    server
        .to_client
        .send(FromServer::Notification(json!({
            "method": "closed", "target": "room", "notification": true,
        })))
        .await
        .unwrap();
    assert!(matches!(events.next().await, Some(Event::Room(RoomEvent::Closed { originator: Originator::Remote, .. }))));
    let (joined, ()) = tokio::join!(room.join("alice", None), server.admit());
    joined.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_does_not_keep_the_room_from_ending() {
    let (signalling, server) = channel(0);
    let room = Room::new(RoomConfig::default().room_settings(settings()), 1, signalling);
    let started = tokio::time::Instant::now();
    {
        let joining = room.join("alice", None);
        tokio::pin!(joining);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut joining).await.is_err());
        room.close().await;
        assert_eq!(joining.await, Err(Error::Operation(OperationError::RoomClosed)));
    }
    assert!(started.elapsed() <= Duration::from_millis(1100), "{:?}", started.elapsed());
    drop(server);
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_given_up() {
    let (signalling, _server) = channel(1);
    let room = Room::new(RoomConfig::default().room_settings(settings()), 1, signalling);
    let mut events = room.events();
    let error = loop {
        let joining = room.join("alice", None);
        tokio::select! {
            biased;
            _ = joining => {}
            () = tokio::task::yield_now() => {}
        }
        let _ = room.leave(None);
        let mut lost = None;
        while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
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

#[test]
fn a_runtime_that_shuts_down_leaves_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (room, server, transport) = runtime.block_on(async {
        let (room, server) = joined().await;
        let transport = room.create_transport(None).unwrap();
        (room, server, transport)
    });
    drop(runtime);
    assert!(room.closed() && transport.closed());
    assert_eq!(room.create_transport(None).unwrap_err(), CommandError::RoomState(RoomState::Closed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(room.join("alice", None).await, Err(Error::Stopped));
        room.close().await;
    });
    drop(server);
}

#[tokio::test]
async fn events_lost_by_a_slow_reader_are_counted() {
    let (signalling, mut server) = channel(16);
    let options = Options::default().events(4);
    let room = Room::with_options(RoomConfig::default(), 1, options, signalling);
    let mut slow = room.events();
    let mut fast = room.events();
    for n in 0..10 {
        let event = FromServer::Application { method: "hello".to_owned(), data: json!(n) };
        server.to_client.send(event).await.unwrap();
        assert_eq!(fast.next().await, Some(Event::Application { method: "hello".to_owned(), data: json!(n) }));
    }
    assert_eq!(slow.next().await, Some(Event::Application { method: "hello".to_owned(), data: json!(6) }));
    assert_eq!((slow.missed(), fast.missed()), (6, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_counted() {
    let (room, mut server) = joined().await;
    let mut events = room.events();
    server.to_client.send(FromServer::Unreadable).await.unwrap();
    server.to_client.send(FromServer::Notification(json!([]))).await.unwrap();
    server.to_client.send(FromServer::Application { method: "done".to_owned(), data: json!(null) }).await.unwrap();
    events.next().await;
    assert_eq!((room.io_stats().messages_unreadable, room.stats().messages_malformed), (1, 1));
}

#[tokio::test]
async fn fifty_rooms_live_in_one_process() {
    let rooms = (0..50).map(|_| {
        tokio::spawn(async {
            let (room, mut server) = joined().await;
            let transport = room.create_transport(None).unwrap();
            drop(transport);
            let (_, said) = tokio::join!(room.close(), server.rest());
            assert_eq!(said, ["leave"]);
        })
    });
    for room in rooms.collect::<Vec<_>>() {
        room.await.unwrap();
    }
}
