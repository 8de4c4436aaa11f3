//! Whatever the server refuses arrives as a typed refusal with its words, and leaves the session usable.
#![cfg(feature = "legacy-dtls")]

use std::sync::{Arc, Mutex};

use mediasoup_interop::io::Options;
use mediasoup_interop::io::v2::Transport;
use mediasoup_interop::{PEER, Publisher, Server, Tampering, audio_track, stock, tampered, video_track};
use mediasoup_producer::v2::protocol::{Refusal, RefusalKind};
use mediasoup_producer::v2::{CreateTransportError, ProducerOptions};
use serde_json::{Value, json};

type Craft = Box<dyn FnOnce(&mut Value) + Send>;

/// Changes the next message of a method.
#[derive(Clone, Default)]
struct Crafted(Arc<Mutex<Option<(&'static str, Craft)>>>);

impl Crafted {
    fn next(&self, method: &'static str, craft: impl FnOnce(&mut Value) + Send + 'static) {
        *self.0.lock().unwrap() = Some((method, Box::new(craft)));
    }
}

impl Tampering for Crafted {
    fn to_server(&mut self, message: &mut Value) {
        let mut next = self.0.lock().unwrap();
        if next.as_ref().is_some_and(|(method, _)| message["method"] == *method)
            && let Some((_, craft)) = next.take()
        {
            craft(message);
        }
    }
}

async fn crafted(server: &Server) -> (Crafted, Publisher) {
    let crafted = Crafted::default();
    let signalling = tampered(&server.url(PEER), crafted.clone()).await;
    (crafted, Publisher::connect_over(signalling, stock(), Options::default()))
}

fn assert_refused(result: Result<(), impl std::error::Error>, kind: RefusalKind, words: &str) {
    let error = result.expect_err(words).to_string();
    let reason = error.strip_prefix("the server refused: ").unwrap_or_else(|| panic!("{words}: {error}"));
    let refusal = Refusal::new(reason);
    println!("{:?}: {}", refusal.kind, refusal.reason);
    assert_eq!(refusal.kind, kind, "{refusal}");
    assert!(refusal.reason.contains(words), "{refusal}, not {words}");
}

fn encoding(message: &mut Value) -> &mut Value {
    &mut message["rtpParameters"]["encodings"][0]
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_refused_producer_can_be_sent_all_the_same() {
    use RefusalKind::*;
    let server = Server::start(&[]).await;
    let (crafted, publisher) = crafted(&server).await;
    publisher.room.join(PEER, None).await.unwrap();
    let transport = publisher.transport();
    let first = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let parameters = first.rtp_parameters().unwrap();
    let (id, ssrc, mux_id) = (first.id().value(), parameters.encodings[0].ssrc, parameters.mux_id);

    let cases: Vec<(RefusalKind, &str, Craft)> = vec![
        (SsrcInUse, "ssrc already exists in RTP listener", Box::new(move |m| encoding(m)["ssrc"] = json!(ssrc))),
        (MuxIdInUse, "muxId already exists", Box::new(move |m| m["rtpParameters"]["muxId"] = json!(mux_id))),
        (TransportNotFound, "WebRtcTransport not found", Box::new(|m| m["transportId"] = json!(1))),
        (UnsupportedCodec, "unsupported codec", Box::new(|m| m["rtpParameters"]["codecs"][0]["name"] = json!("VP9"))),
        (
            UnsupportedHeaderExtension,
            "unsupported header extension",
            Box::new(|m| m["rtpParameters"]["headerExtensions"][0]["uri"] = json!("urn:x")),
        ),
        (EmptyEncodings, "empty rtpParameters.encodings", Box::new(|m| m["rtpParameters"]["encodings"] = json!([]))),
        (InvalidRtpParameters, "wrong RTP parameters", Box::new(|m| m["rtpParameters"] = Value::Null)),
        (UnsupportedKind, "unsupported kind", Box::new(|m| m["kind"] = json!("text"))),
        (UnknownMethod, "unknown request method", Box::new(|m| m["method"] = json!("createMiracle"))),
    ];
    // An id that is taken is no refusal to the application: another is drawn.
    crafted.next("createProducer", move |m| m["id"] = json!(id));
    let producer = publisher.room.create_producer(video_track(), ProducerOptions::default(), None).unwrap();
    let drawn = producer.server_id();
    producer.send(&transport).await.expect("another id is drawn");
    assert_ne!(producer.server_id(), drawn);
    for (kind, words, craft) in cases {
        crafted.next("createProducer", craft);
        let producer = publisher.room.create_producer(video_track(), ProducerOptions::default(), None).unwrap();
        assert_refused(producer.send(&transport).await, kind, words);
        assert!(!producer.handled() && !producer.closed());
        producer.send(&transport).await.unwrap_or_else(|error| panic!("after {words}: {error}"));
        assert!(producer.handled());
    }
    assert_eq!(server.peer().await["producers"].as_array().map(Vec::len), Some(11));
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_refused_transport_can_be_used_all_the_same() {
    use RefusalKind::*;
    let server = Server::start(&[]).await;
    let (crafted, publisher) = crafted(&server).await;
    publisher.room.join(PEER, None).await.unwrap();
    let first: Transport = publisher.transport();
    publisher.send(&first, audio_track(), ProducerOptions::default()).await;
    publisher.connected(&first).await;
    let id = first.id().value();
    let cases: Vec<(RefusalKind, &str, Craft)> = vec![
        (
            InvalidDtlsParameters,
            "unsupported remote fingerprint algorithm",
            Box::new(|m| m["dtlsParameters"]["fingerprints"][0]["algorithm"] = json!("md5")),
        ),
        (InvalidDtlsParameters, "invalid remote role", Box::new(|m| m["dtlsParameters"]["role"] = json!("chicken"))),
    ];
    // An id that is taken is no refusal to the application: another is drawn.
    crafted.next("createTransport", move |m| m["id"] = json!(id));
    let transport = publisher.transport();
    let drawn = transport.server_id();
    let producer = publisher.room.create_producer(video_track(), ProducerOptions::default(), None).unwrap();
    producer.send(&transport).await.expect("another id is drawn");
    assert_ne!(transport.server_id(), drawn);
    publisher.connected(&transport).await;
    for (kind, words, craft) in cases {
        crafted.next("createTransport", craft);
        let transport = publisher.transport();
        let producer = publisher.room.create_producer(video_track(), ProducerOptions::default(), None).unwrap();
        assert_refused(producer.send(&transport).await, kind, words);
        producer.send(&transport).await.unwrap_or_else(|error| panic!("after {words}: {error}"));
        publisher.connected(&transport).await;
    }
    crafted.next("restartTransport", |message| message["id"] = json!(1));
    assert_refused(first.restart_ice().await, TransportNotFound, "Transport not found");
    first.restart_ice().await.expect("it can be tried again");
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_refused_join_can_be_tried_again() {
    use RefusalKind::*;
    let server = Server::start(&[]).await;
    let (crafted, publisher) = crafted(&server).await;
    let cases: Vec<(&'static str, RefusalKind, &str, Craft)> = vec![
        ("queryRoom", UnknownMethod, "unknown request method", Box::new(|m| m["method"] = json!("queryOracle"))),
        ("join", InvalidPeerName, "peerName must be a string", Box::new(|m| m["peerName"] = json!(5))),
        (
            "join",
            UnsupportedCodec,
            "unsupported codec",
            Box::new(|m| m["rtpCapabilities"]["codecs"][1]["name"] = json!("VP9")),
        ),
        (
            "join",
            UnsupportedHeaderExtension,
            "unsupported header extension",
            Box::new(|m| m["rtpCapabilities"]["headerExtensions"][0]["uri"] = json!("urn:x")),
        ),
    ];
    for (method, kind, words, craft) in cases {
        crafted.next(method, craft);
        let result = publisher.room.join(PEER, None).await;
        assert_refused(result, kind, words);
        assert!(matches!(publisher.room.create_transport(None), Err(CreateTransportError::RoomState(_))));
    }
    publisher.room.join(PEER, None).await.expect("it can be tried again");

    // The server does not hear that we leave, and takes us for another of the same name.
    crafted.next("leave", |message| message["method"] = json!("stay"));
    publisher.room.leave(None).unwrap();
    assert_refused(publisher.room.join(PEER, None).await, DuplicatedPeer, "duplicated Peer");
    server.control("closePeer", json!({})).await;
    publisher.room.join(PEER, None).await.expect("it can be tried again");
    let transport = publisher.transport();
    publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
}
