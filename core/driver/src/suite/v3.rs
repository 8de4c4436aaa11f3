//! A device on real sockets, sending to the simulated router.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_channel::mpsc;
use futures_util::{FutureExt, SinkExt, StreamExt};
use mediasoup_producer::IceProtocol::{Tcp, Udp};
use mediasoup_producer::record::{RecordOptions, replay};
use mediasoup_producer::sim::Source;
use mediasoup_producer::v3::{
    CreateSendTransportError, Device as Machine, DeviceConfig, DtlsParameters, DtlsRole, EncodingOptions,
    Event as DeviceEvent, OperationError, ProduceError, ProduceOptions, ProducerError, ProducerEvent, Refusal, Request,
    TransportError, TransportEvent, TransportOptions,
};
use mediasoup_producer::{ConnectionState, MediaError, MediaKind, RequestId, SetupError, Track, TransportId};
use serde_json::Map;

use super::abort::polled;
use super::bench::{Bench, Fate};
use super::congestion::overload;
use super::publishing::source;
use super::router::TestRouter;
use super::yield_now;
use crate::error::SignallingError;
use crate::options::Options;
use crate::runtime::{Runtime, until};
use crate::signalling::{self, Signalling};
use crate::v3::{
    AnsweredBy, ConnectedError, CreateTransportError, Device, Error, Event, Events, FromServer, Producer, ToServer,
    Transport, answered_by,
};

fn microphone() -> Track {
    Track::new(MediaKind::Audio, "microphone", "")
}

fn device<R: Runtime>(
    router: &TestRouter<R>,
    runtime: &Bench<R>,
    options: Options,
    signalling: impl Signalling<ToServer, FromServer>,
) -> Device<Bench<R>> {
    let device = Device::on(runtime.clone(), DeviceConfig::default(), 1, options, signalling);
    device.load(router.server().rtp_capabilities().clone(), false).unwrap();
    device
}

async fn transport<R: Runtime>(device: &Device<Bench<R>>, router: &TestRouter<R>) -> Transport<Bench<R>> {
    device.create_send_transport(router.transport(), TransportOptions::default(), Map::new()).await.unwrap()
}

/// A device that sends video in three layers.
struct Peer<R: Runtime> {
    runtime: Bench<R>,
    device: Device<Bench<R>>,
    transport: Transport<Bench<R>>,
    video: Producer<Bench<R>>,
    events: Events,
}

impl<R: Runtime> Peer<R> {
    async fn connected(runtime: &Bench<R>, router: &Arc<TestRouter<R>>) -> Self {
        Self::connected_with(runtime, router, DeviceConfig::default()).await
    }

    async fn connected_with(runtime: &Bench<R>, router: &Arc<TestRouter<R>>, config: DeviceConfig) -> Self {
        let device = Device::on(runtime.clone(), config, 1, Options::default(), router.signalling());
        device.load(router.server().rtp_capabilities().clone(), false).unwrap();
        let events = device.events();
        let transport = transport(&device, router).await;
        let options = ProduceOptions::default().encodings(vec![EncodingOptions::default(); 3]);
        let video = transport.produce(Track::new(MediaKind::Video, "camera", ""), options).await.unwrap();
        transport.connected().await.unwrap();
        Self { runtime: runtime.clone(), device, transport, video, events }
    }

    async fn write(&self, router: &TestRouter<R>, source: &mut Source, frames: u64) {
        for _ in 0..frames {
            for frame in source.frames() {
                self.video.write_frame(frame).unwrap();
            }
            all_arrives(router, &self.video).await;
        }
    }

    async fn event(&mut self, what: &str, wanted: impl Fn(&DeviceEvent) -> bool) {
        let wait = async {
            while let Some(event) = self.events.next().await {
                if matches!(&event, Event::Device(event) if wanted(event)) {
                    return true;
                }
            }
            false
        };
        let end = self.runtime.now() + Duration::from_secs(60);
        assert_eq!(until(&self.runtime, end, wait).await, Some(true), "{what}");
    }
}

async fn all_arrives<R: Runtime>(router: &TestRouter<R>, producer: &Producer<Bench<R>>) {
    let (id, sent) = (producer.server_id().unwrap(), producer.outbound_stats());
    let what = format!("all of {sent:?}");
    router
        .until(&what, |router| {
            let received = router.encodings(&id);
            received.len() == sent.len()
                && sent.iter().zip(&received).all(|(sent, encoding)| {
                    (sent.layer, sent.packets_sent, sent.bytes_sent)
                        == (encoding.layer, encoding.received.packets, encoding.received.bytes)
                })
        })
        .await;
}

fn is_key_frame_request(event: &DeviceEvent) -> bool {
    matches!(event, DeviceEvent::Producer { event: ProducerEvent::KeyFrameRequest { .. }, .. })
}

pub async fn all_that_is_sent_arrives<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp, Tcp]);
    let mut peer = Peer::connected(runtime, &router).await;
    let audio = peer.transport.produce(microphone(), ProduceOptions::default()).await.unwrap();
    peer.event("key frame request", is_key_frame_request).await;
    let (mut opus, mut vp8) = (Source::opus(32_000), source());
    for _ in 0..50 {
        peer.write(&router, &mut vp8, 1).await;
        for frame in opus.frames() {
            audio.write_frame(frame).unwrap();
        }
    }
    all_arrives(&router, &audio).await;
    assert_eq!(peer.transport.selected_path().unwrap().protocol, Udp, "UDP is preferred");

    audio.pause().unwrap();
    assert_eq!(audio.write_frame(opus.frames().remove(0)), Err(MediaError::Paused(audio.id())));
    audio.resume().unwrap();
    audio.write_frame(opus.frames().remove(0)).unwrap();
    all_arrives(&router, &audio).await;
    peer.video.set_max_spatial_layer(0).unwrap();
    assert_eq!((0..3).map(|layer| peer.video.is_active(layer)).collect::<Vec<_>>(), [true, false, false]);
    audio.close().unwrap();
    assert_eq!(audio.write_frame(opus.frames().remove(0)), Err(MediaError::ProducerNotFound(audio.id())));
    assert!(audio.closed() && !peer.video.closed());
    let stats = peer.device.io_stats();
    assert_eq!((stats.socket_errors, stats.datagrams_dropped), (0, 0), "{stats:?}");
}

pub async fn what_is_recorded_repeats<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let config = DeviceConfig::default().record(RecordOptions::default());
    let peer = Peer::connected_with(runtime, &router, config).await;
    peer.write(&router, &mut source(), 25).await;
    peer.device.close().await;
    let recording = peer.device.take_record();
    let replayed = replay(Instant::now(), &recording.join("\n")).unwrap();
    assert!(replayed.compared > 0);
    assert_eq!((replayed.difference, replayed.recording), (None, recording));
}

pub async fn tcp_alone_will_do<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Tcp]);
    let peer = Peer::connected(runtime, &router).await;
    peer.write(&router, &mut source(), 50).await;
    assert_eq!(peer.transport.selected_path().unwrap().protocol, Tcp);
    peer.device.close().await;
    router.until("close_notify", |_| router.knobs().alerts.load(Ordering::Relaxed) > 0).await;
}

pub async fn tcp_takes_over_where_udp_does_not_get_through<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp, Tcp]);
    router.knobs().udp_cut.store(true, Ordering::Relaxed);
    let peer = Peer::connected(runtime, &router).await;
    peer.write(&router, &mut source(), 50).await;
    assert_eq!(peer.transport.selected_path().unwrap().protocol, Tcp);
}

pub async fn a_network_change_moves_the_media_to_new_sockets<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &router).await;
    let mut vp8 = source();
    peer.write(&router, &mut vp8, 10).await;
    for round in 0..3 {
        let before = peer.transport.local_addresses();
        if round == 1 {
            peer.transport.rebind().unwrap()
        } else {
            peer.device.network_changed()
        }
        router
            .until("media from the new socket", |_| {
                peer.video.write_frame(vp8.frames().remove(0)).unwrap();
                let source = *router.knobs().media_source.lock().unwrap();
                source.is_some_and(|source| source != before[0].1)
            })
            .await;
        let after = peer.transport.local_addresses();
        assert_eq!((after.len(), peer.transport.connection_state()), (1, ConnectionState::Connected));
        assert_eq!(*router.knobs().media_source.lock().unwrap(), Some(after[0].1));
    }
}

pub async fn ice_is_restarted_without_a_break<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let peer = Peer::connected(runtime, &router).await;
    let mut vp8 = source();
    peer.write(&router, &mut vp8, 10).await;
    let id = peer.transport.server_id().unwrap();
    let parameters = router.act(|router, now| router.restart_ice(now, &id)).unwrap();
    peer.transport.restart_ice(parameters).await.unwrap();
    peer.transport.connected().await.unwrap();
    peer.write(&router, &mut vp8, 10).await;
}

pub async fn host_names_are_looked_up<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp, Tcp]);
    let device = device(&router, runtime, Options::default(), router.signalling());
    let named = |host: &str| {
        let mut parameters = router.transport();
        parameters.ice_candidates.iter_mut().for_each(|candidate| candidate.address = host.to_owned());
        parameters
    };
    let transport =
        device.create_send_transport(named("localhost"), TransportOptions::default(), Map::new()).await.unwrap();
    let audio = transport.produce(microphone(), ProduceOptions::default()).await.unwrap();
    transport.connected().await.unwrap();
    audio.write_frame(Source::opus(32_000).frames().remove(0)).unwrap();
    all_arrives(&router, &audio).await;

    // One name that is none harms nothing beside an address; alone it is an error that names it.
    let mut mixed = router.transport();
    mixed.ice_candidates[0].address = "no-such-host.invalid".to_owned();
    device.create_send_transport(mixed, TransportOptions::default(), Map::new()).await.unwrap();
    assert_eq!(device.stats().candidates_unresolved, 1);
    let nowhere = named("no-such-host.invalid");
    let error = device.create_send_transport(nowhere, TransportOptions::default(), Map::new()).await.unwrap_err();
    assert!(
        matches!(&error, CreateTransportError::Unresolved { host, .. } if host == "no-such-host.invalid"),
        "{error}"
    );
    let mut none = router.transport();
    none.ice_candidates.clear();
    let error = device.create_send_transport(none, TransportOptions::default(), Map::new()).await.unwrap_err();
    let no_address = CreateSendTransportError::Setup(SetupError::NoAddress);
    assert_eq!(error, CreateTransportError::Device(no_address));
}

pub async fn a_refusal_comes_with_its_words_and_another_try_is_possible<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let refuses = Arc::new(AtomicBool::new(true));
    let signalling = answered_by({
        let (router, refuses) = (Arc::clone(&router), Arc::clone(&refuses));
        move |request| {
            let refused = matches!(request, Request::Produce { .. }) && refuses.swap(false, Ordering::Relaxed);
            ready(if refused { Err(Refusal::new("no more ports")) } else { router.answer(&request) })
        }
    });
    let device = device(&router, runtime, Options::default(), signalling);
    let transport = transport(&device, &router).await;
    let refused = transport.produce(microphone(), ProduceOptions::default()).await.unwrap_err();
    assert_eq!(refused, Error::Failed(OperationError::Refused(Refusal::new("no more ports"))));
    assert!(device.producers().is_empty());
    let h265 = ProduceOptions::default().codec(mediasoup_producer::Codec::H265);
    let video = Track::new(MediaKind::Video, "camera", "");
    let error = transport.produce(video, h265).await.unwrap_err();
    assert!(matches!(error, Error::Command(ProduceError::UnsupportedCodec(_))), "{error}");
    transport.produce(microphone(), ProduceOptions::default()).await.unwrap();
    transport.connected().await.unwrap();
}

pub async fn an_answer_that_never_comes_is_a_timeout<R: Runtime>(runtime: R) {
    let runtime = &Bench::faster(runtime, 50);
    let router = TestRouter::start(runtime, &[Udp]);
    let device = device(&router, runtime, Options::default(), answered_by(|_| pending()));
    let transport = transport(&device, &router).await;
    let error = transport.produce(microphone(), ProduceOptions::default()).await.unwrap_err();
    assert_eq!(error, Error::Failed(OperationError::TimedOut { request: "connect".to_owned() }));
}

pub async fn requests_that_nobody_answers_wait_within_bounds<R: Runtime>(_: R) {
    let dtls_parameters = DtlsParameters { role: DtlsRole::Client, fingerprints: Vec::new() };
    let (transport, transport_id) = (TransportId::from(1), "t".to_owned());
    let request = Request::Connect { transport, transport_id, dtls_parameters };
    let mut answers = answered_by(|_| pending());
    for n in 0..AnsweredBy::WAITING as u64 {
        assert!(answers.feed((RequestId::from(n), request.clone())).now_or_never().is_some(), "{n}");
    }
    assert!(answers.next().now_or_never().is_none());
    assert!(answers.feed((RequestId::from(0), request)).now_or_never().is_none(), "it takes more");
}

pub async fn a_blocked_socket_refuses_media_and_audio_goes_first<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let mut peer = Peer::connected(runtime, &router).await;
    let audio = peer.transport.produce(microphone(), ProduceOptions::default()).await.unwrap();
    let (mut vp8, mut opus) = (source(), Source::opus(32_000));
    peer.write(&router, &mut vp8, 1).await;
    runtime.valve.set(Fate::Blocked, None);
    for _ in 0..3 {
        for frame in vp8.frames() {
            peer.video.write_frame(frame).unwrap();
        }
        audio.write_frame(opus.frames().remove(0)).unwrap();
    }
    *router.knobs().ssrcs.lock().unwrap() = Some(Vec::new());
    runtime.valve.set(Fate::Sent, None);
    all_arrives(&router, &audio).await;
    all_arrives(&router, &peer.video).await;
    let ssrc = audio.rtp_parameters().unwrap().encodings[0].ssrc.unwrap();
    let ssrcs = router.knobs().ssrcs.lock().unwrap().take().unwrap();
    assert!(ssrcs.len() > 6 && ssrcs[..3] == [ssrc; 3], "{ssrc}: {ssrcs:?}");

    runtime.valve.set(Fate::Blocked, None);
    let refused = overload::<Machine>(&mut vp8, 500, |frame| peer.video.write_frame(frame)).await;
    let stats = peer.device.io_stats();
    assert!(refused > 100 && stats.media_refused == refused, "{stats:?}");
    runtime.valve.set(Fate::Sent, None);
    peer.event("key frame request", is_key_frame_request).await;
}

pub async fn the_last_words_are_said_before_the_sockets_close<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let mut peer = Peer::connected(runtime, &router).await;
    let other = transport(&peer.device, &router).await;
    other.produce(microphone(), ProduceOptions::default()).await.unwrap();
    other.connected().await.unwrap();
    // One of two transports.
    other.close().unwrap();
    let id = other.id();
    peer.event("close", |event| *event == DeviceEvent::Transport { id, event: TransportEvent::Close }).await;
    router.until("close_notify", |_| router.knobs().alerts.load(Ordering::Relaxed) == 1).await;
    peer.write(&router, &mut source(), 2).await;
    // And all.
    peer.device.close().await;
    router.until("close_notify", |_| router.knobs().alerts.load(Ordering::Relaxed) == 2).await;
}

pub async fn after_the_end_every_call_says_so<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let Peer { device, transport, video, mut events, .. } = Peer::connected(runtime, &router).await;
    device.close().await;
    device.close().await;
    device.ended().await;
    while events.next().await.is_some() {}
    assert_eq!(device.events().next().await, None);

    let capabilities = router.server().rtp_capabilities().clone();
    assert_eq!(device.load(capabilities, false), Err(Error::Stopped));
    let made = device.create_send_transport(router.transport(), TransportOptions::default(), Map::new()).await;
    assert_eq!(made.unwrap_err(), CreateTransportError::Stopped);
    let produced = transport.produce(microphone(), ProduceOptions::default()).await;
    assert_eq!(produced.unwrap_err(), Error::Stopped);
    let id = router.server().transports().next().unwrap().id().to_owned();
    let parameters = router.act(|router, now| router.restart_ice(now, &id)).unwrap();
    assert_eq!(transport.restart_ice(parameters).await, Err(Error::Stopped));
    assert_eq!(transport.connected().await, Err(ConnectedError::State(ConnectionState::Closed)));
    assert_eq!(transport.close(), Err(TransportError::NotFound(transport.id())));
    assert_eq!(video.pause(), Err(ProducerError::NotFound(video.id())));
    let frame = source().frames().remove(0);
    assert_eq!(video.write_frame(frame), Err(MediaError::ProducerNotFound(video.id())));
    assert!(transport.closed() && video.closed() && device.transports().is_empty() && device.producers().is_empty());
}

pub async fn a_lost_channel_ends_it_and_what_is_under_way<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    let (to_server, mut from_client) = mpsc::channel::<ToServer>(16);
    let (to_client, from_server) = mpsc::channel::<FromServer>(16);
    let to_server = to_server.sink_map_err(|_| SignallingError::Closed { reason: None });
    let signalling = signalling::join(from_server.map(Ok), to_server);
    let device = device(&router, runtime, Options::default(), signalling);
    let mut events = device.events();
    let transport = transport(&device, &router).await;
    let mut produce = Box::pin(transport.produce(microphone(), ProduceOptions::default()));
    assert!((&mut produce).now_or_never().is_none());
    let (_, request) = from_client.next().await.unwrap();
    assert!(matches!(request, Request::Connect { .. }), "{request:?}");
    drop(to_client);
    assert_eq!(produce.await.unwrap_err(), Error::Failed(OperationError::TransportClosed));
    device.ended().await;
    let lost = Event::Disconnected { error: SignallingError::Closed { reason: None } };
    assert_eq!(events.next().await, Some(lost));
    assert!(transport.closed());
}

/// From nothing to media and back.
async fn session<R: Runtime>(device: &Device<Bench<R>>, router: &TestRouter<R>) {
    let transport = transport(device, router).await;
    let audio = transport.produce(microphone(), ProduceOptions::default()).await.unwrap();
    transport.connected().await.unwrap();
    audio.write_frame(Source::opus(32_000).frames().remove(0)).expect("it is connected");
    let id = transport.server_id().unwrap();
    let parameters = router.act(|router, now| router.restart_ice(now, &id)).unwrap();
    transport.restart_ice(parameters).await.unwrap();
}

/// A router does not take transports without end.
fn tidy<R: Runtime>(router: &TestRouter<R>) {
    router.act(|router, now| {
        let ids: Vec<_> = router.transports().map(|transport| transport.id().to_owned()).collect();
        ids.iter().for_each(|id| router.close_transport(now, id).unwrap());
    });
}

/// A future dropped after each number of polls, until it comes to its end: the device is as good as before.
pub async fn a_future_dropped_at_any_poll_harms_nothing<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp, Tcp]);
    let mut dropped = 0;
    for times in 1.. {
        let device = device(&router, runtime, Options::default(), router.signalling());
        let done = polled(times, session(&device, &router)).await;
        session(&device, &router).await;
        polled(1, device.close()).await;
        device.ended().await;
        tidy(&router);
        // On a busy machine even the first may find all its answers there.
        if done.is_some() && dropped > 0 {
            return;
        }
        dropped += u32::from(done.is_none());
    }
}

/// The same for the device and all its handles.
pub async fn handles_dropped_at_any_point_leave_nothing_behind<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let router = TestRouter::start(runtime, &[Udp]);
    for times in 1..24 {
        let device = device(&router, runtime, Options::default(), router.signalling());
        let is_gone = device.is_gone();
        let mut events = device.events();
        let of = Arc::clone(&router);
        let mut session: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { session(&device, &of).await });
        let done = polled(times, &mut session).await;
        drop((done, session));
        while events.next().await.is_some() {}
        while !is_gone() {
            yield_now().await;
        }
        tidy(&router);
    }
}
