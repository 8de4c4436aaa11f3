//! Given the router of each recorded session, we ask for what the real client asked for, up to ids, SSRCs and keys, and but
//! for the differences that are named here. The recordings are of mediasoup 3.27.1 with mediasoup-client 3.24.1 in Chromium.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::Instant;

use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, EncodingOptions, Input, Output, ProduceError, ProduceOptions, Request,
    TransportOptions,
};
use mediasoup_producer::{Codec, MediaKind, Track, TransportId};
use serde_json::{Map, Value, json};

/// Neither written by us, nor of use to the server: the client declares them, we do not. Transport-wide congestion control is
/// left out on purpose.
const NOT_DECLARED: [&str; 4] = [
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    "urn:ietf:params:rtp-hdrext:toffset",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
];

struct Session {
    device: Device,
    now: Instant,
    transport: TransportId,
    lines: Vec<Value>,
}

impl Session {
    fn of(recording: &str) -> Self {
        let now = Instant::now();
        let lines: Vec<Value> = recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut device = Device::scripted(DeviceConfig::default(), 1);
        device.load(now, serde_json::from_value(lines[0]["response"].clone()).unwrap(), false).unwrap();
        let parameters = serde_json::from_value(lines[1]["response"].clone()).unwrap();
        let transport = device.create_send_transport(now, parameters, TransportOptions::default(), Map::new()).unwrap();
        Self { device, now, transport, lines }
    }

    /// What the recorded client sent for this kind.
    fn recorded(&self, kind: &str) -> &Value {
        let of_kind = |line: &&Value| line["method"] == "produce" && line["data"]["kind"] == kind;
        &self.lines.iter().find(of_kind).unwrap()["data"]
    }

    /// What we ask for.
    fn ask(&mut self, kind: MediaKind, options: ProduceOptions) -> Value {
        let track = Track::new(kind, "edff6185-d395-4c3e-aaa0-4b1f9efa6cf0", "");
        self.device.transport(self.transport).unwrap().produce(self.now, track, options).unwrap();
        while let Some(output) = self.device.poll_output() {
            let Output::Request { id, request } = output else { continue };
            let answer = match &request {
                Request::Connect { .. } => {
                    let mut ours = request.to_json();
                    let mut theirs = self.lines[2]["data"].clone();
                    for side in [&mut ours, &mut theirs] {
                        side["dtlsParameters"]["fingerprints"][0]["value"].take();
                    }
                    assert_eq!(ours, theirs);
                    Answer::Connected
                }
                Request::Produce { .. } => {
                    let asked = request.to_json();
                    let id_of_producer = asked["rtpParameters"]["mid"].as_str().unwrap().to_owned();
                    let result = Ok(Answer::Produced { id: id_of_producer });
                    self.device.handle_input(self.now, Input::Answer { id, result }).unwrap();
                    return asked;
                }
                other => panic!("{other:?}"),
            };
            self.device.handle_input(self.now, Input::Answer { id, result: Ok(answer) }).unwrap();
        }
        panic!("nothing was asked for");
    }

    fn compare(&mut self, kind: MediaKind, options: ProduceOptions) {
        let ours = self.ask(kind, options);
        let theirs = self.recorded(kind.as_str()).clone();
        assert_eq!(normal(ours), normal(theirs));
    }
}

/// Without what is each side's own choice.
fn normal(mut produce: Value) -> Value {
    let mut left_out = vec![json!({ "type": "transport-cc", "parameter": "" })];
    if produce["kind"] == "audio" {
        // What is lost is sent again as RTX alone.
        left_out.push(json!({ "type": "nack", "parameter": "" }));
    }
    let parameters = &mut produce["rtpParameters"];
    let media_payload_type = parameters["codecs"][0]["payloadType"].clone();
    for codec in parameters["codecs"].as_array_mut().unwrap() {
        codec["payloadType"].take();
        if let Some(apt) = codec["parameters"].get_mut("apt") {
            assert_eq!(*apt, media_payload_type);
            apt.take();
        }
        codec["rtcpFeedback"].as_array_mut().unwrap().retain(|feedback| !left_out.contains(feedback));
    }
    let extensions = parameters["headerExtensions"].as_array_mut().unwrap();
    extensions.retain(|extension| !NOT_DECLARED.contains(&extension["uri"].as_str().unwrap()));
    extensions.iter_mut().for_each(|extension| drop(extension["id"].take()));
    for encoding in parameters["encodings"].as_array_mut().unwrap() {
        let encoding = encoding.as_object_mut().unwrap();
        // The client leaves the SSRCs of simulcast to be learnt from RIDs; we always say them.
        for ssrc in ["ssrc", "rtx"] {
            encoding.remove(ssrc);
        }
    }
    parameters["rtcp"]["cname"].take();
    let msid: Vec<_> = parameters["msid"].as_str().unwrap().split(' ').map(str::to_owned).collect();
    assert_eq!(msid.len(), 2);
    parameters["msid"].take();
    produce
}

/// As the recorded application asked for simulcast. The client says three temporal layers of H264, too, of which the server
/// could only be told in a header extension; we say what there is.
fn three_layers(codec: Codec) -> [EncodingOptions; 3] {
    let mode = if codec == Codec::Vp8 { "L1T3" } else { "L1T1" };
    [(4, 200_000), (2, 700_000), (1, 2_500_000)].map(|(factor, bitrate): (i32, u32)| {
        EncodingOptions::default().scale_resolution_down_by(factor.into()).max_bitrate(bitrate).scalability_mode(mode)
    })
}

#[test]
fn one_stream_is_asked_for_as_the_client_does() {
    for (recording, codec) in [
        (include_str!("captures/v3/vp8.jsonl"), Codec::Vp8),
        (include_str!("captures/v3/vp9-plain.jsonl"), Codec::Vp9),
        (include_str!("captures/v3/h264.jsonl"), Codec::H264),
        (include_str!("captures/v3/tcp.jsonl"), Codec::Vp8),
        (include_str!("captures/v3/exercise.jsonl"), Codec::Vp8),
    ] {
        let mut session = Session::of(recording);
        session.compare(MediaKind::Audio, ProduceOptions::default());
        session.compare(MediaKind::Video, ProduceOptions::default().codec(codec));
    }
}

#[test]
fn simulcast_is_asked_for_as_the_client_does_with_ssrcs_besides() {
    for (recording, codec) in [
        (include_str!("captures/v3/vp8-simulcast.jsonl"), Codec::Vp8),
        (include_str!("captures/v3/h264-simulcast.jsonl"), Codec::H264),
    ] {
        let mut session = Session::of(recording);
        session.compare(MediaKind::Audio, ProduceOptions::default());
        // A whole number is written as JavaScript writes it, or with a point: JSON has one kind of number.
        let mut ours =
            session.ask(MediaKind::Video, ProduceOptions::default().codec(codec).encodings(three_layers(codec)));
        let mut ssrcs = Vec::new();
        for encoding in ours["rtpParameters"]["encodings"].as_array_mut().unwrap() {
            ssrcs.extend([encoding["ssrc"].as_u64().unwrap(), encoding["rtx"]["ssrc"].as_u64().unwrap()]);
            if codec == Codec::H264 {
                encoding["scalabilityMode"] = "L1T3".into();
            }
            encoding["scaleResolutionDownBy"] = (encoding["scaleResolutionDownBy"].as_f64().unwrap() as u64).into();
        }
        ssrcs.sort_unstable();
        ssrcs.dedup();
        assert_eq!(ssrcs.len(), 6);
        assert_eq!(normal(ours), normal(session.recorded("video").clone()));
    }
}

#[test]
fn what_this_library_does_not_send_is_refused_before_the_round_trip() {
    let now = Instant::now();
    let mut session = Session::of(include_str!("captures/v3/vp9-svc.jsonl"));
    let track = || Track::new(MediaKind::Video, "v", "");
    let recorded = session.recorded("video")["rtpParameters"]["encodings"][0].clone();
    let encoding: EncodingOptions = serde_json::from_value(recorded).unwrap();
    let options = ProduceOptions::default().codec(Codec::Vp9).encodings([encoding]);
    let refused = session.device.transport(session.transport).unwrap().produce(now, track(), options);
    assert_eq!(refused, Err(ProduceError::SpatialLayers("L3T3_KEY".to_owned())));

    let session = &mut Session::of(include_str!("captures/v3/av1-svc.jsonl"));
    let av1 = session.lines[0]["response"]["codecs"].as_array().unwrap();
    let av1 = av1.iter().find(|codec| codec["mimeType"] == "video/AV1").unwrap().clone();
    let capability: mediasoup_producer::v3::RtpCodecCapability = serde_json::from_value(av1).unwrap();
    let options = ProduceOptions::default().codec(capability);
    let refused = session.device.transport(session.transport).unwrap().produce(now, track(), options);
    assert_eq!(refused, Err(ProduceError::NoMatchingCodec(MediaKind::Video)));
    assert_eq!(session.device.poll_output(), None);
}
