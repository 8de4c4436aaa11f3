//! The sending half of a mediasoup v2 client, as a pure sans-IO state machine.

mod config;
mod crypto;
mod error;
pub mod framing;
mod id;
mod input;
mod media;
mod ortc;
mod output;
mod producer;
pub mod protocol;
mod rng;
mod room;
mod rtp;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
mod transport;

pub use config::{Limits, ProducerOptions, RoomConfig, Simulcast, SimulcastOptions, TransportOptions};
pub use crypto::{DtlsBackend, DtlsFailure};
pub use error::{CommandError, InputError, MediaError, OperationError};
pub use id::{OperationId, ProducerId, RequestId, TransportId};
pub use input::{Accepted, Command, Input, Receive};
pub use media::{AudioLevel, Frame, Media, MediaTime, PacketizeError, Rotation, RtpPacket, RtpPacketError};
pub use output::{ConnectionState, Event, Originator, Output, ProducerEvent, Transmit, TransportEvent};
pub use producer::{Producer, ProducerInfo, Track, TrackState};
pub use room::{Room, RoomState};
pub use rtp::{
    Codec, MediaKind, Profile, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionParameters, RtpParameters, RtxParameters,
};
pub use transport::{Transport, TransportInfo};
