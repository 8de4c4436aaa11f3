//! What a viewer gets over a network that loses packets: all of them, in one stream without seams.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::Vp8Descriptor;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::{Child, Command};
use tokio::time::{timeout, timeout_at};

/// One RTP packet in so many is lost on the way to the viewer.
const ONE_LOST_IN: u64 = 20;

/// What can be asked of a packet of the picture, however often it was sent.
#[derive(Debug)]
struct Seen {
    timestamp: u32,
    picture_id: u16,
    key_frame: bool,
    marker: bool,
}

/// A viewer that is no browser.
struct Viewer {
    rtc: Rtc,
    video: Mid,
    socket: UdpSocket,
    address: SocketAddr,
    page: SocketAddr,
    id: u64,
    packets: BTreeMap<u64, Seen>,
    rtp: u64,
    lost: u64,
    _program: Child,
}

impl Viewer {
    async fn join() -> Self {
        let (program, page) = program().await;
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
        let mut changes = rtc.sdp_api();
        let video = changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (offer, pending) = changes.apply().expect("an offer");
        let joined = post(page, "/viewers", &json!({ "sdp": offer.to_sdp_string() })).await;
        let answer = joined["sdp"].as_str().expect("an answer");
        let candidate = answer.lines().find(|line| line.starts_with("a=candidate:")).expect("a candidate");
        let ip: IpAddr = candidate.split(' ').nth(4).and_then(|ip| ip.parse().ok()).expect("an address");
        let socket = UdpSocket::bind((ip, 0)).await.expect("a socket");
        let address = socket.local_addr().expect("an address");
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a candidate"));
        let answer = SdpAnswer::from_sdp_string(answer).expect("an answer");
        rtc.sdp_api().accept_answer(pending, answer).expect("it fits the offer");
        let id = joined["viewer"].as_u64().expect("an id");
        Self { rtc, video, socket, address, page, id, packets: BTreeMap::new(), rtp: 0, lost: 0, _program: program }
    }

    async fn prefer(&self, profile: &str) {
        post(self.page, &format!("/viewers/{}/layer", self.id), &json!({ "profile": profile })).await;
    }

    /// Takes what comes until so many frames of the picture have begun to arrive.
    async fn frames(&mut self, count: usize) {
        let give_up = Instant::now() + Duration::from_secs(30);
        let wanted = self.complete() + count;
        let mut datagram = vec![0; 2000];
        while self.complete() < wanted {
            assert!(Instant::now() < give_up, "{} frames of {wanted}", self.complete());
            let deadline = self.drain().await;
            let received = timeout_at(deadline.into(), self.socket.recv_from(&mut datagram)).await;
            let now = Instant::now();
            let Ok(received) = received else {
                self.rtc.handle_input(Input::Timeout(now)).expect("time passes");
                continue;
            };
            let (length, source) = received.expect("a datagram");
            if self.loses(&datagram[..length]) {
                continue;
            }
            let receive = Receive::new(Protocol::Udp, source, self.address, &datagram[..length]).expect("for us");
            self.rtc.handle_input(Input::Receive(now, receive)).expect("it is understood");
        }
    }

    fn complete(&self) -> usize {
        self.packets.values().filter(|packet| packet.marker).count()
    }

    /// RTP, of payload types that are not RTCP's (RFC 5761 section 4).
    fn loses(&mut self, datagram: &[u8]) -> bool {
        if datagram[0] >> 6 != 2 || (64..96).contains(&(datagram[1] & 0x7f)) {
            return false;
        }
        self.rtp += 1;
        let lost = self.rtp.is_multiple_of(ONE_LOST_IN);
        self.lost += u64::from(lost);
        lost
    }

    async fn drain(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().expect("it runs") {
                Output::Timeout(deadline) => return deadline,
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination).await.expect("it is sent");
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let video = self.rtc.direct_api().stream_rx_by_mid(self.video, None).map(|stream| stream.ssrc());
                    if video == Some(packet.header.ssrc) && !packet.payload.is_empty() {
                        let descriptor = Vp8Descriptor::parse(&packet.payload).expect("VP8");
                        let seen = Seen {
                            timestamp: packet.header.timestamp,
                            picture_id: descriptor.picture_id().expect("a picture id"),
                            key_frame: descriptor.starts_keyframe(&packet.payload),
                            marker: packet.header.marker,
                        };
                        self.packets.insert(*packet.seq_no, seen);
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

async fn program() -> (Child, SocketAddr) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mediasoup-publish"))
        .args(["--page", "127.0.0.1:0", "--seconds", "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
    let page = async {
        loop {
            let line = lines.next_line().await.expect("text").expect("the program tells its page's address");
            let address = line.split_whitespace().find_map(|word| word.strip_prefix("http://"));
            if let Some(address) = address.and_then(|address| address.trim_end_matches('/').parse().ok()) {
                return address;
            }
        }
    };
    let page = timeout(Duration::from_secs(20), page).await.expect("in time");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (program, page)
}

async fn post(page: SocketAddr, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}",
        body.len()
    );
    let mut stream = TcpStream::connect(page).await.expect("the page is open");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.expect("the request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 20"), "{path}: {answer}");
    serde_json::from_str(body).unwrap_or_default()
}

#[tokio::test]
async fn losses_are_repaired_and_switches_leave_no_seam() {
    let mut viewer = Viewer::join().await;
    for profile in ["high", "low", "medium", "high"] {
        viewer.prefer(profile).await;
        viewer.frames(50).await;
    }

    assert!(viewer.lost >= 10, "{} packets of {} were lost", viewer.lost, viewer.rtp);
    // The last ones may be on their way still.
    let last = *viewer.packets.keys().next_back().expect("packets");
    let settled: Vec<(&u64, &Seen)> = viewer.packets.iter().filter(|(number, _)| **number + 100 < last).collect();
    assert!(settled.len() > 100 && settled[0].1.key_frame, "it begins with a key frame");
    for pair in settled.windows(2) {
        let [(number, packet), (next_number, next)] = pair else { unreachable!("pairs") };
        assert_eq!(**next_number, **number + 1, "every loss is repaired");
        let step = (next.picture_id + 0x8000 - packet.picture_id) % 0x8000;
        let time = next.timestamp.wrapping_sub(packet.timestamp).cast_signed();
        match packet.marker {
            true => assert!(step == 1 && time > 0, "a frame ahead: {pair:?}"),
            false => assert!(step == 0 && time == 0, "within a frame: {pair:?}"),
        }
    }
}
