//! What an application has to add to a device: sockets, a clock, and signalling of its own. One loop, and the tests' hand
//! in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::framing::{self, Decoder};
use mediasoup_producer::v3::{
    Accepted, Answer, Command, Device, Event, Input, InputError, Output, ProducerInfo, Refusal, Request,
    TransportParameters,
};
use mediasoup_producer::{IceProtocol, Receive, RequestId, Transmit, TransportId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::events::Recorder;

/// Something that a test does in the loop.
pub(crate) type Turn = Box<dyn FnOnce(&mut Application) + Send>;

/// Changes a question before the server gets it, by its method.
pub(crate) type Tamper = Box<dyn Fn(&str, &mut Value) + Send>;

/// Who waits for the answer to a question.
type Waiter = oneshot::Sender<Result<Value, String>>;

pub(crate) struct Application {
    pub(crate) device: Device,
    signalling: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) tamper: Tamper,
    questions: Vec<String>,
    last_question: u64,
    /// By the number of their question.
    waiting: BTreeMap<u64, Waiter>,
    requests: BTreeMap<u64, (RequestId, Request)>,
    /// By our addresses.
    sockets: BTreeMap<(IceProtocol, SocketAddr), Socket>,
    received: mpsc::UnboundedSender<Receive>,
    events: Recorder<Event>,
    /// Readers and writers of the sockets, which end with this.
    tasks: JoinSet<()>,
}

/// What is to be sent, and who reads.
struct Socket {
    queue: mpsc::UnboundedSender<(SocketAddr, Bytes)>,
    reader: AbortHandle,
}

/// Runs until the test lets go of it, or the server of the WebSocket.
pub(crate) async fn run(
    device: Device,
    signalling: WebSocketStream<MaybeTlsStream<TcpStream>>,
    events: Recorder<Event>,
    mut turns: mpsc::UnboundedReceiver<Turn>,
) {
    let (received, mut receives) = mpsc::unbounded_channel();
    let mut application = Application {
        device,
        signalling,
        tamper: Box::new(|_, _| {}),
        questions: Vec::new(),
        last_question: 0,
        waiting: BTreeMap::new(),
        requests: BTreeMap::new(),
        sockets: BTreeMap::new(),
        received,
        events,
        tasks: JoinSet::new(),
    };
    let mut online = true;
    loop {
        application.act();
        for question in std::mem::take(&mut application.questions) {
            online &= application.signalling.send(Message::text(question)).await.is_ok();
        }
        let deadline = application.device.poll_timeout();
        tokio::select! {
            turn = turns.recv() => match turn {
                Some(turn) => turn(&mut application),
                None => break,
            },
            Some(receive) = receives.recv() => application.take(Input::Receive(receive)),
            message = application.signalling.next(), if online => match message {
                Some(Ok(Message::Text(text))) => application.told(serde_json::from_str(&text).expect("the server speaks JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    online = false;
                    application.waiting.clear();
                    // The other side waits for this, if it is there.
                    let _ = application.signalling.close(None).await;
                }
                Some(Ok(_)) => {}
            },
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                application.take(Input::Timeout);
            }
        }
    }
}

impl Application {
    pub(crate) fn input(&mut self, input: Input) -> Result<Accepted, InputError> {
        self.device.handle_input(Instant::now(), input)
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Accepted, InputError> {
        self.input(Input::Command(command))
    }

    /// Asks the server something of the test's own.
    pub(crate) fn ask(&mut self, method: &str, data: Value, waiter: Waiter) {
        let id = self.question(method, data);
        self.waiting.insert(id, waiter);
    }

    /// Makes a transport as the server has described it, with a socket for each of the server's addresses.
    pub(crate) fn open(&mut self, parameters: TransportParameters) -> TransportId {
        let candidates = parameters.ice_candidates.clone();
        let options = Default::default();
        let app_data = Default::default();
        let command = Command::CreateSendTransport { parameters, options, app_data };
        let Ok(Accepted::Transport(transport)) = self.command(command) else { panic!("no transport can be made") };
        for candidate in candidates {
            let server = SocketAddr::new(candidate.ip().expect("an address"), candidate.port);
            self.socket(transport, candidate.protocol, server);
        }
        transport
    }

    /// One more address of ours, from which the server can be reached.
    pub(crate) fn socket(&mut self, transport: TransportId, protocol: IceProtocol, server: SocketAddr) -> SocketAddr {
        let (queue, to_send) = mpsc::unbounded_channel();
        let received = self.received.clone();
        let (address, reader) = match protocol {
            IceProtocol::Udp => {
                let socket = std::net::UdpSocket::bind((server.ip(), 0)).expect("a socket on loopback");
                socket.set_nonblocking(true).expect("a socket can be asynchronous");
                let address = socket.local_addr().expect("a bound socket has an address");
                let socket = Arc::new(UdpSocket::from_std(socket).expect("within a runtime"));
                self.tasks.spawn(send_udp(Arc::clone(&socket), to_send));
                (address, self.tasks.spawn(receive_udp(socket, address, received)))
            }
            IceProtocol::Tcp => {
                let stream = std::net::TcpStream::connect(server).expect("the server listens");
                stream.set_nonblocking(true).expect("a connection can be asynchronous");
                let address = stream.local_addr().expect("a connection has an address");
                let (reader, writer) = TcpStream::from_std(stream).expect("within a runtime").into_split();
                self.tasks.spawn(send_tcp(writer, to_send));
                (address, self.tasks.spawn(receive_tcp(reader, server, address, received)))
            }
        };
        self.sockets.insert((protocol, address), Socket { queue, reader });
        self.command(Command::AddLocalAddress { id: transport, protocol, address }).expect("an address of ours");
        address
    }

    /// Gives an address up.
    pub(crate) fn close(&mut self, transport: TransportId, protocol: IceProtocol, address: SocketAddr) {
        if let Some(socket) = self.sockets.remove(&(protocol, address)) {
            socket.reader.abort();
        }
        self.command(Command::RemoveLocalAddress { id: transport, protocol, address }).expect("an address of ours");
    }

    /// What cannot be refused.
    fn take(&mut self, input: Input) {
        self.input(input).expect("it is always taken");
    }

    /// Does what the device wants done.
    fn act(&mut self) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(Transmit { protocol, source, destination, contents }) => {
                    // A network may lose it, too.
                    let socket = self.sockets.get(&(protocol, source));
                    let _ = socket.map(|socket| socket.queue.send((destination, contents)));
                }
                Output::Request { id, request } => {
                    let question = self.question(request.name(), request.to_json());
                    self.requests.insert(question, (id, request));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn question(&mut self, method: &str, mut data: Value) -> u64 {
        (self.tamper)(method, &mut data);
        self.last_question += 1;
        self.questions.push(json!({ "id": self.last_question, "method": method, "data": data }).to_string());
        self.last_question
    }

    /// The server has answered, or says something of its own accord.
    fn told(&mut self, mut message: Value) {
        let Some(id) = message["id"].as_u64() else {
            self.heard(message["method"].as_str().unwrap_or_default(), &message["data"]);
            return;
        };
        let result = match message["ok"] == true {
            true => Ok(message["data"].take()),
            false => Err(message["error"].as_str().unwrap_or_default().to_owned()),
        };
        if let Some(waiter) = self.waiting.remove(&id) {
            // The test may wait no more.
            let _ = waiter.send(result);
        } else if let Some((id, request)) = self.requests.remove(&id) {
            let result = match (request, result) {
                (_, Err(reason)) => Err(Refusal::new(reason)),
                (Request::Produce { .. }, Ok(data)) => {
                    Ok(Answer::Produced { id: data["id"].as_str().unwrap_or_default().to_owned() })
                }
                (_, Ok(_)) => Ok(Answer::Connected),
            };
            self.take(Input::Answer { id, result });
        }
    }

    /// A server that pauses, resumes or closes a producer does so for everybody.
    fn heard(&mut self, method: &str, data: &Value) {
        let of = |producer: &&ProducerInfo| producer.server_id() == data["producerId"].as_str();
        let Some(id) = self.device.producers().find(of).map(ProducerInfo::id) else { return };
        let command = match method {
            "producerPaused" => Command::Pause { id },
            "producerResumed" => Command::Resume { id },
            "producerClosed" => Command::CloseProducer { id },
            _ => return,
        };
        self.command(command).expect("it is there");
    }
}

async fn send_udp(socket: Arc<UdpSocket>, mut queue: mpsc::UnboundedReceiver<(SocketAddr, Bytes)>) {
    while let Some((destination, datagram)) = queue.recv().await {
        // A network may lose it, too.
        let _ = socket.send_to(&datagram, destination).await;
    }
}

async fn receive_udp(socket: Arc<UdpSocket>, destination: SocketAddr, received: mpsc::UnboundedSender<Receive>) {
    let mut buffer = [0; 2000];
    while let Ok((length, source)) = socket.recv_from(&mut buffer).await {
        let contents = Bytes::copy_from_slice(&buffer[..length]);
        let _ = received.send(Receive { protocol: IceProtocol::Udp, source, destination, contents });
    }
}

async fn send_tcp(
    mut writer: tokio::net::tcp::OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<(SocketAddr, Bytes)>,
) {
    let mut frame = BytesMut::new();
    while let Some((_, datagram)) = queue.recv().await {
        framing::encode(&datagram, &mut frame);
        if writer.write_all_buf(&mut frame).await.is_err() {
            return;
        }
    }
}

async fn receive_tcp(
    mut reader: tokio::net::tcp::OwnedReadHalf,
    source: SocketAddr,
    destination: SocketAddr,
    received: mpsc::UnboundedSender<Receive>,
) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        decoder.push(&buffer[..length]);
        while let Some(contents) = decoder.poll() {
            let _ = received.send(Receive { protocol: IceProtocol::Tcp, source, destination, contents });
        }
    }
}
