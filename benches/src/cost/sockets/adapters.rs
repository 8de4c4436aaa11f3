//! The adapters, as an application uses them, towards the other end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::v2::{ProducerOptions, RoomConfig};
use mediasoup_producer::{Frame, MediaKind, Track};
use mediasoup_producer_benches::{FRAME_INTERVAL, Ours};
use mediasoup_producer_driver::v2::Room;
use mediasoup_producer_driver::{Options, Runtime, Timer};
use mediasoup_producer_smol::Smol;
use mediasoup_producer_tokio::Tokio;

use super::server::Server;
use super::{Load, cpu, latencies};

/// What is measured of a session through an adapter.
pub(super) struct Session {
    /// Microseconds of CPU a packet.
    pub(super) cost: f64,
    /// From `send` to DTLS connected.
    pub(super) connecting: Duration,
    /// From the call that hands a frame in to each of its datagrams at the other end.
    pub(super) latencies: Vec<Duration>,
}

pub(super) fn tokio(load: Load) -> Session {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { through(Tokio::default(), load).await })
}

pub(super) fn smol(load: Load) -> Session {
    smol::block_on(through(Smol::default(), load))
}

async fn through<R: Runtime>(runtime: R, load: Load) -> Session {
    let mut server = Server::start();
    let config = RoomConfig::default();
    let room = Room::on(runtime.clone(), config, 1, Options::default(), server.signalling());
    room.join("sender", None).await.expect("the other end lets us in");
    let transport = room.create_transport(None).expect("the room is joined");
    let mut producers = Vec::new();
    let begun = Instant::now();
    for _ in 0..load.tracks {
        let track = Track::new(MediaKind::Video, "camera", "");
        let producer = room.create_producer(track, ProducerOptions::default(), None).expect("it takes video");
        producer.send(&transport).await.expect("the other end takes it");
        producers.push(producer);
    }
    transport.connected().await.expect("loopback connects");
    let connecting = begun.elapsed();
    server.only_read();

    let data = Bytes::from(vec![0; Ours::frame_bytes(load.packets)]);
    let start = runtime.now();
    let mut timer = Box::pin(runtime.timer(start));
    let mut written = Vec::new();
    let before = cpu();
    for number in 0..load.frames as u32 {
        if load.paced {
            until(timer.as_mut(), start + number * FRAME_INTERVAL).await;
        }
        written.push(Instant::now());
        for producer in &producers {
            // What is not taken yet, because too much waits, is offered again a little later: to ask without end would be
            // measured, too.
            let frame = Frame::new(data.clone(), number * FRAME_INTERVAL).key_frame(true);
            while producer.write_frame(frame.clone()).is_err() {
                until(timer.as_mut(), runtime.now() + RETRY).await;
            }
        }
        if !load.paced {
            pause().await;
        }
    }
    // The last frame is on its way.
    let end = runtime.now() + Duration::from_millis(40);
    until(timer.as_mut(), end).await;
    let taken = cpu() - before;
    let packets: u64 = producers.iter().flat_map(|producer| producer.outbound_stats()).map(|of| of.packets_sent).sum();
    let cost = taken as f64 / packets as f64 / 1000.0;
    Session { cost, connecting, latencies: latencies(&written, &server.arrivals()) }
}

/// When media that was refused is offered again.
const RETRY: Duration = Duration::from_millis(1);

async fn until<T: Timer>(mut timer: Pin<&mut T>, at: std::time::Instant) {
    timer.as_mut().reset(at);
    poll_fn(|context| timer.as_mut().poll(context)).await;
}

/// Lets the others have their turn.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
