//! The baseline: str0m alone, with its own cryptography, connected to a receiver that is str0m too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::format::{Codec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, RtpWrite};
use str0m::{Candidate, Input, Output, Rtc};

const PAYLOAD_TYPE: u8 = 101;
const RTX_PAYLOAD_TYPE: u8 = 102;
const SSRC: u32 = 1;
const RTX_SSRC: u32 = 2;

/// A connected pair; what is written on one side is dropped on its way, or carried with [`exchange`](Self::exchange).
#[derive(Debug)]
pub struct Baseline {
    sender: Rtc,
    receiver: Rtc,
    now: Instant,
    sequence_number: u64,
}

impl Baseline {
    /// Connects the two.
    ///
    /// # Panics
    ///
    /// If they do not connect within ten seconds of virtual time.
    pub fn connected(now: Instant) -> Self {
        let (mut sender, mut receiver) = (rtc(now, false), rtc(now, true));
        let (ours, theirs) = (address(1), address(2));
        for (rtc, local, remote) in [(&mut sender, ours, theirs), (&mut receiver, theirs, ours)] {
            rtc.add_local_candidate(host(local));
            rtc.add_remote_candidate(host(remote));
        }
        let (credentials, fingerprint) = identity(&mut receiver);
        let (own_credentials, own_fingerprint) = identity(&mut sender);
        wire(&mut sender, true, credentials, fingerprint);
        wire(&mut receiver, false, own_credentials, own_fingerprint);
        let mid = Mid::from("0");
        let mut api = sender.direct_api();
        api.declare_media(mid, MediaKind::Video);
        api.declare_stream_tx(SSRC.into(), Some(RTX_SSRC.into()), mid, None);
        let mut api = receiver.direct_api();
        api.declare_media(mid, MediaKind::Video);
        api.expect_stream_rx(SSRC.into(), Some(RTX_SSRC.into()), mid, None);

        let mut baseline = Self { sender, receiver, now, sequence_number: 1000 };
        for _ in 0..1000 {
            baseline.exchange(Duration::from_millis(10));
            if baseline.sender.is_connected() && baseline.receiver.is_connected() {
                return baseline;
            }
        }
        panic!("the baseline did not connect");
    }

    /// Lets time pass, and carries everything to the other side.
    pub fn exchange(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        for _ in 0..20 {
            let to_receiver = drain(&mut self.sender, now);
            let to_sender = drain(&mut self.receiver, now);
            if to_receiver.is_empty() && to_sender.is_empty() {
                break;
            }
            deliver(&mut self.receiver, now, &to_receiver);
            deliver(&mut self.sender, now, &to_sender);
        }
    }

    /// Writes a frame of `packets` payloads and drains the datagrams; returns their bytes.
    ///
    /// # Panics
    ///
    /// If str0m refuses.
    pub fn write_frame(&mut self, payload: &[u8], packets: usize, rtp_time: u32) -> usize {
        self.now += Duration::from_millis(1);
        for index in 0..packets {
            let mut api = self.sender.direct_api();
            let stream = api.stream_tx(&SSRC.into()).expect("declared above");
            let packet = RtpWrite::new(PAYLOAD_TYPE.into(), self.sequence_number.into(), rtp_time, self.now, payload)
                .marker(index + 1 == packets)
                .nackable(true);
            stream.write_rtp(packet);
            self.sequence_number += 1;
        }
        drain(&mut self.sender, self.now).iter().map(|transmit| transmit.contents.len()).sum()
    }
}

fn rtc(now: Instant, lite: bool) -> Rtc {
    let mut extensions = ExtensionMap::empty();
    extensions.set(3, Extension::AbsoluteSendTime);
    extensions.set(5, Extension::RtpMid);
    let mut config = Rtc::builder().clear_codecs().set_extension_map(extensions).set_rtp_mode(true).set_ice_lite(lite);
    config.codec_config().add_config(
        PAYLOAD_TYPE.into(),
        Some(RTX_PAYLOAD_TYPE.into()),
        Codec::Vp8,
        Frequency::NINETY_KHZ,
        None,
        FormatParams::default(),
    );
    config.build(now)
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 40_000))
}

fn host(address: SocketAddr) -> Candidate {
    Candidate::host(address, Protocol::Udp).expect("a documentation address is a host candidate")
}

fn identity(rtc: &mut Rtc) -> (IceCreds, str0m::config::Fingerprint) {
    let api = rtc.direct_api();
    (api.local_ice_credentials(), api.local_dtls_fingerprint().clone())
}

fn wire(rtc: &mut Rtc, active: bool, credentials: IceCreds, fingerprint: str0m::config::Fingerprint) {
    let mut api = rtc.direct_api();
    api.set_ice_controlling(active);
    api.set_remote_ice_credentials(credentials);
    api.set_remote_fingerprint(fingerprint);
    api.start_dtls(active).expect("DTLS is started once");
}

fn drain(rtc: &mut Rtc, now: Instant) -> Vec<str0m::net::Transmit> {
    rtc.handle_input(Input::Timeout(now)).expect("time is no error");
    let mut transmits = Vec::new();
    loop {
        match rtc.poll_output().expect("a connected pair") {
            Output::Transmit(transmit) => transmits.push(transmit),
            Output::Event(_) => {}
            Output::Timeout(_) => return transmits,
        }
    }
}

fn deliver(rtc: &mut Rtc, now: Instant, transmits: &[str0m::net::Transmit]) {
    for transmit in transmits {
        let receive = Receive::new(transmit.proto, transmit.source, transmit.destination, &transmit.contents)
            .expect("str0m reads what str0m writes");
        rtc.handle_input(Input::Receive(now, receive)).expect("a connected pair");
    }
}
