//! A device beside the model, step by step.

use std::time::{Duration, Instant};

use serde_json::Map;

use super::capabilities;
use super::config::RouterConfig;
use super::model::{self, AnswerKind, Expected, Model, Said, Step};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::limits::Limits;
use crate::media::{Frame, Media};
use crate::net::{DtlsFingerprint, IceParameters, IceProtocol};
use crate::v3::{
    Answer, Command, Device, DeviceConfig, DtlsParameters, DtlsRole, Event, IceCandidate, Input, InputError, Output,
    ProducerEvent, Refusal, Request, RtpCapabilities, TransportOptions, TransportParameters,
};

/// Frames of a producer are so far apart.
const FRAMES_APART: Duration = Duration::from_millis(40);

/// A device and the [`Model`]. After each step what the device said and what it is like are as the
/// model has them, or the step fails.
#[derive(Debug)]
pub struct Lockstep {
    device: Device,
    model: Model,
    plane: Plane,
    now: Instant,
    frames: u32,
    capabilities: RtpCapabilities,
    parameters: TransportParameters,
    story: Vec<(Step, Expected)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Plane {
    Scripted,
    Real,
}

/// More than there can be to do at once.
const TURNS: u32 = 1000;

impl Lockstep {
    /// A device on a scripted media plane, that is not loaded. `start` is where virtual time begins.
    pub fn new(start: Instant, seed: u64) -> Self {
        Self::with(start, Device::scripted(Self::config(), seed), Plane::Scripted)
    }

    /// A device on the real media plane. It has nobody to connect to: what the engine would say must not be in the sequence,
    /// nor enough time for ICE to give up.
    pub fn real(start: Instant, seed: u64) -> Self {
        Self::with(start, Device::new(Self::config(), seed), Plane::Real)
    }

    fn config() -> DeviceConfig {
        let limits = Limits::default()
            .transports(model::TRANSPORTS)
            .producers(model::PRODUCERS)
            .operations(model::OPERATIONS)
            .late_answers(model::LATE_ANSWERS);
        DeviceConfig::default().limits(limits).request_timeout(model::REQUEST_TIMEOUT)
    }

    fn with(start: Instant, device: Device, plane: Plane) -> Self {
        Self {
            device,
            model: Model::default(),
            plane,
            now: start,
            frames: 0,
            capabilities: capabilities::of(&RouterConfig::default()),
            parameters: parameters(),
            story: Vec::new(),
        }
    }

    /// What has happened so far, and what was to come of it.
    pub fn story(&self) -> &[(Step, Expected)] {
        &self.story
    }

    /// The model.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Lets a step happen to both. Returns what was said, or how they differ.
    pub fn step(&mut self, step: &Step) -> Result<Expected, String> {
        let track = model::track_id(step.track_number(match step {
            // Numbered after it is taken.
            Step::Produce { .. } => self.model.operations() + 1,
            _ => self.model.operations(),
        }));
        let asks_produce = match step {
            Step::Answer { request, .. } => self.model.asks_produce(*request),
            _ => None,
        };
        let engine_speaks = match step {
            Step::Engine { transport, .. } => self.model.engine_speaks(*transport),
            _ => false,
        };
        let expected = self.model.step(step);
        self.story.push((*step, expected.clone()));
        let result = self.hand_in(step, &track, asks_produce, engine_speaks);
        if self.plane == Plane::Real {
            // The engine has more to do than what follows from the step.
            for _ in 0..TURNS {
                if self.device.poll_timeout().is_some_and(|at| at <= self.now) {
                    self.device.handle_timeout(self.now);
                }
            }
        }
        let (said, media) = self.outputs();
        match (&result, expected.refused) {
            (Ok(()), None) => {}
            (Err(error), Some(refused)) if format!("{error:?}").contains(refused) => {}
            (result, refused) => return Err(format!("{step:?} is {result:?}, and should be {refused:?}")),
        }
        if said != expected.said {
            return Err(format!("{step:?} makes it say {said:?}, and should make it say {:?}", expected.said));
        }
        self.compare_what_there_is()?;
        self.compare_media(step, result.is_ok(), &media)?;
        Ok(expected)
    }

    fn hand_in(
        &mut self,
        step: &Step,
        track: &str,
        asks_produce: Option<bool>,
        engine_speaks: bool,
    ) -> Result<(), InputError> {
        let transport = |index: u8| TransportId::new(u32::from(index) + 1);
        let producer = |index: u8| ProducerId::new(u32::from(index) + 1);
        if let Some(command) = step.command(track, transport, producer) {
            return self.device.handle_input(self.now, Input::Command(command)).map(drop);
        }
        let command = match *step {
            Step::Load => {
                let router_rtp_capabilities = self.capabilities.clone();
                Command::Load { router_rtp_capabilities, prefer_local_codecs_order: false }
            }
            Step::CreateTransport { nameless } => {
                let mut parameters = self.parameters.clone();
                let next = TransportId::new(self.model.made().0 as u32);
                parameters.id = if nameless { String::new() } else { model::server_transport_id(next) };
                Command::CreateSendTransport { parameters, options: TransportOptions::default(), app_data: Map::new() }
            }
            Step::RestartIce { transport: on } => {
                Command::RestartIce { id: transport(on), ice_parameters: self.parameters.ice_parameters.clone() }
            }
            Step::Write { producer: of } => return self.write(producer(of)),
            Step::Answer { request, answer } => {
                self.answer(RequestId::new(u64::from(request) + 1), answer, asks_produce);
                return Ok(());
            }
            Step::Engine { transport: of, says } => {
                if engine_speaks {
                    self.device.engine_event(self.now, transport(of), says.event());
                }
                return Ok(());
            }
            Step::Pass { milliseconds } => {
                self.now += Duration::from_millis(milliseconds.into());
                self.device.handle_timeout(self.now);
                return Ok(());
            }
            // They are commands.
            Step::Produce { .. }
            | Step::CloseTransport { .. }
            | Step::CloseProducer { .. }
            | Step::Pause { .. }
            | Step::Resume { .. }
            | Step::EndTrack { .. }
            | Step::ReplaceTrack { .. }
            | Step::SetMaxSpatialLayer { .. } => return Ok(()),
        };
        self.device.handle_input(self.now, Input::Command(command)).map(drop)
    }

    fn write(&mut self, id: ProducerId) -> Result<(), InputError> {
        self.frames += 1;
        let info = self.device.producer_info(id);
        let video = info.is_some_and(|info| info.kind() == crate::rtp::MediaKind::Video);
        let frame = Frame::new(vec![0x10; 50], FRAMES_APART * self.frames).key_frame(video);
        self.device.handle_input(self.now, Input::Media { producer: id, media: Media::Frame(frame) }).map(drop)
    }

    fn answer(&mut self, id: RequestId, answer: AnswerKind, asks_produce: Option<bool>) {
        let produced = || Ok(Answer::Produced { id: model::server_id(id) });
        let result = match (answer, asks_produce) {
            (AnswerKind::Refused, _) => Err(Refusal::new(AnswerKind::WORDS)),
            (AnswerKind::Nameless, _) => Ok(Answer::Produced { id: String::new() }),
            (AnswerKind::Well, Some(true)) | (AnswerKind::Mismatched, Some(false) | None) => produced(),
            (AnswerKind::Well, Some(false) | None) | (AnswerKind::Mismatched, Some(true)) => Ok(Answer::Connected),
        };
        self.device.handle_input(self.now, Input::Answer { id, result }).expect("answers never fail");
    }

    /// What the device says, and apart from it what it says about media, with the packets.
    fn outputs(&mut self) -> (Vec<Said>, Vec<Output>) {
        let (mut said, mut media) = (Vec::new(), Vec::new());
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Request { id, request: Request::Connect { transport, .. } } => {
                    said.push(Said::Connect { request: id, transport });
                }
                Output::Request { id, request: Request::Produce { transport, producer, .. } } => {
                    said.push(Said::Produce { request: id, transport, producer });
                }
                Output::Event(Event::Producer {
                    event:
                        ProducerEvent::KeyFrameRequest { .. }
                        | ProducerEvent::TargetBitrate { .. }
                        | ProducerEvent::TimeWentBack { .. },
                    ..
                }) => media.push(output),
                // ICE and DTLS.
                Output::Transmit(_) if self.plane == Plane::Real => {}
                Output::Transmit(_) => media.push(output),
                Output::Event(event) => said.push(Said::Event(event)),
            }
        }
        (said, media)
    }

    fn compare_what_there_is(&self) -> Result<(), String> {
        let transports = self.device.transports().map(|of| (of.id(), of.connection_state())).collect();
        differ("transports", &self.model.open_transports(), &transports)?;
        let producers = self.device.producers().map(|of| {
            let track = of.track().map(|track| track.id().to_owned());
            (of.id(), (of.server_id().is_some(), of.paused(), track))
        });
        differ("producers", &self.model.open_producers(), &producers.collect())?;
        let pending = self.device.poll_timeout().is_some_and(|at| at <= self.now);
        if pending { Err("a deadline is over and nothing came of it".to_owned()) } else { Ok(()) }
    }

    /// Key frames are wanted of what can be sent alone, and packets leave for frames that were taken alone.
    fn compare_media(&self, step: &Step, taken: bool, media: &[Output]) -> Result<(), String> {
        let wrote = matches!(step, Step::Write { .. }) && taken;
        let packets = media.iter().filter(|output| matches!(output, Output::Transmit(_))).count();
        if wrote != (packets > 0) {
            return Err(format!("{packets} packets leave with {step:?}"));
        }
        let producers = self.model.open_producers();
        for output in media {
            if let Output::Event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { .. } }) = output
                && !matches!(producers.get(id), Some((true, false, Some(_))))
            {
                return Err(format!("a key frame is wanted of {id}, which cannot send"));
            }
        }
        Ok(())
    }
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, device: &T) -> Result<(), String> {
    if model == device { Ok(()) } else { Err(format!("{what} are {device:?}, and should be {model:?}")) }
}

/// Of a transport that nobody has made.
fn parameters() -> TransportParameters {
    let candidate = IceCandidate {
        foundation: "udpcandidate".to_owned(),
        priority: 1_076_302_079,
        address: "203.0.113.1".to_owned(),
        protocol: IceProtocol::Udp,
        port: 40000,
        kind: "host".to_owned(),
        tcp_type: None,
    };
    let ice_parameters =
        IceParameters { username_fragment: "user".to_owned(), password: "password".to_owned(), ice_lite: true };
    let fingerprint = DtlsFingerprint { algorithm: "sha-256".to_owned(), value: ["AB"; 32].join(":") };
    TransportParameters {
        id: String::new(),
        ice_parameters,
        ice_candidates: vec![candidate],
        dtls_parameters: DtlsParameters { role: DtlsRole::Auto, fingerprints: vec![fingerprint] },
        sctp_parameters: None,
    }
}
