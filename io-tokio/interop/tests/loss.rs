//! Datagrams lost on the way, both ways: the server asks again, we send again, and the picture stays whole.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{
    Browser, Player, Publisher, Relay, Rule, Server, audio_track, beat, clip, eventually, layers, tampered, video_track,
};
use mediasoup_producer::{ProducerOptions, RoomConfig};
use mediasoup_producer_tokio::Options;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn losses_of_5_percent_are_repaired_on_every_layer() {
    losses_are_repaired(5).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn losses_of_15_percent_are_repaired_on_every_layer() {
    losses_are_repaired(15).await;
}

async fn losses_are_repaired(percent: u8) {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let relay = Relay::new(percent.into(), Rule::Lose(percent));
    let signalling = tampered(&server.url(mediasoup_interop::PEER), relay.clone()).await;
    let publisher = Publisher::join_over(signalling, RoomConfig::default(), Options::default().tcp(false)).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    // The handshake loses datagrams, too.
    publisher.connected(&transport).await;
    let players = [Player::single(&audio, beat()), Player::layers(&video, layers(clip))];

    eventually("repairs on every layer", async || {
        let received = server.received(video.id()).await;
        (received.len() == 3 && received.iter().all(|layer| layer.packets_repaired >= 2 * u64::from(percent)))
            .then_some(())
    })
    .await;
    viewer.sees_more().await;
    viewer.hears_more().await;

    // What is on its way is repaired still.
    for player in players {
        player.stop().await;
    }
    let settled = settle(&server, video.id()).await;
    let sent = video.outbound_stats();
    let stats = publisher.room.stats();
    assert_eq!((stats.rtp_refused, stats.rtcp_forged, stats.rtcp_replayed), (0, 0, 0), "{stats:?}");
    let (passed, lost) = relay.counts();
    println!("{percent}%: the relay passed {passed} datagrams and lost {lost}");
    for (ours, theirs) in sent.iter().zip(&settled) {
        println!(
            "{percent}% {:?}: sent {} and {} again; server: {} received, {} repaired, {} NACKs, {} lost at first (reported to us: {})",
            ours.profile,
            ours.packets_sent,
            ours.retransmitted_packets_sent,
            theirs.packet_count,
            theirs.packets_repaired,
            theirs.nack_count,
            theirs.packets_lost,
            ours.remote_packets_lost
        );
        assert!(ours.retransmitted_packets_sent >= theirs.packets_repaired);
        // mediasoup counts what was repaired apart, and what was lost before it was repaired.
        // mediasoup counts what was repaired apart, now and then one of them twice. It gives up on what is older than
        // the last key frame but one, and never asks for the very last packets: nothing after them shows the gap.
        let arrived = theirs.packet_count + theirs.packets_repaired;
        let missing = ours.packets_sent.saturating_sub(arrived);
        println!("    {missing} missing in the end");
        assert!(missing * 100 <= ours.packets_sent * 2 + 300, "{missing} missing");
    }
}

/// The server's counters, once they stand still.
async fn settle(
    server: &Server,
    id: mediasoup_producer::ProducerId,
) -> Vec<mediasoup_producer::stats::InboundRtpStats> {
    let mut last = server.received(id).await;
    let mut same = 0;
    eventually("the counters stand still", async || {
        let now = server.received(id).await;
        let counts = |all: &[mediasoup_producer::stats::InboundRtpStats]| {
            all.iter().map(|one| (one.packet_count, one.packets_repaired)).collect::<Vec<_>>()
        };
        same = if counts(&now) == counts(&last) { same + 1 } else { 0 };
        last = now;
        (same >= 10).then(|| last.clone())
    })
    .await
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_path_cut_for_long_is_lost_and_found_again() {
    let server = Server::start(&[]).await;
    let relay = Relay::new(1, Rule::Lose(0));
    let signalling = tampered(&server.url(mediasoup_interop::PEER), relay.clone()).await;
    let publisher = Publisher::join_over(signalling, RoomConfig::default(), Options::default().tcp(false)).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&video, clip("low"));
    server.receiving(video.id(), 1).await;

    use mediasoup_producer::ConnectionState::{Connected, Disconnected};
    let mark = publisher.events.mark();
    relay.set(Rule::Cut);
    eventually("the loss is noticed", async || {
        (publisher.events.states(mark, transport.id()) == [Disconnected]).then_some(())
    })
    .await;
    let before = server.received(video.id()).await[0].packet_count;
    relay.set(Rule::Lose(0));
    eventually("the path is found again", async || {
        (publisher.events.states(mark, transport.id()) == [Disconnected, Connected]).then_some(())
    })
    .await;
    eventually("media arrives", async || {
        (server.received(video.id()).await[0].packet_count > before + 10).then_some(())
    })
    .await;
    assert!(player.played().taken > 0);
}
