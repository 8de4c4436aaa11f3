//! Datagrams and media, as C has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use bytes::Bytes;
use mediasoup_producer as core;
use mediasoup_producer::{AudioLevel, IceProtocol, Receive, Rotation, RtpPacket, TemporalLayer, Transmit};

use crate::status::Error;

/// `protocol` of a datagram: over UDP.
pub const MSP_UDP: u8 = 0;
/// `protocol` of a datagram: over a TCP connection that we open, with RFC 4571 framing, which is the caller's.
pub const MSP_TCP: u8 = 1;

/// A flag of a frame: it can be decoded on its own.
pub const MSP_KEY_FRAME: u32 = 1;
/// A flag of a frame: `temporal_layer` is said.
pub const MSP_TEMPORAL_LAYER: u32 = 2;
/// A flag of a frame with a temporal layer: it depends on the last frame of the base layer alone.
pub const MSP_TEMPORAL_SYNC: u32 = 4;
/// A flag of a frame or packet: `audio_level` is said.
pub const MSP_AUDIO_LEVEL: u32 = 8;
/// A flag of a frame or packet with an audio level: somebody speaks.
pub const MSP_VOICE: u32 = 16;
/// A flag of a frame or packet: `rotation` is said.
pub const MSP_ROTATION: u32 = 32;

/// An IP address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Address {
    /// In network order: 16 bytes of an IPv6 address, or the 4 of an IPv4 address first.
    pub ip: [u8; 16],
    /// The interface of a link-local IPv6 address (`sin6_scope_id`); else 0.
    pub scope_id: u32,
    /// In the machine's own order.
    pub port: u16,
    /// 4 or 6.
    pub version: u8,
}

/// A datagram that came in, or that is to be sent.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Datagram {
    /// The bytes.
    pub data: *const u8,
    /// How many.
    pub length: usize,
    /// Who sent it: the server, or which of our addresses it is to be sent from.
    pub source: Address,
    /// Where it was sent: which of our addresses, as it was named with `AddLocalAddress`; or where it is to be sent.
    pub destination: Address,
    /// MSP_UDP or MSP_TCP.
    pub protocol: u8,
}

/// An encoded frame.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Frame {
    /// The encoded bytes: a frame of VP8 or VP9 as the encoder gives it, an access unit of H.264 in Annex B format, a packet of
    /// audio.
    pub data: *const u8,
    /// How many.
    pub length: usize,
    /// When it was captured, in nanoseconds on the producer's own clock, whose origin is arbitrary. It must not go back.
    pub time: u64,
    /// Which encoding it is of, the smallest simulcast layer first; 0 without simulcast.
    pub layer: u32,
    /// MSP_KEY_FRAME, MSP_TEMPORAL_LAYER, MSP_TEMPORAL_SYNC, MSP_AUDIO_LEVEL, MSP_VOICE, MSP_ROTATION, or 0.
    pub flags: u32,
    /// Clockwise degrees by which the picture must be turned to be upright: 0, 90, 180, 270.
    pub rotation: u16,
    /// 0 for the base layer.
    pub temporal_layer: u8,
    /// Decibels below overload, 0 the loudest, 127 silence (RFC 6464).
    pub audio_level: u8,
}

/// An RTP packet that was made elsewhere.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Packet {
    /// The packet, from its header on.
    pub data: *const u8,
    /// How many bytes.
    pub length: usize,
    /// Which encoding it is of, the smallest simulcast layer first; 0 without simulcast.
    pub layer: u32,
    /// MSP_AUDIO_LEVEL, MSP_VOICE, MSP_ROTATION, or 0.
    pub flags: u32,
    /// As in a frame.
    pub rotation: u16,
    /// As in a frame.
    pub audio_level: u8,
}

impl Address {
    fn to_socket(self) -> Result<SocketAddr, Error> {
        let Self { ip, scope_id, port, version } = self;
        match version {
            4 => Ok((Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]), port).into()),
            6 => Ok(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope_id).into()),
            other => Err(Error::invalid(format!("an IP address of version {other}"))),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let (mut ip, mut scope_id) = ([0; 16], 0);
        let version = match address.ip() {
            IpAddr::V4(v4) => {
                ip[..4].copy_from_slice(&v4.octets());
                4
            }
            IpAddr::V6(v6) => {
                ip = v6.octets();
                6
            }
        };
        if let SocketAddr::V6(v6) = address {
            scope_id = v6.scope_id();
        }
        Self { ip, scope_id, port: address.port(), version }
    }
}

impl Datagram {
    pub(crate) const NONE: Self = Self {
        data: std::ptr::null(),
        length: 0,
        source: Address { ip: [0; 16], scope_id: 0, port: 0, version: 0 },
        destination: Address { ip: [0; 16], scope_id: 0, port: 0, version: 0 },
        protocol: 0,
    };

    pub(crate) fn to_receive(self, data: &[u8]) -> Result<Receive, Error> {
        let protocol = match self.protocol {
            MSP_UDP => IceProtocol::Udp,
            MSP_TCP => IceProtocol::Tcp,
            other => return Err(Error::invalid(format!("protocol {other}"))),
        };
        let (source, destination) = (self.source.to_socket()?, self.destination.to_socket()?);
        Ok(Receive { protocol, source, destination, contents: Bytes::copy_from_slice(data) })
    }

    /// It points to the bytes of `transmit`.
    pub(crate) fn of(transmit: &Transmit) -> Self {
        Self {
            data: transmit.contents.as_ptr(),
            length: transmit.contents.len(),
            source: transmit.source.into(),
            destination: transmit.destination.into(),
            protocol: match transmit.protocol {
                IceProtocol::Udp => MSP_UDP,
                IceProtocol::Tcp => MSP_TCP,
            },
        }
    }
}

impl Frame {
    pub(crate) fn to_frame(self, data: &[u8]) -> Result<core::Frame, Error> {
        let Self { time, layer, flags, rotation, temporal_layer, audio_level, .. } = self;
        known(
            flags,
            MSP_KEY_FRAME | MSP_TEMPORAL_LAYER | MSP_TEMPORAL_SYNC | MSP_AUDIO_LEVEL | MSP_VOICE | MSP_ROTATION,
        )?;
        let is = |flag| flags & flag != 0;
        let temporal_layer = TemporalLayer::new(temporal_layer).sync(is(MSP_TEMPORAL_SYNC));
        Ok(core::Frame {
            temporal_layer: is(MSP_TEMPORAL_LAYER).then_some(temporal_layer),
            audio_level: level(flags, audio_level),
            rotation: turn(flags, rotation)?,
            ..core::Frame::new(Bytes::copy_from_slice(data), Duration::from_nanos(time))
                .layer(layer as usize)
                .key_frame(is(MSP_KEY_FRAME))
        })
    }
}

impl Packet {
    pub(crate) fn to_packet(self, data: &[u8]) -> Result<RtpPacket, Error> {
        let Self { layer, flags, rotation, audio_level, .. } = self;
        known(flags, MSP_AUDIO_LEVEL | MSP_VOICE | MSP_ROTATION)?;
        let packet =
            RtpPacket::parse(Bytes::copy_from_slice(data)).map_err(|error| Error::invalid(error.to_string()))?;
        let (audio_level, rotation) = (level(flags, audio_level), turn(flags, rotation)?);
        Ok(RtpPacket { layer: layer as usize, audio_level, rotation, ..packet })
    }
}

fn known(flags: u32, known: u32) -> Result<(), Error> {
    let others = flags & !known;
    if others == 0 { Ok(()) } else { Err(Error::invalid(format!("flags {others:#x} mean nothing here"))) }
}

fn level(flags: u32, minus_dbov: u8) -> Option<AudioLevel> {
    (flags & MSP_AUDIO_LEVEL != 0).then(|| AudioLevel::new(minus_dbov, flags & MSP_VOICE != 0))
}

fn turn(flags: u32, degrees: u16) -> Result<Option<Rotation>, Error> {
    if flags & MSP_ROTATION == 0 {
        return Ok(None);
    }
    match degrees {
        0 => Ok(Some(Rotation::Deg0)),
        90 => Ok(Some(Rotation::Deg90)),
        180 => Ok(Some(Rotation::Deg180)),
        270 => Ok(Some(Rotation::Deg270)),
        other => Err(Error::invalid(format!("a rotation by {other} degrees"))),
    }
}
