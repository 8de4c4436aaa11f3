//! All events of a room or a device, kept to be looked through and waited for.

use crate::io::{driver, v2 as io};
use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, TransportEvent};
use mediasoup_producer::{ConnectionState, ProducerId, TransportId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::poll::{PATIENCE, within};

/// What was said from the beginning on. Grows as long as the test runs.
#[derive(Debug, Clone)]
pub struct Events<E = io::Event> {
    log: watch::Receiver<Vec<(Instant, E)>>,
}

/// The end on which events come in.
#[derive(Debug)]
pub(crate) struct Recorder<E>(watch::Sender<Vec<(Instant, E)>>);

impl<E> Recorder<E> {
    pub(crate) fn new() -> (Self, Events<E>) {
        let (sender, log) = watch::channel(Vec::new());
        (Self(sender), Events { log })
    }

    pub(crate) fn push(&self, event: E) {
        self.0.send_modify(|log| log.push((Instant::now(), event)));
    }
}

impl<E: std::fmt::Debug> Events<E> {
    /// How many there were: where to begin to look for later ones.
    pub fn mark(&self) -> usize {
        self.log.borrow().len()
    }

    /// All that `pick` picks from `mark` on.
    pub fn all<T>(&self, mark: usize, pick: impl Fn(&E) -> Option<T>) -> Vec<T> {
        self.log.borrow().iter().skip(mark).filter_map(|(_, event)| pick(event)).collect()
    }

    /// The first that `pick` picks from `mark` on, and when it came; waits for it.
    pub async fn wait_since<T>(&self, mark: usize, what: &str, pick: impl Fn(&E) -> Option<T>) -> (Instant, T) {
        let find = |log: &Vec<(Instant, E)>| {
            log.iter().skip(mark).find_map(|(at, event)| pick(event).map(|picked| (*at, picked)))
        };
        let mut log = self.log.clone();
        let found = match tokio::time::timeout(PATIENCE, log.wait_for(|log| find(log).is_some())).await {
            Ok(Ok(log)) => find(&log),
            // It ended, or nothing came.
            Ok(Err(_)) | Err(_) => find(&self.log.borrow()),
        };
        found.unwrap_or_else(|| panic!("no event within {PATIENCE:?}: {what}; there were {:#?}", self.log.borrow()))
    }

    /// The same from the beginning.
    pub async fn wait<T>(&self, what: &str, pick: impl Fn(&E) -> Option<T>) -> T {
        self.wait_since(0, what, pick).await.1
    }

    /// Waits until there can be no more.
    pub async fn ended(&self) {
        let mut log = self.log.clone();
        within(PATIENCE, "the events end", async { while log.changed().await.is_ok() {} }).await;
    }
}

impl<E: Clone + Send + Sync + 'static> Events<E> {
    pub(crate) fn of(mut events: driver::Events<E>) -> Self {
        let (recorder, log) = Recorder::new();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                assert_eq!(events.missed(), 0, "the test's own reader was too slow");
                recorder.push(event);
            }
        });
        log
    }
}

impl Events {
    /// What was said about a producer from `mark` on, without what comes by itself (stats, key frames, bitrates).
    pub fn producer(&self, mark: usize, id: ProducerId) -> Vec<ProducerEvent> {
        self.all(mark, |event| match event {
            io::Event::Room(RoomEvent::Producer { id: of, event }) if *of == id => Some(event.clone()),
            _ => None,
        })
        .into_iter()
        .filter(|event| {
            !matches!(
                event,
                ProducerEvent::Stats { .. }
                    | ProducerEvent::KeyFrameRequest { .. }
                    | ProducerEvent::TargetBitrate { .. }
            )
        })
        .collect()
    }

    /// The connection states a transport went through from `mark` on.
    pub fn states(&self, mark: usize, id: TransportId) -> Vec<ConnectionState> {
        self.all(mark, |event| match event {
            io::Event::Room(RoomEvent::Transport {
                id: of,
                event: TransportEvent::ConnectionStateChange { state },
            }) if *of == id => Some(*state),
            _ => None,
        })
    }
}
