//! Whatever is dropped, and whenever: nothing hangs, panics or is left behind.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::join;
use mediasoup_producer::IceProtocol::{Tcp, Udp};
use mediasoup_producer::sim::Source;
use mediasoup_producer::v2::{ProducerOptions, RoomConfig};
use mediasoup_producer::{MediaKind, Track};

use super::bench::{Bench, Fate};
use super::room::TestRoom;
use crate::options::Options;
use crate::runtime::Runtime;
use crate::v2::{Producer, Room, Transport};

/// Polls a future so many times and drops it then; its output if it was done before.
pub(crate) async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (Box::pin(future), times);
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        if left == 0 {
            // Nobody else may wake us before the last poll is due.
            cx.waker().wake_by_ref();
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// From nothing to media and back.
async fn session<R: Runtime>(
    room: &Room<Bench<R>>,
) -> Result<(Transport<Bench<R>>, Producer<Bench<R>>), Box<dyn std::error::Error>> {
    room.join("alice", None).await?;
    let transport = room.create_transport(None)?;
    let track = Track::new(MediaKind::Audio, "microphone", "");
    let audio = room.create_producer(track, ProducerOptions::default(), None)?;
    audio.send(&transport).await?;
    transport.connected().await?;
    audio.write_frame(Source::opus(32_000).frames().remove(0)).expect("it is connected");
    transport.restart_ice().await?;
    Ok((transport, audio))
}

/// A future dropped after each number of polls, until it comes to its end: the room is as good as before.
pub async fn a_future_dropped_at_any_poll_harms_nothing<R: Runtime>(runtime: R) {
    let runtime = &Bench::new(runtime);
    let server = TestRoom::start(runtime, &[Udp, Tcp]);
    for times in 1.. {
        let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), server.connect());
        let done = polled(times, session(&room)).await;
        // What was begun goes on or not; the room can be left, and takes a new session.
        let _ = room.leave(None);
        server.until("we are out", |server| server.peers().count() == 0).await;
        session(&room).await.unwrap_or_else(|error| panic!("after {times} polls: {error}"));
        polled(1, room.close()).await;
        room.ended().await;
        server.until("the room is left", |server| server.peers().count() == 0).await;
        if let Some(done) = done {
            done.unwrap();
            assert!(times > 4, "a session waits at least for four answers");
            return;
        }
    }
}

/// The same for the room and all its handles; with the network blocked, and not.
pub async fn handles_dropped_at_any_point_leave_nothing_behind<R: Runtime>(runtime: R) {
    // A blocked network is found out by ICE, which takes half a minute of the clock.
    for (fate, speed, step) in [(Fate::Sent, 1, 1), (Fate::Blocked, 20, 4)] {
        let runtime = &Bench::faster(runtime.clone(), speed);
        runtime.valve.set(fate, None);
        let server = TestRoom::start(runtime, &[Udp]);
        for times in (1..24).step_by(step) {
            let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), server.connect());
            let is_gone = room.is_gone();
            let mut events = room.events();
            let mut session: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move { session(&room).await });
            let done = polled(times, &mut session).await;
            drop((done, session));
            // It ends by itself, and nothing of it stays.
            let drain = async { while events.next().await.is_some() {} };
            let ((), ()) = join(drain, server.until("the room is left", |server| server.peers().count() == 0)).await;
            while !is_gone() {
                super::yield_now().await;
            }
        }
    }
}
