//! The v3 dialect: a sender on transports of mediasoup 3, as mediasoup-client 3.24 is one.

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
