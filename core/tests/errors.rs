//! Each command has an error of its own, in the same words whichever way it was given.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::answer;
use mediasoup_producer::IceProtocol::Udp;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::v2::{
    AddAddressError, Command, CommandError, CreateProducerError, CreateTransportError, Input, InputError, JoinError,
    Output, ProducerError, ProducerOptions, ReplaceTrackError, RestartIceError, Room, RoomConfig, RoomError, RoomState,
    SendError, TransportError,
};
use mediasoup_producer::{Limits, MediaKind, OutputsNotPolled, ProducerId, Track, TransportId};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn track() -> Track {
    Track::new(MediaKind::Video, "camera", "")
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

fn joined(now: Instant, limits: Limits) -> Room {
    let mut room = Room::scripted(RoomConfig::default().limits(limits), 1);
    room.join(now, "alice", None).unwrap();
    while let Some(output) = room.poll_output() {
        if let Output::Request { id, request } = output {
            room.handle_input(now, Input::Response { id, result: Ok(answer(&request)) }).unwrap();
        }
    }
    assert!(room.joined());
    room
}

/// Commands of every kind: first six to the room, then seven to a transport, then those to a producer.
fn commands(transport: TransportId, producer: ProducerId) -> [Command; 20] {
    let (app_data, id) = (None, producer);
    [
        Command::Join { peer_name: "alice".to_owned(), app_data: None },
        Command::Leave { app_data: None },
        Command::RemoteClose { app_data: None },
        Command::CreateTransport { app_data: None },
        Command::CreateProducer { track: track(), options: ProducerOptions::default(), app_data: None },
        Command::RestartIce,
        Command::CloseTransport { id: transport, app_data: None },
        Command::EnableTransportStats { id: transport, interval: SECOND },
        Command::DisableTransportStats { id: transport },
        Command::SetTransportAppData { id: transport, app_data: None },
        Command::RemoveLocalAddress { id: transport, protocol: Udp, address: address() },
        Command::AddLocalAddress { id: transport, protocol: Udp, address: address() },
        Command::RestartTransportIce { id: transport },
        Command::CloseProducer { id, app_data: None },
        Command::Pause { id, app_data: None },
        Command::Resume { id, app_data },
        Command::EndTrack { id },
        Command::EnableProducerStats { id, interval: SECOND },
        Command::Send { id, transport },
        Command::ReplaceTrack { id, track: track() },
    ]
}

#[test]
fn while_outputs_wait_every_command_says_so_with_its_own_error() {
    let now = Instant::now();
    let mut room = joined(now, Limits::default().outputs(1));
    let transport = room.create_transport(now, None).unwrap();
    let producer = room.create_producer(now, track(), ProducerOptions::default(), None).unwrap();
    room.handle_input(
        now,
        Input::Notification(json!({ "method": "newConsumer", "target": "peer", "notification": true })),
    )
    .unwrap();

    let full = OutputsNotPolled(1);
    assert_eq!(room.join(now, "alice", None), Err(JoinError::OutputsNotPolled(full)));
    assert_eq!(room.leave(now, None), Err(RoomError::OutputsNotPolled(full)));
    assert_eq!(room.remote_close(now, None), Err(full));
    assert_eq!(room.restart_ice(now), Err(RoomError::OutputsNotPolled(full)));
    assert_eq!(room.create_transport(now, None), Err(CreateTransportError::OutputsNotPolled(full)));
    let made = room.create_producer(now, track(), ProducerOptions::default(), None);
    assert_eq!(made, Err(CreateProducerError::OutputsNotPolled(full)));

    let refused = Err(TransportError::OutputsNotPolled(full));
    let mut on = room.transport(transport).unwrap();
    assert_eq!(on.enable_stats(now, SECOND), refused);
    assert_eq!(on.disable_stats(now), refused);
    assert_eq!(on.set_app_data(now, None), refused);
    assert_eq!(on.remove_local_address(now, Udp, address()), refused);
    assert_eq!(on.add_local_address(now, Udp, address()), Err(AddAddressError::OutputsNotPolled(full)));
    assert_eq!(on.restart_ice(now), Err(RestartIceError::OutputsNotPolled(full)));
    assert_eq!(on.close(now, None), refused);

    let refused = Err(ProducerError::OutputsNotPolled(full));
    let mut of = room.producer(producer).unwrap();
    assert_eq!(of.pause(now, None), refused);
    assert_eq!(of.resume(now, None), refused);
    assert_eq!(of.end_track(now), refused);
    assert_eq!(of.enable_stats(now, SECOND), refused);
    assert_eq!(of.disable_stats(now), refused);
    assert_eq!(of.set_app_data(now, None), refused);
    assert_eq!(of.send(now, transport), Err(SendError::OutputsNotPolled(full)));
    assert_eq!(of.replace_track(now, track()), Err(ReplaceTrackError::OutputsNotPolled(full)));
    assert_eq!(of.close(now, None), refused);

    for command in commands(transport, producer) {
        let error = room.handle_input(now, Input::Command(command.clone())).unwrap_err();
        assert_eq!(error.to_string(), "1 outputs wait: poll them before the next command", "{command:?}");
    }
}

#[test]
fn what_is_not_known_is_named_whichever_way_it_was_commanded() {
    let now = Instant::now();
    let mut room = joined(now, Limits::default());
    let (transport, producer) = (TransportId::from(12_345_678), ProducerId::from(87_654_321));
    let mut said = |command| room.handle_input(now, Input::Command(command)).unwrap_err().to_string();
    for (at, command) in commands(transport, producer).into_iter().enumerate().skip(6) {
        let what = if at < 13 { "transport 12345678" } else { "producer 87654321" };
        assert_eq!(said(command.clone()), format!("{what} is not known or closed"), "{command:?}");
    }
}

/// With `?` the error of each becomes that of all, and keeps its words: what is wrong, and what to do.
#[test]
fn the_error_of_all_commands_has_the_words_of_each() {
    fn said(error: impl Into<CommandError> + Display + Clone, words: &str) {
        let all: CommandError = error.clone().into();
        assert_eq!(
            (error.to_string(), all.to_string(), InputError::from(all).to_string()),
            (words.into(), words.into(), words.into())
        );
    }
    let (transport, producer) = (TransportId::from(12_345_678), ProducerId::from(87_654_321));
    said(JoinError::RoomState(RoomState::Joined), "not possible while the room is joined");
    said(CreateTransportError::Spy, "a spy cannot send: join without the spy option");
    said(CreateTransportError::Limit(16), "the limit of 16 transports is reached");
    said(CreateProducerError::TrackEnded, "the track has ended: give a live one");
    said(CreateProducerError::Limit(256), "the limit of 256 producers is reached");
    said(AddAddressError::Limit(16), "the limit of 16 local addresses is reached");
    said(SendError::Limit(256), "the limit of 256 operations on a transport is reached");
    said(SendError::AlreadyHandled(producer), "producer 87654321 is already sent over a transport: close that first");
    let words = "transport 12345678 was not connected yet: send a producer over it first";
    said(RestartIceError::NotStarted(transport), words);
}
