//! Media over real sockets into the simulated room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mediasoup_producer::IceProtocol::{self, Tcp, Udp};
use mediasoup_producer::record::{RecordOptions, replay};
use mediasoup_producer::sim::Source;
use mediasoup_producer::v2::{
    Event as RoomEvent, ProducerError, ProducerEvent, ProducerOptions, Profile, RoomConfig, TransportEvent,
};
use mediasoup_producer::{ConnectionState, MediaError, MediaKind, Originator, Track};

use super::bench::Bench;
use super::room::TestRoom;
use super::{sleep, spawn};
use crate::options::Options;
use crate::runtime::{Runtime, until};
use crate::v2::{Event, Events, Producer, Room, Transport};

/// A peer that sends video over its own transport.
pub(crate) struct Peer<R: Runtime> {
    pub(crate) runtime: Bench<R>,
    pub(crate) room: Room<Bench<R>>,
    pub(crate) transport: Transport<Bench<R>>,
    pub(crate) video: Producer<Bench<R>>,
    events: Events,
}

impl<R: Runtime> Peer<R> {
    pub(crate) async fn connected(runtime: &Bench<R>, server: &TestRoom<R>, name: &str, options: Options) -> Self {
        Self::connected_with(runtime, server, name, options, RoomConfig::default()).await
    }

    async fn connected_with(
        runtime: &Bench<R>,
        server: &TestRoom<R>,
        name: &str,
        options: Options,
        config: RoomConfig,
    ) -> Self {
        let room = Room::on(runtime.clone(), config, seed(name), options, server.connect());
        let events = room.events();
        room.join(name, None).await.unwrap();
        let transport = room.create_transport(None).unwrap();
        let track = Track::new(MediaKind::Video, "camera", "");
        let video = room.create_producer(track, ProducerOptions::default().simulcast(true), None).unwrap();
        video.send(&transport).await.unwrap();
        transport.connected().await.unwrap();
        Self { runtime: runtime.clone(), room, transport, video, events }
    }

    /// Writes this many frames of each layer. Few at a time: what a burst loses at the server's socket is not repaired
    /// when nothing follows it.
    pub(crate) async fn write(&self, server: &TestRoom<R>, source: &mut Source, frames: u64) {
        for _ in 0..frames {
            for frame in source.frames() {
                self.video.write_frame(frame).unwrap();
            }
            all_arrives(server, &self.video).await;
        }
    }

    fn path(&self, server: &TestRoom<R>) -> Option<(IceProtocol, SocketAddr, SocketAddr)> {
        server.server().transport(self.transport.id()).and_then(|transport| transport.path())
    }

    pub(crate) async fn event(&mut self, what: &str, wanted: impl Fn(&RoomEvent) -> bool) {
        let wait = async {
            while let Some(event) = self.events.next().await {
                if matches!(&event, Event::Room(event) if wanted(event)) {
                    return true;
                }
            }
            false
        };
        let end = self.runtime.now() + Duration::from_secs(60);
        assert_eq!(until(&self.runtime, end, wait).await, Some(true), "{what}");
    }
}

/// Two rooms in one process want two seeds.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0, |seed, byte| seed << 8 | u64::from(byte))
}

pub(crate) fn source() -> Source {
    Source::vp8_simulcast(100_000, 300_000, 1_000_000)
}

/// Every packet sent was received, once.
pub(crate) async fn all_arrives<R: Runtime>(server: &TestRoom<R>, producer: &Producer<Bench<R>>) {
    let sent = producer.outbound_stats();
    let what = format!("all of {sent:?}");
    server
        .until(&what, |server| {
            let received = server.encodings(producer.id());
            received.len() == sent.len()
                && sent.iter().zip(&received).all(|(sent, received)| {
                    (sent.layer, sent.packets_sent, sent.bytes_sent)
                        == (received.profile.layer(), received.packets, received.bytes)
                })
        })
        .await;
}

pub async fn all_that_is_sent_arrives<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp, Tcp]);
    let mut peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let audio = peer
        .room
        .create_producer(Track::new(MediaKind::Audio, "microphone", ""), ProducerOptions::default(), None)
        .unwrap();
    audio.send(&peer.transport).await.unwrap();
    peer.event("key frame request", |event| {
        matches!(event, RoomEvent::Producer { event: ProducerEvent::KeyFrameRequest { profile: Profile::High }, .. })
    })
    .await;
    let mut opus = Source::opus(32_000);
    let mut vp8 = source();
    for _ in 0..50 {
        peer.write(&server, &mut vp8, 1).await;
        for frame in opus.frames() {
            audio.write_frame(frame).unwrap();
        }
    }
    all_arrives(&server, &peer.video).await;
    all_arrives(&server, &audio).await;
    assert_eq!(peer.path(&server).unwrap().0, Udp, "UDP is preferred");
    let stats = peer.room.io_stats();
    assert_eq!((stats.socket_errors, stats.datagrams_dropped), (0, 0), "{stats:?}");
    peer.room.close().await;
    server.until("the peer is gone", |server| server.peers().count() == 0).await;
}

pub async fn the_last_words_are_said_before_the_sockets_close<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    peer.room.close().await;
    server.until("close_notify", |_| server.knobs().alerts.load(Ordering::Relaxed) > 0).await;
    server.until("leave", |server| server.peers().count() == 0).await;
}

pub async fn nothing_is_sent_while_paused_and_a_key_frame_is_wanted_after<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let mut peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let mut vp8 = source();
    let id = peer.video.id();
    peer.write(&server, &mut vp8, 10).await;

    peer.video.pause(None).unwrap();
    assert_eq!(peer.video.write_frame(vp8.frames().remove(0)), Err(MediaError::Paused(id)));
    server.until("paused", |server| server.producer(id).unwrap().paused_by_peer()).await;
    peer.video.resume(None).unwrap();
    server.until("resumed", |server| !server.producer(id).unwrap().paused()).await;
    peer.event("key frame request", |event| {
        matches!(event, RoomEvent::Producer { event: ProducerEvent::KeyFrameRequest { .. }, .. })
    })
    .await;

    server.act(|server, now| server.pause_producer(now, id, None));
    let by_server = |event: &RoomEvent| {
        matches!(event, RoomEvent::Producer { event: ProducerEvent::Pause { originator: Originator::Remote, .. }, .. })
    };
    peer.event("remote pause", by_server).await;
    assert!(peer.video.remotely_paused() && peer.video.paused() && !peer.video.locally_paused());
    assert_eq!(peer.video.write_frame(vp8.frames().remove(0)), Err(MediaError::Paused(id)));
    server.act(|server, now| server.resume_producer(now, id, None));
    peer.event("remote resume", |event| {
        matches!(event, RoomEvent::Producer { event: ProducerEvent::Resume { originator: Originator::Remote, .. }, .. })
    })
    .await;
    // A frame of this layer was refused: only a key frame can follow it.
    vp8.request_key_frame(Profile::Low);
    peer.write(&server, &mut vp8, 10).await;

    peer.video.close(None).unwrap();
    assert_eq!(peer.video.write_frame(vp8.frames().remove(0)), Err(MediaError::ProducerNotFound(id)));
    assert_eq!(peer.video.pause(None), Err(ProducerError::NotFound(id)));
    server.until("closed", |server| server.producer(id).is_none()).await;
    assert!(peer.video.closed());
}

pub async fn media_is_refused_until_the_transport_is_connected<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    server.knobs().udp_cut.store(true, Ordering::Relaxed);
    let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), server.connect());
    room.join("alice", None).await.unwrap();
    let transport = room.create_transport(None).unwrap();
    let audio = room.create_producer(Track::new(MediaKind::Audio, "a", ""), ProducerOptions::default(), None).unwrap();
    let frame = Source::opus(32_000).frames().remove(0);
    assert_eq!(audio.write_frame(frame.clone()), Err(MediaError::Unhandled(audio.id())));
    audio.send(&transport).await.unwrap();
    assert_eq!(audio.write_frame(frame.clone()), Err(MediaError::NotConnected(audio.id())));
    server.knobs().udp_cut.store(false, Ordering::Relaxed);
    transport.connected().await.unwrap();
    audio.write_frame(frame).unwrap();
    all_arrives(&server, &audio).await;
}

pub async fn tcp_alone_will_do<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Tcp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    peer.write(&server, &mut source(), 50).await;
    assert_eq!(peer.path(&server).unwrap().0, Tcp);
    peer.room.close().await;
    server.until("close_notify", |_| server.knobs().alerts.load(Ordering::Relaxed) > 0).await;
}

pub async fn tcp_takes_over_where_udp_does_not_get_through<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp, Tcp]);
    server.knobs().udp_cut.store(true, Ordering::Relaxed);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    peer.write(&server, &mut source(), 50).await;
    assert_eq!(peer.path(&server).unwrap().0, Tcp);
}

pub async fn tcp_takes_over_when_udp_breaks_off<R: Runtime>(runtime: R) {
    let runtime = &Bench::faster(runtime, 10);
    let server = TestRoom::start(runtime, &[Udp, Tcp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let mut vp8 = source();
    peer.write(&server, &mut vp8, 10).await;
    let id = peer.transport.id();
    let is_udp = |path: (IceProtocol, SocketAddr, SocketAddr)| path.0 == Udp;
    server.until("UDP is taken", |server| server.transport(id).and_then(|t| t.path()).is_some_and(is_udp)).await;
    server.knobs().udp_cut.store(true, Ordering::Relaxed);
    // Some minutes of the clock that runs.
    for _ in 0..1500 {
        sleep(runtime, Duration::from_millis(200)).await;
        peer.video.write_frame(vp8.frames().remove(0)).unwrap();
        if server.knobs().tcp_media.load(Ordering::Relaxed) > 0 {
            return;
        }
    }
    panic!("no media over TCP");
}

pub async fn an_address_that_cannot_be_reached_harms_nothing<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let nowhere = ["192.0.2.1:9".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()];
    let server = TestRoom::start_with(runtime, &[Udp, Tcp], &nowhere);
    // From here the first is an invalid argument to the system, and there is no socket for the second.
    let bind: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let peer = Peer::connected(runtime, &server, "alice", Options::default().bind([bind])).await;
    peer.write(&server, &mut source(), 10).await;
    assert!(peer.room.io_stats().socket_errors > 0, "{:?}", peer.room.io_stats());
}

pub async fn what_the_options_exclude_is_not_used<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp, Tcp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default().udp(false)).await;
    assert!(peer.transport.local_addresses().iter().all(|(protocol, _)| *protocol == Tcp));

    let room =
        Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default().udp(false).tcp(false), server.connect());
    let mut events = room.events();
    room.join("bob", None).await.unwrap();
    let transport = room.create_transport(None).unwrap();
    let audio = room.create_producer(Track::new(MediaKind::Audio, "a", ""), ProducerOptions::default(), None).unwrap();
    audio.send(&transport).await.unwrap();
    loop {
        if let Event::Unreachable { transport: at, .. } = events.next().await.unwrap() {
            assert_eq!(at, transport.id());
            break;
        }
    }
}

pub async fn a_bind_address_is_used<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer::connected(runtime, &server, "alice", Options::default().bind([free])).await;
    assert_eq!(peer.transport.local_addresses(), [(Udp, free)]);
    let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let peer = Peer::connected(runtime, &server, "bob", Options::default().bind([any])).await;
    assert_eq!(peer.transport.local_addresses()[0].1.ip(), free.ip());
}

pub async fn a_network_change_moves_the_media_to_new_sockets<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let mut vp8 = source();
    peer.write(&server, &mut vp8, 10).await;
    for round in 0..3 {
        let before = peer.transport.local_addresses();
        if round == 1 {
            peer.transport.rebind().unwrap();
        } else {
            peer.room.network_changed();
        }
        server
            .until("media from the new socket", |_| {
                peer.video.write_frame(vp8.frames().remove(0)).unwrap();
                let source = *server.knobs().media_source.lock().unwrap();
                source.is_some_and(|source| source != before[0].1)
            })
            .await;
        let after = peer.transport.local_addresses();
        assert_eq!((after.len(), peer.transport.connection_state()), (1, ConnectionState::Connected));
        assert_eq!(*server.knobs().media_source.lock().unwrap(), Some(after[0].1));
    }
}

pub async fn a_transport_closed_by_the_server_ends_and_its_producer_moves<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let mut peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let id = peer.transport.id();
    let path = peer.transport.selected_path().unwrap();
    assert!(peer.transport.local_addresses().contains(&(path.protocol, path.local)));
    assert!(path.round_trip_time.is_some());
    let codecs = peer.room.send_codecs(MediaKind::Video);
    assert_eq!(peer.video.rtp_parameters().unwrap().codecs[0], codecs[0].parameters);
    server.act(|server, now| server.close_transport(now, id, None));
    peer.event("close", |event| matches!(event, RoomEvent::Transport { event: TransportEvent::Close { .. }, .. }))
        .await;
    assert_eq!(peer.transport.connection_state(), ConnectionState::Closed);
    assert_eq!(peer.transport.selected_path(), None);
    assert!(!peer.video.handled() && peer.video.rtp_parameters().is_none());
    let other = peer.room.create_transport(None).unwrap();
    peer.video.send(&other).await.unwrap();
    other.connected().await.unwrap();
    peer.write(&server, &mut source(), 10).await;
    assert_eq!(peer.video.rtp_parameters().unwrap().encodings.len(), 3);
}

pub async fn ice_is_restarted_without_a_break<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    let mut vp8 = source();
    peer.write(&server, &mut vp8, 10).await;
    peer.transport.restart_ice().await.unwrap();
    peer.transport.connected().await.unwrap();
    peer.write(&server, &mut vp8, 10).await;
}

pub async fn the_servers_statistics_come<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let mut peer = Peer::connected(runtime, &server, "alice", Options::default()).await;
    peer.video.enable_stats(Duration::from_secs(1)).unwrap();
    peer.transport.enable_stats(Duration::from_secs(1)).unwrap();
    peer.event("stats", |event| matches!(event, RoomEvent::Producer { event: ProducerEvent::Stats { .. }, .. })).await;
}

pub async fn many_rooms_publish_at_the_same_time<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = Arc::new(TestRoom::start(runtime, &[Udp]));
    let peers = (0..50).map(|n| {
        let server = Arc::clone(&server);
        let of = runtime.clone();
        spawn(runtime, async move {
            let room = Room::on(of, RoomConfig::default(), n, Options::default(), server.connect());
            room.join(format!("peer-{n}"), None).await.unwrap();
            let transport = room.create_transport(None).unwrap();
            let track = Track::new(MediaKind::Audio, "microphone", "");
            let audio = room.create_producer(track, ProducerOptions::default(), None).unwrap();
            audio.send(&transport).await.unwrap();
            transport.connected().await.unwrap();
            let mut opus = Source::opus(32_000);
            for _ in 0..20 {
                audio.write_frame(opus.frames().remove(0)).unwrap();
                // Nothing repairs audio, and the server's socket holds no more than a burst.
                all_arrives(&server, &audio).await;
            }
            room.close().await;
        })
    });
    for peer in peers.collect::<Vec<_>>() {
        peer.await.unwrap();
    }
    server.until("all are gone", |server| server.peers().count() == 0).await;
}

pub async fn what_is_recorded_repeats<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp]);
    let config = RoomConfig::default().record(RecordOptions::default());
    let peer = Peer::connected_with(runtime, &server, "alice", Options::default(), config).await;
    peer.write(&server, &mut source(), 25).await;
    peer.room.close().await;
    let recording = peer.room.take_record();
    let replayed = replay(Instant::now(), &recording.join("\n")).unwrap();
    assert_eq!((replayed.difference, replayed.recording), (None, recording));
}
