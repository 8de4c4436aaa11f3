//! A room with a well-behaved server up to a chosen point, and the promises checked after every input.

use std::time::{Duration, Instant};

use mediasoup_producer::v2::protocol::Request;
use mediasoup_producer::v2::{Event, Input, Output, ProducerEvent, ProducerOptions, Room, RoomConfig, RoomState};
use mediasoup_producer::{Limits, MediaKind, ProducerId, RequestId, Track, TransportId};
use serde_json::{Value, json};

const PENDING_REQUESTS: usize = 256;

pub(crate) struct Session {
    room: Room,
    now: Instant,
    transport: Option<TransportId>,
    producer: Option<ProducerId>,
    latest: Option<RequestId>,
    unanswered: Option<(RequestId, Request)>,
    closed: bool,
}

impl Session {
    /// New; the settings awaited; the answer to join awaited; joined; the transport awaited; the producer awaited;
    /// handled.
    pub(crate) const STAGES: u8 = 7;

    pub(crate) fn at(stage: u8) -> Self {
        let limits = Limits::default().pending_requests(PENDING_REQUESTS);
        let room = Room::new(RoomConfig::default().limits(limits).request_timeout(Duration::from_secs(5)), 7);
        let mut session = Self {
            room,
            now: Instant::now(),
            transport: None,
            producer: None,
            latest: None,
            unanswered: None,
            closed: false,
        };
        if stage > 0 {
            session.room.join(session.now, "fuzz", None).expect("a new room can be joined");
        }
        for step in 2..=stage {
            if step == 4 {
                session.send();
            }
            session.drain();
            // Stage 4 has sent a producer, and stage 5 is the first to answer that.
            if let Some((id, request)) = session.unanswered.take_if(|_| step != 4) {
                session.input(Input::Response { id, result: Ok(answer(&request)) });
            }
            if step == 3 {
                assert_eq!(session.room.state(), RoomState::Joined);
            }
        }
        session.drain();
        session
    }

    fn send(&mut self) {
        let transport = self.room.create_transport(self.now, None).expect("the room is joined");
        let track = Track::new(MediaKind::Video, "video", "");
        let options = ProducerOptions::default().simulcast(true);
        let producer = self.room.create_producer(self.now, track, options, None).expect("the room has VP8");
        let mut handle = self.room.producer(producer).expect("just made");
        handle.send(self.now, transport).expect("both are new");
        (self.transport, self.producer) = (Some(transport), Some(producer));
    }

    pub(crate) fn transport(&self) -> u32 {
        self.transport.map_or(0, TransportId::value)
    }

    pub(crate) fn producer(&self) -> u32 {
        self.producer.map_or(0, ProducerId::value)
    }

    pub(crate) const fn latest_request(&self) -> Option<RequestId> {
        self.latest
    }

    /// What the real server answers to the latest request.
    pub(crate) fn usual_answer(&self) -> Value {
        self.unanswered.as_ref().map_or(Value::Null, |(_, request)| answer(request))
    }

    /// Answers as the real server does, until nothing is asked any more.
    pub(crate) fn answer_all(&mut self) {
        while let Some((id, request)) = self.unanswered.take() {
            self.input(Input::Response { id, result: Ok(answer(&request)) });
        }
    }

    /// Publishes a track if the room takes it, over a transport of its own.
    pub(crate) fn publish(&mut self, track: Track, options: ProducerOptions) {
        let Ok(transport) = self.room.create_transport(self.now, None) else { return };
        if let Ok(producer) = self.room.create_producer(self.now, track, options, None) {
            self.room.producer(producer).expect("just made").send(self.now, transport).expect("both are new");
            self.drain();
            self.answer_all();
            assert!(self.room.producer_info(producer).is_some_and(|producer| producer.handled()));
        }
    }

    pub(crate) fn pass(&mut self, milliseconds: u16) {
        self.now += Duration::from_millis(milliseconds.into());
        self.input(Input::Timeout);
    }

    pub(crate) fn input(&mut self, input: Input) {
        // The network is never an error; commands may be.
        let from_outside = !matches!(input, Input::Command(_) | Input::Media { .. });
        let result = self.room.handle_input(self.now, input);
        assert!(result.is_ok() || !from_outside, "{result:?}");
        self.drain();
        for producer in self.room.producers() {
            assert_eq!(producer.paused(), producer.locally_paused() || producer.remotely_paused());
        }
        assert!(self.room.stats().requests_pending <= PENDING_REQUESTS);
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    self.latest = Some(id);
                    self.unanswered = Some((id, request));
                }
                Output::Event(Event::Producer { id, event }) if Some(id) == self.producer => {
                    assert!(!self.closed, "{event:?} after a close");
                    self.closed = matches!(event, ProducerEvent::Close { .. });
                }
                _ => {}
            }
        }
    }

    /// Leaves, if there is something to leave; nothing may be left behind.
    pub(crate) fn close(mut self) {
        if self.room.leave(self.now, None).is_ok() {
            self.drain();
            assert!(self.room.closed());
        }
        if self.room.state() != RoomState::New {
            assert_eq!(self.room.transports().count() + self.room.producers().count(), 0);
            assert_eq!((self.room.poll_timeout(), self.room.stats().requests_pending), (None, 0));
        }
    }
}

/// What the real server answers.
fn answer(request: &Request) -> Value {
    match request {
        Request::QueryRoom => json!({
            "rtpCapabilities": {
                "codecs": [
                    { "kind": "audio", "name": "opus", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
                      "parameters": {}, "rtcpFeedback": [], "preferredPayloadType": 100 },
                    { "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "parameters": {},
                      "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }],
                      "preferredPayloadType": 101 },
                    { "kind": "video", "name": "rtx", "mimeType": "video/rtx", "clockRate": 90000,
                      "parameters": { "apt": 101 }, "preferredPayloadType": 102 },
                ],
                "headerExtensions": [
                    { "kind": "video", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 5 },
                ],
                "fecMechanisms": [],
            },
            "mandatoryCodecPayloadTypes": [],
        }),
        Request::Join { .. } => json!({ "peers": [] }),
        Request::CreateTransport { .. } => json!({
            "iceParameters": { "usernameFragment": "ufrag", "password": "0123456789abcdef01234567", "iceLite": true },
            "iceCandidates": [{ "family": "ipv4", "foundation": "udpcandidate", "ip": "192.0.2.7", "port": 40000,
                "priority": 1078862079, "protocol": "udp", "type": "host" }],
            "dtlsParameters": { "role": "server", "fingerprints": [{ "algorithm": "sha-256", "value": (["AB"; 32].join(":")) }] },
        }),
        _ => Value::Null,
    }
}
