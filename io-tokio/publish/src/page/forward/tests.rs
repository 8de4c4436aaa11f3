use mediasoup_producer::MediaKind;
use proptest::prelude::*;

use super::*;
use crate::embedded::LayerView;

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// A publisher of three layers, each with numbers of its own, and a viewer of it. A frame of each layer is two packets.
struct Bench {
    now: Instant,
    forward: Forward,
    key: ProducerKey,
    view: ProducerView,
    layers: Vec<Layer>,
    frames: u32,
    out: Vec<Outgoing>,
    /// For each packet out, the layer it is from.
    from: Vec<Profile>,
}

struct Layer {
    profile: Profile,
    sequence_number: u64,
    picture_id: u16,
    timestamp: u32,
    silent: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with_timelines([7_000_000; 3])
    }

    fn with_timelines(timestamps: [u32; 3]) -> Self {
        let now = Instant::now();
        let start = [(40_000, 5), (70_000, 0x7ffd), (1_000_000, 900)];
        let layers: Vec<Layer> = Profile::SIMULCAST
            .into_iter()
            .zip(start)
            .zip(timestamps)
            .map(|((profile, (sequence_number, picture_id)), timestamp)| Layer {
                profile,
                sequence_number,
                picture_id,
                timestamp,
                silent: false,
            })
            .collect();
        let view = ProducerView {
            kind: MediaKind::Video,
            codec: Codec::Vp8,
            paused_by_peer: false,
            paused_by_room: false,
            layers: Profile::SIMULCAST.map(|profile| LayerView { profile, ..LayerView::default() }).into(),
        };
        let key = ProducerKey { peer: "peer".into(), producer: 1.into() };
        let mut forward = Forward::new(Profile::High);
        forward.select(now, Some((&key, &view)));
        Self { now, forward, key, view, layers, frames: 0, out: Vec::new(), from: Vec::new() }
    }

    fn prefer(&mut self, profile: Profile) {
        self.forward.set_preferred(profile);
        self.select();
    }

    fn pause(&mut self, paused: bool) {
        self.view.paused_by_room = paused;
        self.select();
    }

    fn select(&mut self) {
        self.forward.select(self.now, Some((&self.key, &self.view)));
    }

    /// One frame of each layer, a key frame of every one each 30.
    fn frame(&mut self) {
        let key_frame = self.frames.is_multiple_of(30);
        self.frames += 1;
        self.now += FRAME;
        for index in 0..self.layers.len() {
            for packet in self.packets(index, key_frame) {
                if let Some(outgoing) = self.forward.take(self.now, &packet) {
                    self.out.push(outgoing);
                    self.from.push(packet.profile);
                }
            }
        }
        self.select();
    }

    fn packets(&mut self, index: usize, key_frame: bool) -> Vec<Packet> {
        let layer = &mut self.layers[index];
        layer.timestamp = layer.timestamp.wrapping_add(3000);
        if layer.silent || self.view.paused_by_room {
            return Vec::new();
        }
        let [high, low] = layer.picture_id.to_be_bytes();
        layer.picture_id = (layer.picture_id + 1) & 0x7fff;
        let packets = [(0x90, false), (0x80, true)].map(|(first, marker)| {
            layer.sequence_number += 1;
            Packet {
                producer: self.key.clone(),
                profile: layer.profile,
                codec: Codec::Vp8,
                ssrc: 0,
                payload_type: 101,
                sequence_number: layer.sequence_number,
                timestamp: layer.timestamp,
                marker,
                payload: vec![first, 0x80, 0x80 | high, low, u8::from(!key_frame), 9].into(),
            }
        });
        packets.into()
    }

    fn frames(&mut self, count: u32) {
        for _ in 0..count {
            self.frame();
        }
    }

    fn effective(&self) -> Option<Profile> {
        self.forward.effective().map(|(_, profile)| profile)
    }

    /// What a decoder goes by: no gap in numbers, time moves on, a change of layer begins with a key frame.
    fn assert_seamless(&self) {
        for (pair, from) in self.out.windows(2).zip(self.from.windows(2)) {
            assert_eq!(pair[1].sequence_number, pair[0].sequence_number + 1, "sequence numbers");
            let step = (picture_id(&pair[1]) + 0x8000 - picture_id(&pair[0])) % 0x8000;
            let time = pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed();
            if pair[0].marker {
                assert_eq!(step, 1, "picture ids");
                assert!(time > 0, "time stands still or goes back: {time}");
            } else {
                assert_eq!((step, time), (0, 0), "within a frame");
            }
            if from[0] != from[1] {
                assert!(pair[0].marker && begins_key_frame(Codec::Vp8, &pair[1].payload), "switch at a key frame");
            }
        }
    }
}

fn picture_id(packet: &Outgoing) -> u16 {
    u16::from_be_bytes([packet.payload[2] & 0x7f, packet.payload[3]])
}

#[test]
fn the_first_packet_is_of_a_key_frame_with_a_number_below_the_first_rollover() {
    let mut bench = Bench::new();
    bench.frames = 7;
    bench.frames(22);
    assert_eq!((bench.out.len(), bench.effective()), (0, None));
    bench.frames(2);
    assert_eq!(bench.effective(), Some(Profile::High));
    assert!(begins_key_frame(Codec::Vp8, &bench.out[0].payload));
    assert!(bench.out[0].sequence_number < 1 << 15);
}

#[test]
fn a_switch_waits_for_a_key_frame_and_goes_on_with_the_old_layer_until_then() {
    let mut bench = Bench::new();
    bench.frames(10);
    bench.prefer(Profile::Low);
    bench.frames(20);
    assert_eq!((bench.effective(), bench.forward.preferred()), (Some(Profile::High), Profile::Low));
    bench.frame();
    assert_eq!(bench.effective(), Some(Profile::Low));
    assert_eq!(bench.out.len(), 31 * 2 + usize::from(bench.from.last() == Some(&Profile::High)) * 2);
    bench.assert_seamless();
}

#[test]
fn a_switch_upwards_in_the_middle_of_a_frame_time_keeps_time_moving() {
    let mut bench = Bench::new();
    bench.prefer(Profile::Low);
    bench.frames(40);
    // Low's frame of the same moment has gone out already when high's comes.
    bench.prefer(Profile::High);
    bench.frames(60);
    assert_eq!(bench.effective(), Some(Profile::High));
    bench.assert_seamless();
}

#[test]
fn layers_on_timelines_of_their_own_are_joined_by_the_clock() {
    let mut bench = Bench::with_timelines([5, 3_000_000_000, 900_000_000]);
    for profile in [Profile::Low, Profile::High, Profile::Medium, Profile::Low] {
        bench.prefer(profile);
        bench.frames(45);
    }
    bench.assert_seamless();
    let elapsed = bench.out.last().unwrap().timestamp.wrapping_sub(bench.out[0].timestamp);
    assert!(elapsed.abs_diff(45 * 4 * 3000) < 2 * 3000, "{elapsed}");
}

#[test]
fn after_a_pause_comes_a_key_frame_and_time_has_moved_on_as_the_clock_has() {
    let mut bench = Bench::new();
    bench.frames(40);
    let before = bench.out.last().unwrap().timestamp;
    bench.pause(true);
    bench.frames(75);
    assert_eq!(bench.effective(), None);
    assert_eq!(bench.forward.key_frame_wanted(bench.now), None, "none is asked of a paused producer");
    bench.pause(false);
    let sent = bench.out.len();
    assert_eq!(bench.forward.key_frame_wanted(bench.now), Some((bench.key.clone(), Profile::High)));
    bench.frames(10);
    assert!(begins_key_frame(Codec::Vp8, &bench.out[sent].payload));
    bench.assert_seamless();
    let pause = bench.out[sent].timestamp.wrapping_sub(before);
    assert!((75 * 3000..110 * 3000).contains(&pause), "{pause}");
}

#[test]
fn while_the_preferred_layer_is_silent_the_next_lower_one_is_shown() {
    let mut bench = Bench::new();
    bench.frames(20);
    bench.layers[2].silent = true;
    bench.frames(100);
    assert_eq!((bench.effective(), bench.forward.preferred()), (Some(Profile::Medium), Profile::High));
    bench.layers[2].silent = false;
    bench.frames(60);
    assert_eq!(bench.effective(), Some(Profile::High));
    bench.assert_seamless();
}

#[test]
fn key_frames_are_asked_for_until_they_come_but_not_in_bursts() {
    let mut bench = Bench::new();
    bench.frames(10);
    assert_eq!(bench.forward.key_frame_wanted(bench.now), None, "all is well");
    bench.prefer(Profile::Low);
    let wanted = Some((bench.key.clone(), Profile::Low));
    assert_eq!(bench.forward.key_frame_wanted(bench.now), wanted);
    assert_eq!(bench.forward.key_frame_wanted(bench.now), None);
    assert_eq!(bench.forward.key_frame_wanted(bench.now + KEY_FRAME_RETRY), wanted);
    bench.frames(30);
    assert_eq!(bench.forward.key_frame_wanted(bench.now + KEY_FRAME_RETRY), None, "it came");
    bench.forward.decoder_stuck();
    assert_eq!(bench.forward.key_frame_wanted(bench.now + 2 * KEY_FRAME_RETRY), wanted, "the browser asked");
}

#[test]
fn a_late_packet_keeps_its_place_and_one_from_before_the_switch_is_dropped() {
    let mut bench = Bench::new();
    let mut key_frame = bench.packets(2, true);
    let mut next = bench.packets(2, false);
    let early = Packet { sequence_number: key_frame[0].sequence_number - 1, ..next[0].clone() };
    let (late, last) = (next.remove(0), next.remove(0));
    let now = bench.now;
    let mut take = |packet: &Packet| bench.forward.take(now, packet).map(|outgoing| outgoing.sequence_number);
    let first = take(&key_frame.remove(0)).unwrap();
    assert_eq!(take(&key_frame.remove(0)), Some(first + 1));
    assert_eq!(take(&last), Some(first + 3));
    assert_eq!(take(&late), Some(first + 2));
    assert_eq!(take(&early), None);
}

#[test]
fn a_producer_that_takes_the_place_of_another_joins_on_seamlessly() {
    let mut bench = Bench::new();
    bench.frames(40);
    bench.forward.select(bench.now, None);
    assert_eq!(bench.effective(), None);
    bench.key.producer = 2.into();
    for layer in &mut bench.layers {
        (layer.sequence_number, layer.timestamp, layer.picture_id) = (3, layer.timestamp.wrapping_add(1 << 31), 7);
    }
    bench.select();
    bench.frames(60);
    assert_eq!(bench.effective(), Some(Profile::High));
    bench.assert_seamless();
}

proptest! {
    #[test]
    fn whatever_is_switched_paused_and_silenced_the_stream_has_no_seam(
        timestamps: [u32; 3],
        acts in prop::collection::vec((0u8..8, 1u32..40), 1..30),
    ) {
        let mut bench = Bench::with_timelines(timestamps);
        for (act, frames) in acts {
            match act {
                0..=2 => bench.prefer(Profile::SIMULCAST[usize::from(act)]),
                3 => bench.pause(true),
                4 => bench.pause(false),
                layer => {
                    let layer = &mut bench.layers[usize::from(layer - 5)];
                    layer.silent = !layer.silent;
                }
            }
            bench.frames(frames);
        }
        bench.assert_seamless();
    }
}
