//! The baseline: str0m alone, with its own cryptography, connected to a receiver that is str0m too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::format::{Codec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{Extension, ExtensionMap, RtpWrite};
use str0m::{Candidate, Input, Output, Rtc};

use crate::{PAYLOAD, Sender};

const PAYLOAD_TYPE: u8 = 101;
const RTX_PAYLOAD_TYPE: u8 = 102;

/// A connected pair, of which only the sender is measured.
#[derive(Debug)]
pub struct Raw {
    sender: Rtc,
    receiver: Rtc,
    now: Instant,
    /// When str0m wants to be called.
    timeout: Instant,
    /// Something was written, or is due: there is a reason to call it.
    stirred: bool,
    rtp_time: u32,
    sequence_numbers: Vec<u64>,
}

impl Raw {
    /// Connects the two, with so many streams of video from one to the other.
    ///
    /// # Panics
    ///
    /// If they do not connect within ten seconds of virtual time.
    pub fn connected(tracks: usize) -> Self {
        let now = Instant::now();
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
        for track in 0..tracks {
            let mid = Mid::from(track.to_string().as_str());
            let (ssrc, rtx) = (ssrc(track), ssrc(track) + 1);
            let mut api = sender.direct_api();
            api.declare_media(mid, MediaKind::Video);
            api.declare_stream_tx(ssrc.into(), Some(rtx.into()), mid, None);
            let mut api = receiver.direct_api();
            api.declare_media(mid, MediaKind::Video);
            api.expect_stream_rx(ssrc.into(), Some(rtx.into()), mid, None);
        }
        let sequence_numbers = vec![1000; tracks];
        let mut raw = Self { sender, receiver, now, timeout: now, stirred: true, rtp_time: 0, sequence_numbers };
        for _ in 0..20 {
            raw.exchange();
            if raw.sender.is_connected() && raw.receiver.is_connected() {
                return raw;
            }
        }
        panic!("the baseline did not connect");
    }

    /// Our end by itself.
    pub fn into_sender(self) -> Rtc {
        self.sender
    }

    fn write(&mut self, track: usize, packets: usize) {
        static ENCODED: [u8; PAYLOAD] = [1; PAYLOAD];
        for index in 0..packets {
            let mut api = self.sender.direct_api();
            let stream = api.stream_tx(&ssrc(track).into()).expect("declared in the beginning");
            let number = self.sequence_numbers[track];
            let packet = RtpWrite::new(PAYLOAD_TYPE.into(), number.into(), self.rtp_time, self.now, &ENCODED[..])
                .marker(index + 1 == packets)
                .nackable(true);
            stream.write_rtp(packet);
            self.sequence_numbers[track] += 1;
        }
        self.rtp_time = self.rtp_time.wrapping_add(3000);
        self.stirred = true;
    }
}

impl Sender for Raw {
    fn frame(&mut self, track: usize, packets: usize) {
        self.write(track, packets);
    }

    fn packets(&mut self, track: usize, packets: usize) {
        self.write(track, packets);
    }

    fn drain(&mut self, datagram: &mut dyn FnMut(&[u8])) {
        if std::mem::take(&mut self.stirred) {
            self.timeout = drain(&mut self.sender, self.now, &mut |transmit| datagram(&transmit.contents));
        }
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn timeout(&mut self) -> Option<Instant> {
        // As our own loop does: what is due at once has its turn a millisecond later.
        Some(self.timeout.max(self.now + Duration::from_millis(1)))
    }

    fn wake(&mut self, at: Instant) {
        self.now = at.max(self.now);
        self.stirred |= self.timeout <= self.now;
    }

    fn exchange(&mut self) {
        for _ in 0..50 {
            self.now += Duration::from_millis(10);
            let now = self.now;
            for _ in 0..20 {
                let (mut up, mut down) = (Vec::new(), Vec::new());
                self.timeout = drain(&mut self.sender, now, &mut |transmit| up.push(transmit));
                drain(&mut self.receiver, now, &mut |transmit| down.push(transmit));
                if up.is_empty() && down.is_empty() {
                    break;
                }
                deliver(&mut self.receiver, now, &up);
                deliver(&mut self.sender, now, &down);
            }
        }
    }
}

const fn ssrc(track: usize) -> u32 {
    track as u32 * 2 + 1
}

fn rtc(now: Instant, lite: bool) -> Rtc {
    let mut extensions = ExtensionMap::empty();
    extensions.set(3, Extension::AbsoluteSendTime);
    extensions.set(4, Extension::VideoOrientation);
    extensions.set(5, Extension::RtpMid);
    let mut config = Rtc::builder()
        .clear_codecs()
        .set_extension_map(extensions)
        .set_rtp_mode(true)
        .set_ice_lite(lite)
        .set_stats_interval(Some(Duration::from_secs(1)));
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

/// Says when str0m wants to be called next.
fn drain(rtc: &mut Rtc, now: Instant, transmit: &mut dyn FnMut(Transmit)) -> Instant {
    rtc.handle_input(Input::Timeout(now)).expect("time is no error");
    loop {
        match rtc.poll_output().expect("a connected pair") {
            Output::Transmit(datagram) => transmit(datagram),
            Output::Event(_) => {}
            Output::Timeout(at) => return at,
        }
    }
}

fn deliver(rtc: &mut Rtc, now: Instant, transmits: &[Transmit]) {
    for transmit in transmits {
        let receive = Receive::new(transmit.proto, transmit.source, transmit.destination, &transmit.contents)
            .expect("str0m reads what str0m writes");
        rtc.handle_input(Input::Receive(now, receive)).expect("a connected pair");
    }
}
