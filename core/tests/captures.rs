//! Given what the real server said in each recorded session, we say what the real client said, up to ids, SSRCs, keys and
//! our own payload types. The recordings are of mediasoup 2.6.19 with mediasoup-client 2.4.9 in Chromium.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mediasoup_producer::DtlsRole;
use mediasoup_producer::v2::protocol::{Refusal, RefusalKind};
use mediasoup_producer::v2::{Event, Input, Output, ProducerOptions, Room, RoomConfig, TransportOptions};
use mediasoup_producer::{MediaKind, ProducerId, RequestId, Track, TransportId};
use serde_json::{Value, json};

/// Plays the server's side of a recording against a room, and the application's side as the client's messages betray it.
struct Replay {
    room: Room,
    now: Instant,
    messages: Vec<(Option<RequestId>, Value)>,
    events: Vec<Event>,
    /// Ids of the recording, and ours.
    transports: BTreeMap<u64, TransportId>,
    producers: BTreeMap<u64, ProducerId>,
    requests: BTreeMap<u64, RequestId>,
}

impl Replay {
    fn run(recording: &str, config: RoomConfig) -> Self {
        let lines: Vec<Value> = recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut replay = Self {
            room: Room::new(config, 1),
            now: Instant::now(),
            messages: Vec::new(),
            events: Vec::new(),
            transports: BTreeMap::new(),
            producers: BTreeMap::new(),
            requests: BTreeMap::new(),
        };
        // In the longer recordings the laboratory sent messages of its own past the client, to provoke errors.
        let method = |line: &Value| line["msg"]["method"].as_str().unwrap_or_default().to_owned();
        let provoked_from = lines.iter().position(|line| method(line) == "updateProducer").unwrap_or(usize::MAX);
        let provoked_to = lines.iter().position(|line| method(line) == "closeProducer").unwrap_or(0);
        for (index, line) in lines.iter().enumerate() {
            if (provoked_from..provoked_to).contains(&index) {
                continue;
            }
            replay.now += Duration::from_millis(1);
            match line["dir"].as_str().unwrap() {
                "client->server" => replay.client_said(line, &lines[index..]),
                "server->client" => replay.server_says(line),
                _ => {}
            }
        }
        assert_eq!(replay.messages, [], "the client said nothing of this");
        replay
    }

    fn client_said(&mut self, line: &Value, rest: &[Value]) {
        let message = &line["msg"];
        let (now, app_data) = (self.now, message.get("appData").cloned());
        let id = message["id"].as_u64().unwrap_or_default();
        let transport = self.transports.get(&id).copied();
        let producer = self.producers.get(&id).copied();
        let interval = || Duration::from_millis(message["interval"].as_u64().unwrap());
        match message["method"].as_str().unwrap() {
            "queryRoom" => {
                // The application's data comes with the join that follows.
                let join = rest.iter().find(|line| line["msg"]["method"] == "join").unwrap();
                let app_data = join["msg"].get("appData").cloned();
                self.room.join(now, join["msg"]["peerName"].as_str().unwrap(), app_data).unwrap();
            }
            "join" => {}
            "createTransport" => {
                let transport = self.room.create_transport(now, app_data).unwrap();
                self.transports.insert(id, transport);
                let first = rest.iter().find(|line| line["msg"]["transportId"] == message["id"]).unwrap();
                self.send_producer(&first["msg"], transport);
            }
            "createProducer" => {
                if !self.producers.contains_key(&id) {
                    if message["rtpParameters"]["encodings"][0].get("encodingId").is_some() {
                        return; // the laboratory's own, with RID
                    }
                    let transport = self.transports[&message["transportId"].as_u64().unwrap()];
                    self.send_producer(message, transport);
                }
            }
            "closeProducer" => match producer.and_then(|id| self.room.producer(id)) {
                // Redundant after its transport was closed: a producer then is no longer handled.
                Some(producer) if !producer.handled() => return,
                Some(producer) => producer.close(now, app_data).unwrap(),
                None => return,
            },
            "pauseProducer" => self.room.producer(producer.unwrap()).unwrap().pause(now, app_data).unwrap(),
            "resumeProducer" => self.room.producer(producer.unwrap()).unwrap().resume(now, app_data).unwrap(),
            "enableProducerStats" => {
                self.room.producer(producer.unwrap()).unwrap().enable_stats(now, interval()).unwrap();
            }
            "disableProducerStats" => self.room.producer(producer.unwrap()).unwrap().disable_stats(now).unwrap(),
            "enableTransportStats" => {
                self.room.transport(transport.unwrap()).unwrap().enable_stats(now, interval()).unwrap();
            }
            "disableTransportStats" => self.room.transport(transport.unwrap()).unwrap().disable_stats(now).unwrap(),
            "restartTransport" => drop(self.room.transport(transport.unwrap()).unwrap().restart_ice(now).unwrap()),
            "closeTransport" => self.room.transport(transport.unwrap()).unwrap().close(now, app_data).unwrap(),
            "leave" => self.room.leave(now, app_data).unwrap(),
            other => panic!("what does the application want with {other}?"),
        }
        self.drain();
        assert!(!self.messages.is_empty(), "the client said {message}, and we nothing");
        let (request, said) = self.messages.remove(0);
        assert_eq!(normal(&said), normal(message));
        if let Some(request) = request {
            self.requests.insert(line["id"].as_u64().unwrap(), request);
        }
    }

    fn send_producer(&mut self, message: &Value, transport: TransportId) {
        let id = message["id"].as_u64().unwrap();
        let kind = if message["kind"] == "audio" { MediaKind::Audio } else { MediaKind::Video };
        let simulcast = message["rtpParameters"]["encodings"].as_array().unwrap().len() == 3;
        let options = ProducerOptions::default().simulcast(simulcast);
        let track = Track::new(kind, "track", "");
        let producer = self.room.create_producer(self.now, track, options, message.get("appData").cloned()).unwrap();
        self.producers.insert(id, producer);
        self.room.producer(producer).unwrap().send(self.now, transport).unwrap();
    }

    fn server_says(&mut self, line: &Value) {
        let input = if line["type"] == "response" {
            let Some(id) = self.requests.get(&line["id"].as_u64().unwrap()).copied() else { return };
            let result = match line["error"].as_str() {
                None => Ok(line["msg"].clone()),
                Some(reason) => Err(Refusal::new(reason)),
            };
            Input::Response { id, result }
        } else {
            let mut message = line["msg"].clone();
            let id = message["id"].as_u64().unwrap_or_default();
            if let Some(transport) = self.transports.get(&id) {
                message["id"] = json!(transport);
            } else if let Some(producer) = self.producers.get(&id) {
                message["id"] = json!(producer);
            } else if message.get("id").is_some() {
                return; // about the laboratory's own
            }
            Input::Notification(message)
        };
        self.room.handle_input(self.now, input).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => self.messages.push((Some(id), request.to_json())),
                Output::Notification(notification) => self.messages.push((None, notification.to_json())),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }
}

/// A message with everything that is a side's own choice taken out.
fn normal(message: &Value) -> Value {
    let mut message = message.clone();
    if message.get("id").is_some() {
        message["id"] = "ours".into();
    }
    if message.get("transportId").is_some() {
        message["transportId"] = "ours".into();
    }
    if let Some(fingerprint) = message.pointer_mut("/dtlsParameters/fingerprints/0/value") {
        let hash = fingerprint.as_str().unwrap();
        assert_eq!((hash.len(), hash.split(':').count()), (95, 32), "{hash}");
        *fingerprint = "ours".into();
    }
    if let Some(parameters) = message.get_mut("rtpParameters") {
        parameters["muxId"] = "ours".into();
        assert!(!parameters["rtcp"]["cname"].as_str().unwrap().is_empty());
        parameters["rtcp"]["cname"] = "ours".into();
        let first = parameters["codecs"][0]["payloadType"].clone();
        for (index, codec) in parameters["codecs"].as_array_mut().unwrap().iter_mut().enumerate() {
            codec["payloadType"] = index.into();
            if codec["parameters"].get("apt").is_some() {
                assert_eq!(codec["parameters"]["apt"], first);
                codec["parameters"]["apt"] = 0.into();
            }
        }
        for extension in parameters["headerExtensions"].as_array_mut().unwrap() {
            extension["id"] = "ours".into();
        }
        for encoding in parameters["encodings"].as_array_mut().unwrap() {
            encoding["ssrc"] = "ours".into();
            if let Some(rtx) = encoding.get_mut("rtx") {
                rtx["ssrc"] = "ours".into();
            }
        }
    }
    message
}

fn replay(recording: &str, role: DtlsRole) -> Replay {
    Replay::run(recording, RoomConfig::default().dtls_role(role))
}

#[test]
fn a_session_with_one_video_stream() {
    let replay = replay(include_str!("captures/plain-producer.jsonl"), DtlsRole::Server);
    assert!(replay.room.closed());
    assert_eq!(replay.room.transports().count() + replay.room.producers().count(), 0);
    assert_eq!(replay.room.stats().messages_malformed, 0);
    let stats = replay.events.iter().filter(|event| format!("{event:?}").contains("bitrate_bps: 32840")).count();
    assert_eq!(stats, 1, "the server's statistics arrive as typed values");
}

#[test]
fn a_session_with_simulcast() {
    let replay = replay(include_str!("captures/simulcast-producer.jsonl"), DtlsRole::Server);
    assert!(replay.room.closed());
}

#[test]
fn the_dtls_client_role() {
    replay(include_str!("captures/variant-client-producer.jsonl"), DtlsRole::Client);
}

#[test]
fn h264() {
    replay(include_str!("captures/variant-h264-producer.jsonl"), DtlsRole::Server);
}

#[test]
fn tcp_only() {
    let options = TransportOptions { udp: Some(false), tcp: Some(true), ..TransportOptions::default() };
    let config = RoomConfig::default().dtls_role(DtlsRole::Server).transport_options(options);
    Replay::run(include_str!("captures/variant-tcp-producer.jsonl"), config);
}

#[test]
fn other_recordings() {
    replay(include_str!("captures/variant-rid-producer.jsonl"), DtlsRole::Server);
    replay(include_str!("captures/variant-rid2-producer.jsonl"), DtlsRole::Server);
}

#[test]
fn every_refusal_on_record_has_a_meaning() {
    let recordings = [
        include_str!("captures/plain-producer.jsonl"),
        include_str!("captures/simulcast-producer.jsonl"),
        include_str!("captures/variant-rid-producer.jsonl"),
        include_str!("captures/variant-rid2-producer.jsonl"),
    ];
    let mut seen = 0;
    for line in recordings.iter().flat_map(|recording| recording.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(reason) = line["error"].as_str() {
            seen += 1;
            assert_ne!(Refusal::new(reason).kind, RefusalKind::Other, "{reason}");
        }
    }
    assert!(seen > 20, "{seen}");
}
