//! The modern DTLS: works with a server that has an ECDSA certificate; with a stock one it fails at once and says why.

use std::time::Duration;

use mediasoup_interop::io::v2::{ConnectedError, Error, Event, ProtooConnector};
use mediasoup_interop::io::{Options, SignallingError};
use mediasoup_interop::{
    Browser, PATIENCE, PEER, Player, Publisher, Server, audio_track, beat, clip, video_track, within,
};
use mediasoup_producer::DtlsRole;
use mediasoup_producer::v2::stats::RoomStats;
use mediasoup_producer::v2::{
    Event as RoomEvent, ProducerEvent, ProducerOptions, RoomConfig, SendFailure, TransportEvent,
};
use mediasoup_producer::{CertificateRefusal, ConnectionState, DtlsFailure, Originator};
use tokio::time::Instant;

/// The default, whatever features are on.
fn modern(role: DtlsRole) -> RoomConfig {
    RoomConfig::default().dtls_role(role)
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_tls_a_self_signed_certificate_is_taken_when_told_to() {
    let server = Server::start(&["--tls", "--cert", "ecdsa"]).await;
    let error = ProtooConnector::new().connect(&server.tls_url(PEER)).await.expect_err("nobody vouches for it");
    println!("{error}");
    let SignallingError::Tls { reason, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains("certificate"), "{error:?}");

    let connector = ProtooConnector::new().accept_any_certificate(true);
    let signalling = connector.connect(&server.tls_url(PEER)).await.expect("told to take it");
    let config = modern(DtlsRole::Client);
    let publisher = Publisher::join_over(signalling, config, Options::default()).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&audio, beat());
    server.receiving(audio.id(), 1).await;
    player.stop().await;
    publisher.arrived(&server, &audio).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn an_ecdsa_certificate_is_taken_as_dtls_client() {
    ecdsa(DtlsRole::Client).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn an_ecdsa_certificate_is_taken_as_dtls_server() {
    ecdsa(DtlsRole::Server).await;
}

async fn ecdsa(role: DtlsRole) {
    let (server, browser) = tokio::join!(Server::start(&["--cert", "ecdsa"]), Browser::start());
    let publisher = Publisher::join(&server, modern(role)).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let players = [Player::single(&audio, beat()), Player::single(&video, clip("medium"))];
    viewer.sees_more().await;
    viewer.hears_more().await;
    for player in players {
        player.stop().await;
    }
    for producer in [&audio, &video] {
        let sent = publisher.arrived(&server, producer).await;
        println!("{role:?} {:?}: {} packets at both ends", producer.kind(), sent[0].packets_sent);
    }
    // The real server's words are all taken (of DTLS its last flight may come twice).
    let RoomStats { stun_refused, rtp_refused, rtcp_forged, rtcp_replayed, .. } = publisher.room.stats();
    assert_eq!((stun_refused, rtp_refused, rtcp_forged, rtcp_replayed), (0, 0, 0, 0));
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_stock_certificate_is_refused_with_cause_and_remedy_as_dtls_client() {
    stock_is_refused(DtlsRole::Client, &[CertificateRefusal::NoCommonCipher]).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_stock_certificate_is_refused_with_cause_and_remedy_as_dtls_server() {
    stock_is_refused(DtlsRole::Server, &[CertificateRefusal::NotShown, CertificateRefusal::NotEcdsa]).await;
}

async fn stock_is_refused(role: DtlsRole, expected: &[CertificateRefusal]) {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server, modern(role)).await;
    let transport = publisher.transport();
    let begun = Instant::now();
    // The handshake begins with the server's transport, and may have failed before the producer is there.
    let audio = publisher.room.create_producer(audio_track(), ProducerOptions::default(), None).unwrap();
    let sent = audio.send(&transport).await;
    let (at, cause) = publisher
        .events
        .wait_since(0, "the failure", |event| match event {
            Event::Room(RoomEvent::Transport { id, event: TransportEvent::Failed { cause } })
                if *id == transport.id() =>
            {
                Some(cause.clone())
            }
            _ => None,
        })
        .await;
    let error = within(PATIENCE, "the failure", transport.connected()).await.expect_err("no connection");
    assert!(matches!(error, ConnectedError::State(ConnectionState::Failed | ConnectionState::Closed)), "{error:?}");
    println!("{role:?}: after {:?}: {cause}", at - begun);
    let DtlsFailure::WeakCertificate { refusal } = cause else { panic!("{cause:?}") };
    assert!(expected.contains(&refusal), "{refusal:?}");
    // As soon as the handshake shows it: no timeout here is shorter than ten seconds.
    assert!(at - begun < Duration::from_secs(5), "{:?}", at - begun);
    let text = cause.to_string();
    assert!(text.contains("dtlsCertificateFile"), "{text}");
    assert!(text.contains("RoomConfig::dtls_backend(DtlsBackend::Legacy)"), "{text}");
    assert_eq!(text.contains("feature `legacy-dtls`"), !cfg!(feature = "legacy-dtls"), "{text}");

    // The transport closes; the producer is free for another.
    publisher
        .events
        .wait("the close", |event| {
            let closed = TransportEvent::Close { originator: Originator::Local, app_data: None };
            (*event == Event::Room(RoomEvent::Transport { id: transport.id(), event: closed })).then_some(())
        })
        .await;
    match sent {
        Ok(()) => {
            assert_eq!(publisher.events.producer(0, audio.id()), [ProducerEvent::Handled, ProducerEvent::Unhandled]);
        }
        Err(error) => {
            assert_eq!(error, Error::Failed(SendFailure::TransportClosed));
            assert!(publisher.events.producer(0, audio.id()).is_empty());
        }
    }
    assert!(!audio.closed() && !audio.handled());
    mediasoup_interop::eventually("the server has closed it, too", async || {
        server.transport(transport.id()).await.is_null().then_some(())
    })
    .await;
}
