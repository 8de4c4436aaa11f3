//! What only tokio has: runtimes that end, many threads, and threads without one.

use std::time::Duration;

use mediasoup_producer::v2::{CreateProducerError, CreateTransportError, ProducerOptions, RoomConfig, RoomState};
use mediasoup_producer::{MediaKind, Track};
use mediasoup_producer_tokio::v2::{Error, FromServer, Room, ToServer};
use mediasoup_producer_tokio::{Options, Signalling, SignallingError, Tokio, signalling};

/// A channel to a server that never says anything.
fn silent() -> impl Signalling<ToServer, FromServer> {
    let to_server = futures_util::sink::drain::<ToServer>();
    signalling::join(
        futures_util::stream::pending(),
        futures_util::SinkExt::sink_map_err(to_server, |never: std::convert::Infallible| -> SignallingError {
            match never {}
        }),
    )
}

#[test]
fn a_runtime_that_shuts_down_leaves_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (room, joining) = runtime.block_on(async {
        let room = Room::new(RoomConfig::default(), 1, silent());
        let mut joining = Box::pin({
            let room = room.clone();
            async move { room.join("alice", None).await }
        });
        assert!(futures_util::FutureExt::now_or_never(&mut joining).is_none());
        (room, joining)
    });
    drop(runtime);
    assert!(room.closed());
    assert_eq!(room.create_transport(None).unwrap_err(), CreateTransportError::RoomState(RoomState::Closed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(joining.await.is_err());
        assert_eq!(room.join("alice", None).await, Err(Error::Stopped));
        room.close().await;
    });
}

#[test]
fn handles_work_on_threads_without_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tokio = Tokio::on(runtime.handle().clone());
    let room = Room::on(tokio, RoomConfig::default(), 1, Options::default(), silent());
    let refused = room.create_producer(Track::new(MediaKind::Audio, "a", ""), ProducerOptions::default(), None);
    assert_eq!(refused.unwrap_err(), CreateProducerError::RoomState(RoomState::New));
    assert!(futures_util::FutureExt::now_or_never(room.join("alice", None)).is_none());
    assert_eq!(room.state(), RoomState::Joining);
    drop(room);
    runtime.shutdown_timeout(Duration::from_secs(5));
}
