//! Many rooms at once, for load: on threads of their own, whose processor time can be told from that of who publishes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::driver::{Driver, Server};
use super::front_door::{self, Visitor};
use super::{COMMANDS_WAITING, StartError, v2, v3};
use crate::args::Dialect;

/// How often a thread says how much processor time it took.
const CPU_EVERY: Duration = Duration::from_millis(200);

/// Rooms that run, numbered from 1. They end when this is dropped.
#[derive(Debug)]
pub struct Rooms {
    address: SocketAddr,
    cpu: Arc<[AtomicU64]>,
    _open: watch::Sender<()>,
}

impl Rooms {
    /// Starts so many rooms on the loopback interface, each with places for so many peers, on at most so many threads.
    /// Needs a tokio runtime.
    pub async fn start(dialect: Dialect, rooms: usize, places: usize, threads: usize) -> Result<Self, StartError> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let refused = |source| StartError { address: any_port, source };
        let listener = TcpListener::bind(any_port).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;

        let threads = threads.clamp(1, rooms.max(1));
        let cpu: Arc<[AtomicU64]> = (0..threads).map(|_| AtomicU64::new(0)).collect();
        let (open, closed) = watch::channel(());
        // A room is served by the thread of its number, round and round.
        let mut doors = vec![None; rooms];
        for number in 0..threads {
            let mut served = Vec::new();
            for door in doors.iter_mut().skip(number).step_by(threads) {
                let (visitors, inbox) = mpsc::channel(front_door::SAID_WAITING);
                *door = Some(visitors);
                served.push((bound(any_port).map_err(refused)?, inbox));
            }
            let (cpu, closed) = (cpu.clone(), closed.clone());
            let serve = move || {
                // The listener's runtime is another: a room that cannot begin is one that nobody gets an answer of.
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
                runtime.block_on(async {
                    let served = async {
                        match dialect {
                            Dialect::V2 => serve(|address, seed| v2::Room::new(address, seed, false), served).await,
                            Dialect::V3 => serve(|address, seed| v3::Room::new(address, seed, false), served).await,
                        }
                    };
                    tokio::select! {
                        () = served => {}
                        () = count(&cpu[number]) => {}
                        () = until_dropped(closed) => {}
                    }
                });
            };
            thread::Builder::new().name(format!("rooms-{number}")).spawn(serve).map_err(refused)?;
        }
        let doors = doors.into_iter().flatten().collect();
        let door = front_door::open_many(listener, doors, rooms.saturating_mul(places));
        tokio::spawn(async move {
            until_dropped(closed).await;
            door.abort();
        });
        Ok(Self { address, cpu, _open: open })
    }

    /// Where to join them, with `{room}` in the place of a room's number: `ws://127.0.0.1:PORT/?roomId={room}`.
    pub fn url_pattern(&self) -> String {
        format!("ws://{}/?roomId={{room}}", self.address)
    }

    /// What processor time each of their threads took so far. `None`: this system does not tell.
    pub fn cpu(&self) -> Option<Vec<Duration>> {
        thread_cpu()?;
        Some(self.cpu.iter().map(|cpu| Duration::from_nanos(cpu.load(Ordering::Relaxed))).collect())
    }
}

/// A socket for the runtime of another thread.
fn bound(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Drives rooms until all are over.
async fn serve<S: Server>(
    server: impl Fn(SocketAddr, u64) -> S,
    rooms: Vec<(std::net::UdpSocket, mpsc::Receiver<Visitor>)>,
) {
    let mut driven = JoinSet::new();
    // Kept: a room without handles ends.
    let mut handles = Vec::new();
    for (socket, visitors) in rooms {
        let (commands, orders) = mpsc::channel(COMMANDS_WAITING);
        let (views, producers) = watch::channel(Default::default());
        let packets = broadcast::Sender::new(1);
        handles.push((commands, producers));
        let driver = UdpSocket::from_std(socket)
            .and_then(|socket| Driver::new(&server, socket, visitors, orders, packets, views));
        // A room without a driver lets nobody in.
        if let Ok(driver) = driver {
            driven.spawn(driver.run());
        }
    }
    while driven.join_next().await.is_some() {}
}

/// Keeps a thread's processor time up to date.
async fn count(cpu: &AtomicU64) {
    let mut ticks = interval(CPU_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let taken = thread_cpu().unwrap_or_default();
        cpu.store(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

async fn until_dropped(mut closed: watch::Receiver<()>) {
    while closed.changed().await.is_ok() {}
}

#[cfg(unix)]
fn thread_cpu() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().ok()
}

#[cfg(not(unix))]
fn thread_cpu() -> Option<Duration> {
    None
}
