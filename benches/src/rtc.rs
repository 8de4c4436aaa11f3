//! A peer: `rtc`, the sans-IO WebRTC of webrtc-rs, as its users set it up (NACK, reports), over the same cipher. It writes no
//! header extensions and declares no RTX stream, where the baseline does both.
//!
//! Of the others, `webrtc` 0.21 is this crate behind an async API; `datachannel` wraps a C++ library, which has to be there or
//! wants CMake to be built.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_VP8, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp::{Header, Packet};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use crate::{PAYLOAD, Sender};

const PAYLOAD_TYPE: u8 = 101;

/// A connected pair, of which only the sender is measured. It has one track.
pub struct Rtc {
    sender: RTCPeerConnection,
    receiver: RTCPeerConnection,
    track: RTCRtpSenderId,
    now: Instant,
    sequence_number: u16,
    rtp_time: u32,
}

impl Rtc {
    /// Connects the two.
    ///
    /// # Panics
    ///
    /// If they do not connect within ten seconds of virtual time.
    pub fn connected() -> Self {
        let mut rtc = Self::negotiated(Instant::now()).expect("both ends are the same");
        for _ in 0..20 {
            rtc.exchange();
            rtc.frame(0, 1);
            let mut sent = 0;
            rtc.drain(&mut |datagram| sent += usize::from(datagram.len() > PAYLOAD));
            if sent > 0 {
                return rtc;
            }
        }
        panic!("the peer did not connect");
    }

    fn negotiated(now: Instant) -> Result<Self, Error> {
        let (mut sender, mut receiver) = (end(now, address(1))?, end(now, address(2))?);
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(1), ..Default::default() },
            codec: codec(),
            ..Default::default()
        };
        let (stream, id, label) = ("stream".to_owned(), "track".to_owned(), "camera".to_owned());
        let track = sender.add_track(MediaStreamTrack::new(stream, id, label, RtpCodecKind::Video, vec![encoding]))?;
        let offer = sender.create_offer(None)?;
        sender.set_local_description(now, offer.clone())?;
        receiver.set_remote_description(now, offer)?;
        let answer = receiver.create_answer(None)?;
        receiver.set_local_description(now, answer.clone())?;
        sender.set_remote_description(now, answer)?;
        Ok(Self { sender, receiver, track, now, sequence_number: 0, rtp_time: 0 })
    }

    fn write(&mut self, packets: usize) {
        static ENCODED: [u8; PAYLOAD] = [1; PAYLOAD];
        let Some(mut sender) = self.sender.rtp_sender(self.track) else { return };
        for index in 0..packets {
            let header = Header {
                version: 2,
                marker: index + 1 == packets,
                payload_type: PAYLOAD_TYPE,
                sequence_number: self.sequence_number,
                timestamp: self.rtp_time,
                ssrc: 1,
                ..Default::default()
            };
            // Before they are connected nothing is taken.
            let _ = sender.write_rtp(self.now, Packet { header, payload: Bytes::from_static(&ENCODED) });
            self.sequence_number = self.sequence_number.wrapping_add(1);
        }
        self.rtp_time = self.rtp_time.wrapping_add(3000);
    }
}

impl Sender for Rtc {
    fn frame(&mut self, _track: usize, packets: usize) {
        self.write(packets);
    }

    fn packets(&mut self, _track: usize, packets: usize) {
        self.write(packets);
    }

    fn drain(&mut self, datagram: &mut dyn FnMut(&[u8])) {
        while self.sender.poll_event().is_some() {}
        while self.sender.poll_read().is_some() {}
        while let Some(transmit) = self.sender.poll_write() {
            datagram(&transmit.message);
        }
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn timeout(&mut self) -> Option<Instant> {
        // As our own loop does: what is due at once has its turn a millisecond later.
        Some(self.sender.poll_timeout()?.max(self.now + Duration::from_millis(1)))
    }

    fn wake(&mut self, at: Instant) {
        self.now = at.max(self.now);
        if self.sender.poll_timeout().is_some_and(|due| due <= self.now) {
            self.sender.handle_timeout(self.now).expect("time is no error");
        }
    }

    fn exchange(&mut self) {
        for _ in 0..50 {
            self.now += Duration::from_millis(10);
            for end in [&mut self.sender, &mut self.receiver] {
                end.handle_timeout(self.now).expect("time is no error");
            }
            for _ in 0..20 {
                let (up, down) = (outgoing(&mut self.sender), outgoing(&mut self.receiver));
                if up.is_empty() && down.is_empty() {
                    break;
                }
                deliver(&mut self.receiver, self.now, up);
                deliver(&mut self.sender, self.now, down);
            }
        }
    }
}

fn codec() -> RTCRtpCodec {
    RTCRtpCodec { mime_type: MIME_TYPE_VP8.to_owned(), clock_rate: 90_000, ..Default::default() }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 40_000))
}

fn end(now: Instant, address: SocketAddr) -> Result<RTCPeerConnection, Error> {
    let mut media = MediaEngine::default();
    let codec = RTCRtpCodecParameters { rtp_codec: codec(), payload_type: PAYLOAD_TYPE, ..Default::default() };
    media.register_codec(codec, RtpCodecKind::Video)?;
    let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
    let settings = SettingEngineBuilder::new()
        .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm])
        .build();
    let mut end = RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .build(now)?;
    let base_config = CandidateConfig {
        network: "udp".to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..Default::default()
    };
    let candidate = CandidateHostConfig { base_config, ..Default::default() }.new_candidate_host()?;
    end.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
    Ok(end)
}

fn outgoing(end: &mut RTCPeerConnection) -> Vec<TaggedBytesMut> {
    while end.poll_event().is_some() {}
    while end.poll_read().is_some() {}
    std::iter::from_fn(|| end.poll_write()).collect()
}

fn deliver(end: &mut RTCPeerConnection, now: Instant, datagrams: Vec<TaggedBytesMut>) {
    for TaggedBytesMut { transport, message, .. } in datagrams {
        let transport = TransportContext {
            local_addr: transport.peer_addr,
            peer_addr: transport.local_addr,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        let read = TaggedBytesMut { now, transport, message: BytesMut::from(&message[..]) };
        end.handle_read(read).expect("it reads what it writes");
    }
}
