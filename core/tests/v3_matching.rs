//! Capability matching against mediasoup-client's own: the same routers give the same codecs, in the same order, with the same
//! parameters, feedback and extensions. `captures/v3/matching.mjs` made the list, with what we can send as the local side.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod v3_common;

use std::time::Instant;

use mediasoup_producer::v3::{
    Answer, BandwidthMode, Device, DeviceConfig, Input, Output, ProduceError, ProduceOptions, Request, TransportOptions,
};
use mediasoup_producer::{MediaKind, Track};
use serde_json::{Map, Value, json};

/// What the list was made with: `UPDATE_NATIVE=1 cargo test --test v3_matching` writes it anew, and the list must be, too.
#[test]
fn what_we_can_send_is_what_the_list_was_made_with() {
    let ours = serde_json::to_string_pretty(&Device::native_rtp_capabilities(BandwidthMode::Remb)).unwrap() + "\n";
    if std::env::var_os("UPDATE_NATIVE").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/v3/native.json");
        std::fs::write(path, &ours).unwrap();
    }
    assert_eq!(ours, include_str!("captures/v3/native.json"));
}

#[test]
fn routers_of_all_kinds_are_matched_as_mediasoup_client_matches_them() {
    let (mut lines, mut produced, mut chosen, mut refused) = (0, 0, 0, 0);
    for line in include_str!("captures/v3/matching.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let now = Instant::now();
        let mut device = Device::scripted(DeviceConfig::default(), 1);
        let router = serde_json::from_value(line["router"].clone()).unwrap();
        device.load(now, router, line["preferLocal"].as_bool().unwrap()).unwrap();
        let ours = serde_json::to_value(device.send_rtp_capabilities().unwrap()).unwrap();
        assert_eq!(ours["codecs"], but_for_nack(&line["send"]["codecs"]), "{}", line["router"]);
        assert_eq!(ours["headerExtensions"], line["send"]["headerExtensions"], "{}", line["router"]);
        lines += 1;

        for theirs in line["produce"].as_array().unwrap() {
            let kind: MediaKind = serde_json::from_value(theirs["kind"].clone()).unwrap();
            assert_eq!(device.can_produce(kind), theirs["canProduce"] == true);
            let options = match &theirs["choice"] {
                Value::Null => ProduceOptions::default(),
                choice => {
                    let capability: mediasoup_producer::v3::RtpCodecCapability =
                        serde_json::from_value(choice.clone()).unwrap();
                    ProduceOptions::default().codec(capability)
                }
            };
            let ours = produce(&mut device, now, kind, options);
            if theirs["canProduce"] == false {
                assert_eq!(ours, Err(ProduceError::CannotProduce(kind)));
            } else if theirs["codecs"].is_null() {
                assert_eq!(ours, Err(ProduceError::NoMatchingCodec(kind)), "{theirs}");
                refused += 1;
            } else {
                let ours = ours.unwrap_or_else(|error| panic!("{error}: {theirs}, {}", line["router"]["codecs"]));
                assert_eq!(ours["codecs"], but_for_nack(&theirs["codecs"]), "{theirs}");
                assert_eq!(ours["headerExtensions"], theirs["headerExtensions"], "{theirs}");
                produced += 1;
                chosen += usize::from(!theirs["choice"].is_null());
            }
        }
    }
    assert!(lines >= 200 && produced > lines && chosen > 50 && refused > 20, "{lines} {produced} {chosen} {refused}");
}

/// The one difference: what is lost is sent again as RTX alone, so that without RTX we do not let it be asked for.
fn but_for_nack(codecs: &Value) -> Value {
    let mut codecs = codecs.as_array().unwrap().clone();
    let is_rtx = |codec: &Value| codec["mimeType"].as_str().unwrap().ends_with("/rtx");
    for index in 0..codecs.len() {
        if !codecs.get(index + 1).is_some_and(is_rtx) {
            let feedback = codecs[index]["rtcpFeedback"].as_array_mut().unwrap();
            feedback.retain(|feedback| *feedback != json!({ "type": "nack", "parameter": "" }));
        }
    }
    codecs.into()
}

/// What we ask the server for, on a transport of its own.
fn produce(device: &mut Device, now: Instant, kind: MediaKind, options: ProduceOptions) -> Result<Value, ProduceError> {
    let parameters = v3_common::parameters();
    let id = device.create_send_transport(now, parameters, TransportOptions::default(), Map::new()).unwrap();
    let made = device.transport(id).unwrap().produce(now, Track::new(kind, "track", ""), options);
    let asked = made.map(|_| {
        let mut asked = Value::Null;
        while let Some(output) = device.poll_output() {
            match output {
                Output::Request { id, request: Request::Connect { .. } } => {
                    let answer = Input::Answer { id, result: Ok(Answer::Connected) };
                    device.handle_input(now, answer).unwrap();
                }
                Output::Request { request: Request::Produce { rtp_parameters, .. }, .. } => {
                    asked = serde_json::to_value(rtp_parameters).unwrap();
                }
                _ => {}
            }
        }
        asked
    });
    device.transport(id).unwrap().close(now).unwrap();
    while device.poll_output().is_some() {}
    asked
}
