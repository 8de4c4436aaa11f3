//! How the datagrams travel: ICE restarts, new addresses, TCP, IPv6.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::io::Options;
use mediasoup_interop::io::v2::{Producer, Transport};
use mediasoup_interop::{
    Browser, CLIP_FRAMES, PEER, Player, Publisher, Relay, Rule, Server, Viewer, assert_smooth, clip, eventually, stock,
    tampered, video_track,
};
use mediasoup_producer::v2::{ProducerOptions, TransportOptions};
use serde_json::{Value, json};

struct Sending {
    publisher: Publisher,
    transport: Transport,
    video: Producer,
    player: Player,
}

async fn begin(server: &Server, publisher: Publisher) -> Sending {
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&video, clip("medium"));
    server.receiving(video.id(), 1).await;
    Sending { publisher, transport, video, player }
}

impl Sending {
    async fn tuple(&self, server: &Server) -> Value {
        server.transport(self.transport.id()).await["iceSelectedTuple"].take()
    }

    /// Nothing was lost on the way.
    async fn all_arrived(self, server: &Server) {
        self.player.stop().await;
        let sent = self.publisher.arrived(server, &self.video).await[0].packets_sent;
        println!("{sent} packets at both ends");
    }
}

/// The pictures that come while something is done, whole and without a freeze.
async fn undisturbed(viewer: &Viewer<'_>, what: impl Future<Output = ()>) {
    let (pictures, ()) = tokio::join!(viewer.watch(90), what);
    assert_smooth(&pictures, CLIP_FRAMES);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn an_ice_restart_disturbs_nothing() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let sending = begin(&server, Publisher::join(&server, stock()).await).await;
    let viewer = browser.view(&server).await;
    viewer.sees_more().await;
    let mark = sending.publisher.events.mark();
    undisturbed(&viewer, async { sending.transport.restart_ice().await.expect("the server restarts ICE") }).await;
    undisturbed(&viewer, async { sending.publisher.room.restart_ice().await.expect("every transport restarts ICE") })
        .await;
    assert_eq!(server.messages("restartTransport").await.len(), 2);
    assert!(sending.publisher.events.states(mark, sending.transport.id()).is_empty());
    sending.all_arrived(&server).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_new_address_of_ours_is_taken_up() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let sending = begin(&server, Publisher::join(&server, stock()).await).await;
    let viewer = browser.view(&server).await;
    viewer.sees_more().await;
    for _ in 0..3 {
        let before = sending.tuple(&server).await;
        undisturbed(&viewer, async {
            sending.transport.rebind().expect("an open transport");
            eventually("the server has the new address", async || {
                let now = sending.tuple(&server).await;
                (now["remotePort"] != before["remotePort"] && now["protocol"] == "udp").then_some(())
            })
            .await;
        })
        .await;
    }
    assert_eq!(sending.publisher.room.io_stats().datagrams_dropped, 0);
    sending.all_arrived(&server).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_tcp_alone() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let options = TransportOptions { udp: Some(false), tcp: Some(true), ..TransportOptions::default() };
    let config = stock().transport_options(options);
    let sending = begin(&server, Publisher::join(&server, config).await).await;
    assert_eq!(sending.tuple(&server).await["protocol"], "tcp");
    let viewer = browser.view(&server).await;
    viewer.sees_more().await;
    undisturbed(&viewer, async {}).await;
    sending.all_arrived(&server).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn udp_is_preferred_where_both_get_through() {
    let server = Server::start(&[]).await;
    let options = TransportOptions { prefer_udp: Some(true), ..TransportOptions::default() };
    let config = stock().transport_options(options);
    let sending = begin(&server, Publisher::join(&server, config).await).await;
    assert_eq!(sending.tuple(&server).await["protocol"], "udp");
    sending.all_arrived(&server).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn tcp_takes_over_where_udp_does_not_get_through() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let relay = Relay::new(1, Rule::Cut);
    let signalling = tampered(&server.url(PEER), relay.clone()).await;
    let options = TransportOptions { prefer_udp: Some(true), ..TransportOptions::default() };
    let config = stock().transport_options(options);
    let publisher = Publisher::join_over(signalling, config, Options::default()).await;
    let sending = begin(&server, publisher).await;
    assert_eq!(sending.tuple(&server).await["protocol"], "tcp");
    assert!(relay.counts().1 > 0, "UDP was tried");
    let viewer = browser.view(&server).await;
    viewer.sees_more().await;
    sending.all_arrived(&server).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn tcp_takes_over_when_udp_is_cut_under_way() {
    let server = Server::start(&[]).await;
    let relay = Relay::new(1, Rule::Lose(0));
    let signalling = tampered(&server.url(PEER), relay.clone()).await;
    let options = TransportOptions { prefer_udp: Some(true), ..TransportOptions::default() };
    let config = stock().transport_options(options);
    let publisher = Publisher::join_over(signalling, config, Options::default()).await;
    let sending = begin(&server, publisher).await;
    assert_eq!(sending.tuple(&server).await["protocol"], "udp");
    relay.set(Rule::Cut);
    let cut = tokio::time::Instant::now();
    eventually("the server has TCP", async || (sending.tuple(&server).await["protocol"] == "tcp").then_some(())).await;
    let taken_over = cut.elapsed();
    let before = server.received(sending.video.id()).await[0].packet_count;
    eventually("media arrives", async || {
        (server.received(sending.video.id()).await[0].packet_count > before + 10).then_some(())
    })
    .await;
    println!("TCP took over after {taken_over:?}, media came over it after {:?}", cut.elapsed());
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_ipv6() {
    let (server, browser) = tokio::join!(Server::start(&["--listen-ip", "::1"]), Browser::start());
    let sending = begin(&server, Publisher::join(&server, stock()).await).await;
    assert_eq!(sending.tuple(&server).await["localIP"], "::1");
    let viewer = browser.view(&server).await;
    viewer.sees_more().await;
    sending.all_arrived(&server).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn the_preferred_family_is_used_where_there_are_two() {
    let server = Server::start(&["--listen-ip", "::1", "--listen-ip", "127.0.0.1"]).await;
    for (prefer_ipv6, ip) in [(true, "::1"), (false, "127.0.0.1")] {
        let options = TransportOptions {
            prefer_ipv6: Some(prefer_ipv6),
            prefer_ipv4: Some(!prefer_ipv6),
            prefer_udp: Some(true),
            ..TransportOptions::default()
        };
        let publisher = Publisher::join(&server, stock().transport_options(options)).await;
        let sending = begin(&server, publisher).await;
        let tuple = sending.tuple(&server).await;
        assert_eq!((&tuple["localIP"], &tuple["protocol"]), (&json!(ip), &json!("udp")));
        sending.publisher.room.close().await;
        eventually("gone", async || server.peer().await.is_null().then_some(())).await;
    }
}
