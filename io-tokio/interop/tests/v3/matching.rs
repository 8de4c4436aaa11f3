//! Our matching of capabilities, held to mediasoup-client's own over many routers made at random.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use mediasoup_producer::v3::{
    self, Answer, BandwidthMode, Device, DeviceConfig, Input, Output, ProduceOptions, Request, RtpCapabilities,
    RtpCodecCapability, TransportParameters,
};
use mediasoup_producer::{MediaKind, Track};
use serde::Deserialize;
use serde_json::{Value, json};

/// A line of `v3/ortc.mjs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    router: Value,
    prefer_local: bool,
    result: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected {
    Refused {
        error: String,
    },
    #[serde(rename_all = "camelCase")]
    Loaded {
        can_produce: Value,
        send_rtp_capabilities: Value,
        produced: Vec<Produced>,
    },
}

/// What became of `transport.produce()` with this codec, or without saying which.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Produced {
    kind: MediaKind,
    codec: Option<Value>,
    rtp_parameters: Option<Value>,
    error: Option<String>,
}

#[test]
#[ignore = "needs Node: run io-tokio/interop/run.sh"]
fn capabilities_are_matched_as_mediasoup_client_does() {
    let number = |name: &str, otherwise: &str| std::env::var(name).unwrap_or(otherwise.to_owned());
    let (seed, routers) = (number("INTEROP_SEED", "1"), number("INTEROP_ROUTERS", "1000"));
    let mut node = Command::new("node")
        .args(["v3/ortc.mjs", &seed, &routers])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed");
    let local = serde_json::to_vec(&Device::native_rtp_capabilities(BandwidthMode::Remb)).expect("it can be written");
    node.stdin.take().expect("stdin is piped").write_all(&local).expect("it reads");
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}: was setup.sh run?", output.status);

    let lines = String::from_utf8(output.stdout).expect("it speaks JSON");
    let (mut loaded, mut refused, mut produced) = (0, 0, 0);
    for (number, line) in lines.lines().enumerate() {
        let case: Case = serde_json::from_str(line).expect("it speaks JSON");
        let device = load(&case);
        match (&case.result, device) {
            (Expected::Refused { .. }, Err(_)) => refused += 1,
            (Expected::Refused { error }, Ok(_)) => panic!("router {number} is refused there: {error}\n{line}"),
            (Expected::Loaded { .. }, Err(error)) => panic!("router {number} is refused here: {error}\n{line}"),
            (Expected::Loaded { can_produce, send_rtp_capabilities, produced: list }, Ok(mut device)) => {
                loaded += 1;
                produced += list.len();
                let ours = [MediaKind::Audio, MediaKind::Video].map(|kind| device.can_produce(kind));
                assert_eq!(json!({ "audio": ours[0], "video": ours[1] }), *can_produce, "router {number}\n{line}");
                let ours = device.send_rtp_capabilities().expect("loaded");
                same(&case, json!(ours), send_rtp_capabilities.clone(), &format!("router {number}\n{line}"));
                for one in list {
                    compare(&case, &mut device, one, &format!("router {number}\n{line}"));
                }
            }
        }
    }
    println!("{loaded} routers matched and {refused} refused as there; {produced} producers with equal parameters");
    assert!(loaded > 5 * refused && refused > 0 && produced > loaded);
}

fn load(case: &Case) -> Result<Device, String> {
    let router_rtp_capabilities: RtpCapabilities =
        serde_json::from_value(case.router.clone()).map_err(|error| error.to_string())?;
    let mut device = Device::new(DeviceConfig::default(), 1);
    let load = v3::Command::Load { router_rtp_capabilities, prefer_local_codecs_order: case.prefer_local };
    device.handle_input(Instant::now(), Input::Command(load)).map_err(|error| error.to_string())?;
    Ok(device)
}

/// What we would send to the server in place of mediasoup-client.
fn compare(case: &Case, device: &mut Device, expected: &Produced, context: &str) {
    let codec =
        expected.codec.clone().map(|codec| serde_json::from_value::<RtpCodecCapability>(codec).expect("a codec"));
    match (produce(device, expected.kind, codec), &expected.rtp_parameters) {
        (Ok(ours), Some(theirs)) => {
            let mut theirs = theirs.clone();
            // What the stand-in for a browser draws, and we otherwise: ids, and how a single stream is described.
            for name in ["mid", "msid", "encodings", "rtcp"] {
                theirs[name] = ours[name].clone();
            }
            same(case, ours, theirs, context);
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("refused there: {:?}: {context}", expected.error),
        (Err(error), Some(_)) => panic!("refused here: {error}: {context}"),
    }
}

/// The parameters of a producer on a transport of its own.
fn produce(device: &mut Device, kind: MediaKind, codec: Option<RtpCodecCapability>) -> Result<Value, String> {
    let now = Instant::now();
    let transport = device.create_send_transport(now, parameters(), Default::default(), Default::default());
    let mut transport = device.transport(transport.expect("it can be made")).expect("it was made");
    let mut options = ProduceOptions::default();
    if let Some(codec) = codec {
        options = options.codec(codec);
    }
    let id = transport.id();
    let producing = transport.produce(now, Track::new(kind, "any", "any"), options);
    let mut sent = producing.map(|_| Value::Null).map_err(|error| error.to_string());
    while let Some(output) = device.poll_output() {
        match output {
            Output::Request { id, request: Request::Connect { .. } } => {
                let connected = Input::Answer { id, result: Ok(Answer::Connected) };
                device.handle_input(now, connected).expect("an answer is taken");
            }
            Output::Request { request: Request::Produce { rtp_parameters, .. }, .. } => {
                sent = Ok(json!(rtp_parameters))
            }
            _ => {}
        }
    }
    device.transport(id).expect("it is open").close(now).expect("it closes");
    while device.poll_output().is_some() {}
    sent
}

/// Equal, but that numbers are of one kind, as in JavaScript; and but for what is otherwise here on purpose.
fn same(case: &Case, mut ours: Value, mut theirs: Value, context: &str) {
    if takes_level_1b_for_the_highest(case) {
        for codecs in [&mut ours["codecs"], &mut theirs["codecs"]] {
            for codec in codecs.as_array_mut().into_iter().flatten() {
                codec["parameters"]["profile-level-id"].take();
            }
        }
    }
    without_nack_that_no_rtx_answers(&mut theirs);
    let (ours, theirs) = (number_by_value(ours), number_by_value(theirs));
    if let Some(difference) = difference("", &ours, &theirs) {
        panic!("{difference}: {context}");
    }
}

/// We send again what was lost as RTX alone, so without it we do not say that it can be asked for.
fn without_nack_that_no_rtx_answers(theirs: &mut Value) {
    let Some(codecs) = theirs["codecs"].as_array_mut() else { return };
    // RTX follows what it repairs.
    let repairs: Vec<Value> = codecs.iter().skip(1).map(|next| next["parameters"]["apt"].clone()).collect();
    for (index, codec) in codecs.iter_mut().enumerate() {
        let payload_type = codec.get("payloadType").or(codec.get("preferredPayloadType"));
        if payload_type != repairs.get(index)
            && let Some(feedback) = codec["rtcpFeedback"].as_array_mut()
        {
            feedback.retain(|one| *one != json!({ "type": "nack", "parameter": "" }));
        }
    }
}

/// The first place in which they differ.
fn difference(place: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .enumerate()
            .find_map(|(index, (ours, theirs))| difference(&format!("{place}/{index}"), ours, theirs)),
        (Value::Object(ours), Value::Object(theirs)) if ours.keys().eq(theirs.keys()) => {
            ours.iter().find_map(|(name, value)| difference(&format!("{place}/{name}"), value, &theirs[name]))
        }
        (ours, theirs) if ours == theirs => None,
        (ours, theirs) => Some(format!("{place}: {ours}, not {theirs}")),
    }
}

/// Where level asymmetry is not allowed the lower level is settled on, and mediasoup-client (h264-profile-level-id 2.3.3)
/// takes 3.1 for lower than 1b. In level 1b, the third of the constraint bits is set and the level is 11.
fn takes_level_1b_for_the_highest(case: &Case) -> bool {
    let level_1b = |codec: &Value| {
        let id = codec["parameters"]["profile-level-id"].as_str().and_then(|id| u32::from_str_radix(id, 16).ok());
        id.is_some_and(|id| id & 0x10ff == 0x100b)
    };
    case.router["codecs"].as_array().into_iter().flatten().any(level_1b)
}

fn number_by_value(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.into_iter().map(number_by_value).collect(),
        Value::Object(entries) => entries.into_iter().map(|(name, value)| (name, number_by_value(value))).collect(),
        other => other,
    }
}

/// Of a transport that is never connected.
fn parameters() -> TransportParameters {
    let fingerprint = ["AB"; 32].join(":");
    serde_json::from_value(json!({
        "id": "any",
        "iceParameters": { "usernameFragment": "anyanyany", "password": "any".repeat(10), "iceLite": true },
        "iceCandidates": [{
            "foundation": "udpcandidate", "priority": 1, "ip": "127.0.0.1", "protocol": "udp", "port": 9, "type": "host",
        }],
        "dtlsParameters": { "role": "auto", "fingerprints": [{ "algorithm": "sha-256", "value": fingerprint }] },
    }))
    .expect("parameters of a transport")
}
