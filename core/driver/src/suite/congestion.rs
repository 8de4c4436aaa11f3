//! Sockets that take nothing, and systems that refuse.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mediasoup_producer::IceProtocol::{Tcp, Udp};
use mediasoup_producer::adapter::{Conductor, Outbox};
use mediasoup_producer::sim::Source;
use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, ProducerOptions, Room as Machine, RoomConfig};
use mediasoup_producer::{ConnectionState, Frame, MediaError, MediaKind, Track};
use quinn_udp::UdpSocketState;

use super::bench::{Bench, Fate};
use super::publishing::{Peer, all_arrives, source};
use super::room::TestRoom;
use super::sleep;
use crate::options::Options;
use crate::runtime::Runtime;
use crate::v2::{Producer, Room};

/// Sends a microphone over the peer's transport.
async fn microphone<R: Runtime>(peer: &Peer<R>) -> Producer<Bench<R>> {
    let track = Track::new(MediaKind::Audio, "microphone", "");
    let audio = peer.room.create_producer(track, ProducerOptions::default(), None).unwrap();
    audio.send(&peer.transport).await.unwrap();
    audio
}

/// Sends more than a blocked socket takes; how often that was said.
pub(super) async fn overload<D: Conductor>(
    source: &mut Source,
    times: usize,
    write: impl Fn(Frame) -> Result<(), MediaError>,
) -> u64 {
    let mut refused = 0;
    for _ in 0..times {
        for frame in source.frames() {
            match write(frame) {
                Err(MediaError::Blocked(waiting)) => {
                    assert!((Outbox::<D>::BACKLOG..=Outbox::<D>::WAITING).contains(&waiting), "{waiting}");
                    refused += 1;
                }
                // The pacer has drained into the socket's queue meanwhile.
                Ok(()) | Err(MediaError::KeyFrameNeeded { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        super::yield_now().await;
    }
    refused
}

pub async fn a_blocked_socket_holds_up_nothing_but_its_own_path<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let blocked = peer.transport.local_addresses()[0].1;
    runtime.valve.set(Fate::Blocked, Some(blocked));
    let mut vp8 = source();
    for frame in vp8.frames() {
        peer.video.write_frame(frame).unwrap();
    }
    // Requests are answered, operations settle, events come, and another transport connects and sends.
    let other = peer.room.create_transport(None).unwrap();
    let track = Track::new(MediaKind::Audio, "microphone", "");
    let audio = peer.room.create_producer(track, ProducerOptions::default(), None).unwrap();
    audio.send(&other).await.unwrap();
    other.connected().await.unwrap();
    audio.write_frame(Source::opus(32_000).frames().remove(0)).unwrap();
    all_arrives(&server, &audio).await;
    assert!(server.server().encodings(peer.video.id()).iter().all(|encoding| encoding.packets == 0));

    runtime.valve.set(Fate::Sent, None);
    all_arrives(&server, &peer.video).await;
}

pub async fn a_blocked_socket_refuses_media_and_memory_stays_flat<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let mut peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    runtime.valve.set(Fate::Blocked, None);
    let mut vp8 = source();
    let refused = overload::<Machine>(&mut vp8, 2000, |frame| peer.video.write_frame(frame)).await;
    let stats = peer.room.io_stats();
    assert!(refused > 100 && stats.media_refused == refused, "{stats:?}");
    assert!(peer.room.stats().outputs_waiting <= 1, "{:?}", peer.room.stats());

    // What decodes against a frame that was refused is, too; a key frame is asked for, and taken.
    runtime.valve.set(Fate::Sent, None);
    let id = peer.video.id();
    server.until("what waited is sent", |server| server.encodings(id).iter().all(|e| e.packets > 0)).await;
    let frame = vp8.frames().remove(0);
    if !frame.key_frame {
        let refused = peer.video.write_frame(frame.clone());
        assert!(matches!(refused, Err(MediaError::KeyFrameNeeded { .. })), "{refused:?}");
    }
    peer.event("key frame request", |event| {
        matches!(event, RoomEvent::Producer { event: ProducerEvent::KeyFrameRequest { .. }, .. })
    })
    .await;
    let before = server.server().encodings(id)[0].packets;
    peer.video.write_frame(Frame { key_frame: true, ..frame }).unwrap();
    server.until("the stream goes on", |server| server.encodings(id)[0].packets > before).await;
}

pub async fn audio_goes_before_video_when_the_socket_takes_again<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let audio = microphone(&peer).await;
    let (mut vp8, mut opus) = (source(), Source::opus(32_000));
    peer.write(&server, &mut vp8, 1).await;
    runtime.valve.set(Fate::Blocked, None);
    for _ in 0..3 {
        for frame in vp8.frames() {
            peer.video.write_frame(frame).unwrap();
        }
        audio.write_frame(opus.frames().remove(0)).unwrap();
    }
    *server.knobs().ssrcs.lock().unwrap() = Some(Vec::new());
    runtime.valve.set(Fate::Sent, None);
    all_arrives(&server, &audio).await;
    all_arrives(&server, &peer.video).await;
    let ssrc = audio.rtp_parameters().unwrap().encodings[0].ssrc;
    let ssrcs = server.knobs().ssrcs.lock().unwrap().take().unwrap();
    assert!(ssrcs.len() > 6 && ssrcs[..3] == [ssrc; 3], "{ssrc}: {ssrcs:?}");
}

/// The peer's system takes what its buffers have room for; all that comes after waits here, and is told.
pub async fn a_tcp_peer_that_stops_reading_is_a_blocked_socket<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Tcp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let audio = microphone(&peer).await;
    let (mut vp8, mut opus) = (source(), Source::opus(32_000));
    peer.write(&server, &mut vp8, 1).await;
    server.knobs().tcp_stopped.store(true, Ordering::Relaxed);
    let refused = overload::<Machine>(&mut vp8, 2000, |frame| peer.video.write_frame(frame)).await;
    let stats = peer.room.io_stats();
    assert!(refused > 100 && stats.media_refused == refused, "{stats:?}");
    assert!(peer.room.stats().outputs_waiting <= 1, "{:?}", peer.room.stats());

    // Audio is taken, and goes before the video that waits.
    audio.write_frame(opus.frames().remove(0)).unwrap();
    *server.knobs().ssrcs.lock().unwrap() = Some(Vec::new());
    server.knobs().tcp_stopped.store(false, Ordering::Relaxed);
    all_arrives(&server, &audio).await;
    all_arrives(&server, &peer.video).await;
    let microphone = audio.rtp_parameters().unwrap().encodings[0].ssrc;
    let ssrcs = server.knobs().ssrcs.lock().unwrap().take().unwrap();
    let after = ssrcs.iter().rev().position(|ssrc| *ssrc == microphone).unwrap();
    assert!(
        after > Outbox::<Machine>::BACKLOG / 2,
        "{after} packets of video came after the audio, of {}",
        ssrcs.len()
    );
    assert_eq!(peer.room.io_stats().datagrams_dropped, 0);
}

pub async fn what_the_system_refuses_to_send_ends_no_session<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let mut vp8 = source();
    peer.write(&server, &mut vp8, 1).await;
    for errno in [libc::ECONNREFUSED, libc::ENOBUFS, libc::ENETUNREACH, libc::EPERM] {
        let before = peer.room.io_stats().socket_errors;
        runtime.valve.set(Fate::Refused(errno), None);
        for _ in 0..100 {
            for frame in vp8.frames() {
                peer.video.write_frame(frame).unwrap();
            }
        }
        runtime.valve.set(Fate::Sent, None);
        let stats = peer.room.io_stats();
        assert!(stats.socket_errors >= before + 300 && stats.datagrams_too_large == 0, "{stats:?}");
        let (was, id) = (server.server().encodings(peer.video.id())[0].packets, peer.video.id());
        peer.video.write_frame(vp8.frames().remove(0)).unwrap();
        server.until("the stream goes on", |server| server.encodings(id)[0].packets > was).await;
    }
    assert_eq!(peer.transport.connection_state(), ConnectionState::Connected);
}

pub async fn a_datagram_too_large_for_the_network_is_told<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    runtime.valve.set(Fate::Refused(libc::EMSGSIZE), None);
    for frame in source().frames() {
        peer.video.write_frame(frame).unwrap();
    }
    let stats = peer.room.io_stats();
    assert!(stats.datagrams_too_large >= 3, "{stats:?}");
    assert_eq!(peer.transport.connection_state(), ConnectionState::Connected);
}

/// One track without layers, connected.
async fn camera<R: Runtime>(runtime: &Bench<R>, server: &TestRoom<R>) -> (Room<Bench<R>>, Producer<Bench<R>>) {
    let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), server.connect());
    room.join("alice", None).await.unwrap();
    let transport = room.create_transport(None).unwrap();
    let track = Track::new(MediaKind::Video, "camera", "");
    let video = room.create_producer(track, ProducerOptions::default(), None).unwrap();
    video.send(&transport).await.unwrap();
    transport.connected().await.unwrap();
    (room, video)
}

/// A VP8 key frame of so many bytes (RFC 6386 section 9.1: the lowest bit of the first byte is 0).
fn key_frame(bytes: usize) -> Frame {
    Frame::new(vec![0; bytes], Duration::ZERO).key_frame(true)
}

pub async fn a_card_that_cannot_cut_is_sent_one_by_one<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let (room, video) = camera(runtime, &server).await;
    runtime.valve.refuse_next(1);
    video.write_frame(key_frame(8_000)).unwrap();
    all_arrives(&server, &video).await;
    assert_eq!((room.io_stats().socket_errors, room.io_stats().datagrams_dropped), (0, 0));
}

pub async fn the_datagrams_of_a_frame_leave_together<R: Runtime>(runtime: R) {
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    if UdpSocketState::new((&probe).into()).unwrap().max_gso_segments() == 1 {
        return; // this system cannot
    }
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let (room, video) = camera(runtime, &server).await;
    sleep(runtime, Duration::from_millis(50)).await;
    let (calls, sent) = (runtime.valve.calls(), room.io_stats().datagrams_sent);
    video.write_frame(key_frame(10 * 1_100)).unwrap();
    all_arrives(&server, &video).await;
    let (calls, sent) = (runtime.valve.calls() - calls, room.io_stats().datagrams_sent - sent);
    assert!(sent >= 10 && calls as u64 <= sent / 3, "{sent} datagrams in {calls} calls");
}
