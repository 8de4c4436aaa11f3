//! What the real client and the real server said to each other is read and written back without a change. The recordings are
//! of mediasoup 3.27.1 with mediasoup-client 3.24.1 in Chromium.

use mediasoup_producer::v3::{DtlsParameters, DtlsRole, RtpCapabilities, RtpParameters, TransportParameters};
use serde::Serialize;
use serde::de::DeserializeOwned;
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

fn same_again<T: Serialize + DeserializeOwned>(value: &Value) -> T {
    let read: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), *value);
    read
}

#[test]
fn recorded_messages_are_written_as_they_were_read() {
    let mut seen = [0; 4];
    for line in RECORDINGS.iter().flat_map(|recording| recording.lines()) {
        let message: Value = serde_json::from_str(line).unwrap();
        match message["method"].as_str().unwrap() {
            "getRouterRtpCapabilities" => {
                same_again::<RtpCapabilities>(&message["response"]);
                seen[0] += 1;
            }
            "createWebRtcTransport" => {
                let read: TransportParameters = serde_json::from_value(message["response"].clone()).unwrap();
                let mut written = serde_json::to_value(&read).unwrap();
                // `ip` is `address` under its old name.
                for candidate in written["iceCandidates"].as_array_mut().unwrap() {
                    candidate["ip"] = candidate["address"].clone();
                }
                assert_eq!(written, message["response"]);
                assert_eq!(read.dtls_parameters.role, DtlsRole::Auto);
                seen[1] += 1;
            }
            "connectWebRtcTransport" => {
                same_again::<DtlsParameters>(&message["data"]["dtlsParameters"]);
                seen[2] += 1;
            }
            "produce" => {
                same_again::<RtpParameters>(&message["data"]["rtpParameters"]);
                seen[3] += 1;
            }
            _ => {}
        }
    }
    assert_eq!(seen, [9, 9, 10, 19]);
}

#[test]
fn what_is_missing_is_filled_in_as_mediasoup_client_does() {
    let codec =
        json!({ "mimeType": "AUDIO/L16", "kind": "video", "preferredPayloadType": 100, "clockRate": 8000, "new": 1 });
    let read: RtpCapabilities = serde_json::from_value(json!({ "codecs": [codec], "fecMechanisms": [] })).unwrap();
    assert_eq!(
        serde_json::to_value(&read).unwrap(),
        json!({
            "codecs": [{
                "mimeType": "AUDIO/L16", "kind": "audio", "preferredPayloadType": 100, "clockRate": 8000, "channels": 1,
                "parameters": {}, "rtcpFeedback": [],
            }],
            "headerExtensions": [],
        })
    );
    let extension = json!({ "kind": "video", "uri": "urn:x", "preferredId": 3 });
    let read: RtpCapabilities = serde_json::from_value(json!({ "headerExtensions": [extension] })).unwrap();
    assert_eq!(
        serde_json::to_value(&read.header_extensions).unwrap(),
        json!([{ "kind": "video", "uri": "urn:x", "preferredId": 3, "preferredEncrypt": false, "direction": "sendrecv" }])
    );
}

#[test]
fn malformed_capabilities_are_refused() {
    let codec = |key: &str, value: Value| {
        let mut codec = json!({ "mimeType": "video/VP8", "preferredPayloadType": 101, "clockRate": 90000 });
        codec[key] = value;
        json!({ "codecs": [codec] })
    };
    let extension = |key: &str, value: Value| {
        let mut extension = json!({ "kind": "audio", "uri": "urn:x", "preferredId": 1 });
        extension[key] = value;
        json!({ "headerExtensions": [extension] })
    };
    for malformed in [
        json!("capabilities"),
        json!({ "codecs": {} }),
        codec("mimeType", json!("text/plain")),
        codec("mimeType", json!("video/")),
        codec("mimeType", json!(null)),
        codec("preferredPayloadType", json!("101")),
        codec("preferredPayloadType", json!(-1)),
        codec("clockRate", json!(null)),
        codec("parameters", json!({ "a": {} })),
        codec("parameters", json!({ "apt": "101" })),
        codec("rtcpFeedback", json!([{ "parameter": "pli" }])),
        extension("kind", json!("")),
        extension("uri", json!(null)),
        extension("preferredId", json!("1")),
        extension("preferredEncrypt", json!("yes")),
        extension("direction", json!("both")),
    ] {
        let read = serde_json::from_value::<RtpCapabilities>(malformed.clone());
        assert!(read.is_err(), "{malformed} was taken for {read:?}");
    }
}

/// Servers before 3.13.18 have the address under another name, later ones may have a host name in its place.
#[test]
fn an_address_has_either_name_and_may_be_a_host_name_until_it_is_resolved() {
    let parameters = |candidates: Value| {
        json!({
            "id": "1", "iceParameters": { "usernameFragment": "u", "password": "p" }, "iceCandidates": candidates,
            "dtlsParameters": { "fingerprints": [] }, "sctpParameters": { "port": 5000 }, "more": true,
        })
    };
    let mut read: TransportParameters = serde_json::from_value(parameters(json!([
        { "foundation": "udpcandidate", "priority": 1, "ip": "192.0.2.1", "protocol": "udp", "port": 1, "type": "host" },
        { "ip": "192.0.2.1", "address": "sfu.example.com", "protocol": "tcp", "port": 2, "tcpType": "passive" },
    ])))
    .unwrap();
    assert_eq!(read.ice_candidates[0].ip(), Some([192, 0, 2, 1].into()));
    assert_eq!(read.host_names().collect::<Vec<_>>(), ["sfu.example.com"]);
    read.resolve("sfu.example.com", &["2001:db8::1".parse().unwrap()]);
    assert_eq!(read.ice_candidates[1].address, "2001:db8::1");
    assert_eq!(read.host_names().next(), None);
}
