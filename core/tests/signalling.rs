//! Answers that come late, never, or as refusals; transports and producers that outlive one another; leaving.

mod common;

use std::time::Duration;

use common::{audio, plain, producer_events, scenario, transport, transport_events, video};
use mediasoup_producer::sim::{
    ConnectionId, RoomServerConfig, ScenarioConfig, ServerEvent, ServerLimits, ServerOutput, Source,
};
use mediasoup_producer::v2::protocol::RefusalKind;
use mediasoup_producer::v2::{
    CreateTransportError, Event, Failure, InvalidResponse, JoinFailure, ProducerEvent, ProducerOptions, RequestFailure,
    RoomConfig, SendFailure, TransportEvent,
};
use mediasoup_producer::{Codec, Limits, MediaKind, Originator, SetupError, Track};
use serde_json::{Value, json};

fn methods(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["method"].as_str().unwrap()).collect()
}

fn settled(events: &[Event]) -> Vec<Result<(), Failure>> {
    let result = |event: &Event| match event {
        Event::Settled { result, .. } => Some(result.clone()),
        _ => None,
    };
    events.iter().filter_map(result).collect()
}

#[test]
fn joining_asks_for_the_settings_first() {
    let mut scenario = plain(1).joined();
    assert_eq!(methods(&scenario.take_messages()), ["queryRoom", "join"]);
    assert!(scenario.room.can_send(MediaKind::Audio) && scenario.room.can_send(MediaKind::Video));
}

#[test]
fn what_can_be_sent_is_known_from_joining_on() {
    let room = RoomConfig::default().codec_preferences([Codec::H264]);
    let server = RoomServerConfig::default().codecs([Codec::Opus, Codec::Vp8, Codec::H264]);
    let scenario = scenario(ScenarioConfig::default().room(room).server(server), 1);
    assert_eq!(scenario.room.send_codecs(MediaKind::Video), []);

    let mut scenario = scenario.sending();
    let (audio_codecs, video_codecs) =
        (scenario.room.send_codecs(MediaKind::Audio), scenario.room.send_codecs(MediaKind::Video));
    let [opus] = &audio_codecs[..] else { panic!("{audio_codecs:?}") };
    assert_eq!((opus.codec, opus.parameters.clock_rate, opus.parameters.channels), (Codec::Opus, 48_000, Some(2)));
    assert_eq!(opus.rtx, None);
    let [h264, vp8] = &video_codecs[..] else { panic!("{video_codecs:?}") };
    assert_eq!((h264.codec, vp8.codec), (Codec::H264, Codec::Vp8), "in the order of preference");
    assert_eq!(h264.parameters.parameters["packetization-mode"], 1);
    assert!(vp8.parameters.rtcp_feedback.iter().flatten().any(|feedback| feedback.kind == "goog-remb"));

    // They are what a producer really sends.
    let video = video(&scenario);
    let producer = scenario.room.producer(video).unwrap();
    let used = video_codecs.iter().find(|codec| codec.codec == producer.codec()).unwrap();
    let sent = &producer.rtp_parameters().unwrap().codecs;
    assert_eq!(*sent, [used.parameters.clone(), used.rtx.clone().unwrap()]);

    let now = scenario.now();
    scenario.room.leave(now, None).unwrap();
    assert_eq!(scenario.room.send_codecs(MediaKind::Audio), []);
}

#[test]
fn peers_hear_of_each_other() {
    let mut scenario = plain(2);
    let now = scenario.now();
    let other = ConnectionId(7);
    let join = json!({
        "method": "join", "target": "room", "peerName": "watcher", "appData": { "seat": 3 },
        "rtpCapabilities": { "codecs": [], "headerExtensions": [] },
    });
    scenario.server.handle_request(now, other, 1, &join);
    let mut scenario = scenario.joined();
    assert_eq!(scenario.room.peers().map(|peer| peer.name.as_str()).collect::<Vec<_>>(), ["watcher"]);
    let said: Vec<_> = scenario.take_other_peers();
    assert!(matches!(&said[0], ServerOutput::Response { connection: ConnectionId(7), id: 1, result: Ok(answer) }
        if *answer == json!({ "peers": [] })));
    assert!(matches!(&said[1], ServerOutput::Notification { message, .. }
        if message["method"] == "newPeer" && message["name"] == "sender"));

    let now = scenario.now();
    scenario.server.handle_disconnect(now, other, Some(json!("gone")));
    scenario.drive(Duration::from_millis(50));
    assert!(
        scenario
            .take_events()
            .contains(&Event::PeerClosed { name: "watcher".to_owned(), app_data: Some(json!("gone")) })
    );
    assert_eq!(scenario.room.peers().count(), 0);
}

#[test]
fn a_name_in_use_is_refused_and_another_can_be_tried() {
    let mut scenario = plain(3);
    let now = scenario.now();
    let join = json!({
        "method": "join", "target": "room", "peerName": "sender",
        "rtpCapabilities": { "codecs": [], "headerExtensions": [] },
    });
    scenario.server.handle_request(now, ConnectionId(7), 1, &join);
    scenario.room.join(now, "sender", None).unwrap();
    scenario.drive(Duration::from_millis(200));
    let results = settled(&scenario.take_events());
    assert!(
        matches!(&results[..], [Err(Failure::Join(JoinFailure::Request(RequestFailure::Refused(refusal))))]
                if refusal.kind == RefusalKind::DuplicatedPeer),
        "{results:?}"
    );
    let now = scenario.now();
    scenario.room.join(now, "sender-2", None).unwrap();
    scenario.drive_until("the second name to be taken", |scenario| scenario.room.joined());
}

#[test]
fn a_spy_is_not_announced_and_cannot_send() {
    let mut scenario = scenario(ScenarioConfig::default().room(RoomConfig::default().spy(true)), 4);
    let now = scenario.now();
    let join = json!({
        "method": "join", "target": "room", "peerName": "watcher",
        "rtpCapabilities": { "codecs": [], "headerExtensions": [] },
    });
    scenario.server.handle_request(now, ConnectionId(7), 1, &join);
    let mut scenario = scenario.joined();
    assert_eq!(scenario.take_other_peers().len(), 1, "the answer to the join alone");
    let now = scenario.now();
    assert_eq!(scenario.room.create_transport(now, None), Err(CreateTransportError::Spy));
}

#[test]
fn mandatory_codecs_that_we_have_are_no_obstacle() {
    let server = RoomServerConfig::default().mandatory_codecs([Codec::Opus, Codec::Vp8]);
    assert!(scenario(ScenarioConfig::default().server(server), 5).joined().room.joined());
}

#[test]
fn a_request_without_an_answer_times_out_and_the_send_can_be_tried_again() {
    let mut scenario = plain(6).joined();
    let on = scenario.create_transport();
    scenario.drop_responses("createProducer");
    let id = scenario.send(on, Source::vp8(300_000));
    scenario.take_events();
    let begun = scenario.now();
    scenario.drive_until("the send to time out", |scenario| {
        scenario.events().iter().any(|(_, event)| matches!(event, Event::Settled { result: Err(_), .. }))
    });
    assert!((Duration::from_secs(10)..Duration::from_millis(10_100)).contains(&(scenario.now() - begun)));
    let results = settled(&scenario.take_events());
    assert_eq!(results, [Err(Failure::Send(RequestFailure::TimedOut { method: "createProducer".to_owned() }.into()))]);
    scenario.drive(Duration::from_millis(50));
    assert_eq!(scenario.server.producers().count(), 0, "what the server made of it is undone");

    scenario.release();
    let now = scenario.now();
    scenario.room.producer(id).unwrap().send(now, on).unwrap();
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.room.producer_info(id).unwrap().handled());
    assert!(scenario.server.encodings(id)[0].packets > 10);
}

#[test]
fn what_an_answer_brings_that_comes_too_late_is_undone() {
    let mut scenario = plain(7).joined();
    let on = scenario.create_transport();
    scenario.hold_responses("createTransport");
    let id = scenario.send(on, Source::opus(32_000));
    scenario.drive(Duration::from_secs(11));
    scenario.release();
    scenario.drive(Duration::from_millis(50));
    assert_eq!(scenario.room.stats().messages_unexpected, 0);
    assert_eq!(scenario.server.transports().count(), 0, "what the server made of it is undone");
    let now = scenario.now();
    scenario.room.producer(id).unwrap().send(now, on).unwrap();
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.server.encodings(id)[0].packets > 10);
}

#[test]
fn a_refused_send_leaves_the_producer_free_to_be_sent_again() {
    for (seed, method) in [(8, "createTransport"), (9, "createProducer")] {
        let mut scenario = plain(seed).joined();
        let on = scenario.create_transport();
        scenario.answer(method, Err("Error: come back tomorrow"));
        let id = scenario.send(on, Source::vp8_simulcast(100_000, 300_000, 900_000));
        scenario.drive(Duration::from_millis(200));
        let results = settled(&scenario.take_events());
        assert!(
            matches!(&results[1..], [Err(Failure::Send(SendFailure::Request(RequestFailure::Refused(refusal))))]
                if refusal.reason == "Error: come back tomorrow" && refusal.kind == RefusalKind::Other),
            "{results:?}"
        );
        assert!(!scenario.room.producer_info(id).unwrap().handled());
        scenario.release();
        let now = scenario.now();
        scenario.room.producer(id).unwrap().send(now, on).unwrap();
        scenario.drive(Duration::from_secs(1));
        assert!(scenario.server.encodings(id).iter().all(|encoding| encoding.packets > 10));
    }
}

#[test]
fn why_a_send_failed_is_typed_and_has_words_that_are_read_again() {
    let malformed = |what: &str| {
        let method = "createTransport".to_owned();
        SendFailure::from(RequestFailure::InvalidResponse(InvalidResponse::Malformed { method, what: what.to_owned() }))
    };
    let room = RoomConfig::default().limits(Limits::default().message_bytes(8_000));
    let server = RoomServerConfig::default().codecs([Codec::Opus]);
    let config = ScenarioConfig::default().room(room).server(server);
    let fingerprints = "/dtlsParameters/fingerprints";
    let sha1 = json!([{ "algorithm": "sha-1", "value": "AB" }]);
    let garbled = json!([{ "algorithm": "sha-256", "value": "XY:Z" }]);
    let too_large = |error: &SendFailure| {
        let SendFailure::Request(RequestFailure::InvalidResponse(what)) = error else { return false };
        matches!(what, InvalidResponse::TooLarge { bytes: 8_001.., limit: 8_000 })
    };
    for (pointer, value, expected) in [
        (fingerprints, sha1, Some(SendFailure::Setup(SetupError::NoFingerprint))),
        (fingerprints, garbled, Some(SendFailure::Setup(SetupError::BadFingerprint))),
        ("/iceCandidates", json!([]), Some(malformed("no ICE candidate that can be used"))),
        ("/iceParameters/password", Value::from("x".repeat(8_000)), None),
    ] {
        let mut scenario = scenario(config.clone(), 20).joined();
        let on = scenario.create_transport();
        scenario.patch_responses("createTransport", pointer, value);
        scenario.send(on, Source::opus(32_000));
        scenario.drive(Duration::from_secs(1));
        let results = settled(&scenario.take_events());
        let Some(Err(Failure::Send(error))) = results.last() else { panic!("{pointer}: {results:?}") };
        assert!(expected.as_ref().map_or_else(|| too_large(error), |expected| error == expected), "{error:?}");
        let written = serde_json::to_value(error).unwrap();
        assert_eq!(serde_json::from_value::<SendFailure>(written).unwrap(), *error);
    }
}

#[test]
fn producers_outlive_their_transport_and_go_over_another() {
    let mut scenario = plain(10).sending();
    let (on, ids) = (transport(&scenario), [audio(&scenario), video(&scenario)]);
    scenario.take_events();
    scenario.take_messages();
    let now = scenario.now();
    scenario.room.transport(on).unwrap().close(now, Some(json!("moving"))).unwrap();
    scenario.drive(Duration::from_millis(100));
    assert_eq!(methods(&scenario.take_messages()), ["closeTransport"]);
    let events = scenario.take_events();
    for id in ids {
        assert_eq!(producer_events(&events, id), [ProducerEvent::Unhandled]);
    }
    let close = TransportEvent::Close { originator: Originator::Local, app_data: Some(json!("moving")) };
    assert_eq!(transport_events(&events, on), [close]);
    assert_eq!(scenario.server.transports().count() + scenario.server.producers().count(), 0);

    let on = scenario.create_transport();
    let now = scenario.now();
    for id in ids {
        scenario.room.producer(id).unwrap().send(now, on).unwrap();
    }
    scenario.drive(Duration::from_secs(1));
    for id in ids {
        assert!(scenario.server.encodings(id).iter().all(|encoding| encoding.packets > 10));
    }
}

#[test]
fn producers_are_unhandled_in_the_order_in_which_they_were_handled() {
    let mut scenario = plain(18).joined();
    let made: Vec<_> = (0..4).map(|_| scenario.create_producer(Source::opus(32_000))).collect();
    let on = scenario.create_transport();
    let unhandled = |events: Vec<Event>| -> Vec<_> {
        let of = |event| match event {
            Event::Producer { id, event: ProducerEvent::Unhandled } => Some(id),
            _ => None,
        };
        events.into_iter().filter_map(of).collect()
    };
    let order = [made[2], made[0], made[3], made[1]];
    let now = scenario.now();
    for id in order {
        scenario.room.producer(id).unwrap().send(now, on).unwrap();
    }
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.room.transport(on).unwrap().close(now, None).unwrap();
    assert_eq!(unhandled(scenario.take_events()), order);

    // Over another, in another order; and the room is left.
    let on = scenario.create_transport();
    for id in made.iter().rev() {
        scenario.room.producer(*id).unwrap().send(now, on).unwrap();
    }
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.room.leave(now, None).unwrap();
    assert!(unhandled(scenario.take_events()).iter().eq(made.iter().rev()));
}

#[test]
fn audio_with_simulcast_is_one_stream() {
    let mut scenario = plain(19).joined();
    let on = scenario.create_transport();
    let now = scenario.now();
    let track = Track::new(MediaKind::Audio, "microphone", "");
    let id = scenario.room.create_producer(now, track, ProducerOptions::default().simulcast(true), None).unwrap();
    let mut producer = scenario.room.producer(id).unwrap();
    assert_eq!(producer.simulcast(), None);
    producer.send(now, on).unwrap();
    scenario.drive_until("it to be handled", |scenario| scenario.room.producer_info(id).unwrap().handled());
    let parameters = scenario.room.producer_info(id).unwrap().rtp_parameters().unwrap();
    assert!(matches!(&parameters.encodings[..], [encoding] if encoding.profile.is_none()));
}

#[test]
fn producers_outlive_a_transport_that_the_server_closes() {
    let mut scenario = plain(11).sending();
    let (on, ids) = (transport(&scenario), [audio(&scenario), video(&scenario)]);
    scenario.take_events();
    scenario.take_messages();
    let now = scenario.now();
    assert!(scenario.server.close_transport(now, on, Some(json!({ "why": "maintenance" }))));
    scenario.drive(Duration::from_millis(100));
    assert_eq!(scenario.take_messages(), Vec::<Value>::new());
    let events = scenario.take_events();
    let close =
        TransportEvent::Close { originator: Originator::Remote, app_data: Some(json!({ "why": "maintenance" })) };
    assert_eq!(transport_events(&events, on).last(), Some(&close));
    for id in ids {
        assert_eq!(producer_events(&events, id), [ProducerEvent::Unhandled]);
        assert!(scenario.room.producer_info(id).is_some());
    }
}

#[test]
fn operations_on_a_transport_run_one_after_another() {
    let mut scenario = plain(12).joined();
    let on = scenario.create_transport();
    scenario.take_messages();
    scenario.send(on, Source::opus(32_000));
    scenario.send(on, Source::vp8(300_000));
    scenario.send(on, Source::vp8(300_000));
    let now = scenario.now();
    scenario.room.transport(on).unwrap().restart_ice(now).unwrap();
    let mut seen = Vec::new();
    for _ in 0..20 {
        scenario.drive(Duration::from_millis(10));
        assert!(scenario.room.stats().requests_pending <= 1);
        seen.extend(scenario.take_messages());
    }
    assert_eq!(
        methods(&seen),
        ["createTransport", "createProducer", "createProducer", "createProducer", "restartTransport"]
    );
    assert_eq!(scenario.server.producers().count(), 3);
}

#[test]
fn a_join_without_an_answer_leaves_no_peer_behind_that_bars_the_next() {
    let mut scenario = plain(17);
    scenario.drop_responses("join");
    let now = scenario.now();
    let lost = scenario.room.join(now, "camera-1", None).unwrap();
    scenario.drive(Duration::from_secs(60));
    let timed_out = Err(Failure::Join(RequestFailure::TimedOut { method: "join".to_owned() }.into()));
    assert!(scenario.take_events().contains(&Event::Settled { operation: lost, result: timed_out }));
    assert_eq!(methods(&scenario.take_messages()), ["queryRoom", "join", "leave"]);

    scenario.release();
    let now = scenario.now();
    let join = scenario.room.join(now, "camera-1", None).unwrap();
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.take_events().contains(&Event::Settled { operation: join, result: Ok(()) }));
}

#[test]
fn leaving_closes_everything_in_order_and_nothing_follows() {
    let mut scenario = plain(13).sending();
    let (on, ids) = (transport(&scenario), [audio(&scenario), video(&scenario)]);
    scenario.drive(Duration::from_secs(1));
    scenario.take_events();
    scenario.take_messages();
    scenario.take_server_events();
    let now = scenario.now();
    scenario.room.leave(now, Some(json!({ "bye": 1 }))).unwrap();
    scenario.drive(Duration::from_secs(30));

    assert_eq!(methods(&scenario.take_messages()), ["leave"]);
    let events = scenario.take_events();
    let place = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(wanted).expect("it happens");
    let closed = place(&|event| matches!(event, Event::Closed { originator: Originator::Local, .. }));
    let transport_closed =
        place(&|event| matches!(event, Event::Transport { event: TransportEvent::Close { .. }, .. }));
    let producer_closed = place(&|event| matches!(event, Event::Producer { event: ProducerEvent::Close { .. }, .. }));
    assert!(closed < transport_closed && transport_closed < producer_closed, "{events:?}");
    for id in ids {
        assert_eq!(
            producer_events(&events, id),
            [ProducerEvent::Unhandled, ProducerEvent::Close { originator: Originator::Local, app_data: None }]
        );
    }
    assert_eq!(transport_events(&events, on).len(), 1);
    assert_eq!(scenario.room.poll_timeout(), None, "nothing is left to be done");
    assert!(scenario.room.closed());

    let at_server = scenario.take_server_events();
    assert!(at_server.iter().any(|event| matches!(event, ServerEvent::Goodbye { .. })), "{at_server:?}");
    assert!(at_server.contains(&ServerEvent::TransportEnded { id: on }));
    assert!(matches!(at_server.last(), Some(ServerEvent::PeerClosed { app_data: Some(_), .. })), "{at_server:?}");
    assert_eq!(scenario.server.peers().count(), 0);
}

#[test]
fn a_room_that_was_left_can_be_joined_again() {
    let mut scenario = plain(14).sending();
    let now = scenario.now();
    scenario.room.leave(now, None).unwrap();
    scenario.drive(Duration::from_millis(100));
    let mut scenario = scenario.sending();
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.received().iter().all(|encoding| encoding.packets > 10));
}

#[test]
fn a_peer_that_the_server_closes_is_closed_with_all_it_has() {
    let mut scenario = plain(15).sending();
    scenario.take_messages();
    scenario.take_events();
    let now = scenario.now();
    assert!(scenario.server.close_peer(now, "sender", Some(json!({ "why": "kicked" }))));
    scenario.drive(Duration::from_secs(1));
    let events = scenario.take_events();
    let closed = Event::Closed { originator: Originator::Remote, app_data: Some(json!({ "why": "kicked" })) };
    assert!(events.contains(&closed), "{events:?}");
    assert_eq!(scenario.take_messages(), Vec::<Value>::new());
    assert_eq!(scenario.room.transports().count() + scenario.room.producers().count(), 0);
}

#[test]
fn a_full_room_refuses() {
    let server = RoomServerConfig::default().limits(ServerLimits::default().peers(0));
    let mut scenario = scenario(ScenarioConfig::default().server(server), 16);
    let now = scenario.now();
    scenario.room.join(now, "sender", None).unwrap();
    scenario.drive(Duration::from_secs(1));
    let results = settled(&scenario.take_events());
    assert!(
        matches!(&results[..], [Err(Failure::Join(JoinFailure::Request(RequestFailure::Refused(_))))]),
        "{results:?}"
    );
}
