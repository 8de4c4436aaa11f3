//! What the room counts, looked at four times a second and kept for a minute: the page's plot and table.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Codec, MediaKind, ProducerId};
use serde::Serialize;
use tokio::sync::watch;

use crate::embedded::{Handle, ProducerKey, ProducerView};

const INTERVAL: Duration = Duration::from_millis(250);
const KEPT: usize = 240;

/// The samples taken so far, and news of new ones.
#[derive(Debug)]
pub(crate) struct Samples {
    kept: Arc<Mutex<VecDeque<Arc<Sample>>>>,
    latest: watch::Receiver<Arc<Sample>>,
}

/// The room at a moment.
#[derive(Debug, Serialize, Default)]
pub(crate) struct Sample {
    /// Seconds since the page was opened.
    t: f64,
    producers: Vec<Producer>,
}

#[derive(Debug, Serialize)]
struct Producer {
    peer: String,
    producer: ProducerId,
    kind: MediaKind,
    codec: Codec,
    paused_by_peer: bool,
    paused_by_room: bool,
    layers: Vec<Layer>,
}

#[derive(Debug, Serialize)]
struct Layer {
    profile: Profile,
    ssrc: u32,
    packets: u64,
    bytes: u64,
    lost: i64,
    bitrate_bps: u64,
}

impl Samples {
    /// Begins to take samples, until the room or the page is closed.
    pub(crate) fn take(room: Handle, mut closed: watch::Receiver<()>) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT)));
        let (news, latest) = watch::channel(Arc::default());
        let samples = Self { kept: kept.clone(), latest };
        tokio::spawn(async move {
            let started = Instant::now();
            let producers = room.producers();
            drop(room);
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    // Nothing is ever sent: this is the end of the page.
                    _ = closed.changed() => return,
                }
                if producers.has_changed().is_err() {
                    return;
                }
                let sample = Arc::new(Sample::new(started.elapsed(), &producers.borrow()));
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == KEPT {
                    kept.pop_front();
                }
                kept.push_back(sample.clone());
                // Under the lock, so that nobody sees it twice or not at all.
                news.send_replace(sample);
            }
        });
        samples
    }

    /// All samples kept, and the ones to come.
    pub(crate) fn follow(&self) -> (Vec<Arc<Sample>>, watch::Receiver<Arc<Sample>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = self.latest.clone();
        latest.mark_unchanged();
        (kept.iter().cloned().collect(), latest)
    }
}

impl Sample {
    fn new(t: Duration, producers: &BTreeMap<ProducerKey, ProducerView>) -> Self {
        let producers = producers.iter().map(|(key, view)| Producer {
            peer: key.peer.to_string(),
            producer: key.producer,
            kind: view.kind,
            codec: view.codec,
            paused_by_peer: view.paused_by_peer,
            paused_by_room: view.paused_by_room,
            layers: view
                .layers
                .iter()
                .map(|layer| Layer {
                    profile: layer.profile,
                    ssrc: layer.ssrc,
                    packets: layer.packets,
                    bytes: layer.bytes,
                    lost: layer.lost,
                    bitrate_bps: layer.bitrate_bps,
                })
                .collect(),
        });
        Self { t: t.as_secs_f64(), producers: producers.collect() }
    }
}
