//! Pause, resume and close, from this side and from the server's, as an application wires them.

use mediasoup_interop::{Browser, eventually};
use mediasoup_producer::v3::ProducerEvent;
use serde_json::json;

use crate::Sending;

impl Sending {
    /// Nothing arrives while frames are refused; or it does, and none are.
    async fn flows(&self, flows: bool) {
        let packets = async || self.server.received(&self.video.server_id).await[0].packet_count;
        let (before, refused) = (packets().await, self.player.played().paused);
        if flows {
            eventually("more packets", async || (packets().await > before + 10).then_some(())).await;
            assert_eq!(self.player.played().paused, refused);
        } else {
            let sent = self.video.arrived(&self.server).await[0].packet_count;
            eventually("frames refused", async || (self.player.played().paused > refused + 15).then_some(())).await;
            assert_eq!(packets().await, sent);
        }
    }

    /// The next events of the producer after `mark`.
    async fn hears(&self, mark: usize, expected: &[ProducerEvent]) {
        eventually(&format!("{expected:?}"), async || (self.video.events(mark).len() >= expected.len()).then_some(()))
            .await;
        assert_eq!(self.video.events(mark), expected);
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn paused_here_and_resumed_here_or_there() {
    let (sending, browser) = tokio::join!(Sending::begin(), Browser::start());
    let viewer = browser.view_v3(&sending.server).await;
    viewer.sees_more().await;
    let target = json!({ "id": sending.video.server_id });
    for (pause_there, resume_there) in [(false, false), (true, true), (false, true), (true, false)] {
        let mark = sending.publisher.events.mark();
        match pause_there {
            true => drop(sending.server.control("pauseProducer", target.clone()).await),
            false => sending.video.pause().await,
        }
        sending.hears(mark, &[ProducerEvent::Pause]).await;
        assert_eq!(sending.server.producer(&sending.video.server_id).await["paused"], true);
        sending.flows(false).await;
        eventually("the viewer hears of it", async || (viewer.consumer("video").await["paused"] == true).then_some(()))
            .await;
        match resume_there {
            true => drop(sending.server.control("resumeProducer", target.clone()).await),
            false => sending.video.resume().await,
        }
        sending.hears(mark, &[ProducerEvent::Pause, ProducerEvent::Resume]).await;
        sending.flows(true).await;
        viewer.sees_more().await;
    }
    assert_eq!(sending.server.asked("pauseProducer").await.len(), 2);
    assert_eq!(sending.server.asked("resumeProducer").await.len(), 2);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn closed_here_or_there_it_is_closed_at_both_ends() {
    for there in [false, true] {
        let sending = Sending::begin().await;
        let id = &sending.video.server_id;
        let mark = sending.publisher.events.mark();
        match there {
            true => drop(sending.server.control("closeProducer", json!({ "id": id })).await),
            false => sending.video.close().await,
        }
        let heard = async || sending.video.events(mark).contains(&ProducerEvent::Close).then_some(());
        eventually("the close is heard", heard).await;
        eventually("closed there", async || sending.server.producer(id).await.is_null().then_some(())).await;
        let transport = sending.server.transport(&sending.transport.server_id).await;
        assert_eq!(transport["dtlsState"], "connected", "the transport stays");
        sending.player.stop().await;
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_transport_closed_here_closes_its_producer() {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    sending.transport.handle.close().expect("it is open");
    let heard = async || sending.video.events(mark).contains(&ProducerEvent::TransportClose).then_some(());
    eventually("the producer is closed", heard).await;
    // The server's side is the application's to close.
    let close = json!({ "transportId": sending.transport.server_id });
    sending.publisher.ask("closeTransport", close).await.expect("it is there");
    assert!(sending.server.producer(&sending.video.server_id).await.is_null());
    sending.player.stop().await;
}
