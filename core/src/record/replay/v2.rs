//! Recordings of a room of v2.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Line, Made, Replayed};
use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::record::RecordOptions;
use crate::rtp::Codec;
use crate::v2::protocol::{Refusal, Request};
use crate::v2::{Accepted, Command, Input, Output, Profile, Room, RoomConfig};

impl Replayed for Room {
    type Request = Request;

    fn silent(config: RoomConfig, seed: u64) -> Self {
        Room::silent(config, seed)
    }

    fn start_recording(&mut self, options: RecordOptions) {
        Room::start_recording(self, options).expect("the room is new");
    }

    fn poll_record(&mut self) -> Option<String> {
        Room::poll_record(self)
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<Made, String> {
        match self.handle_input(now, Input::Command(command)) {
            Ok(Accepted::Transport(id)) => Ok(Made::Transport(id)),
            Ok(Accepted::Producer(id)) => Ok(Made::Producer(id)),
            Ok(Accepted::Done | Accepted::Operation(_) | Accepted::Operations(_)) => Ok(Made::Other),
            Err(error) => Err(error.to_string()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        Room::handle_timeout(self, now);
    }

    fn respond(&mut self, now: Instant, id: RequestId, result: Result<Value, Refusal>) {
        self.handle_input(now, Input::Response { id, result }).expect("what the server says never fails");
    }

    fn refusal(words: String) -> Refusal {
        Refusal::new(words)
    }

    fn usual_answer(request: &Request) -> Value {
        usual_answer(request)
    }

    fn notify(&mut self, now: Instant, message: Value) -> Result<(), &'static str> {
        self.handle_input(now, Input::Notification(message)).expect("what the server says never fails");
        Ok(())
    }

    fn media(&mut self, now: Instant, producer: ProducerId, media: Media) {
        // What media is refused is nothing to the control plane.
        let _ = self.handle_input(now, Input::Media { producer, media });
    }

    fn repeat_media(&mut self, now: Instant, producer: ProducerId, media: &Media) {
        Room::repeat_media(self, now, producer, media);
    }

    fn refuse_media(&mut self, now: Instant, producer: ProducerId, media: &Media, why: &str) {
        Room::refuse_media(self, now, producer, media, why);
    }

    fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) {
        Room::engine_event(self, now, transport, event);
    }

    fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) {
        Room::engine_answer(self, transport, answer);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Room::poll_output(self)
    }

    fn request(output: &Output) -> Option<(RequestId, Request)> {
        match output {
            Output::Request { id, request } => Some((*id, request.clone())),
            Output::Transmit(_) | Output::Notification(_) | Output::Event(_) => None,
        }
    }

    fn codec(&self, producer: ProducerId) -> Option<Codec> {
        self.producer_info(producer).map(|producer| producer.codec())
    }

    /// `low`, `medium`, `high`; `default` without simulcast.
    fn ssrc(&self, producer: ProducerId, layer: &str) -> Option<u32> {
        let layer: Profile = serde_json::from_value(layer.into()).ok()?;
        let encodings = &self.producer_info(producer)?.rtp_parameters()?.encodings;
        encodings.iter().find(|encoding| encoding.profile.unwrap_or_default() == layer).map(|encoding| encoding.ssrc)
    }
}

/// From version 1, in which layers had the names of v2's profiles.
pub(super) fn update(line: &mut Line) {
    let Some(media) = &mut line.media else { return };
    for name in ["Frame", "Packet"] {
        let Some(fields) = media.get_mut(name).and_then(Value::as_object_mut) else { continue };
        let Some(profile) = fields.remove("profile") else { continue };
        // What is none is refused as a layer.
        let layer = Profile::deserialize(&profile).map_or(profile, |profile| profile.layer().into());
        fields.insert("layer".to_owned(), layer);
    }
    if let Some(words) = &mut line.refused {
        for profile in Profile::SIMULCAST.into_iter().chain([Profile::Default]) {
            *words = words.replace(&format!("layer {profile},"), &format!("layer {},", profile.layer()));
        }
    }
}

/// An operation failed without saying what it was.
pub(super) fn as_in_version_1(mut output: Value) -> Value {
    if let Some(failure) = output.pointer_mut("/Event/Settled/result/Err")
        && let Value::Object(of) = failure.take()
        && let Some((_, error)) = of.into_iter().next()
    {
        *failure = error;
    }
    output
}

fn usual_answer(request: &Request) -> Value {
    match request {
        Request::QueryRoom => json!({
            "rtpCapabilities": {
                "codecs": [
                    { "kind": "audio", "name": "opus", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
                      "parameters": { "useinbandfec": 1 }, "rtcpFeedback": [], "preferredPayloadType": 100 },
                    { "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "parameters": {},
                      "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" },
                                       { "type": "ccm", "parameter": "fir" }, { "type": "goog-remb" }],
                      "preferredPayloadType": 101 },
                    { "kind": "video", "name": "rtx", "mimeType": "video/rtx", "clockRate": 90000,
                      "parameters": { "apt": 101 }, "preferredPayloadType": 102 },
                ],
                "headerExtensions": [],
                "fecMechanisms": [],
            },
            "mandatoryCodecPayloadTypes": [],
        }),
        Request::Join { .. } => json!({ "peers": [] }),
        Request::CreateTransport { .. } => json!({
            "iceParameters": { "usernameFragment": "room", "password": "***", "iceLite": true },
            "iceCandidates": [{ "family": "ipv4", "foundation": "udpcandidate", "ip": "192.0.2.1", "port": 40000,
                                "priority": 1, "protocol": "udp", "type": "host" }],
            "dtlsParameters": { "role": "server", "fingerprints": [] },
        }),
        Request::RestartTransport { .. } => {
            json!({ "iceParameters": { "usernameFragment": "room", "password": "***", "iceLite": true } })
        }
        Request::CreateProducer { .. } => Value::Null,
    }
}
