//! Datagrams lost on the way, both ways: the server asks again, we send again, and the picture stays whole.
//!
//! What stays lost, by mediasoup's own rules (worker/src/RTC/NackGenerator.cpp):
//!
//! - The last packets of a stream: a gap shows by what comes after it.
//! - A packet that was asked for seven times in vain, every 150 ms: of a question and its answer both must come through,
//!   so at 15% that is about one lost packet in 8,000, at 5% one in ten million.
//! - What is missing when the server asks for a key frame (PLI): it forgets it, for the key frame makes it useless. The
//!   same with what is older than the last key frame but one.
//! - Audio: the server never asks for it again.
#![cfg(feature = "legacy-dtls")]

use std::collections::BTreeMap;

use mediasoup_interop::io::Options;
use mediasoup_interop::{
    Browser, Player, Publisher, Relay, Rule, Server, Stream, audio_track, beat, clip, eventually, layers, stock,
    tampered, video_track,
};
use mediasoup_producer::ProducerId;
use mediasoup_producer::v2::ProducerOptions;
use mediasoup_producer::v2::stats::InboundRtpStats;

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
    let publisher = Publisher::join_over(signalling, stock(), Options::default().tcp(false)).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    // The handshake loses datagrams, too.
    publisher.connected(&transport).await;

    // A viewer that comes or climbs to a higher layer wants key frames, and what is missing then is forgotten: nothing
    // shall be.
    relay.set(Rule::Lose(0));
    let players = [Player::single(&audio, beat()), Player::layers(&video, layers(clip))];
    viewer.sees_width(640).await;
    viewer.hears_more().await;
    let before = server.receiving(video.id(), 3).await;

    relay.set(Rule::Lose(percent));
    eventually("repairs on every layer", async || {
        let received = server.received(video.id()).await;
        received.iter().all(|layer| layer.packets_repaired >= 2 * u64::from(percent)).then_some(())
    })
    .await;
    viewer.sees_more().await;
    viewer.hears_more().await;

    // While packets come, every gap shows.
    relay.set(Rule::Lose(0));
    let under_way = settle(&server, &relay, video.id()).await;
    for layer in &under_way {
        let plis = before.iter().find(|one| one.ssrc == layer.theirs.ssrc).map_or(0, |one| one.pli_count);
        let plis = layer.theirs.pli_count - plis;
        println!(
            "{percent}% under way, SSRC {}: {} of {} lost, {} repaired, {} missing; {plis} PLIs",
            layer.theirs.ssrc,
            layer.path.lost,
            layer.path.passed + layer.path.lost,
            layer.theirs.packets_repaired,
            layer.missing()
        );
        // One may have been asked for in vain; at a PLI no more can be missing than were lost in the time of seven
        // questions.
        let forgotten = plis * (layer.path.lost / 5);
        assert!(layer.missing() <= 1 + forgotten, "{layer:?}");
    }

    // To the end of the streams.
    relay.set(Rule::Lose(percent));
    viewer.sees_more().await;
    for player in players {
        player.stop().await;
    }
    let stats = publisher.room.stats();
    assert_eq!((stats.rtp_refused, stats.rtcp_forged, stats.rtcp_replayed), (0, 0, 0), "{stats:?}");
    let ended = settle(&server, &relay, video.id()).await;
    let (passed, lost) = relay.counts();
    println!("{percent}%: the relay passed {passed} datagrams and lost {lost}");
    for ((ours, layer), before) in video.outbound_stats().iter().zip(&ended).zip(&under_way) {
        println!(
            "{percent}% {:?}: {} sent and {} again; {} lost, {} repaired, {} missing, {} of them the last of all",
            ours.layer,
            ours.packets_sent,
            ours.retransmitted_packets_sent,
            layer.path.lost,
            layer.theirs.packets_repaired,
            layer.missing(),
            layer.path.tail
        );
        assert_eq!(ours.ssrc, layer.theirs.ssrc);
        assert_eq!(ours.packets_sent, layer.path.passed + layer.path.lost);
        assert!(ours.retransmitted_packets_sent >= layer.theirs.packets_repaired);
        let plis = layer.theirs.pli_count - before.theirs.pli_count;
        let forgotten = plis * (layer.path.lost / 5);
        assert!(layer.missing() >= layer.path.tail, "{layer:?}");
        assert!(layer.missing() <= before.missing() + layer.path.tail + 1 + forgotten, "{layer:?}");
    }
    let [of_audio] = &settle(&server, &relay, audio.id()).await[..] else { panic!("one stream of audio") };
    println!("{percent}% audio: {} of {} lost", of_audio.path.lost, audio.outbound_stats()[0].packets_sent);
    assert_eq!((of_audio.theirs.packets_repaired, audio.outbound_stats()[0].retransmitted_packets_sent), (0, 0));
}

/// A stream as the relay and the server count it.
#[derive(Debug, Clone)]
struct Layer {
    path: Stream,
    theirs: InboundRtpStats,
}

impl Layer {
    /// What neither came by itself nor by retransmission.
    fn missing(&self) -> u64 {
        self.path.lost - self.theirs.packets_repaired
    }
}

/// The streams of a producer, once the server has all that the relay passed and repairs no more.
async fn settle(server: &Server, relay: &Relay, id: ProducerId) -> Vec<Layer> {
    let (mut last, mut same) = (Vec::new(), 0);
    eventually("the counters agree, and repairs are over", async || {
        let theirs = server.received(id).await;
        let streams: BTreeMap<u32, Stream> = relay.streams();
        let repaired: Vec<_> = theirs.iter().map(|one| one.packets_repaired).collect();
        same = if repaired == last { same + 1 } else { 0 };
        last = repaired;
        let layers: Vec<_> = theirs.into_iter().map(|theirs| Layer { path: streams[&theirs.ssrc], theirs }).collect();
        // The last question comes a second after the gap.
        let over = layers.iter().all(|layer| layer.missing() == 0) || same >= 15;
        // What passed since the server was asked may be on its way.
        let all = layers.iter().all(|layer| layer.path.passed - layer.theirs.packet_count <= 20);
        (over && all).then_some(layers)
    })
    .await
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_path_cut_for_long_is_lost_and_found_again() {
    let server = Server::start(&[]).await;
    let relay = Relay::new(1, Rule::Lose(0));
    let signalling = tampered(&server.url(mediasoup_interop::PEER), relay.clone()).await;
    let publisher = Publisher::join_over(signalling, stock(), Options::default().tcp(false)).await;
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
    player.stop().await;
}
