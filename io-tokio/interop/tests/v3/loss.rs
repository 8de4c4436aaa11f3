//! Loss on the way, and what repairs it.

use mediasoup_interop::v3::{Player, Producer, Publisher, Received, Server};
use mediasoup_interop::{Browser, Relay, Rule, Stream, audio_track, beat, clip, eventually, video_track};
use mediasoup_producer::v3::{EncodingOptions, ProduceOptions};
use serde_json::json;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn five_percent_of_loss_is_repaired() {
    loss_is_repaired(5).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn fifteen_percent_of_loss_is_repaired() {
    loss_is_repaired(15).await;
}

async fn loss_is_repaired(percent: u8) {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let mut relay = Relay::new(u64::from(percent), Rule::Lose(percent));
    let publisher = Publisher::join(&server).await;
    let viewer = browser.view_v3(&server).await;
    let transport = publisher.transport_through(&mut relay, json!({ "enableTcp": false })).await;
    let audio = transport.produce(audio_track(), ProduceOptions::default()).await;
    let encodings = [(); 3].map(|()| EncodingOptions::default());
    let video = transport.produce(video_track(), ProduceOptions::default().encodings(encodings)).await;
    // The handshake loses datagrams, too.
    transport.connected().await;

    // A viewer that comes or climbs to a higher layer wants key frames, and what is missing then is forgotten: nothing
    // shall be.
    relay.set(Rule::Lose(0));
    let players = [Player::single(&audio, beat()), Player::layers(&video, ["low", "medium", "high"].map(clip).into())];
    viewer.sees_width(640).await;
    viewer.hears_more().await;
    let before = server.receiving(&video.server_id, 3).await;

    relay.set(Rule::Lose(percent));
    eventually("repairs on every layer", async || {
        let received = server.received(&video.server_id).await;
        received.iter().all(|layer| layer.packets_repaired >= 2 * u64::from(percent)).then_some(())
    })
    .await;
    viewer.sees_more().await;
    viewer.hears_more().await;

    // While packets come, every gap shows.
    relay.set(Rule::Lose(0));
    let under_way = settle(&server, &relay, &video).await;
    for (layer, before) in under_way.iter().zip(&before) {
        let plis = layer.theirs.pli_count - before.pli_count;
        println!(
            "{percent}% under way, {:?}: {} of {} lost, {} repaired, {} missing; {plis} PLIs",
            layer.theirs.rid,
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
    let ended = settle(&server, &relay, &video).await;
    let (passed, lost) = relay.counts();
    println!("{percent}%: the relay passed {passed} datagrams and lost {lost}");
    for ((ours, layer), before) in video.sent().iter().zip(&ended).zip(&under_way) {
        println!(
            "{percent}% {:?}: {} sent and {} again; {} lost, {} repaired, {} missing, {} of them the last of all",
            layer.theirs.rid,
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
    let [of_audio] = &settle(&server, &relay, &audio).await[..] else { panic!("one stream of audio") };
    println!(
        "{percent}% audio: {} of {} lost, {} repaired",
        of_audio.path.lost,
        audio.sent()[0].packets_sent,
        of_audio.theirs.packets_repaired
    );
}

/// A stream as the relay and the server count it.
#[derive(Debug, Clone)]
struct Layer {
    path: Stream,
    theirs: Received,
}

impl Layer {
    /// What neither came by itself nor by retransmission.
    fn missing(&self) -> u64 {
        self.path.lost - self.theirs.packets_repaired
    }

    /// What came by itself.
    fn came(&self) -> u64 {
        self.theirs.packet_count - self.theirs.packets_repaired
    }
}

/// The streams of a producer, once the server has all that the relay passed and repairs no more.
async fn settle(server: &Server, relay: &Relay, producer: &Producer) -> Vec<Layer> {
    let (mut last, mut same) = (Vec::new(), 0);
    eventually("the counters agree, and repairs are over", async || {
        let theirs = server.received(&producer.server_id).await;
        let streams = relay.streams();
        let repaired: Vec<_> = theirs.iter().map(|one| one.packets_repaired).collect();
        same = if repaired == last { same + 1 } else { 0 };
        last = repaired;
        let layers: Vec<_> = theirs.into_iter().map(|theirs| Layer { path: streams[&theirs.ssrc], theirs }).collect();
        // The last question comes a second after the gap.
        let over = layers.iter().all(|layer| layer.missing() == 0) || same >= 15;
        // What passed since the server was asked may be on its way.
        let all = layers.iter().all(|layer| layer.path.passed - layer.came() <= 20);
        (over && all).then_some(layers)
    })
    .await
}
