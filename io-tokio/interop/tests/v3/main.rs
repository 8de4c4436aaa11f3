//! Against a real mediasoup v3 server.

mod bandwidth;
mod codecs;
mod endings;
mod loss;
mod matching;
mod paths;
mod pause_and_close;
mod program;
mod refusals;
mod simulcast;
mod tracks;

use mediasoup_interop::v3::{Player, Producer, Publisher, Server, Transport};
use mediasoup_interop::{Browser, clip, video_track};
use mediasoup_producer::v3::ProduceOptions;
use serde_json::{Value, json};

/// A video under way.
struct Sending {
    server: Server,
    publisher: Publisher,
    transport: Transport,
    video: Producer,
    player: mediasoup_interop::Player,
}

impl Sending {
    async fn begin() -> Self {
        Self::over(json!({})).await
    }

    /// Over a transport that the server makes with these options.
    async fn over(options: Value) -> Self {
        let server = Server::start(&[]).await;
        let publisher = Publisher::join(&server).await;
        let transport = publisher.transport(options).await;
        Self::on(server, publisher, transport).await
    }

    async fn on(server: Server, publisher: Publisher, transport: Transport) -> Self {
        let video = transport.produce(video_track(), ProduceOptions::default()).await;
        transport.connected().await;
        let player = Player::single(&video, clip("medium"));
        server.receiving(&video.server_id, 1).await;
        Self { server, publisher, transport, video, player }
    }

    /// What the server sends to and receives from.
    async fn tuple(&self) -> Value {
        self.server.transport(&self.transport.server_id).await["iceSelectedTuple"].take()
    }

    /// Nothing was lost on the way.
    async fn all_arrived(self) {
        self.player.stop().await;
        let received = self.video.arrived(&self.server).await;
        println!("{} packets at both ends", received[0].packet_count);
    }
}

/// A server and a browser, which take their time to start.
async fn both(arguments: &[&str]) -> (Server, Browser) {
    tokio::join!(Server::start(arguments), Browser::start())
}
