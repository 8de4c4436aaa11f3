//! What a viewer gets of the packets that a room receives: one stream without seams, whatever it is cut from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mediasoup_producer::Codec;
use mediasoup_producer::v2::Profile;

use super::descriptor::{self, Counters};
use super::key_frame::begins_key_frame;
use crate::embedded::{Packet, ProducerKey, ProducerView};

/// A key frame is asked for again after this.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(500);

/// A layer without packets for this long has ceased; another is shown meanwhile.
const LAYER_GONE: Duration = Duration::from_secs(2);

/// Layers whose RTP times differ by less from what the clock says run on one timeline (RFC 3550 section 5.1 starts each
/// stream's at random; `mediasoup-producer` and most simulcast senders use one).
const SAME_TIMELINE: Duration = Duration::from_secs(2);

/// Forwards one producer, one layer of it at a time.
#[derive(Debug)]
pub(crate) struct Forward {
    target: Option<Target>,
    current: Option<Current>,
    preferred: Profile,
    /// When a packet of each layer of the target's producer was last seen.
    heard: BTreeMap<Profile, Instant>,
    watching_since: Option<Instant>,
    key_frame_asked: Option<Instant>,
    /// The decoder asked for a key frame.
    decoder_stuck: bool,
    /// The last packet out, by sequence number.
    last: Option<Last>,
    pub(crate) packets: u64,
    pub(crate) switches: u64,
}

/// What is to be forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    producer: ProducerKey,
    profile: Profile,
    codec: Codec,
    paused: bool,
}

/// What is being forwarded, and what is added to its numbers. All additions wrap.
#[derive(Debug)]
struct Current {
    producer: ProducerKey,
    profile: Profile,
    /// Older packets are from before we joined.
    first: u64,
    sequence_offset: u64,
    timestamp_offset: u32,
    counters_offset: Counters,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    sequence_number: u64,
    timestamp: u32,
    at: Instant,
    counters: Counters,
}

/// A packet with the viewer's numbers.
#[derive(Debug, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) codec: Codec,
    pub(crate) sequence_number: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

impl Forward {
    pub(crate) fn new(preferred: Profile) -> Self {
        Self {
            target: None,
            current: None,
            preferred,
            heard: BTreeMap::new(),
            watching_since: None,
            key_frame_asked: None,
            decoder_stuck: false,
            last: None,
            packets: 0,
            switches: 0,
        }
    }

    pub(crate) fn preferred(&self) -> Profile {
        self.preferred
    }

    pub(crate) fn set_preferred(&mut self, profile: Profile) {
        self.preferred = profile;
        self.key_frame_asked = None;
    }

    /// Packets are taken from now on; each layer has some time to be heard.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.heard.clear();
        self.watching_since = Some(now);
    }

    /// What is forwarded now; none before the first key frame and during a pause.
    pub(crate) fn effective(&self) -> Option<(&ProducerKey, Profile)> {
        self.current.as_ref().map(|current| (&current.producer, current.profile))
    }

    /// Fits the target to what there is to be had.
    pub(crate) fn select(&mut self, now: Instant, producer: Option<(&ProducerKey, &ProducerView)>) {
        let Some((key, view)) = producer else {
            self.target = None;
            self.current = None;
            return;
        };
        if self.target.as_ref().is_none_or(|target| target.producer != *key) {
            self.settle(now);
            self.key_frame_asked = None;
        }
        let paused = view.paused_by_peer || view.paused_by_room;
        let Some(profile) = self.best_layer(now, view) else {
            self.target = None;
            self.current = None;
            return;
        };
        if paused {
            // What comes after it begins with a key frame.
            self.current = None;
            self.settle(now);
        }
        self.target = Some(Target { producer: key.clone(), profile, codec: view.codec, paused });
    }

    /// The preferred layer; while it is silent, of those that are not, the next lower one or else the next higher one.
    fn best_layer(&self, now: Instant, view: &ProducerView) -> Option<Profile> {
        let profiles: Vec<Profile> = view.layers.iter().map(|layer| layer.profile).collect();
        let nearest = |profiles: &[Profile]| {
            let lower = profiles.iter().rev().find(|profile| **profile <= self.preferred);
            lower.or(profiles.first()).copied()
        };
        let wanted = nearest(&profiles)?;
        let alive = |profile: &Profile| self.heard.get(profile).is_some_and(|at| now.duration_since(*at) < LAYER_GONE);
        let settling = self.watching_since.is_none_or(|since| now.duration_since(since) < LAYER_GONE);
        if alive(&wanted) || settling {
            return Some(wanted);
        }
        let living: Vec<Profile> = profiles.into_iter().filter(alive).collect();
        nearest(&living).or(Some(wanted))
    }

    /// A packet that the room received; what it becomes for the viewer.
    pub(crate) fn take(&mut self, now: Instant, packet: &Packet) -> Option<Outgoing> {
        let target = self.target.as_ref()?;
        if target.producer != packet.producer || target.paused {
            return None;
        }
        self.heard.insert(packet.profile, now);
        let is_target = target.profile == packet.profile;
        let is_current = self
            .current
            .as_ref()
            .is_some_and(|current| current.profile == packet.profile && current.producer == packet.producer);
        // A switch waits for a key frame: any other frame would be decoded against the wrong pictures.
        if is_target && !is_current && begins_key_frame(packet.codec, &packet.payload) {
            self.begin(now, packet);
        } else if !is_current {
            return None;
        }
        let current = self.current.as_ref()?;
        if packet.sequence_number < current.first {
            return None;
        }
        let sequence_number = packet.sequence_number.wrapping_add(current.sequence_offset);
        let timestamp = packet.timestamp.wrapping_add(current.timestamp_offset);
        let (payload, counters) = descriptor::shift(packet.codec, &packet.payload, current.counters_offset);
        if self.last.is_none_or(|last| sequence_number > last.sequence_number) {
            self.last = Some(Last { sequence_number, timestamp, at: now, counters });
        }
        self.packets += 1;
        if begins_key_frame(packet.codec, &packet.payload) {
            self.decoder_stuck = false;
        }
        Some(Outgoing { codec: packet.codec, sequence_number, timestamp, marker: packet.marker, payload })
    }

    /// Joins a stream on to what went out so far.
    fn begin(&mut self, now: Instant, packet: &Packet) {
        // Below 2^15 at first: the receiver assumes a rollover counter of 0 (RFC 3711 section 3.3.1).
        let next = self.last.map_or(1 + (packet.sequence_number & 0x3fff), |last| last.sequence_number + 1);
        let counters = descriptor::read(packet.codec, &packet.payload);
        self.current = Some(Current {
            producer: packet.producer.clone(),
            profile: packet.profile,
            first: packet.sequence_number,
            sequence_offset: next.wrapping_sub(packet.sequence_number),
            timestamp_offset: self.timestamp_offset(now, packet),
            counters_offset: self.last.map_or(Counters::default(), |last| last.counters.next().minus(counters)),
        });
        self.switches += 1;
        self.key_frame_asked = None;
    }

    fn timestamp_offset(&self, now: Instant, packet: &Packet) -> u32 {
        let Some(last) = self.last else { return 0 };
        let rate = packet.codec.clock_rate();
        let ticks = |time: Duration| (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u32;
        let expected = last.timestamp.wrapping_add(ticks(now.duration_since(last.at)));
        // On a common timeline the packet's own time is exact, and a step forward by one is enough where the other
        // layer was as far already.
        let off_by = packet.timestamp.wrapping_sub(expected).cast_signed();
        let timestamp = if off_by.unsigned_abs() < ticks(SAME_TIMELINE) { packet.timestamp } else { expected };
        let ahead = timestamp.wrapping_sub(last.timestamp).cast_signed();
        let timestamp = if ahead > 0 { timestamp } else { last.timestamp.wrapping_add(1) };
        timestamp.wrapping_sub(packet.timestamp)
    }

    /// The viewer's decoder cannot go on.
    pub(crate) fn decoder_stuck(&mut self) {
        self.decoder_stuck = true;
    }

    /// The stream that a key frame is to be asked for, now.
    pub(crate) fn key_frame_wanted(&mut self, now: Instant) -> Option<(ProducerKey, Profile)> {
        let target = self.target.as_ref()?;
        if target.paused || target.codec.kind() == mediasoup_producer::MediaKind::Audio {
            return None;
        }
        let waiting = self.effective() != Some((&target.producer, target.profile));
        let asked = self.key_frame_asked.is_some_and(|at| now.duration_since(at) < KEY_FRAME_RETRY);
        if !(waiting || self.decoder_stuck) || asked {
            return None;
        }
        let wanted = (target.producer.clone(), target.profile);
        self.key_frame_asked = Some(now);
        Some(wanted)
    }
}

#[cfg(test)]
mod tests;
