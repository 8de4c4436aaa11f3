//! The server's worker dies, the WebSocket is cut: the transport is lost, and another can be made.

use mediasoup_interop::eventually;
use mediasoup_interop::v3::Publisher;
use mediasoup_producer::ConnectionState::Disconnected;
use serde_json::json;

use crate::Sending;

impl Sending {
    /// The same again, by another application.
    async fn again(self) -> Self {
        let Self { server, player, .. } = self;
        player.stop().await;
        let publisher = Publisher::join(&server).await;
        let transport = publisher.transport(json!({})).await;
        Self::on(server, publisher, transport).await
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_killed_worker_is_noticed_and_another_takes_us() {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    sending.server.control("killWorker", json!({})).await;
    let noticed = async || sending.transport.states(mark).contains(&Disconnected).then_some(());
    eventually("nobody answers any more", noticed).await;
    sending.again().await.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_cut_websocket_is_noticed_and_the_server_takes_us_again() {
    for polite in [false, true] {
        let sending = Sending::begin().await;
        let mark = sending.publisher.events.mark();
        sending.server.control("dropSocket", json!({ "polite": polite })).await;
        // The server closes what was made over it.
        eventually("the transport is lost", async || (!sending.transport.states(mark).is_empty()).then_some(())).await;
        println!("polite {polite}: {:?}", sending.transport.states(mark));
        eventually("the server forgets us", async || sending.server.peer().await.is_null().then_some(())).await;
        sending.again().await.all_arrived().await;
    }
}
