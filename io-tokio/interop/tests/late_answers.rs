//! The server's worker is stopped: what it is asked for comes late, or is closed before it is there. Nothing is left behind.
#![cfg(feature = "legacy-dtls")]

use std::time::Duration;

use mediasoup_interop::io::v2::{Error, Producer, Transport};
use mediasoup_interop::{Player, Publisher, Server, audio_track, beat, clip, eventually, stock, video_track, within};
use mediasoup_producer::ConnectionState;
use mediasoup_producer::v2::{ProducerOptions, RequestFailure, SendFailure};
use serde_json::{Value, json};

/// How long we wait for an answer. The server gives up on its worker after 20 s.
const PATIENCE: Duration = Duration::from_secs(2);

async fn joined(server: &Server) -> Publisher {
    Publisher::join(server, stock().request_timeout(PATIENCE)).await
}

async fn stop(server: &Server) {
    server.control("stopWorker", json!({})).await;
}

async fn go_on(server: &Server) {
    server.control("continueWorker", json!({})).await;
}

fn producer(publisher: &Publisher) -> Producer {
    publisher.room.create_producer(audio_track(), ProducerOptions::default(), None).expect("it can be made")
}

fn assert_timed_out(result: Result<(), impl std::error::Error>, what: &str) {
    let timed_out = RequestFailure::TimedOut { method: what.to_owned() };
    assert_eq!(result.map_err(|error| error.to_string()), Err(timed_out.to_string()));
}

/// Waits until the server has answered so many requests of a method since the beginning, well or not.
async fn answered(server: &Server, method: &str, count: usize) {
    eventually(&format!("{count} answers to {method}"), async || {
        let messages = server.events(&["message"]).await;
        let of_method = |event: &&Value| event["type"] == "request" && event["msg"]["method"] == method;
        let asked: Vec<_> = messages.iter().filter(of_method).map(|event| &event["id"]).collect();
        let responses = messages.iter().filter(|event| event["type"] == "response" && asked.contains(&&event["id"]));
        (responses.count() >= count).then_some(())
    })
    .await;
}

/// The server, and its worker, have these and nothing else.
async fn has(server: &Server, transports: &[&Transport], producers: &[&Producer]) {
    let ids = |list: &Value, key: &str| {
        let mut ids: Vec<_> = list.as_array().into_iter().flatten().filter_map(|one| one[key].as_u64()).collect();
        ids.sort_unstable();
        ids
    };
    let sorted = |mut ids: Vec<u64>| {
        ids.sort_unstable();
        ids
    };
    let wanted = (
        sorted(transports.iter().map(|transport| transport.id().value().into()).collect()),
        sorted(producers.iter().map(|producer| producer.id().value().into()).collect()),
    );
    eventually(&format!("the server has {wanted:?}"), async || {
        let peer = server.peer().await;
        let dump = server.control("dumpRoom", json!({})).await;
        let known = (ids(&peer["transports"], "id"), ids(&peer["producers"], "id"));
        let made = (ids(&dump["transports"], "transportId"), ids(&dump["producers"], "producerId"));
        (known == wanted && made == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn closed_before_the_server_has_made_it() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server, stock()).await;

    // In one breath, with a worker that is as fast as it can be.
    let (transport, audio) = (publisher.transport(), producer(&publisher));
    let (sent, closed) = tokio::join!(audio.send(&transport), async { transport.close(None) });
    assert!(matches!(sent, Err(Error::Failed(SendFailure::TransportClosed))), "{sent:?}");
    closed.unwrap();
    answered(&server, "createTransport", 1).await;
    has(&server, &[], &[]).await;

    // A transport, then a producer, of a worker that does not answer yet.
    stop(&server).await;
    let transport = publisher.transport();
    let (sent, closed) = tokio::join!(audio.send(&transport), async { transport.close(None) });
    assert!(sent.is_err() && closed.is_ok());
    go_on(&server).await;
    answered(&server, "createTransport", 2).await;
    has(&server, &[], &[]).await;

    let transport = publisher.transport();
    let first = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    has(&server, &[&transport], &[&first]).await;
    stop(&server).await;
    let (sent, closed) = tokio::join!(audio.send(&transport), async { transport.close(None) });
    assert!(sent.is_err() && closed.is_ok());
    go_on(&server).await;
    answered(&server, "createProducer", 2).await;
    has(&server, &[], &[]).await;
    publisher.room.close().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn made_after_we_have_given_up() {
    let server = Server::start(&[]).await;
    let publisher = joined(&server).await;
    let (transport, audio) = (publisher.transport(), producer(&publisher));
    stop(&server).await;
    assert_timed_out(audio.send(&transport).await, "createTransport");
    go_on(&server).await;
    answered(&server, "createTransport", 1).await;
    has(&server, &[], &[]).await;

    // Asked for again while the worker is stopped: under the same id it is refused at first.
    stop(&server).await;
    assert_timed_out(audio.send(&transport).await, "createTransport");
    let (sent, ()) = tokio::join!(audio.send(&transport), go_on(&server));
    sent.expect("the way is clear");
    has(&server, &[&transport], &[&audio]).await;
    publisher.connected(&transport).await;
    let player = Player::single(&audio, beat());
    server.receiving(audio.id(), 1).await;

    let video = publisher.room.create_producer(video_track(), ProducerOptions::default(), None).unwrap();
    stop(&server).await;
    assert_timed_out(video.send(&transport).await, "createProducer");
    go_on(&server).await;
    let asked = server.messages("createProducer").await.len();
    answered(&server, "createProducer", asked).await;
    has(&server, &[&transport], &[&audio]).await;

    stop(&server).await;
    assert_timed_out(video.send(&transport).await, "createProducer");
    let (sent, ()) = tokio::join!(video.send(&transport), go_on(&server));
    sent.expect("the way is clear");
    has(&server, &[&transport], &[&audio, &video]).await;
    let picture = Player::single(&video, clip("low"));
    server.receiving(video.id(), 1).await;
    player.stop().await;
    picture.stop().await;
    publisher.room.close().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn new_ice_credentials_after_we_have_given_up() {
    let server = Server::start(&[]).await;
    let publisher = joined(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&audio, beat());
    server.receiving(audio.id(), 1).await;
    stop(&server).await;
    assert_timed_out(transport.restart_ice().await, "restartTransport");
    go_on(&server).await;
    answered(&server, "restartTransport", 1).await;
    // Without the new ones the server answers no check any more, and the path is lost within this time.
    let mark = publisher.events.mark();
    let lost = async {
        eventually("the path is lost", async || {
            let states = publisher.events.states(mark, transport.id());
            states.contains(&ConnectionState::Disconnected).then_some(())
        })
        .await;
    };
    let lost = tokio::time::timeout(Duration::from_secs(25), lost).await;
    assert!(lost.is_err() || transport.connection_state() == ConnectionState::Connected, "the path is lost");
    within(Duration::from_secs(5), "it is connected", transport.connected()).await.unwrap();
    player.stop().await;
    publisher.arrived(&server, &audio).await;
    publisher.room.close().await;
}
