//! A connection by itself: it meets another endpoint over the virtual network, without a word of signalling.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use str0m::format::{Codec as RtcCodec, FormatParams};
use str0m::ice::StunMessage;
use str0m::media::{Frequency, KeyframeRequestKind, MediaKind as RtcKind, Mid};
use str0m::net::TcpType;
use str0m::rtp::{Extension, ExtensionMap, RtpPacket as Received};
use str0m::{Event, IceCreds, Rtc};

use super::engine::crypto::{DtlsBackend, provider};
use super::engine::endpoint::{Endpoint, EndpointOutput, Kind, local_candidate};
use super::engine::{Agreed, AgreedCodec, EngineEvent, EngineFactory, EngineOutput, Identity, Repair};
use super::*;
use crate::media::{Frame, RtpPacket};
use crate::net::{DtlsParameters, IceCandidate};
use crate::rtp::Codec;
use crate::rtp::extension::{REPAIRED_RTP_STREAM_ID, RTP_STREAM_ID};
use crate::sim::{Direction, Link, Net, Scenario};

const SSRC: u32 = 7;

/// The connection, and who it is connected to: an ICE-lite endpoint that receives.
struct Pair {
    now: Instant,
    net: Net,
    connection: Connection,
    other: Endpoint,
    known: bool,
    events: Vec<EngineEvent>,
    received: Vec<Received>,
    ended: bool,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
    fn new(header_extensions: &[(u8, &str, Extension)]) -> Self {
        let now = Instant::now();
        let backend = DtlsBackend::Modern;
        let codecs =
            vec![AgreedCodec { codec: Codec::Vp8, payload_type: 101, rtx_payload_type: Some(102), channels: None }];
        let agreed = Agreed {
            codecs,
            header_extensions: header_extensions.iter().map(|(id, uri, _)| (*id, (*uri).to_owned())).collect(),
        };
        let mut map = ExtensionMap::empty();
        for (id, _, extension) in header_extensions {
            map.set(*id, extension.clone());
        }
        let engine = Identity::new(backend, Repair { time: Duration::from_secs(2), packets: 1024 }, None)
            .engine(now, &agreed)
            .expect("an engine");
        let mut connection = Connection::new(engine, Duration::from_millis(100), None);

        let certificate = provider(backend).dtls_provider.generate_certificate().expect("a certificate");
        let mut config = Rtc::builder()
            .set_dtls_cert(certificate)
            .set_ice_lite(true)
            .clear_codecs()
            .set_extension_map(map)
            .set_rtp_mode(true);
        let (vp8, rate) = (RtcCodec::Vp8, Frequency::NINETY_KHZ);
        config.codec_config().add_config(101.into(), Some(102.into()), vp8, rate, None, FormatParams::default());
        let mut other = Endpoint::new(now, config, backend, true);
        let address = local_candidate(IceProtocol::Udp, Scenario::SERVER, TcpType::Passive).expect("an address");
        other.rtc().add_local_candidate(address);
        let mid = Mid::from("0");
        let mut api = other.api();
        api.declare_media(mid, RtcKind::Video);
        api.expect_stream_rx(SSRC.into(), Some((SSRC + 1).into()), mid, None);
        api.expect_stream_rx((SSRC + 2).into(), Some((SSRC + 3).into()), mid, Some("other".into()));
        let ours = connection.fingerprint();
        api.set_remote_fingerprint(format!("{} {}", ours.algorithm, ours.value).parse().expect("a fingerprint"));

        let IceCreds { ufrag, pass } = api.local_ice_credentials();
        let fingerprint = api.local_dtls_fingerprint().to_string();
        let (algorithm, value) = fingerprint.split_once(' ').expect("algorithm and value");
        let remote = RemoteTransport {
            ice_parameters: IceParameters { username_fragment: ufrag, password: pass, ice_lite: true },
            ice_candidates: vec![IceCandidate {
                foundation: String::new(),
                ip: Scenario::SERVER.ip(),
                port: Scenario::SERVER.port(),
                priority: 0,
                protocol: IceProtocol::Udp,
            }],
            dtls_parameters: DtlsParameters {
                role: DtlsRole::Server,
                fingerprints: vec![DtlsFingerprint { algorithm: algorithm.to_owned(), value: value.to_owned() }],
            },
        };
        assert!(connection.add_local_address(now, IceProtocol::Udp, Scenario::CLIENT));
        connection.connect(now, &remote, DtlsRole::Client).expect("it has an address");
        let link = Link::default().delay(Duration::from_millis(10));
        let (events, received) = (Vec::new(), Vec::new());
        Self { now, net: Net::new(1, link, link), connection, other, known: false, events, received, ended: false }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.collect();
            let deadlines = [self.connection.poll_timeout(), self.other.poll_timeout(), self.net.poll_timeout()];
            let next = deadlines.into_iter().flatten().min().filter(|next| *next <= until);
            self.now = next.unwrap_or(until).max(self.now);
            let now = self.now;
            if self.connection.poll_timeout().is_some_and(|at| at <= now) {
                self.connection.handle_timeout(now);
            }
            if self.other.poll_timeout().is_some_and(|at| at <= now) {
                self.other.handle_timeout(now);
            }
            self.collect();
            while let Some((direction, transmit)) = self.net.poll_arrival(now) {
                let receive = Receive::from(transmit);
                match direction {
                    Direction::Up => self.reach_other(&receive),
                    Direction::Down => drop(self.connection.handle_receive(now, &receive)),
                }
                self.collect();
            }
            if next.is_none() {
                return;
            }
        }
    }

    /// The other side knows nothing of ours but the fingerprint: the ICE user name is in the first check.
    fn reach_other(&mut self, receive: &Receive) {
        let user = (Kind::of(&receive.contents) == Kind::Stun && !self.known).then(|| {
            let check = StunMessage::parse(&receive.contents).expect("a check");
            check.split_username().expect("a user name").1.to_owned()
        });
        if let Some(ufrag) = user {
            self.other.api().set_remote_ice_credentials(IceCreds { ufrag, pass: String::new() });
            self.other.start_dtls(DtlsRole::Server);
            self.known = true;
        }
        self.other.handle_receive(self.now, receive);
    }

    fn collect(&mut self) {
        if self.connection.unflushed() > 0 {
            self.connection.flush(self.now);
        }
        while let Some(output) = self.connection.poll_output() {
            match output {
                EngineOutput::Transmit(transmit) => self.net.send(self.now, Direction::Up, transmit),
                EngineOutput::Event(event) => self.events.push(event),
            }
        }
        while let Some(output) = self.other.poll_output(self.now) {
            match output {
                EndpointOutput::Transmit(transmit) => self.net.send(self.now, Direction::Down, transmit),
                EndpointOutput::Event(Event::RtpPacket(packet)) => self.received.push(packet),
                EndpointOutput::Event(Event::Closed) => self.ended = true,
                EndpointOutput::Event(_) => {}
                EndpointOutput::Failed(failure) => panic!("{failure}"),
            }
        }
    }

    fn told(&mut self) -> Vec<EngineEvent> {
        let told = std::mem::take(&mut self.events);
        told.into_iter().filter(|event| !matches!(event, EngineEvent::StreamFeedback { .. })).collect()
    }
}

#[test]
fn a_connection_needs_no_signalling() {
    let mut pair = Pair::new(&[]);
    let id = ProducerId::from(1);
    let mut rng = Rng::new(1);
    let encodings = [Encoding { ssrc: SSRC, rtx_ssrc: Some(SSRC + 1), rid: None }];
    let parameters = SenderParameters { mux_id: "0", kind: MediaKind::Video, payload_type: 101, encodings: &encodings };
    let streams = Streams::new(Codec::Vp8, 1, &mut rng);
    let cname = pair.connection.add_sender(id, streams, parameters, &mut rng);
    assert!(!cname.is_empty());
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.told(), [EngineEvent::Connected]);

    // Frames, the second of them large, and ready-made packets.
    for (number, bytes) in [(0, 100), (1, 60_000), (2, 3000)] {
        let time = Duration::from_millis(40) * number;
        let frame = Media::Frame(Frame::new(vec![1; bytes], time).key_frame(number == 0));
        pair.connection.write(pair.now, id, &frame).expect("it is taken");
        pair.pass(Duration::from_millis(40));
    }
    for sequence_number in 0..300 {
        let packet = RtpPacket {
            layer: 0,
            ssrc: 9,
            sequence_number,
            timestamp: 0,
            marker: true,
            payload: vec![0x90, 0x80, 0x80, 1, 1].into(),
            audio_level: None,
            rotation: None,
        };
        pair.connection.write(pair.now, id, &Media::Packet(packet)).expect("it is taken");
        assert!(pair.connection.unflushed() <= MAX_UNFLUSHED);
    }
    pair.pass(Duration::from_millis(100));
    let stats = &pair.connection.stats(id)[0];
    assert_eq!((stats.frames_sent, stats.key_frames_sent, stats.packets_sent), (303, 1, 1 + 54 + 3 + 300));
    assert_eq!(pair.received.len() as u64, stats.packets_sent);
    assert!(pair.received.is_sorted_by_key(|packet| *packet.seq_no));

    // The other side wants a key frame.
    pair.other.api().stream_rx(&SSRC.into()).expect("declared").request_keyframe(KeyframeRequestKind::Pli);
    pair.other.handle_timeout(pair.now);
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.told(), [EngineEvent::KeyFrameRequest { ssrc: SSRC }]);
    assert_eq!(pair.connection.key_frame_wanted(SSRC), Some((id, 0)));

    // The network goes and comes back.
    pair.net.set_cut(Direction::Up, true);
    pair.pass(Duration::from_secs(40));
    assert_eq!(pair.told(), [EngineEvent::Disconnected]);
    pair.net.set_cut(Direction::Up, false);
    pair.pass(Duration::from_secs(15));
    assert_eq!(pair.told(), [EngineEvent::Connected]);

    // The streams are given back, and the other side hears that it is over.
    let streams = pair.connection.remove_sender(pair.now, id).expect("they were here");
    assert_eq!(streams.layers(), 0..1);
    pair.connection.close(pair.now);
    pair.pass(Duration::from_secs(1));
    assert!(pair.ended);
}

#[test]
fn layers_have_their_rids_if_the_extension_is_agreed() {
    let sent = |extensions: &[_], rids: [Option<&str>; 2]| {
        let mut pair = Pair::new(extensions);
        let mut rng = Rng::new(1);
        let encoding = |(layer, rid): (u32, Option<&str>)| Encoding {
            ssrc: SSRC + 2 * layer,
            rtx_ssrc: Some(SSRC + 2 * layer + 1),
            rid: rid.map(str::to_owned),
        };
        let encodings: Vec<_> = (0..).zip(rids).map(encoding).collect();
        let parameters =
            SenderParameters { mux_id: "0", kind: MediaKind::Video, payload_type: 101, encodings: &encodings };
        let id = ProducerId::from(1);
        pair.connection.add_sender(id, Streams::new(Codec::Vp8, 2, &mut rng), parameters, &mut rng);
        pair.pass(Duration::from_secs(1));
        for layer in 0..2usize {
            let frame = Frame::new(vec![1; 100], Duration::ZERO).layer(layer);
            pair.connection.write(pair.now, id, &Media::Frame(frame)).expect("it is taken");
            pair.pass(Duration::from_millis(40));
        }
        let none = Frame::new(vec![1; 100], Duration::ZERO).layer(2usize);
        let refused = pair.connection.write(pair.now, id, &Media::Frame(none));
        assert_eq!(refused, Err(StreamError::UnknownLayer));
        assert_eq!(pair.connection.stats(id).iter().map(|stats| stats.packets_sent).collect::<Vec<_>>(), [1, 1]);
        let rid = |packet: &Received| packet.header.ext_vals.rid.map(|rid| rid.to_string());
        pair.received.iter().map(rid).collect::<Vec<_>>()
    };
    let agreed =
        [(10, RTP_STREAM_ID, Extension::RtpStreamId), (11, REPAIRED_RTP_STREAM_ID, Extension::RepairedRtpStreamId)];
    assert_eq!(sent(&agreed, [Some("small"), Some("large")]), [Some("small".to_owned()), Some("large".to_owned())]);
    assert_eq!(sent(&[], [None, None]), [None, None]);
}
