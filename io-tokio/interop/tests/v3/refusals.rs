//! What the server refuses, seen on the wire; and what this side refuses in its place.

use mediasoup_interop::io::v3::Error;
use mediasoup_interop::v3::{Player, Producer, Publisher, Server, Transport};
use mediasoup_interop::{clip, video_track};
use mediasoup_producer::Codec;
use mediasoup_producer::v3::{OperationError, ProduceError, ProduceOptions, RtpCodecCapability};
use serde_json::{Value, json};

/// Sends through a transport.
async fn sends(server: &Server, video: &Producer, transport: &Transport) {
    transport.connected().await;
    let player = Player::single(video, clip("low"));
    server.receiving(&video.server_id, 1).await;
    player.stop().await;
    video.arrived(server).await;
}

/// The server's words to a `produce` that was changed on its way. What is asked again unchanged is taken.
async fn refused(change: impl Fn(&mut Value) + Send + 'static) -> String {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server).await;
    let transport = publisher.transport(json!({})).await;
    let first = transport.produce(video_track(), ProduceOptions::default()).await;
    publisher.tamper(move |method, data| {
        if method == "produce" {
            change(data);
        }
    });
    let refused = transport.try_produce(video_track(), ProduceOptions::default()).await;
    let Err(Error::Failed(OperationError::Refused(refusal))) = refused else { panic!("it is refused") };
    publisher.tamper(|_, _| {});
    let second = transport.produce(video_track(), ProduceOptions::default()).await;
    sends(&server, &first, &transport).await;
    sends(&server, &second, &transport).await;
    println!("refused: {}", refusal.reason);
    refusal.reason
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_mid_that_is_taken() {
    let words = refused(|data| data["rtpParameters"]["mid"] = "0".into()).await;
    assert!(words.contains("MID already exists"), "{words}");
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn an_h264_profile_that_the_router_has_not() {
    let words = refused(|data| {
        let codec = &mut data["rtpParameters"]["codecs"][0];
        codec["mimeType"] = "video/H264".into();
        codec["parameters"] = json!({ "packetization-mode": 1, "profile-level-id": "640c1f" });
    })
    .await;
    assert!(words.contains("unsupported codec"), "{words}");
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_codec_that_the_router_has_not_is_refused_before_the_server_is_asked() {
    let server = Server::start(&["--codecs", "opus,H264-high"]).await;
    let publisher = Publisher::join(&server).await;
    let transport = publisher.transport(json!({})).await;
    let baseline: RtpCodecCapability = serde_json::from_value(json!({
        "kind": "video", "mimeType": "video/H264", "preferredPayloadType": 96, "clockRate": 90000,
        "parameters": { "packetization-mode": 1, "profile-level-id": "42e01f" },
    }))
    .expect("a capability");
    for options in [ProduceOptions::default().codec(Codec::Vp8), ProduceOptions::default().codec(baseline)] {
        let refused = transport.try_produce(video_track(), options).await;
        let Err(Error::Command(ProduceError::NoMatchingCodec(_))) = refused else { panic!("{refused:?}") };
    }
    assert!(server.asked("produce").await.is_empty());
}
