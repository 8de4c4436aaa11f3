//! The mediasoup 3 router by itself: what it takes and what it refuses, in the words of the real one.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use mediasoup_producer::sim::v3::{
    Bandwidth, MediaCodec, ProducerType, Router, RouterConfig, RouterError, RouterEvent, RouterLimits, RouterOutput,
    WebRtcTransportOptions,
};
use mediasoup_producer::v3::{DtlsParameters, RtpParameters};
use mediasoup_producer::{IceProtocol, MediaKind};
use serde_json::{Value, json};

const RECORDINGS: [&str; 9] = [
    include_str!("captures/v3/av1-svc.jsonl"),
    include_str!("captures/v3/exercise.jsonl"),
    include_str!("captures/v3/h264-simulcast.jsonl"),
    include_str!("captures/v3/h264.jsonl"),
    include_str!("captures/v3/tcp.jsonl"),
    include_str!("captures/v3/vp8-simulcast.jsonl"),
    include_str!("captures/v3/vp8.jsonl"),
    include_str!("captures/v3/vp9-plain.jsonl"),
    include_str!("captures/v3/vp9-svc.jsonl"),
];

/// As the recorded router was set up, and some codecs more.
fn config() -> RouterConfig {
    RouterConfig::default()
        .address(IceProtocol::Udp, "127.0.0.1:49097".parse().unwrap())
        .address(IceProtocol::Tcp, "127.0.0.1:40892".parse().unwrap())
        .codecs([
            MediaCodec::opus(),
            MediaCodec::vp8(),
            MediaCodec::vp9(0),
            MediaCodec::h264("42e01f"),
            MediaCodec::av1(),
        ])
}

fn router() -> (Router, String) {
    let mut router = Router::new(config(), 1);
    let id = router.create_web_rtc_transport(Instant::now(), WebRtcTransportOptions::default()).unwrap().id;
    (router, id)
}

fn messages(method: &str) -> Vec<(Value, Value)> {
    let lines = RECORDINGS.iter().flat_map(|recording| recording.lines());
    let messages = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    messages
        .filter(|message| message["method"] == method)
        .map(|mut message| (message["data"].take(), message["response"].take()))
        .collect()
}

/// What the real client sends: audio, and VP8 with its RTX.
fn audio() -> Value {
    json!({
        "mid": "0",
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
        "headerExtensions": [{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 }],
        "encodings": [{ "ssrc": 1111 }],
        "rtcp": { "cname": "c" },
    })
}

fn video() -> Value {
    json!({
        "mid": "1",
        "codecs": [
            { "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000,
              "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }, { "type": "goog-remb" }] },
            { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } },
        ],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
            { "uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "id": 4 },
        ],
        "encodings": [{ "ssrc": 2222, "rtx": { "ssrc": 2223 } }],
    })
}

fn produce(router: &mut Router, on: &str, kind: MediaKind, parameters: &Value) -> Result<String, RouterError> {
    let parameters: RtpParameters = serde_json::from_value(parameters.clone()).unwrap();
    router.produce(Instant::now(), on, kind, &parameters)
}

/// What an otherwise empty transport says to video with some of it changed, each at its JSON pointer.
fn refusal(changes: &[(&str, Value)]) -> (String, String) {
    let (mut router, on) = router();
    let mut parameters = video();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match parameters.pointer_mut(parent).unwrap() {
            Value::Object(fields) if value.is_null() => drop(fields.remove(name)),
            Value::Object(fields) => drop(fields.insert(name.to_owned(), value.clone())),
            Value::Array(items) => items.push(value.clone()),
            other => panic!("{pointer} of {other}"),
        }
    }
    let error = produce(&mut router, &on, MediaKind::Video, &parameters).expect_err("it is wrong");
    assert_eq!(router.producers().count(), 0, "a refusal changes nothing");
    assert_eq!(produce(&mut router, &on, MediaKind::Video, &video()).map(drop), Ok(()), "and takes nothing");
    (error.class().to_owned(), error.to_string())
}

fn words(class: &str, words: &str) -> (String, String) {
    (class.to_owned(), words.to_owned())
}

#[test]
fn capabilities_are_those_of_the_real_router() {
    let (router, _) = router();
    for (_, recorded) in messages("getRouterRtpCapabilities") {
        assert_eq!(serde_json::to_value(router.rtp_capabilities()).unwrap(), recorded);
    }
}

#[test]
fn a_transport_is_offered_as_the_real_router_offers_it() {
    let mut router = Router::new(config(), 1);
    let (_, recorded) = messages("createWebRtcTransport").remove(0);
    let made = router.create_web_rtc_transport(Instant::now(), WebRtcTransportOptions::default()).unwrap();
    let made = serde_json::to_value(made).unwrap();
    assert_eq!(made["id"].as_str().unwrap().len(), recorded["id"].as_str().unwrap().len());
    assert_eq!(made["iceParameters"]["iceLite"], true);
    assert_eq!(made["dtlsParameters"]["role"], "auto");
    for (ours, theirs) in
        made["iceCandidates"].as_array().unwrap().iter().zip(recorded["iceCandidates"].as_array().unwrap())
    {
        for field in ["foundation", "priority", "address", "protocol", "type", "tcpType"] {
            assert_eq!(ours[field], theirs[field], "{field}");
        }
    }
    let udp = router.create_web_rtc_transport(Instant::now(), WebRtcTransportOptions::default().enable_tcp(false));
    assert_eq!(udp.unwrap().ice_candidates.len(), 1);
    let none = WebRtcTransportOptions::default().enable_tcp(false).enable_udp(false);
    let error = router.create_web_rtc_transport(Instant::now(), none).unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), ("TypeError", "empty iceCandidates"));
}

#[test]
fn ids_follow_from_the_seed_alone() {
    let id = |seed| {
        let mut router = Router::new(config(), seed);
        router.create_web_rtc_transport(Instant::now(), WebRtcTransportOptions::default()).unwrap().id
    };
    assert_eq!(id(7), id(7));
    assert_ne!(id(7), id(8));
    let groups: Vec<_> = id(7).split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12]);
}

#[test]
fn what_the_real_router_took_is_taken_and_is_of_the_same_type() {
    for recording in RECORDINGS {
        let (mut router, on) = router();
        for line in recording.lines() {
            let message: Value = serde_json::from_str(line).unwrap();
            match message["method"].as_str().unwrap() {
                "produce" => {
                    let kind = serde_json::from_value(message["data"]["kind"].clone()).unwrap();
                    let result = produce(&mut router, &on, kind, &message["data"]["rtpParameters"]);
                    match message["response"]["error"].as_str() {
                        Some(error) => assert_eq!(result.unwrap_err().to_string(), error),
                        None => {
                            let id = result.unwrap();
                            let kind = match router.producer(&id).unwrap().producer_type() {
                                ProducerType::Simple => "simple",
                                ProducerType::Simulcast => "simulcast",
                                ProducerType::Svc => "svc",
                                other => panic!("{other:?}"),
                            };
                            assert_eq!(message["response"]["type"], kind);
                        }
                    }
                }
                "connectWebRtcTransport" => {
                    let parameters = serde_json::from_value(message["data"]["dtlsParameters"].clone()).unwrap();
                    let result = router.connect(Instant::now(), &on, &parameters);
                    let error = result.err().map(|error| error.to_string());
                    assert_eq!(error.as_deref(), message["response"]["error"].as_str());
                }
                _ => {}
            }
        }
        // The recorded client speaks of transport-cc first.
        assert_eq!(router.transport(&on).unwrap().bandwidth(), Some(Bandwidth::TransportCc));
    }
}

#[test]
fn codecs_are_refused_as_the_real_router_does() {
    let codec = |changes: Value| {
        let mut codec = json!({ "mimeType": "video/H264", "payloadType": 96, "clockRate": 90000, "parameters":
            { "packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1 } });
        for (name, value) in changes.as_object().unwrap() {
            codec["parameters"][name] = value.clone();
        }
        refusal(&[("/codecs", json!([codec]))])
    };
    let unsupported = words("UnsupportedError", "unsupported codec [mimeType:video/H264, payloadType:96]");
    assert_eq!(codec(json!({ "profile-level-id": "640032" })), unsupported);
    assert_eq!(codec(json!({ "profile-level-id": "what" })), unsupported);
    assert_eq!(codec(json!({ "packetization-mode": 0 })), unsupported);

    let one = |mime_type: &str, clock_rate: u32| {
        let codec = json!({ "mimeType": mime_type, "payloadType": 96, "clockRate": clock_rate });
        refusal(&[("/codecs", json!([codec]))])
    };
    let unsupported = |mime_type: &str| {
        words("UnsupportedError", &format!("unsupported codec [mimeType:{mime_type}, payloadType:96]"))
    };
    assert_eq!(one("video/H265", 90000), unsupported("video/H265"));
    assert_eq!(one("video/VP8", 48000), unsupported("video/VP8"));
    assert_eq!(one("audio/opus", 48000), unsupported("audio/opus"), "it has one channel");

    let vp9 =
        json!([{ "mimeType": "video/VP9", "payloadType": 96, "clockRate": 90000, "parameters": { "profile-id": 2 } }]);
    assert_eq!(refusal(&[("/codecs", vp9)]), unsupported("video/VP9"));
    assert_eq!(refusal(&[("/codecs", json!([]))]), words("TypeError", "empty codecs"));

    let rtx = |apt: u8| json!({ "mimeType": "video/rtx", "payloadType": 99, "clockRate": 90000, "parameters": { "apt": apt } });
    let missing = words("TypeError", "missing media codec found for RTX PT 99");
    assert_eq!(refusal(&[("/codecs/-", rtx(98))]), missing);
    let undefined = words("TypeError", "Cannot read properties of undefined (reading 'preferredPayloadType')");
    assert_eq!(refusal(&[("/codecs/-", rtx(97))]), undefined);
    let again = json!({ "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000 });
    assert_eq!(refusal(&[("/codecs/-", again)]), words("TypeError", "duplicated payloadType"));
}

#[test]
fn encodings_are_refused_as_the_real_router_does() {
    let two = json!([{ "ssrc": 1 }, { "ssrc": 2 }]);
    for name in ["VP9", "AV1"] {
        let codecs = json!([{ "mimeType": format!("video/{name}"), "payloadType": 96, "clockRate": 90000 }]);
        let expected = words("TypeError", &format!("video/{name} codec not supported for simulcast"));
        assert_eq!(refusal(&[("/codecs", codecs), ("/encodings", two.clone())]), expected);
    }
    let both = json!([{ "ssrc": 1, "scalabilityMode": "L1T3" }, { "ssrc": 2, "scalabilityMode": "L2T3" }]);
    let expected = words("TypeError", "cannot use both simulcast and encodings with multiple SVC spatial layers");
    assert_eq!(refusal(&[("/encodings", both)]), expected);
    let unnamed = json!([{ "ssrc": 1 }, {}]);
    let expected = words("TypeError", "wrong entry in rtpMapping.encodings (missing ssrc or rid)");
    assert_eq!(refusal(&[("/encodings", unnamed)]), expected);
    let expected =
        words("TypeError", "wrong entry in rtpMapping.encodings (missing ssrc or rid, or rtpParameters.mid)");
    assert_eq!(refusal(&[("/encodings", json!([{}])), ("/mid", Value::Null)]), expected);
    assert_eq!(refusal(&[("/encodings", json!([])), ("/mid", Value::Null)]), expected);
    let again = json!([{ "ssrc": 1, "rid": "r0" }, { "ssrc": 1, "rid": "r1" }]);
    assert_eq!(refusal(&[("/encodings", again)]), words("Error", "ssrc already exists in RTP listener [ssrc:1]"));
    let of_rtx = json!([{ "ssrc": 1, "rtx": { "ssrc": 1 } }]);
    assert_eq!(refusal(&[("/encodings", of_rtx)]), words("Error", "RTX ssrc already exists in RTP listener [ssrc:1]"));
    let same_rid = json!([{ "ssrc": 1, "rid": "r0" }, { "ssrc": 2, "rid": "r0" }]);
    let expected = words("Error", "RID already exists in RTP listener and no MID is given [rid:r0]");
    assert_eq!(refusal(&[("/encodings", same_rid), ("/mid", Value::Null)]), expected);
    let zero = json!([{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 0 }]);
    assert_eq!(refusal(&[("/headerExtensions", zero)]), words("TypeError", "invalid id 0"));
}

#[test]
fn layers_in_audio_are_refused() {
    let (mut router, on) = router();
    let mut parameters = audio();
    parameters["encodings"][0]["scalabilityMode"] = "L1T3".into();
    let error = produce(&mut router, &on, MediaKind::Audio, &parameters).unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), ("TypeError", "invalid RTP parameters"));
    parameters["encodings"] = json!([{ "ssrc": 1 }, { "ssrc": 2 }]);
    let error = produce(&mut router, &on, MediaKind::Audio, &parameters).unwrap_err();
    assert_eq!(error.to_string(), "audio/opus codec not supported for simulcast");
}

#[test]
fn names_of_streams_are_unique_on_a_transport_and_free_again_when_it_is_closed() {
    let (mut router, on) = router();
    let id = produce(&mut router, &on, MediaKind::Video, &video()).unwrap();
    let mut error = |change: &[(&str, Value)]| {
        let mut parameters = video();
        for (pointer, value) in change {
            *parameters.pointer_mut(pointer).unwrap() = value.clone();
        }
        produce(&mut router, &on, MediaKind::Video, &parameters).map_err(|error| error.to_string())
    };
    let taken = |words: &str| Err(words.to_owned());
    assert_eq!(error(&[]), taken("ssrc already exists in RTP listener [ssrc:2222]"));
    let other = ("/encodings/0/ssrc", json!(5555));
    assert_eq!(error(std::slice::from_ref(&other)), taken("RTX ssrc already exists in RTP listener [ssrc:2223]"));
    let other_rtx = ("/encodings/0/rtx/ssrc", json!(5556));
    assert_eq!(error(&[other.clone(), other_rtx.clone()]), taken("MID already exists in RTP listener [mid:1]"));
    assert!(error(&[other, other_rtx, ("/mid", json!("2"))]).is_ok(), "what was refused has taken nothing");
    router.close_producer(Instant::now(), &id).unwrap();
    assert!(produce(&mut router, &on, MediaKind::Video, &video()).is_ok());
}

#[test]
fn connect_is_for_once_and_says_what_it_misses() {
    let (mut router, on) = router();
    let now = Instant::now();
    let parameters = |fingerprints: Value| -> DtlsParameters {
        serde_json::from_value(json!({ "role": "client", "fingerprints": fingerprints })).unwrap()
    };
    let mut connect =
        |fingerprints| router.connect(now, &on, &parameters(fingerprints)).map_err(|error| error.to_string());
    let empty = Err("empty dtlsParameters.fingerprints array".to_owned());
    assert_eq!(connect(json!([])), empty);
    let good = json!({ "algorithm": "sha-256", "value": (["AB"; 32].join(":")) });
    // It never gets to the worker, which knows what was called already, and takes the first.
    let unknown = json!([good.clone(), { "algorithm": "md5", "value": "00" }]);
    assert_eq!(connect(unknown.clone()), Err("invalid FingerprintAlgorithm: md5".to_owned()));
    assert_eq!(connect(json!([good])), Ok(()));
    assert_eq!(connect(json!([])), Err("connect() already called".to_owned()));
    assert_eq!(connect(unknown), Err("invalid FingerprintAlgorithm: md5".to_owned()));
    assert_eq!(router.counters().requests_refused, 4);
    let too_much = router.set_max_incoming_bitrate(&on, u64::MAX).unwrap_err();
    assert_eq!(too_much.to_string(), "bitrate must be <= 9223372036854775806 or 0 (unlimited)");
}

#[test]
fn a_producer_has_the_cname_of_its_transport_and_the_level_that_is_agreed_on() {
    let (mut router, on) = router();
    let mut wrong = audio();
    wrong["rtcp"]["cname"] = "first".into();
    wrong["codecs"][0]["clockRate"] = 16_000.into();
    produce(&mut router, &on, MediaKind::Audio, &wrong).unwrap_err();
    let mut parameters = video();
    parameters["codecs"] = json!([{ "mimeType": "video/H264", "payloadType": 96, "clockRate": 90000, "parameters":
        { "packetization-mode": 1, "profile-level-id": "42e034", "level-asymmetry-allowed": 0 } }]);
    for parameters in [&parameters, &audio()] {
        let kind = if parameters["mid"] == "1" { MediaKind::Video } else { MediaKind::Audio };
        let id = produce(&mut router, &on, kind, parameters).unwrap();
        let parameters = router.producer(&id).unwrap().rtp_parameters();
        assert_eq!(parameters.rtcp.cname.as_deref(), Some("first"), "of one that was refused, as the real one has it");
        let level = parameters.codecs[0].parameters.text("profile-level-id");
        assert_eq!(level, (kind == MediaKind::Video).then_some("42e01f"));
    }

    let on = router.create_web_rtc_transport(Instant::now(), WebRtcTransportOptions::default()).unwrap().id;
    let mut nameless = audio();
    nameless["rtcp"] = json!({});
    let id = produce(&mut router, &on, MediaKind::Audio, &nameless).unwrap();
    assert_eq!(router.producer(&id).unwrap().rtp_parameters().rtcp.cname.as_ref().unwrap().len(), 8);
}

#[test]
fn what_is_not_there_is_not_found() {
    let (mut router, on) = router();
    let now = Instant::now();
    let gone = |result: Result<(), RouterError>| matches!(result, Err(RouterError::NotFound(_)));
    router.close_transport(now, &on).unwrap();
    assert!(gone(router.close_transport(now, &on)));
    assert!(gone(router.restart_ice(now, &on).map(drop)));
    assert!(gone(router.set_max_incoming_bitrate(&on, 1)));
    assert!(gone(produce(&mut router, &on, MediaKind::Video, &video()).map(drop)));
    assert!(gone(router.pause_producer(now, "nobody")));
    assert!(gone(router.close_producer(now, "nobody")));
    assert!(gone(router.request_key_frame(now, "nobody", None).map(drop)));
}

#[test]
fn closing_a_transport_closes_its_producers_and_tells_their_count() {
    let (mut router, on) = router();
    let id = produce(&mut router, &on, MediaKind::Video, &video()).unwrap();
    router.close_transport(Instant::now(), &on).unwrap();
    let Some(RouterOutput::Event(RouterEvent::ProducerClosed { id: closed, encodings })) = router.poll_output() else {
        panic!("the producer is closed");
    };
    assert_eq!(*closed, id);
    assert_eq!(encodings.len(), 1);
    assert_eq!(encodings[0].ssrc, None, "nothing has come");
    assert_eq!(router.producers().count() + router.transports().count(), 0);
    assert_eq!(router.poll_timeout(), None);
}

#[test]
fn limits_hold() {
    let limits = RouterLimits::default().transports(1).producers(1).encodings(2).parameters(6);
    let mut router = Router::new(config().limits(limits), 1);
    let now = Instant::now();
    let on = router.create_web_rtc_transport(now, WebRtcTransportOptions::default()).unwrap().id;
    let error = router.create_web_rtc_transport(now, WebRtcTransportOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "too many transports");
    let mut parameters = video();
    parameters["encodings"] = json!([{ "ssrc": 1 }, { "ssrc": 2 }, { "ssrc": 3 }]);
    let error = produce(&mut router, &on, MediaKind::Video, &parameters).unwrap_err();
    assert_eq!(error.to_string(), "more than 2 encodings");
    let mut parameters = video();
    parameters["headerExtensions"] = vec![json!({ "uri": "u", "id": 1 }); 5].into();
    let error = produce(&mut router, &on, MediaKind::Video, &parameters).unwrap_err();
    assert_eq!(error.to_string(), "more than 6 codecs and header extensions");
    produce(&mut router, &on, MediaKind::Video, &video()).unwrap();
    let error = produce(&mut router, &on, MediaKind::Audio, &audio()).unwrap_err();
    assert_eq!(error.to_string(), "too many producers");
}

#[test]
fn rest_is_quiet() {
    let (mut router, _) = router();
    let mut now = Instant::now();
    for _ in 0..10_000 {
        let Some(due) = router.poll_timeout() else { break };
        now = due.max(now + Duration::from_millis(1));
        router.handle_timeout(now);
        assert_eq!(router.poll_output(), None);
    }
}
