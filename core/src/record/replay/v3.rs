//! Recordings of a device of v3.

use std::time::Instant;

use serde_json::Value;

use super::{Made, Replayed};
use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::record::RecordOptions;
use crate::rtp::Codec;
use crate::v3::{Accepted, Answer, Command, Device, DeviceConfig, Input, Output, Refusal, Request};

impl Replayed for Device {
    type Request = Request;

    fn silent(config: DeviceConfig, seed: u64) -> Self {
        Device::silent(config, seed)
    }

    fn start_recording(&mut self, options: RecordOptions) {
        Device::start_recording(self, options).expect("the device is new");
    }

    fn poll_record(&mut self) -> Option<String> {
        Device::poll_record(self)
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<Made, String> {
        match self.handle_input(now, Input::Command(command)) {
            Ok(Accepted::Transport(id)) => Ok(Made::Transport(id)),
            Ok(Accepted::Producing(producing)) => Ok(Made::Producer(producing.producer)),
            Ok(Accepted::Done | Accepted::Operation(_)) => Ok(Made::Other),
            Err(error) => Err(error.to_string()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        Device::handle_timeout(self, now);
    }

    fn respond(&mut self, now: Instant, id: RequestId, result: Result<Answer, Refusal>) {
        self.handle_input(now, Input::Answer { id, result }).expect("answers never fail");
    }

    fn refusal(words: String) -> Refusal {
        Refusal::new(words)
    }

    fn usual_answer(request: &Request) -> Answer {
        match request {
            Request::Connect { .. } => Answer::Connected,
            Request::Produce { producer, .. } => Answer::Produced { id: format!("producer-{producer}") },
        }
    }

    fn notify(&mut self, _now: Instant, _message: Value) -> Result<(), &'static str> {
        Err("a server of v3 says nothing of its own accord")
    }

    fn media(&mut self, now: Instant, producer: ProducerId, media: Media) {
        // What media is refused is nothing to the control plane.
        let _ = self.handle_input(now, Input::Media { producer, media });
    }

    fn repeat_media(&mut self, now: Instant, producer: ProducerId, media: &Media) {
        Device::repeat_media(self, now, producer, media);
    }

    fn refuse_media(&mut self, now: Instant, producer: ProducerId, media: &Media, why: &str) {
        Device::refuse_media(self, now, producer, media, why);
    }

    fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent) {
        Device::engine_event(self, now, transport, event);
    }

    fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer) {
        Device::engine_answer(self, transport, answer);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Device::poll_output(self)
    }

    fn request(output: &Output) -> Option<(RequestId, Request)> {
        match output {
            Output::Request { id, request } => Some((*id, request.clone())),
            Output::Transmit(_) | Output::Event(_) => None,
        }
    }

    fn codec(&self, producer: ProducerId) -> Option<Codec> {
        self.producer_info(producer).map(|producer| producer.codec())
    }

    /// By its number, from 0.
    fn ssrc(&self, producer: ProducerId, layer: &str) -> Option<u32> {
        let layer: usize = layer.parse().ok()?;
        self.producer_info(producer)?.rtp_parameters()?.encodings.get(layer)?.ssrc
    }
}
