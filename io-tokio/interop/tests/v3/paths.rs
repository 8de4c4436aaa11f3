//! How the datagrams travel: ICE restarts, new addresses, TCP, IPv6, names.

use mediasoup_interop::v3::{Publisher, Server};
use mediasoup_interop::{Browser, CLIP_FRAMES, Relay, Rule, Viewer, assert_smooth, eventually};
use mediasoup_producer::ConnectionState::{Connected, Disconnected};
use serde_json::json;

use crate::Sending;

/// The pictures that come while something is done, whole and without a freeze.
async fn undisturbed(viewer: &Viewer<'_>, what: impl Future<Output = ()>) {
    let (pictures, ()) = tokio::join!(viewer.watch(90), what);
    assert_smooth(&pictures, CLIP_FRAMES);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn an_ice_restart_disturbs_nothing() {
    let (sending, browser) = tokio::join!(Sending::begin(), Browser::start());
    let viewer = browser.view_v3(&sending.server).await;
    viewer.sees_more().await;
    let mark = sending.publisher.events.mark();
    for _ in 0..2 {
        undisturbed(&viewer, sending.transport.restart_ice()).await;
    }
    assert_eq!(sending.server.asked("restartIce").await.len(), 2);
    assert!(sending.transport.states(mark).is_empty());
    sending.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_new_address_of_ours_is_taken_up() {
    let (sending, browser) = tokio::join!(Sending::over(json!({ "enableTcp": false })), Browser::start());
    let viewer = browser.view_v3(&sending.server).await;
    viewer.sees_more().await;
    for _ in 0..3 {
        let before = sending.tuple().await;
        undisturbed(&viewer, async {
            sending.transport.handle.rebind().expect("it is open");
            eventually("the server has the new address", async || {
                (sending.tuple().await["remotePort"] != before["remotePort"]).then_some(())
            })
            .await;
        })
        .await;
    }
    sending.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_tcp_alone() {
    let (sending, browser) = tokio::join!(Sending::over(json!({ "enableUdp": false })), Browser::start());
    assert_eq!(sending.tuple().await["protocol"], "tcp");
    let viewer = browser.view_v3(&sending.server).await;
    viewer.sees_more().await;
    undisturbed(&viewer, async {}).await;
    sending.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_ipv6() {
    let (sending, browser) = tokio::join!(Sending::over(json!({ "ips": ["::1"] })), Browser::start());
    assert_eq!(sending.tuple().await["localAddress"], "::1");
    let viewer = browser.view_v3(&sending.server).await;
    viewer.sees_more().await;
    sending.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn to_a_server_that_announces_its_name() {
    let server = Server::start(&["--announced-address", "localhost"]).await;
    let publisher = Publisher::join(&server).await;
    let transport = publisher.transport(json!({})).await;
    Sending::on(server, publisher, transport).await.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn tcp_takes_over_where_udp_does_not_get_through() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server).await;
    let mut relay = Relay::new(1, Rule::Cut);
    let transport = publisher.transport_through(&mut relay, json!({})).await;
    let sending = Sending::on(server, publisher, transport).await;
    assert_eq!(sending.tuple().await["protocol"], "tcp");
    assert!(relay.counts().1 > 0, "UDP was tried");
    sending.all_arrived().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn tcp_takes_over_when_udp_is_cut_under_way() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server).await;
    let mut relay = Relay::new(1, Rule::Lose(0));
    let transport = publisher.transport_through(&mut relay, json!({})).await;
    let sending = Sending::on(server, publisher, transport).await;
    assert_eq!(sending.tuple().await["protocol"], "udp");
    relay.set(Rule::Cut);
    let cut = tokio::time::Instant::now();
    eventually("the server has TCP", async || (sending.tuple().await["protocol"] == "tcp").then_some(())).await;
    let taken_over = cut.elapsed();
    let packets = async || sending.server.received(&sending.video.server_id).await[0].packet_count;
    let before = packets().await;
    eventually("media arrives", async || (packets().await > before + 10).then_some(())).await;
    println!("TCP took over after {taken_over:?}, media came over it after {:?}", cut.elapsed());
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_path_cut_for_long_is_lost_and_found_again() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server).await;
    let mut relay = Relay::new(1, Rule::Lose(0));
    let transport = publisher.transport_through(&mut relay, json!({ "enableTcp": false })).await;
    let sending = Sending::on(server, publisher, transport).await;
    let mark = sending.publisher.events.mark();
    for (rule, states) in [(Rule::Cut, &[Disconnected][..]), (Rule::Lose(0), &[Disconnected, Connected])] {
        relay.set(rule);
        eventually(&format!("{rule:?}"), async || (sending.transport.states(mark) == states).then_some(())).await;
    }
    let packets = async || sending.server.received(&sending.video.server_id).await[0].packet_count;
    let before = packets().await;
    eventually("media arrives", async || (packets().await > before + 10).then_some(())).await;
}
