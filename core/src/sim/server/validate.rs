//! What a room refuses, in the words of mediasoup 2.6.19 as they were seen on the wire.

use serde_json::Value;
use str0m::config::Fingerprint;

use crate::net::DtlsRole;
use crate::rtp::{Codec, MediaKind};
use crate::v2::Profile;
use crate::v2::{RtpCapabilities, RtpCodecCapability};

/// What a producer's RTP parameters come to.
#[derive(Debug, Clone)]
pub(super) struct SendingParameters {
    pub(super) mux_id: Option<String>,
    pub(super) codec: Codec,
    pub(super) encodings: Vec<SendingEncoding>,
    /// URI and id of each header extension.
    pub(super) header_extensions: Vec<(String, u8)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct SendingEncoding {
    pub(super) ssrc: u32,
    pub(super) rtx: Option<u32>,
    pub(super) profile: Profile,
}

/// `rtpCapabilities` of a join must be among the room's.
pub(super) fn capabilities_subset(given: &Value, room: &RtpCapabilities) -> Result<(), String> {
    let codecs =
        given.get("codecs").ok_or_else(|| undefined_property(given, "codecs", "aCaps.codecs is not iterable"))?;
    let codecs = codecs.as_array().ok_or("TypeError: aCaps.codecs is not iterable")?;
    for codec in codecs {
        let payload_type = &codec["preferredPayloadType"];
        let found = room.codecs.iter().any(|of_room| {
            payload_type.as_u64() == Some(of_room.preferred_payload_type.into()) && same_codec(codec, of_room)
        });
        if !found {
            let name = text(&codec["name"]);
            return Err(format!("Error: unsupported codec [name:{name}, preferredPayloadType:{}]", text(payload_type)));
        }
    }
    for extension in given["headerExtensions"].as_array().into_iter().flatten() {
        let kind = extension.get("kind").filter(|kind| !kind.is_null());
        let found = room.header_extensions.iter().any(|of_room| {
            extension["preferredId"].as_u64() == Some(of_room.preferred_id.into())
                && extension["uri"] == of_room.uri.as_str()
                && kind.is_none_or(|kind| of_room.kind.is_none_or(|of| *kind == of.as_str()))
        });
        if !found {
            let (kind, uri) = (text(&extension["kind"]), text(&extension["uri"]));
            return Err(format!("Error: unsupported header extension [kind:{kind}, uri:{uri}]"));
        }
    }
    Ok(())
}

/// `rtpParameters` against what the room can route: what the server's JavaScript looks at first.
pub(super) fn routable(given: &Value, room: &RtpCapabilities) -> Result<(), String> {
    let wrong = |error: String| format!("Error: wrong RTP parameters: {error}");
    let codecs = given
        .get("codecs")
        .ok_or_else(|| wrong(undefined_property(given, "codecs", "params.codecs is not iterable")))?
        .as_array()
        .ok_or_else(|| wrong("TypeError: params.codecs is not iterable".to_owned()))?;
    let is_rtx = |codec: &Value| codec["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("rtx"));
    for codec in codecs.iter().filter(|codec| !is_rtx(codec)) {
        if !room.codecs.iter().any(|of_room| same_codec(codec, of_room)) {
            let (name, payload_type) = (text(&codec["name"]), text(&codec["payloadType"]));
            return Err(wrong(format!("Error: unsupported codec [name:{name}, payloadType:{payload_type}]")));
        }
    }
    for rtx in codecs.iter().filter(|codec| is_rtx(codec)) {
        let apt = &rtx["parameters"]["apt"];
        if !codecs.iter().any(|codec| !is_rtx(codec) && !apt.is_null() && codec["payloadType"] == *apt) {
            let payload_type = text(&rtx["payloadType"]);
            return Err(wrong(format!("Error: no media codec found for RTX PT {payload_type}")));
        }
    }
    for extension in given["headerExtensions"].as_array().into_iter().flatten() {
        if !room.header_extensions.iter().any(|of_room| extension["uri"] == of_room.uri.as_str()) {
            let (uri, id) = (text(&extension["uri"]), text(&extension["id"]));
            return Err(wrong(format!("Error: unsupported header extensions [uri:\"{uri}\", id:{id}]")));
        }
    }
    Ok(())
}

/// `rtpParameters` as the server's worker reads them, after [`routable`].
pub(super) fn sending_parameters(given: &Value, limit: usize) -> Result<SendingParameters, String> {
    let mux_id = given["muxId"].as_str().map(str::to_owned);
    if mux_id.as_deref() == Some("") {
        return Err("Error: empty rtpParameters.muxId".to_owned());
    }
    let codecs = given["codecs"].as_array().filter(|codecs| !codecs.is_empty());
    let codecs = codecs.ok_or("Error: empty rtpParameters.codecs")?;
    let encodings = given["encodings"].as_array().ok_or("Error: missing rtpParameters.encodings")?;
    if encodings.is_empty() {
        return Err("Error: empty rtpParameters.encodings".to_owned());
    }
    if encodings.len() > limit {
        return Err(format!("Error: more than {limit} encodings"));
    }
    let codec = codecs.iter().filter_map(|codec| Codec::from_mime_type(codec["mimeType"].as_str()?)).next();
    let codec = codec.ok_or("Error: no media codecs found")?;
    let encodings: Vec<_> = encodings.iter().map(encoding).collect::<Result<_, _>>()?;
    for (index, encoding) in encodings.iter().enumerate() {
        if encodings[..index].iter().any(|other| other.profile == encoding.profile) {
            return Err("Error: duplicated encoding.profile".to_owned());
        }
    }
    if encodings.len() == 1 && encodings[0].profile != Profile::Default {
        return Err("Error: invalid single encoding with non default profile".to_owned());
    }
    let header_extensions = given["headerExtensions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|extension| {
            let id = extension["id"].as_u64().and_then(|id| u8::try_from(id).ok())?;
            Some((extension["uri"].as_str()?.to_owned(), id))
        })
        .collect();
    Ok(SendingParameters { mux_id, codec, encodings, header_extensions })
}

fn encoding(given: &Value) -> Result<SendingEncoding, String> {
    let number = |value: &Value| value.as_u64().and_then(|ssrc| u32::try_from(ssrc).ok());
    let ssrc = number(&given["ssrc"]).ok_or("Error: this room takes no encoding without an ssrc")?;
    let profile = match given.get("profile") {
        None => Profile::Default,
        Some(profile) => match profile.as_str() {
            Some("default") => Profile::Default,
            Some("low") => Profile::Low,
            Some("medium") => Profile::Medium,
            Some("high") => Profile::High,
            _ => return Err("Error: unknown profile".to_owned()),
        },
    };
    Ok(SendingEncoding { ssrc, rtx: number(&given["rtx"]["ssrc"]), profile })
}

/// `kind` of a producer.
pub(super) fn kind(given: &Value) -> Result<MediaKind, String> {
    match given.as_str() {
        Some("audio") => Ok(MediaKind::Audio),
        Some("video") => Ok(MediaKind::Video),
        _ => Err(format!("TypeError: unsupported kind: {}", text(given))),
    }
}

/// `dtlsParameters` of the peer.
pub(super) fn dtls_parameters(given: &Value) -> Result<(DtlsRole, Fingerprint), String> {
    let fingerprint =
        given["fingerprints"].as_array().into_iter().flatten().find(|fingerprint| {
            fingerprint["algorithm"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("sha-256"))
        });
    let Some(fingerprint) = fingerprint else {
        return Err("Error: unsupported remote fingerprint algorithm".to_owned());
    };
    let role = match given.get("role").map(|role| role.as_str()) {
        Some(Some("client")) => DtlsRole::Client,
        Some(Some("server")) => DtlsRole::Server,
        // mediasoup: against "auto", which is also the default, it takes the active part.
        Some(Some("auto")) | None => DtlsRole::Server,
        Some(_) => return Err("Error: invalid remote role".to_owned()),
    };
    let value = fingerprint["value"].as_str().unwrap_or_default();
    let fingerprint = format!("sha-256 {value}").parse().map_err(|_| "Error: wrong remote fingerprint value")?;
    Ok((role, fingerprint))
}

fn same_codec(given: &Value, of_room: &RtpCodecCapability) -> bool {
    let number = |key: &str| given[key].as_u64();
    let same_name = given["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&of_room.name));
    let kind = given["kind"].as_str();
    let mode = |parameters: Option<&Value>| parameters.and_then(Value::as_u64).unwrap_or(0);
    let channels = number("channels").unwrap_or(1);
    same_name
        && kind.is_none_or(|kind| kind == of_room.kind.as_str())
        && number("clockRate") == Some(of_room.clock_rate.into())
        && (of_room.kind == MediaKind::Video || channels == u64::from(of_room.channels.unwrap_or(1)))
        && (!of_room.name.eq_ignore_ascii_case("h264")
            || mode(given["parameters"].get("packetization-mode"))
                == mode(of_room.parameters.get("packetization-mode")))
}

/// As JavaScript writes a value into a string.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "undefined".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn undefined_property(of: &Value, property: &str, otherwise: &str) -> String {
    if of.is_null() {
        format!("TypeError: Cannot read properties of undefined (reading '{property}')")
    } else {
        format!("TypeError: {otherwise}")
    }
}
