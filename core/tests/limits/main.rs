//! Every limit is driven far past its figure: what is more is refused and counted, all of it, and a hundred times the limit
//! holds no more memory than twice the limit. The limits and their figures are in the documentation of `Limits`.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

#[path = "../common/mod.rs"]
mod common;
mod control;
mod media;
mod network;
mod outputs;
mod server;
mod session;

use std::any::Any;

use mediasoup_producer::Limits;
use mediasoup_producer::protoo::MAX_MESSAGE_BYTES;

use crate::common::bytes_held;

/// One limit.
struct Row {
    name: &'static str,
    /// The figure it is tested with, where the default would only take longer.
    figure: usize,
    /// Holds up so many times the figure to it.
    drive: fn(figure: usize, times: usize) -> Driven,
}

/// What came of it.
struct Driven {
    /// Refused with a typed error, or dropped and counted.
    refused: usize,
    /// How much should have been.
    beyond: usize,
    /// All that is still there.
    held: Box<dyn Any>,
}

fn main() {
    let row = |name, figure, drive| Row { name, figure, drive };
    let rows = [
        row("transports", default_of("transports"), control::transports),
        row("producers", default_of("producers"), control::producers),
        row("peers", default_of("peers"), control::peers),
        row("peer_bytes", 64 << 10, control::peer_bytes),
        row("message_bytes", 64 << 10, control::message_bytes),
        row("message_bytes of an answer", 64 << 10, control::answer_bytes),
        row("pending_requests", default_of("pending_requests"), control::pending_requests),
        row("operations", default_of("operations"), control::operations),
        row("frame_bytes", 64 << 10, media::frame_bytes),
        row("bytes of an RTP packet", 1400, media::packet_bytes),
        row("packets_waiting", default_of("packets_waiting"), media::packets_waiting),
        row("repair_packets", 1024, media::repair_packets),
        row("local_addresses", default_of("local_addresses"), network::local_addresses),
        row("remote_candidates", default_of("remote_candidates"), network::remote_candidates),
        row("outputs: events", default_of("outputs"), outputs::outputs_of_events),
        row("outputs: commands", default_of("outputs"), outputs::outputs_of_commands),
        row("outputs: datagrams", default_of("outputs"), outputs::outputs_of_datagrams),
        row("output_bytes", 256 << 10, outputs::output_bytes),
        row("seconds of a lost path", 60, network::lost_path),
        row("framing: bytes of a datagram", 65_535, network::framed),
        row("protoo: bytes of a text frame", MAX_MESSAGE_BYTES, network::text_frame),
        row("room server: peers", 256, server::server_peers),
        row("room server: transports", 16, server::server_transports),
        row("room server: producers", 64, server::server_producers),
        row("room server: encodings", 8, server::server_encodings),
        row("room server: message_bytes", 256 << 10, server::server_message_bytes),
        row("room server: outputs", 1024, server::server_outputs),
    ];
    for Row { name, figure, drive } in rows {
        let held = [2, 100].map(|times| {
            let before = bytes_held();
            let driven = drive(figure, times);
            assert_eq!(driven.refused, driven.beyond, "{name}: {times} times {figure}");
            let held = bytes_held().saturating_sub(before);
            drop(driven.held);
            held
        });
        println!("{name}: {figure}; {} bytes held at twice that, {} at a hundred times", held[0], held[1]);
        assert!(held[1] <= held[0] + held[0] / 50 + 8192, "{name}: {held:?} bytes held");
    }
    server::a_closed_room_server_holds_nothing();
}

/// A limit of a room that nobody has set, as a recording names it.
fn default_of(limit: &str) -> usize {
    let figures = serde_json::to_value(Limits::default()).unwrap();
    usize::try_from(figures[limit].as_u64().unwrap()).unwrap()
}
