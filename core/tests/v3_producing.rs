//! Producers: what can be asked for, in which order it is checked, and what each command does to media, tracks and encodings.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod v3_common;

use std::time::Duration;

use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::v3::{
    Answer, BandwidthMode, CodecOptions, CreateSendTransportError, Device, DeviceConfig, DtlsRole, EncodingOptions,
    EncodingUpdate, Event, LoadError, ProduceError, ProduceOptions, ProducerError, ProducerEvent, ReplaceTrackError,
    Request, RtpCapabilities, RtpCodecCapability, RtpParameters, SetMaxSpatialLayerError, TransportOptions,
};
use mediasoup_producer::{
    Codec, Frame, Limits, MediaError, MediaKind, ProducerId, SetupError, TemporalLayer, Track, TransportId,
};
use serde_json::{Map, json};
use v3_common::{World, key_frame, parameters, router, track};

const VIDEO: MediaKind = MediaKind::Video;
const AUDIO: MediaKind = MediaKind::Audio;

fn two_layers() -> ProduceOptions {
    let layer = EncodingOptions::default;
    ProduceOptions::default().codec(Codec::Vp8).encodings([layer().max_bitrate(200_000), layer().max_bitrate(800_000)])
}

/// A producer on a transport over which media flows.
fn flowing(kind: MediaKind, options: ProduceOptions) -> (World, ProducerId) {
    let mut world = World::connected();
    world.engine(EngineEvent::Connected);
    let id = world.live_with(kind, options);
    (world, id)
}

fn of(events: Vec<Event>, id: ProducerId) -> Vec<ProducerEvent> {
    let mut found = Vec::new();
    for event in events {
        if let Event::Producer { id: of, event } = event {
            assert_eq!(of, id);
            found.push(event);
        }
    }
    found
}

fn write(world: &mut World, id: ProducerId, layer: usize) -> Result<(), MediaError> {
    let now = world.now;
    world.device.producer(id).unwrap().write_frame(now, key_frame().layer(layer))
}

const fn wanted(layer: usize) -> ProducerEvent {
    ProducerEvent::KeyFrameRequest { layer }
}

#[test]
fn a_device_is_loaded_once_and_makes_nothing_before() {
    let now = std::time::Instant::now();
    let mut device = Device::scripted(DeviceConfig::default(), 1);
    assert_eq!((device.loaded(), device.can_produce(VIDEO), device.send_rtp_capabilities()), (false, false, None));
    let made = device.create_send_transport(now, parameters(), TransportOptions::default(), Map::new());
    assert_eq!(made, Err(CreateSendTransportError::NotLoaded));

    device.load(now, RtpCapabilities::default(), false).unwrap();
    assert_eq!(device.load(now, router(), false), Err(LoadError::AlreadyLoaded));
    assert!(device.loaded() && !device.can_produce(AUDIO));

    let small = DeviceConfig::default().limits(Limits::default().message_bytes(1000));
    let refused = Device::scripted(small, 1).load(now, router(), false);
    assert!(matches!(refused, Err(LoadError::TooLarge { limit: 1000, .. })), "{refused:?}");
}

#[test]
fn parameters_that_lead_nowhere_are_refused_when_the_transport_is_made() {
    let mut world = World::new();
    let mut make = |change: fn(&mut mediasoup_producer::v3::TransportParameters)| {
        let mut parameters = parameters();
        change(&mut parameters);
        world.device.create_send_transport(world.now, parameters, TransportOptions::default(), Map::new())
    };
    use CreateSendTransportError::{EmptyId, Setup};
    assert_eq!(make(|given| given.id.clear()), Err(EmptyId));
    assert_eq!(make(|given| given.dtls_parameters.fingerprints.clear()), Err(Setup(SetupError::NoFingerprint)));
    assert_eq!(
        make(|given| given.dtls_parameters.fingerprints[0].value.replace_range(0..1, "G")),
        Err(Setup(SetupError::BadFingerprint))
    );
    assert_eq!(
        make(|given| given.ice_candidates[0].address = "sfu.example.com".to_owned()),
        Err(Setup(SetupError::NoAddress))
    );
    assert!(make(|_| ()).is_ok());
}

/// The checks and their order are mediasoup-client's; what it leaves to the server comes after them.
#[test]
fn what_cannot_be_produced_is_refused_in_the_client_s_order() {
    let mut world = World::new();
    let mut ended = track(VIDEO);
    ended.stop();
    let produce = |world: &mut World, track: Track, options: ProduceOptions| {
        let now = world.now;
        world.device.transport(world.transport).unwrap().produce(now, track, options).map(drop)
    };
    assert_eq!(produce(&mut world, ended.clone(), ProduceOptions::default()), Err(ProduceError::TrackEnded));

    let mut deaf = Device::scripted(DeviceConfig::default(), 1);
    deaf.load(world.now, RtpCapabilities::default(), false).unwrap();
    let transport =
        deaf.create_send_transport(world.now, parameters(), TransportOptions::default(), Map::new()).unwrap();
    let refused = deaf.transport(transport).unwrap().produce(world.now, ended, ProduceOptions::default());
    assert_eq!(refused, Err(ProduceError::CannotProduce(VIDEO)));

    let many = |count| ProduceOptions::default().encodings(vec![EncodingOptions::default(); count]);
    let mode = |mode: &str| EncodingOptions::default().scalability_mode(mode);
    let of_mode = |given: &str| ProduceOptions::default().encodings([mode(given)]);
    use ProduceError::*;
    for (kind, options, error) in [
        (VIDEO, ProduceOptions::default().codec(Codec::H265), UnsupportedCodec(Codec::H265)),
        (VIDEO, ProduceOptions::default().codec(Codec::Opus), NoMatchingCodec(VIDEO)),
        (AUDIO, ProduceOptions::default().codec(Codec::Pcmu), NoMatchingCodec(AUDIO)),
        (AUDIO, many(2), NoSimulcast(Codec::Opus)),
        (VIDEO, many(2).codec(Codec::Vp9), NoSimulcast(Codec::Vp9)),
        (VIDEO, many(5), TooManyEncodings { count: 5, limit: 4 }),
        (VIDEO, of_mode("T3"), BadScalabilityMode("T3".to_owned())),
        (VIDEO, of_mode("L0T3"), BadScalabilityMode("L0T3".to_owned())),
        (VIDEO, of_mode("L1T3h"), BadScalabilityMode("L1T3h".to_owned())),
        (
            VIDEO,
            of_mode("L1T4").codec(Codec::Vp8),
            TemporalLayers { codec: Codec::Vp8, mode: "L1T4".to_owned(), limit: 3 },
        ),
        (
            VIDEO,
            of_mode("L1T2").codec(Codec::H264),
            TemporalLayers { codec: Codec::H264, mode: "L1T2".to_owned(), limit: 1 },
        ),
        (VIDEO, of_mode("L3T3_KEY").codec(Codec::Vp9), SpatialLayers("L3T3_KEY".to_owned())),
        (
            VIDEO,
            ProduceOptions::default().encodings([mode("L1T2"), mode("L2T2")]),
            SimulcastAndSpatialLayers("L2T2".to_owned()),
        ),
    ] {
        assert_eq!(produce(&mut world, track(kind), options), Err(error));
    }
    assert_eq!(world.requests(), []);
    assert_eq!(world.device.producers().count(), 0);
    let gone = TransportId::from(9);
    let command = mediasoup_producer::v3::Command::Produce {
        transport: gone,
        track: track(VIDEO),
        options: ProduceOptions::default(),
    };
    let refused = world.device.handle_input(world.now, mediasoup_producer::v3::Input::Command(command));
    let error: ProduceError = match refused.unwrap_err() {
        mediasoup_producer::v3::InputError::Command(error) => error.try_into().unwrap(),
        other => panic!("{other}"),
    };
    assert_eq!(error, NotFound(gone));
}

#[test]
fn limits_hold() {
    let limits = Limits::default().producers(2).operations(1).transports(1);
    let mut world = World::with(DeviceConfig::default().limits(limits));
    let another = world.device.create_send_transport(world.now, parameters(), TransportOptions::default(), Map::new());
    assert_eq!(another, Err(CreateSendTransportError::Limit(1)));
    world.produce(AUDIO);
    let now = world.now;
    let produce = |world: &mut World| {
        let mut transport = world.device.transport(world.transport).unwrap();
        transport.produce(now, track(AUDIO), ProduceOptions::default()).map(drop)
    };
    assert_eq!(produce(&mut world), Err(ProduceError::Operations(1)));
    world.answer(Ok(Answer::Connected));
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    assert_eq!(produce(&mut world), Ok(()));
    assert_eq!(produce(&mut world), Err(ProduceError::Limit(2)));
}

fn asked(world: &mut World) -> (RtpParameters, Map<String, serde_json::Value>) {
    match world.requests().last() {
        Some((_, Request::Produce { rtp_parameters, app_data, .. })) => (rtp_parameters.clone(), app_data.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn codec_options_are_declared() {
    let declared = |options: ProduceOptions| {
        let mut world = World::connected();
        world.produce_with(AUDIO, options);
        let (parameters, _) = asked(&mut world);
        serde_json::to_value(&parameters.codecs[0].parameters).unwrap()
    };
    assert_eq!(declared(ProduceOptions::default()), json!({ "minptime": 10, "useinbandfec": 1 }));
    let options = CodecOptions::default().opus_stereo(true).opus_fec(false).opus_dtx(true).opus_ptime(20);
    let written = json!({ "minptime": 10, "useinbandfec": 0, "sprop-stereo": 1, "usedtx": 1, "ptime": 20 });
    assert_eq!(declared(ProduceOptions::default().codec_options(options)), written);
}

#[test]
fn every_encoding_of_several_has_ssrcs_a_rid_and_what_was_said_of_it() {
    let mut world = World::connected();
    let app_data = json!({ "source": "webcam" }).as_object().unwrap().clone();
    let encodings = [
        EncodingOptions::default().max_bitrate(100_000).scale_resolution_down_by(2.0).active(false),
        EncodingOptions::default().scalability_mode("L1T2").max_framerate(15.0),
    ];
    let options = ProduceOptions::default().encodings(encodings).app_data(app_data.clone()).stream_id("my camera");
    world.produce_with(VIDEO, options);
    let (parameters, sent) = asked(&mut world);
    assert_eq!(sent, app_data);
    let mut encodings = serde_json::to_value(&parameters.encodings).unwrap();
    for encoding in encodings.as_array_mut().unwrap() {
        assert!(encoding["ssrc"].take().is_u64() && encoding["rtx"]["ssrc"].take().is_u64());
    }
    assert_eq!(
        encodings,
        json!([
            { "ssrc": null, "rtx": { "ssrc": null }, "rid": "r0", "active": false, "scalabilityMode": "L1T1",
              "maxBitrate": 100_000, "scaleResolutionDownBy": 2.0, "dtx": false },
            { "ssrc": null, "rtx": { "ssrc": null }, "rid": "r1", "active": true, "scalabilityMode": "L1T2",
              "maxFramerate": 15.0, "dtx": false },
        ])
    );
    assert_eq!(parameters.msid.as_deref(), Some("my_camera video-track"));
}

#[test]
fn our_side_of_dtls_is_what_the_server_is_not() {
    use DtlsRole::{Auto, Client, Server};
    for (theirs, wanted, ours) in [
        (Auto, Auto, Client),
        (Auto, Client, Client),
        (Auto, Server, Server),
        (Client, Client, Server),
        (Client, Auto, Server),
        (Server, Server, Client),
    ] {
        let mut world = World::with(DeviceConfig::default().dtls_role(wanted));
        let mut given = parameters();
        given.dtls_parameters.role = theirs;
        world.transport =
            world.device.create_send_transport(world.now, given, TransportOptions::default(), Map::new()).unwrap();
        world.produce(AUDIO);
        let Request::Connect { dtls_parameters, .. } = &world.requests()[0].1 else { panic!("connect is first") };
        assert_eq!(dtls_parameters.role, ours, "the server is {theirs:?}, {wanted:?} is wanted");
        assert_eq!(dtls_parameters.fingerprints.len(), 1);
    }
}

#[test]
fn a_paused_producer_sends_nothing_and_a_key_frame_follows_the_pause() {
    let (mut world, id) = flowing(VIDEO, ProduceOptions::default());
    write(&mut world, id, 0).unwrap();
    let now = world.now;
    world.device.producer(id).unwrap().pause(now).unwrap();
    world.device.producer(id).unwrap().pause(now).unwrap();
    assert_eq!(world.transmits(), 1);
    assert_eq!(of(world.events(), id), [ProducerEvent::Pause]);
    assert!(!world.device.producer(id).unwrap().track().unwrap().enabled());
    assert_eq!(write(&mut world, id, 0), Err(MediaError::Paused(id)));
    assert_eq!(world.transmits(), 0);
    world.device.producer(id).unwrap().resume(now).unwrap();
    assert_eq!(of(world.events(), id), [ProducerEvent::Resume, wanted(0)]);
    write(&mut world, id, 0).unwrap();
    assert_eq!(world.transmits(), 1);
}

#[test]
fn a_track_that_is_not_enabled_makes_a_paused_producer() {
    let mut world = World::connected();
    let now = world.now;
    let disabled = track(AUDIO).with_enabled(false);
    let mut transport = world.device.transport(world.transport).unwrap();
    let id = transport.produce(now, disabled, ProduceOptions::default()).unwrap().producer;
    assert!(world.device.producer(id).unwrap().paused());
}

#[test]
fn a_track_can_be_replaced_or_taken_away_and_is_stopped_then() {
    let (mut world, id) = flowing(VIDEO, ProduceOptions::default());
    let now = world.now;
    let stopped = |id: &str| ProducerEvent::TrackStopped { track_id: id.to_owned() };
    let replace = |world: &mut World, track| world.device.producer(id).unwrap().replace_track(now, track);
    let mut ended = track(VIDEO);
    ended.stop();
    assert_eq!(replace(&mut world, Some(ended)), Err(ReplaceTrackError::TrackEnded));
    assert_eq!(replace(&mut world, Some(track(AUDIO))), Err(ReplaceTrackError::TrackKind(VIDEO)));
    replace(&mut world, Some(track(VIDEO))).unwrap();
    assert_eq!(world.events(), []);
    replace(&mut world, Some(Track::new(VIDEO, "screen", ""))).unwrap();
    assert_eq!(of(world.events(), id), [stopped("video-track"), wanted(0)]);
    replace(&mut world, None).unwrap();
    assert_eq!(of(world.events(), id), [stopped("screen")]);
    assert_eq!(write(&mut world, id, 0), Err(MediaError::NoTrack(id)));
    replace(&mut world, Some(track(VIDEO))).unwrap();
    assert_eq!(of(world.events(), id), [wanted(0)]);
    world.device.producer(id).unwrap().end_track(now).unwrap();
    world.device.producer(id).unwrap().end_track(now).unwrap();
    assert_eq!(of(world.events(), id), [ProducerEvent::TrackEnded]);
    // A track that has ended by itself is not stopped.
    world.device.producer(id).unwrap().close(now).unwrap();
    assert_eq!(of(world.events(), id), [ProducerEvent::Close]);
    let command = mediasoup_producer::v3::Command::Pause { id };
    let refused = world.device.handle_input(now, mediasoup_producer::v3::Input::Command(command));
    assert_eq!(refused.unwrap_err().to_string(), ProducerError::NotFound(id).to_string());
}

#[test]
fn tracks_are_left_alone_if_the_options_say_so() {
    let (mut world, id) = flowing(VIDEO, ProduceOptions::default().stop_tracks(false));
    let now = world.now;
    world.device.producer(id).unwrap().replace_track(now, None).unwrap();
    world.device.producer(id).unwrap().close(now).unwrap();
    assert_eq!(of(world.events(), id), [ProducerEvent::Close]);
}

#[test]
fn encodings_above_the_highest_wanted_are_not_sent_and_a_key_frame_brings_them_back() {
    let (mut world, id) = flowing(VIDEO, two_layers());
    let now = world.now;
    world.device.producer(id).unwrap().set_max_spatial_layer(now, 0).unwrap();
    assert_eq!(world.device.producer(id).unwrap().max_spatial_layer(), Some(0));
    assert_eq!(write(&mut world, id, 0), Ok(()));
    assert_eq!(write(&mut world, id, 1), Err(MediaError::Inactive { producer: id, layer: 1 }));
    assert_eq!(write(&mut world, id, 2), Err(MediaError::UnknownLayer { producer: id, layer: 2 }));
    assert_eq!(world.transmits(), 1);
    assert_eq!(world.events(), []);
    world.device.producer(id).unwrap().set_max_spatial_layer(now, 7).unwrap();
    assert_eq!(of(world.events(), id), [wanted(1)]);
    let delta = Frame::new(vec![0x11, 0, 0, 0], Duration::from_millis(33)).layer(1usize);
    let refused = world.device.producer(id).unwrap().write_frame(now, delta);
    assert_eq!(refused, Err(MediaError::KeyFrameNeeded { producer: id, layer: 1 }));
    assert_eq!(write(&mut world, id, 1), Ok(()));

    let off = EncodingUpdate::default().active(false);
    world.device.producer(id).unwrap().set_encoding_parameters(now, off).unwrap();
    assert_eq!(write(&mut world, id, 0), Err(MediaError::Inactive { producer: id, layer: 0 }));
    let on = EncodingUpdate::default().active(true);
    world.device.producer(id).unwrap().set_encoding_parameters(now, on).unwrap();
    assert_eq!(of(world.events(), id), [wanted(0), wanted(1)]);

    let audio = world.live(AUDIO);
    let refused = world.device.producer(audio).unwrap().set_max_spatial_layer(now, 0);
    assert_eq!(refused, Err(SetMaxSpatialLayerError::NotVideo(audio)));
}

#[test]
fn what_the_server_can_take_is_shared_among_active_encodings_up_to_their_most() {
    let mut world = World::connected();
    let options = TransportOptions::default().bandwidth(BandwidthMode::Remb).initial_bitrate_bps(2_000_000);
    world.transport = world.device.create_send_transport(world.now, parameters(), options, Map::new()).unwrap();
    world.connect();
    world.engine(EngineEvent::Connected);
    let producing = world.produce_with(VIDEO, two_layers());
    world.events();
    world.answer(Ok(Answer::Produced { id: "v".to_owned() }));
    let id = producing.producer;
    let targets = |world: &mut World| {
        let target = |event| match event {
            Event::Producer { event: ProducerEvent::TargetBitrate { layer, bitrate_bps }, .. } => {
                Some((layer, bitrate_bps))
            }
            _ => None,
        };
        world.events().into_iter().filter_map(target).collect::<Vec<_>>()
    };
    assert_eq!(targets(&mut world), [(0, 200_000), (1, 800_000)]);
    let now = world.now;
    world.device.producer(id).unwrap().set_max_spatial_layer(now, 0).unwrap();
    assert_eq!(targets(&mut world), [(1, 0)]);
    let update = EncodingUpdate::default().max_bitrate(100_000).active(true);
    world.device.producer(id).unwrap().set_encoding_parameters(now, update).unwrap();
    assert_eq!(targets(&mut world), [(0, 100_000), (1, 100_000)]);
    for seconds in 0..7 {
        world.now += Duration::from_secs(u64::from(seconds > 0));
        write(&mut world, id, 0).unwrap();
    }
    world.engine(EngineEvent::BitrateLimit { bitrate_bps: 150_000 });
    assert_eq!(targets(&mut world), [(1, 50_000)]);
}

/// mediasoup-client's `preferLocalCodecsOrder`.
#[test]
fn codecs_come_in_the_router_s_order_or_in_ours() {
    let names = |our_order: bool| {
        let mut device = Device::scripted(DeviceConfig::default(), 1);
        let mut router = router();
        router.codecs.reverse();
        device.load(std::time::Instant::now(), router, our_order).unwrap();
        let capabilities = device.send_rtp_capabilities().unwrap().codecs;
        let name = |codec: &RtpCodecCapability| codec.mime_type.split_once('/').unwrap().1.to_owned();
        capabilities.iter().map(name).filter(|name| name != "rtx").collect::<Vec<_>>()
    };
    assert_eq!(names(false), ["H264", "VP9", "VP8", "opus"]);
    assert_eq!(names(true), ["opus", "VP8", "VP9", "H264"]);
}

/// A router can be without RTX, without feedback, without any extension, with payload types below 96, and in odd case.
#[test]
fn a_poor_router_is_sent_to_all_the_same() {
    let codecs: RtpCapabilities = serde_json::from_value(json!({ "codecs": [
        { "mimeType": "VIDEO/vp8", "clockRate": 90000, "preferredPayloadType": 35 },
        { "mimeType": "audio/CN", "clockRate": 8000, "preferredPayloadType": 13 },
        { "mimeType": "audio/telephone-event", "clockRate": 48000, "preferredPayloadType": 110 },
        { "mimeType": "audio/pcma", "clockRate": 8000, "preferredPayloadType": 8 },
    ] }))
    .unwrap();
    let mut world = World::new();
    let mut device = Device::scripted(DeviceConfig::default(), 1);
    device.load(world.now, codecs, false).unwrap();
    world.transport =
        device.create_send_transport(world.now, parameters(), TransportOptions::default(), Map::new()).unwrap();
    world.device = device;
    world.produce(VIDEO);
    world.answer(Ok(Answer::Connected));
    let (parameters, _) = asked(&mut world);
    let written = serde_json::to_value(&parameters).unwrap();
    assert_eq!(written["codecs"].as_array().unwrap().len(), 1);
    assert_eq!(written["codecs"][0]["rtcpFeedback"], json!([]));
    assert_eq!(written["headerExtensions"], json!([]));
    assert!(written["encodings"][0].get("rtx").is_none());
    world.answer(Ok(Answer::Produced { id: "v".to_owned() }));
    world.produce(AUDIO);
    assert_eq!(asked(&mut world).0.codecs[0].mime_type, "audio/PCMA");
}

/// The profile counts, not the level; a router with a profile that no stream can have is not sent H.264.
#[test]
fn of_h264_the_profile_must_be_one_of_the_router_s() {
    let router = |id: &str, mode: u8| -> RtpCapabilities {
        serde_json::from_value(json!({ "codecs": [
            { "mimeType": "video/H264", "clockRate": 90000, "preferredPayloadType": 105,
              "parameters": { "level-asymmetry-allowed": 1, "packetization-mode": mode, "profile-level-id": id } },
        ] }))
        .unwrap()
    };
    for (id, mode, matched) in [
        ("42e034", 1, Some("42e01f")),
        ("4d0032", 1, Some("4d001f")),
        ("640c34", 1, Some("640c1f")),
        ("640034", 1, Some("64001f")),
        ("42e034", 0, None),
        ("7a0034", 1, None),
    ] {
        let mut device = Device::scripted(DeviceConfig::default(), 1);
        device.load(std::time::Instant::now(), router(id, mode), false).unwrap();
        let codecs = device.send_rtp_capabilities().unwrap().codecs;
        let found = codecs.first().and_then(|codec| codec.parameters.text("profile-level-id").map(str::to_owned));
        assert_eq!(found.as_deref(), matched, "{id}, packetization mode {mode}");
    }
}

/// What is declared is what is sent.
#[test]
fn a_frame_that_contradicts_the_declared_temporal_layers_is_refused() {
    let mode = |mode: &str| EncodingOptions::default().scalability_mode(mode);
    let options = ProduceOptions::default().codec(Codec::Vp8).encodings([mode("L1T1"), mode("L1T2")]);
    let (mut world, id) = flowing(VIDEO, options);
    let frame = |layer: usize, temporal: Option<u8>, key: bool| {
        let frame = if key { key_frame() } else { Frame::new(vec![0x11; 50], Duration::ZERO) };
        let frame = frame.layer(layer);
        temporal.map_or(frame.clone(), |index| frame.temporal_layer(TemporalLayer::new(index)))
    };
    let now = world.now;
    let mut write = |frame| world.device.producer(id).unwrap().write_frame(now, frame);
    let wrong = |layer, given, declared| Err(MediaError::TemporalLayer { producer: id, layer, given, declared });
    for (given, result) in [
        (frame(0, None, true), Ok(())),
        (frame(0, Some(0), false), Ok(())),
        (frame(0, Some(1), false), wrong(0, 1, 1)),
        (frame(1, None, true), Err(MediaError::NoTemporalLayer { producer: id, layer: 1, declared: 2 })),
        (frame(1, Some(1), true), wrong(1, 1, 1)),
        (frame(1, Some(0), true), Ok(())),
        (frame(1, Some(1), false), Ok(())),
        (frame(1, Some(2), false), wrong(1, 2, 2)),
        // One was refused, as of any stream.
        (frame(1, Some(1), false), Err(MediaError::KeyFrameNeeded { producer: id, layer: 1 })),
    ] {
        assert_eq!(write(given.clone()), result, "{given:?}");
    }
}
