//! protoo over WebSocket. What protoo is stands in [`mediasoup_producer::protoo`]; here is only what carries it.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use async_tungstenite::tungstenite::http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Bytes, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_rustls::TlsConnector;
use futures_util::{AsyncRead, AsyncWrite, Sink, Stream};
use mediasoup_producer::protoo::{MAX_MESSAGE_BYTES, Message as Protocol, Protoo, SUBPROTOCOL};
use mediasoup_producer::v2::Input;
use mediasoup_producer::v2::protocol::{FromServer, ToServer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::error::SignallingError;
use crate::runtime::{Runtime, Timer, until};
use crate::signalling::tls;
use crate::socket::connecting;

/// Messages read and not handed out yet, or answers not written yet, at most: past it nothing more is read.
const MAX_QUEUED: usize = 64;
/// What we write ahead of the server's reading at most.
const MAX_WRITE_BUFFER: usize = 4 << 20;

/// How to connect a [`ProtooWebSocket`].
#[derive(Debug, Clone)]
pub struct ProtooConnector<R> {
    accept_any_certificate: bool,
    origin: bool,
    timeout: Duration,
    keep_alive: Duration,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Default for ProtooConnector<R> {
    fn default() -> Self {
        Self {
            accept_any_certificate: false,
            origin: false,
            timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            runtime: PhantomData,
        }
    }
}

impl<R: Runtime> ProtooConnector<R> {
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

    /// Whether to name the URL's own host as the `Origin`, as a page that the server itself has served would: newer demos of
    /// mediasoup 3 take no others. Default: false.
    pub const fn origin(mut self, origin: bool) -> Self {
        self.origin = origin;
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

    /// Connects to a v2 room at `ws://` or `wss://`, with the URL as given; a room of the v2 demo has
    /// `wss://host:3443/?roomId=R&peerName=P`.
    ///
    /// Cancel safe: if the future is dropped the connection is, too.
    pub async fn connect(&self, url: &str) -> Result<ProtooWebSocket<R>, SignallingError>
    where
        R: Default,
    {
        self.connect_on(R::default(), url).await
    }

    /// The same on a runtime of the application's choice.
    pub async fn connect_on(&self, runtime: R, url: &str) -> Result<ProtooWebSocket<R>, SignallingError> {
        self.connect_with(runtime, url, Protoo::new()).await
    }

    /// The same to a server whose messages are wrapped otherwise, for example that of an application with mediasoup 3.
    pub async fn connect_with<E: Envelope>(
        &self,
        runtime: R,
        url: &str,
        envelope: E,
    ) -> Result<ProtooWebSocket<R, E>, SignallingError> {
        let end = runtime.now().checked_add(self.timeout);
        let connecting = self.connect_without_end(&runtime, url, envelope);
        let connected = match end {
            Some(end) => until(&runtime, end, connecting).await,
            None => Some(connecting.await),
        };
        connected.unwrap_or(Err(SignallingError::ConnectTimeout(self.timeout)))
    }

    async fn connect_without_end<E: Envelope>(
        &self,
        runtime: &R,
        url: &str,
        envelope: E,
    ) -> Result<ProtooWebSocket<R, E>, SignallingError> {
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
        if self.origin {
            let scheme = if secure { "https" } else { "http" };
            let authority = request.uri().authority().map_or(place.as_str(), |authority| authority.as_str());
            // Of `user:password@host` the host alone.
            let authority = authority.rsplit('@').next().unwrap_or(authority);
            let origin = HeaderValue::try_from(format!("{scheme}://{authority}"));
            request.headers_mut().insert(ORIGIN, origin.map_err(|error| invalid(error.to_string()))?);
        }

        let tcp = connect_tcp(runtime, host.clone(), port)
            .await
            .map_err(|error| SignallingError::Unreachable { host: place.clone(), reason: error.to_string() })?;
        let stream: Box<dyn Carrier> = match secure {
            false => Box::new(tcp),
            true => {
                let no_tls = |reason: String| SignallingError::Tls { host: place.clone(), reason };
                let name =
                    ServerName::try_from(host).map_err(|_| no_tls("no certificate can be for this name".to_owned()))?;
                let connector = TlsConnector::from(self.tls(runtime).await.map_err(no_tls)?);
                let stream = connector.connect(name, tcp).await.map_err(|error| no_tls(error.to_string()))?;
                Box::new(stream)
            }
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .max_write_buffer_size(MAX_WRITE_BUFFER);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(handshake_error)?;
        let now = runtime.now();
        Ok(ProtooWebSocket {
            socket,
            envelope,
            received: VecDeque::new(),
            replies: VecDeque::new(),
            keep_alive: self.keep_alive,
            silence: Box::pin(runtime.timer(after(now, self.keep_alive))),
            runtime: runtime.clone(),
            pinged: false,
        })
    }

    async fn tls(&self, runtime: &R) -> Result<Arc<ClientConfig>, String> {
        if self.accept_any_certificate {
            return tls::accepting_any();
        }
        // Reads files.
        runtime.unblock(tls::with_native_roots).await.map_err(|error| error.to_string())?
    }
}

/// Connects to the first address of a host that takes it.
async fn connect_tcp<R: Runtime>(runtime: &R, host: String, port: u16) -> io::Result<R::TcpStream> {
    let resolve = move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in runtime.unblock(resolve).await?? {
        match connecting(None, address) {
            Ok(connecting) => match runtime.tcp_stream(connecting).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            },
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// So much later, or in a year: for ever, as far as a connection goes.
fn after(now: std::time::Instant, wait: Duration) -> std::time::Instant {
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(365 * 24 * 3600))
}

fn handshake_error(error: WsError) -> SignallingError {
    match error {
        WsError::Http(response) => SignallingError::Refused { status: response.status().as_u16() },
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => SignallingError::NotProtoo,
        error => SignallingError::Broken(error.to_string()),
    }
}

/// What carries a WebSocket: TCP, or TLS over it.
trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// How messages are texts, over a [`ProtooWebSocket`].
pub trait Envelope: Send + Unpin + 'static {
    /// What we say.
    type ToServer;
    /// What we hear.
    type FromServer: Send + Unpin;

    /// Our message as a text.
    fn wrap(&mut self, message: Self::ToServer) -> String;

    /// What a text of the server says, and what is to be said back at once. `None` for what is no text.
    fn unwrap(&mut self, text: Option<&str>) -> (Option<Self::FromServer>, Option<String>);
}

/// Rooms of mediasoup v2.
impl Envelope for Protoo {
    type ToServer = ToServer;
    type FromServer = FromServer;

    fn wrap(&mut self, message: ToServer) -> String {
        match message {
            ToServer::Request { id, request } => self.request(id, &request),
            ToServer::Notification(notification) => self.notification(&notification),
        }
    }

    fn unwrap(&mut self, text: Option<&str>) -> (Option<FromServer>, Option<String>) {
        let Some(Ok(received)) = text.map(|text| self.receive(text)) else {
            return (Some(FromServer::Unreadable), None);
        };
        let heard = match received.input {
            Some(Input::Response { id, result }) => Some(FromServer::Response { id, result }),
            Some(Input::Notification(message)) => Some(FromServer::Notification(message)),
            _ => received.application.map(|(method, data)| FromServer::Application { method, data }),
        };
        (heard, received.reply)
    }
}

/// protoo as it is, for an application that knows what its server means. What cannot be read is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages;

impl Envelope for Messages {
    type ToServer = Protocol;
    type FromServer = Protocol;

    fn wrap(&mut self, message: Protocol) -> String {
        message.to_text()
    }

    fn unwrap(&mut self, text: Option<&str>) -> (Option<Protocol>, Option<String>) {
        (text.and_then(|text| Protocol::read(text).ok()), None)
    }
}

/// protoo over WebSocket: the [`Signalling`](crate::Signalling) of the v2 demo application and its descendants, or with another
/// [`Envelope`] of others. Made by [`ProtooConnector`].
#[derive(derive_more::Debug)]
pub struct ProtooWebSocket<R: Runtime, E: Envelope = Protoo> {
    /// Its buffers have the server's words as they came, passwords among them.
    #[debug(skip)]
    socket: WebSocketStream<Box<dyn Carrier>>,
    #[debug(skip)]
    envelope: E,
    #[debug(skip)]
    received: VecDeque<E::FromServer>,
    /// Our answers to what the server asked.
    replies: VecDeque<Message>,
    runtime: R,
    keep_alive: Duration,
    #[debug(skip)]
    silence: Pin<Box<R::Timer>>,
    pinged: bool,
}

impl<R: Runtime, E: Envelope> ProtooWebSocket<R, E> {
    fn heard(&mut self) {
        self.pinged = false;
        self.silence.as_mut().reset(after(self.runtime.now(), self.keep_alive));
    }

    fn take(&mut self, text: Option<&str>) {
        let (heard, reply) = self.envelope.unwrap(text);
        self.received.extend(heard);
        self.replies.extend(reply.map(Message::text));
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

impl<R: Runtime, E: Envelope> Stream for ProtooWebSocket<R, E> {
    type Item = Result<E::FromServer, SignallingError>;

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
                Some(Ok(Message::Text(text))) => this.take(Some(&text)),
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => this.take(None),
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

impl<R: Runtime, E: Envelope> Sink<E::ToServer> for ProtooWebSocket<R, E> {
    type Error = SignallingError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Pin::new(&mut self.get_mut().socket).poll_ready(cx).map_err(broken)
    }

    fn start_send(self: Pin<&mut Self>, message: E::ToServer) -> Result<(), SignallingError> {
        let this = self.get_mut();
        let text = this.envelope.wrap(message);
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
