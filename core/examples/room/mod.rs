//! A room on real sockets with nothing but std, for the other examples to publish to.
//!
//! Its door is a TCP port, where each line is a message in JSON, in the words of [`server`]. Whoever comes in has a room of
//! their own behind it, with a UDP port of its own; who leaves is told of in a line: what arrived of each encoding.

#![allow(dead_code)] // each example uses some of it

pub(crate) mod lines;
mod server;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use mediasoup_producer::sim::v3::{EncodingCounters, RouterEvent, RouterOutput};
use mediasoup_producer::{IceProtocol, Receive};
use serde_json::{Value, json};

use server::{Server, received};

/// A door of this machine alone, at any port that is free.
pub(crate) const ANYWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// No message of a visitor is longer.
const LONGEST_LINE: u64 = 1 << 20;

/// How long it may take until it is noticed that it is over.
const NAP: Duration = Duration::from_millis(100);

/// A door that is open as long as the process lives.
pub(crate) struct Door {
    /// Where to knock.
    pub(crate) address: SocketAddr,
    reports: mpsc::Receiver<Value>,
}

impl Door {
    /// Port 0 is any that is free.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (left, reports) = mpsc::channel();
        thread::spawn(move || {
            while let Ok((visitor, _)) = listener.accept() {
                let left = left.clone();
                thread::spawn(move || {
                    let report = host(&visitor).unwrap_or_else(|error| json!({ "error": error.to_string() }));
                    // Nobody wants to know: as well.
                    drop(left.send(report));
                });
            }
        });
        Ok(Self { address, reports })
    }

    /// Waits for the next visitor to leave. What arrived of them, or what went wrong.
    pub(crate) fn next_report(&self) -> Option<Value> {
        self.reports.recv().ok()
    }
}

/// Has a visitor until they leave.
fn host(visitor: &TcpStream) -> Result<Value, Box<dyn Error>> {
    let socket = UdpSocket::bind((visitor.local_addr()?.ip(), 0))?;
    socket.set_read_timeout(Some(NAP))?;
    let address = socket.local_addr()?;
    let mut room = Room { server: Server::new(address), ended: Vec::new() };
    let (happens, happened) = mpsc::sync_channel(4096);
    let over = AtomicBool::new(false);
    let lines = happens.clone();
    thread::scope(|scope| {
        // One thread for each thing that is waited for. What they take of the network waits here, in order.
        scope.spawn(|| read_lines(visitor, &lines));
        scope.spawn(|| read_datagrams(&socket, &happens, &over));
        let result = room.run(address, &happened, visitor, &socket);
        over.store(true, Ordering::Relaxed);
        // Whoever is told of an error is not to wait, and nor is the thread that hears them.
        drop((visitor.shutdown(Shutdown::Both), happened));
        result
    })?;
    let Room { server, ended } = room;
    let left = server.router.producers().flat_map(|producer| server.router.encodings(producer.id()));
    Ok(json!({ "received": received(&ended.into_iter().chain(left).collect::<Vec<_>>()) }))
}

enum Happened {
    Line(String),
    Datagram {
        source: SocketAddr,
        contents: Vec<u8>,
    },
    /// The visitor has left.
    Left,
}

struct Room {
    server: Server,
    /// What arrived of producers that are closed.
    ended: Vec<EncodingCounters>,
}

impl Room {
    fn run(
        &mut self,
        destination: SocketAddr,
        happened: &mpsc::Receiver<Happened>,
        mut visitor: &TcpStream,
        socket: &UdpSocket,
    ) -> Result<(), Box<dyn Error>> {
        loop {
            let wait = self
                .server
                .router
                .poll_timeout()
                .map_or(Duration::from_secs(1), |at| at.saturating_duration_since(Instant::now()));
            let happened = happened.recv_timeout(wait);
            let now = Instant::now();
            match happened {
                Ok(Happened::Line(line)) => {
                    if let Some(answer) = self.server.hear(now, &line)? {
                        visitor.write_all(format!("{answer}\n").as_bytes())?;
                    }
                }
                Ok(Happened::Datagram { source, contents }) => {
                    let (protocol, contents) = (IceProtocol::Udp, contents.into());
                    let receive = Receive { protocol, source, destination, contents };
                    self.server.router.handle_receive(now, &receive);
                }
                Ok(Happened::Left) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.server.router.handle_timeout(now);
            while let Some(output) = self.server.router.poll_output() {
                match output {
                    // What the network refuses is lost, as on the way.
                    RouterOutput::Transmit(transmit) => drop(socket.send_to(&transmit.contents, transmit.destination)),
                    RouterOutput::Event(RouterEvent::ProducerClosed { encodings, .. }) => self.ended.extend(encodings),
                    _ => {}
                }
            }
        }
    }
}

/// Until the visitor hangs up, or nobody listens any more.
fn read_lines(visitor: &TcpStream, happens: &mpsc::SyncSender<Happened>) {
    let mut lines = BufReader::new(visitor);
    loop {
        let mut line = String::new();
        let happened = match lines.by_ref().take(LONGEST_LINE).read_line(&mut line) {
            Ok(length) if length > 0 => Happened::Line(line),
            Ok(_) | Err(_) => Happened::Left,
        };
        let left = matches!(happened, Happened::Left);
        if happens.send(happened).is_err() || left {
            return;
        }
    }
}

/// Until it is over.
fn read_datagrams(socket: &UdpSocket, happens: &mpsc::SyncSender<Happened>, over: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        // An error is that nothing came for a while, or that somebody has closed their port.
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        let contents = buffer[..length].to_vec();
        if happens.send(Happened::Datagram { source, contents }).is_err() {
            return;
        }
    }
}

/// A door in a process of its own, so that its work and its memory are not counted as ours. It closes with this.
pub(crate) struct Elsewhere {
    /// Where to knock.
    pub(crate) address: SocketAddr,
    process: Child,
    /// Kept open, as it goes on to say what arrived.
    _says: BufReader<ChildStdout>,
}

impl Elsewhere {
    /// This program once more, with `--serve`: it is to call [`serve_elsewhere`].
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let program = std::env::current_exe()?;
        let mut process = Command::new(program).arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut says = BufReader::new(process.stdout.take().ok_or("it has an output")?);
        let mut address = String::new();
        says.read_line(&mut address)?;
        Ok(Self { address: address.trim().parse()?, process, _says: says })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // There is nothing to be done about a process that cannot be waited for.
        drop(self.process.wait());
    }
}

/// A room in a process of its own: as long as the standard input is open, which is as long as the other one lives.
pub(crate) fn serve_elsewhere() -> Result<(), Box<dyn Error>> {
    thread::spawn(|| {
        if let Err(error) = serve(ANYWHERE, usize::MAX) {
            eprintln!("no room: {error}");
            std::process::exit(1);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// Prints where to knock, and a line for each of `visitors` that has left. False: something went wrong with one.
pub(crate) fn serve(address: SocketAddr, visitors: usize) -> Result<bool, Box<dyn Error>> {
    let door = Door::open(address)?;
    println!("{}", door.address);
    let mut well = true;
    for report in std::iter::from_fn(|| door.next_report()).take(visitors) {
        well &= report.get("error").is_none();
        println!("{report}");
    }
    Ok(well)
}

/// Whether `--name` was given.
pub(crate) fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument.strip_prefix("--") == Some(name))
}

/// What was given after `--name`.
pub(crate) fn option<T: FromStr>(name: &str) -> Result<Option<T>, String> {
    let mut arguments = std::env::args().skip_while(|argument| argument.strip_prefix("--") != Some(name)).skip(1);
    let Some(value) = arguments.next() else { return Ok(None) };
    value.parse().map(Some).map_err(|_| format!("--{name} {value}: what is that?"))
}
