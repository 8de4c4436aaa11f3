//! protoo over WebSocket with somebody in between who may change what is said.

use crate::io::v2::{FromServer, ToServer};
use crate::io::{Signalling, SignallingError, signalling};
use futures_util::{SinkExt, StreamExt, sink, stream};
use mediasoup_producer::protoo::{Protoo, SUBPROTOCOL};
use mediasoup_producer::v2::Input;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What is done to messages on their way.
pub trait Tampering: Send + 'static {
    /// Changes a mediasoup message (request or notification) before the server gets it.
    fn to_server(&mut self, _message: &mut Value) {}

    /// Changes the payload of a response before we get it.
    fn response(&mut self, _data: &mut Value) {}
}

/// A function changes what the server gets.
impl<F: FnMut(&mut Value) + Send + 'static> Tampering for F {
    fn to_server(&mut self, message: &mut Value) {
        self(message);
    }
}

/// A connection to a room with somebody in between.
pub async fn tampered(url: &str, tampering: impl Tampering) -> impl Signalling<ToServer, FromServer> {
    let mut request = url.into_client_request().expect("a valid URL");
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("a valid header"));
    let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("the server is there");
    let (to_us, mut from_server) = mpsc::unbounded_channel();
    let (from_us, to_server) = mpsc::unbounded_channel();
    tokio::spawn(carry(socket, to_server, to_us, tampering));
    let sink = sink::unfold(from_us, async |from_us: mpsc::UnboundedSender<ToServer>, message| {
        from_us.send(message).map_err(|_| SignallingError::Closed { reason: None })?;
        Ok(from_us)
    });
    signalling::join(stream::poll_fn(move |cx| from_server.poll_recv(cx)), Box::pin(sink))
}

async fn carry(
    mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut from_us: mpsc::UnboundedReceiver<ToServer>,
    to_us: mpsc::UnboundedSender<Result<FromServer, SignallingError>>,
    mut tampering: impl Tampering,
) {
    let mut protoo = Protoo::new();
    loop {
        tokio::select! {
            message = from_us.recv() => {
                let text = match message {
                    Some(ToServer::Request { id, request }) => protoo.request(id, &request),
                    Some(ToServer::Notification(notification)) => protoo.notification(&notification),
                    None => break,
                };
                let mut frame: Value = serde_json::from_str(&text).expect("we speak JSON");
                tampering.to_server(&mut frame["data"]);
                if socket.send(Message::text(frame.to_string())).await.is_err() {
                    break;
                }
            }
            message = socket.next() => {
                let text = match message {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => continue,
                };
                let mut frame: Value = serde_json::from_str(&text).expect("the server speaks JSON");
                if frame["response"] == true && frame["ok"] == true {
                    tampering.response(&mut frame["data"]);
                }
                let received = protoo.receive(&frame.to_string()).expect("the server speaks protoo");
                if let Some(reply) = received.reply
                    && socket.send(Message::text(reply)).await.is_err()
                {
                    break;
                }
                let input = match received.input {
                    Some(Input::Response { id, result }) => Some(FromServer::Response { id, result }),
                    Some(Input::Notification(message)) => Some(FromServer::Notification(message)),
                    _ => received.application.map(|(method, data)| FromServer::Application { method, data }),
                };
                if let Some(input) = input {
                    // The room may have ended.
                    let _ = to_us.send(Ok(input));
                }
            }
        }
    }
    let _ = socket.close(None).await;
}
