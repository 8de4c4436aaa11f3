//! JSON of every shape out of bytes: wrong types, huge numbers, deep nesting, long arrays, known names in wrong places.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

/// Names the server uses, and their values where one helps to come further.
const NAMES: [&str; 36] = [
    "id",
    "appData",
    "stats",
    "name",
    "peers",
    "peerName",
    "rtpCapabilities",
    "mandatoryCodecPayloadTypes",
    "codecs",
    "headerExtensions",
    "fecMechanisms",
    "kind",
    "mimeType",
    "clockRate",
    "channels",
    "preferredPayloadType",
    "parameters",
    "rtcpFeedback",
    "apt",
    "packetization-mode",
    "uri",
    "preferredId",
    "iceParameters",
    "usernameFragment",
    "password",
    "iceLite",
    "iceCandidates",
    "ip",
    "port",
    "priority",
    "protocol",
    "foundation",
    "dtlsParameters",
    "role",
    "fingerprints",
    "type",
];
const METHODS: [&str; 13] = [
    "closed",
    "transportClosed",
    "transportStats",
    "producerPaused",
    "producerResumed",
    "producerClosed",
    "producerStats",
    "newPeer",
    "peerClosed",
    "newConsumer",
    "consumerClosed",
    "",
    "consumerStats",
];
/// As deep as serde_json reads is 128.
const DEEPEST: u32 = 100;

/// Any value.
pub(crate) fn any(u: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    Ok(match u.int_in_range(0..=13u8)? {
        0 => Value::Null,
        1 => u.arbitrary::<bool>()?.into(),
        2 => u.arbitrary::<u8>()?.into(),
        3 => u.arbitrary::<i64>()?.into(),
        4 => u64::MAX.into(),
        5 => json!(1e308),
        6 => json!(-0.5),
        7 => (*u.choose(&[
            "audio/opus",
            "video/VP8",
            "video/rtx",
            "video/H264",
            "opus",
            "VP8",
            "rtx",
            "audio",
            "video",
        ])?)
        .into(),
        8 => (*u.choose(&["192.0.2.7", "udp", "tcp", "server", "client", "auto", "sha-256", "::1", "x.local", ""])?)
            .into(),
        9 => u.arbitrary::<&str>()?.into(),
        10 => {
            // One thing many times over, but a small one: the fuzzer's memory is not what is to be tested.
            let item = if depth < DEEPEST { any(u, DEEPEST)? } else { Value::Null };
            Value::Array(vec![item; if depth < 3 { u.int_in_range(0..=2000)? } else { 2 }])
        }
        11 if depth == 0 => {
            let mut nested = any(u, DEEPEST - 10)?;
            for _ in 0..u.int_in_range(0..=60u8)? {
                nested = json!([nested]);
            }
            nested
        }
        _ if depth < DEEPEST => {
            let mut fields = Map::new();
            for _ in 0..u.int_in_range(0..=6u8)? {
                fields.insert((*u.choose(&NAMES)?).to_owned(), any(u, depth + 1)?);
            }
            Value::Object(fields)
        }
        _ => Value::Null,
    })
}

/// A notification, more or less.
pub(crate) fn notification(u: &mut Unstructured<'_>, ids: &[u32]) -> Result<Value> {
    let mut message = json!({ "method": u.choose(&METHODS)?, "notification": true, "id": u.choose(ids)? });
    for _ in 0..u.int_in_range(0..=3u8)? {
        message[*u.choose(&NAMES)?] = any(u, 0)?;
    }
    Ok(message)
}

/// A good value in which something is replaced.
pub(crate) fn damaged(u: &mut Unstructured<'_>, mut good: Value) -> Result<Value> {
    for _ in 0..u.int_in_range(0..=3u8)? {
        let mut path = String::new();
        for _ in 0..u.int_in_range(0..=8u8)? {
            let next = usize::from(u.arbitrary::<u8>()?);
            match good.pointer(&path) {
                Some(Value::Array(items)) if !items.is_empty() => path += &format!("/{}", next % items.len()),
                Some(Value::Object(fields)) if !fields.is_empty() => {
                    let name = fields.keys().nth(next % fields.len()).expect("less than the length");
                    path += &format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                }
                _ => break,
            }
        }
        let other = any(u, 0)?;
        if let Some(place) = good.pointer_mut(&path) {
            *place = other;
        }
    }
    Ok(good)
}
