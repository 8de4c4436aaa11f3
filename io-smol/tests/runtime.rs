//! What only smol has: executors of the application's own.

use std::sync::Arc;

use mediasoup_producer::v2::{CreateTransportError, RoomConfig, RoomState};
use mediasoup_producer_smol::v2::{Error, FromServer, Room, ToServer};
use mediasoup_producer_smol::{Options, Signalling, SignallingError, Smol, signalling};

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
fn an_executor_that_is_dropped_leaves_nobody_waiting() {
    let executor = Arc::new(smol::Executor::new());
    let room = Room::on(Smol::on(&executor), RoomConfig::default(), 1, Options::default(), silent());
    let mut joining = Box::pin(room.join("alice", None));
    assert!(futures_util::FutureExt::now_or_never(&mut joining).is_none());
    while executor.try_tick() {}
    assert_eq!(room.state(), RoomState::Joining);
    drop(executor);
    assert_eq!(room.create_transport(None).unwrap_err(), CreateTransportError::RoomState(RoomState::Closed));
    smol::block_on(async {
        assert!(joining.await.is_err());
        assert_eq!(room.join("alice", None).await, Err(Error::Stopped));
        room.close().await;
    });
}
