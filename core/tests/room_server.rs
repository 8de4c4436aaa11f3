//! The room server against what the real server was seen to do: the answers and refusals of the recorded session, word for
//! word, and the shapes of its statistics.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{audio, plain, transport, video};
use mediasoup_producer::Codec;
use mediasoup_producer::IceProtocol;
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, Scenario, ServerOutput};
use mediasoup_producer::v2::{Event, ProducerEvent, TransportEvent};
use serde_json::{Value, json};

const PEER: ConnectionId = ConnectionId(1);

fn server() -> RoomServer {
    let config = RoomServerConfig::default()
        .codecs([Codec::Opus, Codec::Vp8])
        .address(IceProtocol::Udp, Scenario::SERVER)
        .address(IceProtocol::Tcp, Scenario::SERVER);
    RoomServer::new(config, 1)
}

fn recording() -> Vec<Value> {
    let recording = include_str!("captures/plain-producer.jsonl");
    recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn answer(server: &mut RoomServer, request: &Value) -> Result<Value, String> {
    #[allow(clippy::disallowed_methods)] // a test may ask for the time
    let now = std::time::Instant::now();
    server.handle_request(now, PEER, 1, request);
    let mut answer = None;
    while let Some(output) = server.poll_output() {
        if let ServerOutput::Response { connection: PEER, result, .. } = output {
            answer = Some(result);
        }
    }
    answer.expect("every request is answered")
}

/// The keys of an object and of all within, with the kinds of their values.
fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), into)),
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), into)),
            Value::Null => drop(into.insert(format!("{path}: null"))),
            Value::Bool(_) => drop(into.insert(format!("{path}: bool"))),
            Value::Number(_) => drop(into.insert(format!("{path}: number"))),
            Value::String(_) => drop(into.insert(format!("{path}: string"))),
        }
    }
    let mut into = BTreeSet::new();
    walk(value, "", &mut into);
    into
}

#[test]
fn the_recorded_session_gets_the_recorded_answers() {
    let mut server = server();
    let recording = recording();
    let mut refusals = 0;
    for (index, line) in recording.iter().enumerate() {
        let message = &line["msg"];
        if line["dir"] == "server-event" && line["event"] == "transport.close" && line["data"]["originator"] == "local"
        {
            #[allow(clippy::disallowed_methods)]
            let now = std::time::Instant::now();
            let id = u32::try_from(line["data"]["id"].as_u64().unwrap()).unwrap();
            server.close_transport(now, id.into(), None);
        }
        if line["dir"] == "server->client" && message["method"] == "producerClosed" {
            #[allow(clippy::disallowed_methods)]
            let now = std::time::Instant::now();
            let id = u32::try_from(message["id"].as_u64().unwrap()).unwrap();
            assert!(server.close_producer(now, id.into(), None));
        }
        if line["dir"] != "client->server" {
            continue;
        }
        if line["type"] == "notification" {
            #[allow(clippy::disallowed_methods)]
            server.handle_notification(std::time::Instant::now(), PEER, message);
            continue;
        }
        let answered = recording[index..]
            .iter()
            .find(|later| later["type"] == "response" && later["id"] == line["id"] && later["dir"] == "server->client");
        let answered = answered.expect("every recorded request was answered");
        let ours = answer(&mut server, message);
        if answered["ok"] == true {
            let ours = ours.unwrap_or_else(|error| panic!("{message}: {error}"));
            let theirs = answered.get("msg").cloned().unwrap_or(Value::Null);
            let what = message["method"].as_str().unwrap();
            match what {
                // Another peer was in that room.
                "join" => assert_eq!(shape(&ours), BTreeSet::new()),
                "queryRoom" => assert_eq!(ours, theirs),
                _ => assert_eq!(shape(&ours), shape(&theirs), "{what}"),
            }
        } else {
            refusals += 1;
            assert_eq!(ours.as_ref().err().map(String::as_str), answered["error"].as_str(), "{message}");
        }
    }
    assert!(refusals >= 18, "{refusals}");
}

#[test]
fn candidates_have_the_recorded_priorities() {
    let mut server = server();
    let recorded: Vec<_> = recording().into_iter().filter(|line| line["dir"] == "client->server").take(3).collect();
    for request in &recorded[..2] {
        answer(&mut server, &request["msg"]).unwrap();
    }
    let mut request = recorded[2]["msg"].clone();
    let priority = |answer: &Value, index: usize| answer["iceCandidates"][index]["priority"].as_u64().unwrap();
    let plain = answer(&mut server, &request).unwrap();
    assert_eq!((priority(&plain, 0), priority(&plain, 1)), (1_078_862_079, 1_078_862_079));
    request["id"] = 2.into();
    request["options"] = json!({ "preferUdp": true, "tcp": true });
    let udp = answer(&mut server, &request).unwrap();
    assert!(priority(&udp, 0) > priority(&udp, 1));
    request["id"] = 3.into();
    request["options"] = json!({ "udp": false });
    let tcp = answer(&mut server, &request).unwrap();
    assert_eq!(tcp["iceCandidates"].as_array().unwrap().len(), 1);
    assert_eq!(tcp["iceCandidates"][0]["tcpType"], "passive");
    request["id"] = 4.into();
    request["options"] = json!({ "udp": false, "tcp": false });
    assert_eq!(answer(&mut server, &request), Err("Error: could not open any IP:port".to_owned()));
}

#[test]
fn what_the_room_does_not_do_is_refused_in_clear_words() {
    let mut server = server();
    let recorded: Vec<_> = recording().into_iter().filter(|line| line["dir"] == "client->server").take(3).collect();
    for request in &recorded[..2] {
        answer(&mut server, &request["msg"]).unwrap();
    }
    let mut request = recorded[2]["msg"].clone();
    request["direction"] = "recv".into();
    assert!(answer(&mut server, &request).unwrap_err().contains("no consumers"));
}

/// None of this may panic, or be taken for something it is not.
#[test]
fn nonsense_is_refused() {
    let mut server = server();
    let recorded: Vec<_> = recording().into_iter().filter(|line| line["dir"] == "client->server").take(4).collect();
    for request in &recorded[..3] {
        answer(&mut server, &request["msg"]).unwrap();
    }
    for nonsense in [json!(null), json!(7), json!([]), json!({}), json!({ "method": 7 }), json!({ "method": "join" })] {
        assert!(answer(&mut server, &nonsense).is_err());
    }
    // Every field of a good request in turn is made something else.
    let good = &recorded[3]["msg"];
    let mut pointers = Vec::new();
    fn walk(value: &Value, path: String, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(value, format!("{path}/{key}"), into)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| walk(value, format!("{path}/{index}"), into));
            }
            _ => {}
        }
        into.push(path);
    }
    walk(good, String::new(), &mut pointers);
    for pointer in pointers {
        for junk in [Value::Null, json!(-1), json!(1e300), json!("?"), json!([{}]), json!({ "a": [] })] {
            let mut request = good.clone();
            *request.pointer_mut(&pointer).unwrap() = junk;
            let _ = answer(&mut server, &request);
            let mut notification = request;
            if notification.is_object() {
                notification["notification"] = true.into();
                for method in ["updateTransport", "enableProducerStats", "enableTransportStats", "closeTransport"] {
                    notification["method"] = method.into();
                    #[allow(clippy::disallowed_methods)]
                    server.handle_notification(std::time::Instant::now(), PEER, &notification);
                    while server.poll_output().is_some() {}
                }
            }
        }
    }
}

#[test]
fn statistics_come_at_once_and_then_at_every_interval_in_the_recorded_shapes() {
    let mut scenario = plain(1).sending();
    scenario.drive(Duration::from_secs(6));
    let (on, audio, video) = (transport(&scenario), audio(&scenario), video(&scenario));
    scenario.take_events();
    let now = scenario.now();
    scenario.room.transport(on).unwrap().enable_stats(now, Duration::from_millis(1)).unwrap();
    scenario.room.producer(audio).unwrap().enable_stats(now, Duration::from_secs(1)).unwrap();
    scenario.room.producer(video).unwrap().enable_stats(now, Duration::from_secs(2)).unwrap();
    scenario.drive(Duration::from_millis(4500));
    let events = scenario.take_events();

    let recorded = |method: &str, id: u64| {
        let line = recording().into_iter().find(|line| line["msg"]["method"] == method && line["msg"]["id"] == id);
        shape(&line.unwrap()["msg"]["stats"][0])
    };
    let mut of_transport = Vec::new();
    let mut of_audio = Vec::new();
    let mut of_video = Vec::new();
    for event in events {
        match event {
            Event::Transport { event: TransportEvent::Stats { stats }, .. } => of_transport.push(stats),
            Event::Producer { id, event: ProducerEvent::Stats { stats } } if id == audio => of_audio.push(stats),
            Event::Producer { event: ProducerEvent::Stats { stats }, .. } => of_video.push(stats),
            _ => {}
        }
    }
    assert_eq!((of_transport.len(), of_audio.len(), of_video.len()), (5, 5, 3));
    assert_eq!(shape(&of_transport[0][0].raw), recorded("transportStats", 99476634));
    assert_eq!(shape(&of_audio[0][0].raw), recorded("producerStats", 18150913));
    assert_eq!(of_video[0].len(), 3);
    let stream = of_audio[4][0].stream.as_ref().unwrap();
    let sent = scenario.room.producer(audio).unwrap().outbound_stats()[0].packets_sent;
    assert!((sent - 30..=sent).contains(&stream.packet_count), "{stream:?}");
    assert!((30_000..40_000).contains(&stream.bitrate_bps), "{stream:?}");
    assert_eq!(of_transport[0][0].transport.as_ref().unwrap().dtls_state, "connected");

    let now = scenario.now();
    scenario.room.producer(audio).unwrap().pause(now, None).unwrap();
    scenario.room.producer(video).unwrap().disable_stats(now).unwrap();
    scenario.room.transport(on).unwrap().disable_stats(now).unwrap();
    scenario.drive(Duration::from_millis(50));
    scenario.take_events();
    scenario.drive(Duration::from_secs(5));
    assert_eq!(scenario.take_events(), [], "none while paused, none when disabled");
}

/// The server ignores that statistics are switched on when they are.
#[test]
fn statistics_come_at_the_interval_that_was_asked_for_last() {
    let mut scenario = plain(3).sending();
    let (on, audio) = (transport(&scenario), audio(&scenario));
    let reports = |scenario: &mut Scenario, time| {
        scenario.take_events();
        scenario.drive(Duration::from_secs(time));
        let of_transport =
            |event: &&Event| matches!(event, Event::Transport { event: TransportEvent::Stats { .. }, .. });
        let of_producer = |event: &&Event| matches!(event, Event::Producer { event: ProducerEvent::Stats { .. }, .. });
        let events = scenario.take_events();
        (events.iter().filter(of_transport).count(), events.iter().filter(of_producer).count())
    };
    for interval in [1, 5] {
        let (now, interval) = (scenario.now(), Duration::from_secs(interval));
        scenario.room.transport(on).unwrap().enable_stats(now, interval).unwrap();
        scenario.room.producer(audio).unwrap().enable_stats(now, interval).unwrap();
        scenario.drive(Duration::from_secs(1));
    }
    assert_eq!(scenario.room.transport_info(on).unwrap().stats_interval(), Some(Duration::from_secs(5)));
    assert_eq!(reports(&mut scenario, 20), (4, 4));

    let now = scenario.now();
    for (method, id) in [("enableTransportStats", on.value()), ("enableProducerStats", audio.value())] {
        let message = json!({ "method": method, "target": "peer", "notification": true, "id": id, "interval": 1000 });
        scenario.server.handle_notification(now, ConnectionId(0), &message);
    }
    assert_eq!(reports(&mut scenario, 20), (4, 4), "a second time is ignored");
}

#[test]
fn datagrams_of_strangers_are_discarded() {
    let mut scenario = plain(2).sending();
    let now = scenario.now();
    let before = scenario.server.counters().datagrams_discarded;
    for contents in [&[][..], &[0; 3], &[0; 20], &[22; 100], &[0x80; 60], &[0x80, 200, 0, 0, 0, 0, 0, 0], &[255; 1500]]
    {
        for source in [Scenario::OTHER_CLIENT, Scenario::CLIENT] {
            let receive = mediasoup_producer::Receive {
                protocol: IceProtocol::Udp,
                source,
                destination: Scenario::SERVER,
                contents: contents.to_vec().into(),
            };
            scenario.server.handle_receive(now, &receive);
        }
    }
    assert!(scenario.server.counters().datagrams_discarded >= before + 7);
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.connected());
    assert!(scenario.received().iter().all(|encoding| encoding.packets_lost == 0));
}
