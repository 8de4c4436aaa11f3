//! Statistics in the shapes of mediasoup 2.6.19.

use serde_json::{Value, json};
use std::time::Instant;

use super::entities::{ServerProducer, ServerTransport};
use crate::net::IceProtocol;
use crate::sim::receiver::IceState;

/// `timestamp`: milliseconds on the server's own clock.
pub(super) fn transport(transport: &ServerTransport, timestamp: u64) -> Value {
    let receiver = &transport.receiver;
    let told = receiver.feedback.last();
    let mut stats = json!({
        "bytesReceived": receiver.bytes_received,
        "bytesSent": receiver.bytes_sent,
        "dtlsState": match (receiver.secured, transport.dtls_started) {
            (true, _) => "connected",
            (false, true) => "connecting",
            (false, false) => "new",
        },
        "iceConnectionState": match receiver.ice_state {
            IceState::New => "new",
            IceState::Connected => "completed",
            IceState::Disconnected => "disconnected",
        },
        "id": transport.id,
        "localAvailableSendBw": {
            "bitrate": told.bitrate_bps,
            "maxBitrate": receiver.feedback.cap_bps().unwrap_or(0),
            "ssrcs": told.ssrcs,
        },
        "remoteAvailableSendBw": { "bitrate": 0, "ssrcs": [] },
        "timestamp": timestamp,
        "type": "transport",
    });
    if let Some((protocol, local, remote)) = receiver.path {
        stats["iceSelectedTuple"] = json!({
            "localIP": local.ip(),
            "localPort": local.port(),
            "protocol": match protocol {
                IceProtocol::Udp => "udp",
                IceProtocol::Tcp => "tcp",
            },
            "remoteIP": remote.ip(),
            "remotePort": remote.port(),
        });
    }
    stats
}

pub(super) fn producer(
    now: Instant,
    producer: &ServerProducer,
    on: &mut ServerTransport,
    timestamp: u64,
) -> Vec<Value> {
    let transport_id = on.id;
    let streams = on.receiver.streams_mut().filter(|stream| stream.producer == producer.id);
    let kind = producer.kind();
    let mut entries: Vec<_> = streams
        .map(|stream| {
            let counter = &mut stream.counter;
            let entry = json!({
                "bitrate": counter.rate.bits_per_second(now),
                "byteCount": counter.wire_bytes,
                "firCount": 0,
                "fractionLost": counter.fraction_lost(),
                "id": producer.stats_id(stream.layer),
                "jitter": counter.jitter_units(),
                "kind": kind,
                "mediaType": kind,
                "mimeType": format!("{kind}/{}", producer.codec.name()),
                "nackCount": counter.nacks,
                "packetCount": counter.packets,
                "packetsDiscarded": 0,
                "packetsLost": counter.lost(),
                "packetsRepaired": counter.repaired,
                "pliCount": counter.plis,
                "sliCount": 0,
                "ssrc": stream.ssrc,
                "timestamp": timestamp,
                "transportId": transport_id,
                "type": "inbound-rtp",
            });
            (producer.profile(stream.layer), entry)
        })
        .collect();
    entries.sort_by_key(|(profile, _)| *profile);
    entries.into_iter().map(|(_, entry)| entry).collect()
}
