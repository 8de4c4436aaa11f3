//! The library, driven on virtual time towards the simulated room.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::sim::{RoomServerConfig, Scenario, ScenarioConfig, ServerLimits, ServerOutput, Source};
use mediasoup_producer::v2::{Input, Output, Room};
use mediasoup_producer::{Frame, ProducerId, Receive, RtpPacket};
use serde_json::{Value, json};

use crate::{FRAME_INTERVAL, PAYLOAD, Sender};

/// What frames are cut from: that the application has made them is no cost of ours.
static ENCODED: [u8; PAYLOAD * 100] = [1; PAYLOAD * 100];
/// A VP8 payload descriptor with a picture id of 15 bits.
const DESCRIPTOR: usize = 4;

/// A room that sends; the other end is there, but nothing goes to it until [`exchange`](Sender::exchange).
#[derive(Debug)]
pub struct Ours {
    scenario: Scenario,
    now: Instant,
    media_time: Duration,
    producers: Vec<ProducerId>,
    sequence_number: u16,
}

impl Ours {
    /// Joins, and sends so many producers of video over one transport.
    pub fn connected(tracks: usize) -> Self {
        let server = RoomServerConfig::default().limits(ServerLimits::default().producers(tracks.max(64)));
        let config = ScenarioConfig::default().server(server);
        let mut scenario = Scenario::new(config, Instant::now(), 1).joined();
        let transport = scenario.create_transport();
        let producers: Vec<_> = (0..tracks).map(|_| scenario.send(transport, Source::vp8(100_000))).collect();
        scenario.drive_until("media to arrive from every producer", |scenario| {
            producers.iter().all(|id| scenario.server.encodings(*id).iter().any(|encoding| encoding.packets > 0))
        });
        scenario.stop_media();
        scenario.drive(Duration::from_secs(1));
        let now = scenario.now();
        Self { scenario, now, media_time: Duration::from_secs(100), producers, sequence_number: 0 }
    }

    /// Bytes of a VP8 frame that is so many full packets; a hundred at most.
    pub const fn frame_bytes(packets: usize) -> usize {
        (PAYLOAD - DESCRIPTOR) * packets
    }

    fn room(&mut self) -> &mut Room {
        &mut self.scenario.room
    }
}

impl Sender for Ours {
    fn frame(&mut self, track: usize, packets: usize) {
        // Bit 0 of a VP8 frame set: not a key frame.
        let frame = Frame::new(Bytes::from_static(&ENCODED[..Self::frame_bytes(packets)]), self.media_time);
        let (now, id) = (self.now, self.producers[track]);
        let mut producer = self.room().producer(id).expect("nobody closed it");
        producer.write_frame(now, frame).expect("connected and not paused");
        self.media_time += FRAME_INTERVAL;
    }

    fn packets(&mut self, track: usize, packets: usize) {
        let timestamp = (self.media_time.as_millis() * 90) as u32;
        let (now, id) = (self.now, self.producers[track]);
        for index in 0..packets {
            let packet = RtpPacket {
                layer: 0,
                ssrc: 7,
                sequence_number: self.sequence_number,
                timestamp,
                marker: index + 1 == packets,
                payload: Bytes::from_static(&[1; PAYLOAD]),
                audio_level: None,
                rotation: None,
            };
            let mut producer = self.scenario.room.producer(id).expect("nobody closed it");
            producer.write_packet(now, packet).expect("connected and not paused");
            self.sequence_number = self.sequence_number.wrapping_add(1);
        }
        self.media_time += FRAME_INTERVAL;
    }

    fn drain(&mut self, datagram: &mut dyn FnMut(&[u8])) {
        while let Some(output) = self.room().poll_output() {
            if let Output::Transmit(transmit) = output {
                datagram(&transmit.contents);
            }
        }
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn timeout(&mut self) -> Option<Instant> {
        self.room().poll_timeout()
    }

    fn wake(&mut self, at: Instant) {
        self.now = at.max(self.now);
        let now = self.now;
        if self.room().poll_timeout().is_some_and(|due| due <= now) {
            self.room().handle_timeout(now);
        }
    }

    fn exchange(&mut self) {
        // The scenario's clock is behind ours, and catches up.
        let behind = self.now.saturating_duration_since(self.scenario.now());
        self.scenario.drive(behind + Duration::from_millis(500));
        self.now = self.scenario.now();
    }
}

/// A room that sends, and what the server has to say to that: REMB, receiver reports, answers to checks.
#[derive(Debug)]
pub struct Inbound {
    ours: Ours,
    arriving: VecDeque<Receive>,
    paused: bool,
}

impl Inbound {
    /// A room that sends one producer of video.
    pub fn connected() -> Self {
        Self { ours: Ours::connected(1), arriving: VecDeque::new(), paused: false }
    }

    /// Lets a second go by in which media flows, and keeps what the server sent meanwhile. Not to be measured.
    pub fn listen(&mut self) {
        for _ in 0..30 {
            self.ours.frame(0, 3);
            let mut up = Vec::new();
            let (scenario, until) = (&mut self.ours.scenario, self.ours.now + FRAME_INTERVAL);
            loop {
                while let Some(output) = scenario.room.poll_output() {
                    if let Output::Transmit(transmit) = output {
                        up.push(transmit);
                    }
                }
                let due = scenario.room.poll_timeout().into_iter().chain(scenario.server.poll_timeout()).min();
                let now = due.unwrap_or(until).clamp(self.ours.now, until);
                self.ours.now = now;
                for transmit in up.drain(..) {
                    scenario.server.handle_receive(now, &transmit.into());
                }
                if now >= until {
                    break;
                }
                scenario.room.handle_timeout(now);
                scenario.server.handle_timeout(now);
                while let Some(output) = scenario.server.poll_output() {
                    if let ServerOutput::Transmit(transmit) = output {
                        self.arriving.push_back(transmit.into());
                    }
                }
            }
        }
    }

    /// What has arrived and was not handed in.
    pub fn arrived(&self) -> usize {
        self.arriving.len()
    }

    /// Hands one datagram in, and takes what follows from it.
    pub fn receive(&mut self) {
        if let Some(receive) = self.arriving.pop_front() {
            self.ours.scenario.room.handle_receive(self.ours.now, &receive);
            while self.ours.scenario.room.poll_output().is_some() {}
        }
    }

    /// A `producerPaused` or `producerResumed` of the server's, for [`notify`](Self::notify).
    pub fn notification(&mut self) -> Value {
        self.paused = !self.paused;
        let method = if self.paused { "producerPaused" } else { "producerResumed" };
        json!({
            "method": method, "target": "peer", "notification": true,
            "id": self.ours.producers[0].value(), "peerName": "sender", "appData": { "by": "the room" },
        })
    }

    /// Hands one message in, and takes what follows from it.
    pub fn notify(&mut self, message: Value) {
        let now = self.ours.now;
        self.ours.room().handle_input(now, Input::Notification(message)).expect("a notification never fails");
        while self.ours.room().poll_output().is_some() {}
    }
}

/// A room that is connected and sends nothing.
#[derive(Debug)]
pub struct Idle(Ours);

impl Idle {
    /// Connects one, after which no more media is sent.
    pub fn connected() -> Self {
        Self(Ours::connected(1))
    }

    /// Connects one that never sends any.
    pub fn silent() -> Self {
        let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).joined();
        let transport = scenario.create_transport();
        scenario.stop_media();
        let producer = scenario.send(transport, Source::vp8(100_000));
        scenario.drive_until("the room to be connected", Scenario::connected);
        let now = scenario.now();
        let (media_time, producers) = (Duration::ZERO, vec![producer]);
        Self(Ours { scenario, now, media_time, producers, sequence_number: 0 })
    }

    /// Serves the next deadline, and says when it was.
    pub fn timeout(&mut self) -> Instant {
        let at = self.0.room().poll_timeout().expect("a connected room has one").max(self.0.now);
        self.0.now = at;
        self.0.room().handle_timeout(at);
        while self.0.room().poll_output().is_some() {}
        at
    }

    /// Has the server answer what is due. Not to be measured.
    pub fn exchange(&mut self) {
        self.0.exchange();
    }

    /// Serves all deadlines for so long, with a server that answers at once. Returns how many there were, and at how many of
    /// them ICE had something to send.
    pub fn wakes(&mut self, time: Duration) -> (usize, usize) {
        let scenario = &mut self.0.scenario;
        let until = self.0.now + time;
        let (mut wakes, mut checks) = (0, 0);
        loop {
            let ours = scenario.room.poll_timeout();
            let next = ours.into_iter().chain(scenario.server.poll_timeout()).min().unwrap_or(until);
            self.0.now = next.max(self.0.now);
            let now = self.0.now;
            if now >= until {
                return (wakes, checks);
            }
            let woken = ours.is_some_and(|at| at <= now);
            if woken {
                wakes += 1;
                scenario.room.handle_timeout(now);
            }
            scenario.server.handle_timeout(now);
            let mut checked = false;
            while let Some(output) = scenario.room.poll_output() {
                if let Output::Transmit(transmit) = output {
                    // The first two bits tell STUN from all else (RFC 7983).
                    checked |= transmit.contents[0] < 4;
                    scenario.server.handle_receive(now, &transmit.into());
                }
            }
            checks += usize::from(woken && checked);
            while let Some(output) = scenario.server.poll_output() {
                if let ServerOutput::Transmit(transmit) = output {
                    scenario.room.handle_receive(now, &transmit.into());
                }
            }
        }
    }

    /// The room by itself.
    pub fn into_room(self) -> Room {
        self.0.scenario.room
    }
}

/// Many rooms in one process, each with a producer of its own.
#[derive(Debug)]
pub struct Rooms(Vec<Ours>);

impl Rooms {
    /// Connects so many.
    pub fn connected(rooms: usize) -> Self {
        Self((0..rooms).map(|_| Ours::connected(1)).collect())
    }

    /// Each room in its turn.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Ours> {
        self.0.iter_mut()
    }
}
