//! The v3 dialect: a sender on transports of mediasoup 3, as mediasoup-client 3.24 is one.

mod error;
mod input;
mod options;
mod ortc;
mod output;
mod parameters;
mod profile_level_id;
mod rtp;

pub use error::{
    AddAddressError, CommandError, CreateSendTransportError, InputError, InvalidAnswer, LoadError, MediaError,
    OperationError, ProduceError, ProducerError, ReplaceTrackError, RestartIceError, SetMaxSpatialLayerError,
    TransportError,
};
pub use input::{Accepted, Answer, Command, Input, Producing, Refusal};
pub use options::{
    BandwidthMode, CodecChoice, CodecOptions, DeviceConfig, EncodingOptions, EncodingUpdate, ProduceOptions,
    TransportOptions,
};
pub use output::{Event, Output, ProducerEvent, Request, TransportEvent};
pub use parameters::{DtlsParameters, DtlsRole, IceCandidate, TransportParameters};
pub use rtp::{
    CodecParameters, Direction, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionParameters, RtpParameters, RtxParameters,
};
