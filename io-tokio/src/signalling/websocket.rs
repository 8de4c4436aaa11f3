//! protoo over WebSocket. What protoo is stands in [`mediasoup_producer::protocol::protoo`]; here is only what carries it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream};
use mediasoup_producer::Input;
use mediasoup_producer::protocol::protoo::{MAX_MESSAGE_BYTES, Protoo, SUBPROTOCOL};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError, TlsError};
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::{FromServer, ToServer};
use crate::error::SignallingError;
use crate::signalling::tls;

/// Messages read and not handed out yet, or answers not written yet, at most: past it nothing more is read.
const MAX_QUEUED: usize = 64;
/// What we write ahead of the server's reading at most.
const MAX_WRITE_BUFFER: usize = 4 << 20;

/// How to connect a [`ProtooWebSocket`].
#[derive(Debug, Clone)]
pub struct ProtooConnector {
    accept_any_certificate: bool,
    timeout: Duration,
    keep_alive: Duration,
}

impl Default for ProtooConnector {
    fn default() -> Self {
        Self { accept_any_certificate: false, timeout: Duration::from_secs(10), keep_alive: Duration::from_secs(15) }
    }
}

impl ProtooConnector {
    /// With default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to take any certificate of the server, for self-signed ones: anybody on the way can then read and change
    /// what is said. Default: false, it must be valid by the system's root certificates.
    pub const fn accept_any_certificate(mut self, accept: bool) -> Self {
        self.accept_any_certificate = accept;
        self
    }

    /// How long the server may take until the connection stands. Default: 10 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// After so long a silence the server is pinged; after twice as long it is given up
    /// ([`SignallingError::Silent`]). Default: 15 s.
    pub const fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Connects to `ws://` or `wss://`, with the URL as given; a room of the v2 demo has
    /// `wss://host:3443/?roomId=R&peerName=P`.
    pub async fn connect(&self, url: &str) -> Result<ProtooWebSocket, SignallingError> {
        let connected = tokio::time::timeout(self.timeout, self.connect_without_end(url)).await;
        connected.unwrap_or(Err(SignallingError::ConnectTimeout(self.timeout)))
    }

    async fn connect_without_end(&self, url: &str) -> Result<ProtooWebSocket, SignallingError> {
        let invalid = |reason: String| SignallingError::InvalidUrl { url: url.to_owned(), reason };
        let mut request = url.into_client_request().map_err(|error| invalid(error.to_string()))?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let secure = match request.uri().scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(invalid("it does not begin with ws:// or wss://".to_owned())),
        };
        let host = request.uri().host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("it names no host".to_owned()))?.trim_matches(['[', ']']).to_owned();
        let port = request.uri().port_u16().unwrap_or(if secure { 443 } else { 80 });
        let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };

        let stream = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(|error| SignallingError::Unreachable { host: place.clone(), reason: error.to_string() })?;
        // Messages are small and answers are waited for.
        let _ = stream.set_nodelay(true);
        let connector = match secure {
            false => Connector::Plain,
            true => Connector::Rustls(
                self.tls().await.map_err(|reason| SignallingError::Tls { host: place.clone(), reason })?,
            ),
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .max_write_buffer_size(MAX_WRITE_BUFFER);
        let (socket, _) = client_async_tls_with_config(request, stream, Some(config), Some(connector))
            .await
            .map_err(|error| handshake_error(error, secure, place))?;
        Ok(ProtooWebSocket {
            socket,
            protoo: Protoo::new(),
            received: VecDeque::new(),
            replies: VecDeque::new(),
            keep_alive: self.keep_alive,
            silence: Box::pin(tokio::time::sleep(self.keep_alive)),
            pinged: false,
        })
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if self.accept_any_certificate {
            return tls::accepting_any();
        }
        // Reads files.
        tokio::task::spawn_blocking(tls::with_native_roots).await.map_err(|error| error.to_string())?
    }
}

fn handshake_error(error: WsError, secure: bool, host: String) -> SignallingError {
    match error {
        WsError::Http(response) => SignallingError::Refused { status: response.status().as_u16() },
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => SignallingError::NotProtoo,
        WsError::Tls(TlsError::InvalidDnsName) => {
            SignallingError::Tls { host, reason: "no certificate can be for this name".to_owned() }
        }
        WsError::Tls(error) => SignallingError::Tls { host, reason: error.to_string() },
        // What is not TLS to the library ends as a failure to read.
        WsError::Io(error) if secure => SignallingError::Tls { host, reason: error.to_string() },
        error => SignallingError::Broken(error.to_string()),
    }
}

/// protoo over WebSocket: the [`Signalling`](crate::Signalling) of the v2 demo application and its descendants. Made by
/// [`ProtooConnector`].
#[derive(derive_more::Debug)]
pub struct ProtooWebSocket {
    /// Its buffers have the server's words as they came, passwords among them.
    #[debug(skip)]
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    protoo: Protoo,
    received: VecDeque<FromServer>,
    /// Our answers to what the server asked.
    replies: VecDeque<Message>,
    keep_alive: Duration,
    silence: Pin<Box<Sleep>>,
    pinged: bool,
}

impl ProtooWebSocket {
    fn heard(&mut self) {
        self.pinged = false;
        // A time that `Instant` cannot say is never reached, as it began.
        if let Some(at) = Instant::now().checked_add(self.keep_alive) {
            self.silence.as_mut().reset(at);
        }
    }

    fn text(&mut self, text: &str) {
        let Ok(received) = self.protoo.receive(text) else {
            self.received.push_back(FromServer::Unreadable);
            return;
        };
        self.replies.extend(received.reply.map(Message::text));
        self.received.extend(match received.input {
            Some(Input::Response { id, result }) => Some(FromServer::Response { id, result }),
            Some(Input::Notification(message)) => Some(FromServer::Notification(message)),
            _ => None,
        });
        self.received.extend(received.application.map(|(method, data)| FromServer::Application { method, data }));
    }

    /// Writes answers and pings. Pending says nothing but that the server does not read; reading goes on.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        while !self.replies.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            if let Some(reply) = self.replies.pop_front() {
                Pin::new(&mut self.socket).start_send(reply)?;
            }
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Result<(), SignallingError> {
        while self.silence.as_mut().poll(cx).is_ready() {
            if self.pinged {
                return Err(SignallingError::Silent(self.keep_alive.saturating_mul(2)));
            }
            self.heard();
            self.pinged = true;
            self.replies.push_back(Message::Ping(Bytes::new()));
        }
        Ok(())
    }
}

impl Stream for ProtooWebSocket {
    type Item = Result<FromServer, SignallingError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(message) = this.received.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            if let Err(error) = this.poll_silence(cx) {
                return Poll::Ready(Some(Err(error)));
            }
            if let Poll::Ready(Err(error)) = this.poll_replies(cx) {
                return Poll::Ready(Some(Err(broken(error))));
            }
            if this.replies.len() >= MAX_QUEUED {
                return Poll::Pending;
            }
            let message = ready!(Pin::new(&mut this.socket).poll_next(cx));
            this.heard();
            match message {
                Some(Ok(Message::Text(text))) => this.text(&text),
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => this.received.push_back(FromServer::Unreadable),
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map(|frame| match frame.reason.as_str() {
                        "" => format!("code {}", frame.code),
                        words => format!("code {}, {words}", frame.code),
                    });
                    return Poll::Ready(Some(Err(SignallingError::Closed { reason })));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(error)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Sink<ToServer> for ProtooWebSocket {
    type Error = SignallingError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Pin::new(&mut self.get_mut().socket).poll_ready(cx).map_err(broken)
    }

    fn start_send(self: Pin<&mut Self>, message: ToServer) -> Result<(), SignallingError> {
        let this = self.get_mut();
        let text = match message {
            ToServer::Request { id, request } => this.protoo.request(id, &request),
            ToServer::Notification(notification) => this.protoo.notification(&notification),
        };
        Pin::new(&mut this.socket).start_send(Message::text(text)).map_err(broken)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        self.get_mut().poll_replies(cx).map_err(broken)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx).map_err(broken)
    }
}

fn broken(error: WsError) -> SignallingError {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => SignallingError::Closed { reason: None },
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            SignallingError::Closed { reason: Some("it hung up".to_owned()) }
        }
        error => SignallingError::Broken(error.to_string()),
    }
}
