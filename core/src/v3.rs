//! The v3 dialect: a sender on transports of mediasoup 3, as mediasoup-client 3.24 is one.
//!
//! A [`Device`] is handed the time, datagrams, the application's commands and answers, and its encoded media. It hands back
//! datagrams to send, requests for the application to pass on, events, and the time at which it next wants to be called. It
//! opens no socket, reads no clock, starts no thread, and never blocks; nothing in it is `async`.
//!
//! ```text
//! commands ---------+    +---------------- Device ----------------+
//! answers ----------+--> | route -> producer and transport states | --> Transmit  (a datagram to send)
//! datagrams --------+    |            | effects       ^ events    | --> Request   (connect, produce: for the server)
//! encoded media ----+    |            v               |           | --> Event     (what the application hears)
//! the time ---------+    |     a connection per transport         | --> and one deadline (call me back then)
//!                        +----------------------------------------+
//! ```
//!
//! mediasoup 3 has no signalling of its own. Two things have to be asked of the server, and each application has its own words
//! for them: [`Request::Connect`] and [`Request::Produce`], with the JSON that mediasoup-client hands to the listeners of its
//! events ([`Request::to_json`]). Everything else between the application and its server is none of this library's business.
//! The whole loop, with std's `UdpSocket`, stands at [`Device`].
//!
//! # From nothing to media
//!
//! 1. Get the router's capabilities from the server, and [`Device::load`] them.
//! 2. Have the server make a WebRTC transport, and give what it says of it to [`Device::create_send_transport`].
//! 3. Open a socket towards each of [`TransportInfo::socket_targets`], and name it with [`Transport::add_local_address`].
//! 4. [`Transport::produce`] a track. Pass on the requests that come out, and hand in their answers.
//! 5. On [`ProducerEvent::KeyFrameRequest`] begin to encode, and hand each frame to [`Producer::write_frame`].
//!
//! ```
//! # use std::time::Instant;
//! # use serde_json::Map;
//! use mediasoup_producer::v3::{CommandError, Device, EncodingOptions, ProduceOptions, TransportOptions, TransportParameters};
//! use mediasoup_producer::{Codec, MediaKind, Track};
//!
//! fn publish_camera(device: &mut Device, now: Instant, made_by_server: TransportParameters) -> Result<(), CommandError> {
//!     let transport = device.create_send_transport(now, made_by_server, TransportOptions::default(), Map::new())?;
//!     let layer = |bitrate| EncodingOptions::default().max_bitrate(bitrate);
//!     let options = ProduceOptions::default().codec(Codec::Vp8).encodings([layer(200_000), layer(900_000)]);
//!     let camera = Track::new(MediaKind::Video, "camera-1", "Front camera");
//!     device.transport(transport).expect("just made").produce(now, camera, options)?;
//!     Ok(())
//! }
//! ```
//!
//! # What holds always
//!
//! - A command that cannot be done returns a typed error and changes nothing. What comes from the network, or is answered, never
//!   is an error: it is taken, or dropped and counted ([`Device::stats`]).
//! - One thing at a time is done on a transport, each to the end of the application's answer; transports do not wait for each
//!   other. Nothing leaves over a transport before `connect` is answered.
//! - Every request is answered, refused, timed out or cancelled exactly once, and every operation [settles](Event::Settled)
//!   exactly once. Nothing follows a close. If the server has made a producer that nobody waits for any more,
//!   [`Event::Orphan`] tells.
//! - Pause, resume and close happen on this side, and at once: no RTP leaves of a producer that is paused or closed, has no
//!   track, or is not known to the server. Media offered meanwhile is refused, never kept; a key frame is asked for after it.
//!   Whether the server hears of it is for the application to decide.
//! - Every queue and table is bounded ([`Limits`](crate::Limits)).
//! - SSRCs, ids of streams and first RTP numbers come from the seed; the same seed and inputs give the same requests and events.
//!   Keys and ICE credentials do not come from it.
//!
//! What the server would refuse is refused before the round trip, with the reason: see [`ProduceError`].
//!
//! # mediasoup-client's names
//!
//! | mediasoup-client 3.24 | here |
//! | --- | --- |
//! | `new Device()`, `Device.factory()` | [`Device::new`] |
//! | `device.load({ routerRtpCapabilities, preferLocalCodecsOrder })` | [`Device::load`] |
//! | `device.loaded`, `device.canProduce(kind)` | [`Device::loaded`], [`Device::can_produce`] |
//! | `device.sendRtpCapabilities` | [`Device::send_rtp_capabilities`] |
//! | `device.createSendTransport(parameters)` | [`Device::create_send_transport`] |
//! | `transport.id`, `appData`, `connectionState` | [`TransportInfo::server_id`], [`app_data`](TransportInfo::app_data), [`connection_state`](TransportInfo::connection_state) |
//! | event `connect`, with `callback()` or `errback(error)` | [`Request::Connect`], answered with [`Answer::Connected`] or a [`Refusal`] |
//! | event `produce`, with `callback({ id })` or `errback(error)` | [`Request::Produce`], answered with [`Answer::Produced`] or a [`Refusal`] |
//! | event `connectionstatechange` | [`TransportEvent::ConnectionStateChange`] |
//! | `transport.produce(options)`, its promise | [`Transport::produce`], [`Event::Settled`] |
//! | `transport.restartIce({ iceParameters })` | [`Transport::restart_ice`] |
//! | `transport.close()` | [`Transport::close`] |
//! | `transport.getStats()`, `producer.getStats()` | [`TransportInfo::selected_path`], [`Producer::outbound_stats`] |
//! | `producer.id`, `localId` | [`ProducerInfo::server_id`], [`local_id`](ProducerInfo::local_id) |
//! | `producer.kind`, `track`, `rtpParameters`, `paused`, `maxSpatialLayer`, `appData` | the same of [`ProducerInfo`], in snake case |
//! | `producer.close()`, `pause()`, `resume()` | the same of [`Producer`] |
//! | `producer.replaceTrack({ track })`, with a track or `null` | [`Producer::replace_track`] |
//! | `producer.setMaxSpatialLayer(layer)` | [`Producer::set_max_spatial_layer`] |
//! | `producer.setRtpEncodingParameters(parameters)` | [`Producer::set_encoding_parameters`] |
//! | events `transportclose`, `trackended` | [`ProducerEvent::TransportClose`], [`ProducerEvent::TrackEnded`] |
//! | `stopTracks` | [`ProduceOptions::stop_tracks`], [`ProducerEvent::TrackStopped`] |
//! | `encodings`, `codecOptions`, `codec`, `streamId` | [`EncodingOptions`], [`CodecOptions`], [`CodecChoice`], [`ProduceOptions::stream_id`] |
//! | `InvalidStateError`, `UnsupportedError`, `TypeError` | an error of the method, which says so; what Rust's types rule out is not there |
//! | `AwaitQueueStoppedError`, the application's own error | [`OperationError::TransportClosed`], [`OperationError::Refused`] |
//!
//! # Otherwise than mediasoup-client 3.24
//!
//! | | mediasoup-client | here |
//! | --- | --- | --- |
//! | a request without an answer | waits for ever | fails after 10 s ([`DeviceConfig::request_timeout`]); an answer after that is dealt with |
//! | the answer to `connect` is lost | every `produce` asks again, and the server refuses: it was called already | the first such refusal closes the transport, and [`TransportEvent::ConnectLost`] tells |
//! | a producer that the server has not made yet | cannot be closed | can be |
//! | pause | stops RTP with `zeroRtpOnPause`, else goes on with black or silence | stops RTP |
//! | pause, `replaceTrack`, `setMaxSpatialLayer` behind a `produce` | wait for its answer | done at once: nothing is asked for them |
//! | DTLS fails | the state is `failed` | so it is, and [`TransportEvent::DtlsFailed`] tells the cause |
//! | encodings of simulcast | have RIDs alone, and are said to have three temporal layers | have SSRCs too, and the temporal layers that the application names |
//! | bandwidth | `transport-cc` and `goog-remb` are declared | `goog-remb` alone ([`BandwidthMode`]) |
//! | NACK without RTX | declared for Opus | not declared: what is lost is sent again as RTX alone |
//! | the MID of a producer that was closed | is used again | is not: the server may have it still |
//! | candidates that are host names | looked up by the browser | tried once they are [resolved](TransportParameters::resolve) |
//! | a limit of H.264's level | that of the browser's encoder | none: the stream is what it is |
//!
//! # From v2 to v3
//!
//! | [`v2`](crate::v2) | here |
//! | --- | --- |
//! | `Room` joins, knows peers, and speaks to the server | [`Device`] knows the router's capabilities; rooms and peers are the application's |
//! | messages of mediasoup, sent as they are | two requests; the application has words of its own for them |
//! | `create_transport`, of which the server hears with the first producer | the server makes the transport first |
//! | `create_producer`, then `send` | [`Transport::produce`] |
//! | a producer whose transport is closed can be sent over another | it is closed, too |
//! | `server_id` is a number, and ours to choose | a text, and the server's |
//! | pause and close are said to the server; the server pauses and closes, too | the application says so, and hears so |
//! | simulcast has three layers, `low`, `medium`, `high` | as many [encodings](ProduceOptions::encodings) as the server has layers for, counted from 0 |
//! | `restart_ice` asks the server | the application asks, and hands in what it says |
//! | statistics of the server as events | the application's own |
//!
//! Frames, packets, tracks, media time, limits, sockets and the loop are the same. `core/examples/own_signalling.rs`
//! (`cargo run -p mediasoup-producer --example own_signalling`) has an application with words of its own, and all that it has
//! to tell its server.
//!
//! # From libmediasoupclient
//!
//! Its `SendTransport::Listener` is two requests and an event: `OnConnect` and `OnProduce` return futures there, and are
//! answered by id here; `OnConnectionStateChange` is [`TransportEvent::ConnectionStateChange`]. There is no
//! `PeerConnection`, no thread and no `webrtc::VideoTrackInterface`: a [`Track`](crate::Track) is a name for what the
//! application encodes itself, and frames are handed in where libwebrtc would have taken pictures.
//!
//! # Left out
//!
//! Transport-wide congestion control, several spatial layers in one stream (SVC), AV1, and data channels, for now; receiving
//! and TURN.

mod device;
mod error;
mod handles;
mod input;
mod options;
mod ortc;
mod output;
mod parameters;
mod producer;
pub(crate) mod profile_level_id;
mod rtp;
mod stats;
mod transport;

pub use device::Device;
pub use error::{
    AddAddressError, CommandError, CreateSendTransportError, InputError, InvalidAnswer, LoadError, OperationError,
    ProduceError, ProducerError, ReplaceTrackError, RestartIceError, SetMaxSpatialLayerError, TransportError,
};
pub use handles::{Producer, Transport};
pub use input::{Accepted, Answer, Command, Input, Producing, Refusal};
pub use options::{
    BandwidthMode, CodecChoice, CodecOptions, DeviceConfig, EncodingOptions, EncodingUpdate, ProduceOptions,
    TransportOptions,
};
pub use output::{Event, Output, ProducerEvent, Request, TransportEvent};
pub use parameters::{DtlsParameters, DtlsRole, IceCandidate, TransportParameters};
pub use producer::ProducerInfo;
pub use rtp::{
    CodecParameters, Direction, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionParameters, RtpParameters, RtxParameters,
};
pub use stats::DeviceStats;
pub use transport::TransportInfo;
