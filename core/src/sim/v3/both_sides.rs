//! A device and a router, and an application between them that is slow, loses answers, or refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::model::{AnswerKind, Step, TrackKind, track_id};
use super::scenario::{Scenario, ScenarioConfig};
use crate::event::ConnectionState;
use crate::id::{ProducerId, TransportId};
use crate::media::{Frame, Media};
use crate::sim::pick;
use crate::v3::{Accepted, Command, Device, DeviceConfig, Input};

/// How long the application may take before it is given up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that it takes from the last word until nothing is to be said any more.
const SETTLING: Duration = Duration::from_secs(60);

/// A [`Device`] and a [`Router`](super::Router), to which the [steps](Step) of the model happen in their own way.
///
/// Commands are the application's. [`Step::Answer`] says how `connect` (an odd number) or `produce` (an even one) fares from
/// here on: answered at once, together with what was kept back ([`Well`](AnswerKind::Well)), refused by the application, of
/// which the router hears nothing ([`Refused`](AnswerKind::Refused)), kept back
/// ([`Nameless`](AnswerKind::Nameless)), or done, and the answer lost ([`Mismatched`](AnswerKind::Mismatched)).
///
/// However it went, when everything has been said the router has what the device has, and nothing else but what it was never
/// told: [`settled`](Self::settled).
#[derive(Debug)]
pub struct BothSides {
    scenario: Scenario,
    real: bool,
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    tracks: u64,
    frames: u32,
}

impl BothSides {
    /// A device on a scripted media plane, which is loaded.
    pub fn new(start: Instant, seed: u64) -> Self {
        let mut scenario = Scenario::new(ScenarioConfig::default(), start, seed);
        scenario.device = Device::scripted(Self::config(), seed);
        Self::with(scenario, false)
    }

    /// The same on the real media plane: ICE, DTLS and SRTP to the router.
    pub fn real(start: Instant, seed: u64) -> Self {
        Self::with(Scenario::new(ScenarioConfig::default().device(Self::config()), start, seed), true)
    }

    fn config() -> DeviceConfig {
        DeviceConfig::default().request_timeout(REQUEST_TIMEOUT)
    }

    fn with(scenario: Scenario, real: bool) -> Self {
        let (transports, producers) = (Vec::new(), Vec::new());
        Self { scenario: scenario.loaded(), real, transports, producers, tracks: 0, frames: 0 }
    }

    /// The device, the router and what is between them, as they stand.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Something happens.
    pub fn step(&mut self, step: &Step) {
        let device = &self.scenario.device;
        let living = |id: &TransportId| device.transport_info(*id).is_some();
        let transport = |number| pick(&self.transports, living, 14, number).unwrap_or(TransportId::new(77));
        let living = |id: &ProducerId| device.producer_info(*id).is_some();
        let producer = |number| pick(&self.producers, living, 14, number).unwrap_or(ProducerId::new(77));
        self.tracks += 1;
        let command = step.command(&track_id(self.tracks), transport, producer);
        match *step {
            Step::Load
            | Step::Produce { .. }
            | Step::CloseTransport { .. }
            | Step::CloseProducer { .. }
            | Step::Pause { .. }
            | Step::Resume { .. }
            | Step::EndTrack { .. }
            | Step::SetMaxSpatialLayer { .. }
            | Step::ReplaceTrack { track: None | Some(TrackKind::Audio | TrackKind::Video), .. }
            | Step::ReplaceTrack { track: Some(TrackKind::DisabledVideo | TrackKind::Ended), .. } => {
                self.command(command);
            }
            Step::CreateTransport { .. } => {
                if self.scenario.device.transports().count() < super::model::TRANSPORTS {
                    self.transports.push(self.scenario.create_transport());
                }
            }
            Step::RestartIce { transport: on } => {
                let id = transport(on);
                self.scenario.restart_ice(id);
            }
            Step::Write { producer: of } => {
                let id = producer(of);
                self.frames += 1;
                let frame = Frame::new(vec![0x10; 50], Duration::from_millis(40) * self.frames).key_frame(true);
                let media = Media::Frame(frame);
                // What cannot be sent is refused, and nothing happens.
                let _ = self.scenario.device.handle_input(self.scenario.now(), Input::Media { producer: id, media });
            }
            Step::Answer { request, answer } => {
                let request = if request % 2 == 0 { "produce" } else { "connect" };
                match answer {
                    AnswerKind::Well => self.scenario.release(),
                    AnswerKind::Refused => self.scenario.answer(request, Err(AnswerKind::WORDS)),
                    AnswerKind::Nameless => self.scenario.hold_answers(request),
                    AnswerKind::Mismatched => self.scenario.drop_answers(request),
                }
            }
            Step::Engine { transport: on, says } => {
                let id = transport(on);
                if !self.real {
                    self.scenario.device.engine_event(self.scenario.now(), id, says.event());
                }
            }
            Step::Pass { milliseconds } => self.scenario.drive(Duration::from_millis(milliseconds.into())),
        }
        self.scenario.take_events();
    }

    /// Waits until nothing is asked or answered any more, and compares what both sides have.
    pub fn settled(&mut self) -> Result<(), String> {
        self.scenario.release();
        self.scenario.try_drive_until(SETTLING, |scenario| {
            scenario.device.stats().requests_pending == 0 && scenario.signalling_is_quiet()
        })?;
        let Scenario { device, router, .. } = &self.scenario;
        let ours: BTreeSet<_> = device.transports().map(|transport| transport.server_id().to_owned()).collect();
        let theirs = router.transports().map(|transport| transport.id().to_owned()).collect();
        compare("transports", &ours, &theirs)?;
        let named = |id: TransportId| device.transport_info(id).map(|transport| transport.server_id().to_owned());
        let ours: BTreeMap<_, _> = device
            .producers()
            .map(|of| (of.server_id().map(str::to_owned), (named(of.transport()), of.paused(), of.kind())))
            .collect();
        let told = |id: &str| !self.scenario.untold().iter().any(|untold| untold == id);
        let theirs: BTreeMap<_, _> = router
            .producers()
            .filter(|of| told(of.id()))
            .map(|of| (Some(of.id().to_owned()), (Some(of.transport().to_owned()), of.paused(), of.kind())))
            .collect();
        compare("producers, their transports, and whether they are paused", &ours, &theirs)?;
        if self.real { self.connected() } else { Ok(()) }
    }

    /// What has begun is connected, at both ends.
    fn connected(&mut self) -> Result<(), String> {
        self.scenario.try_drive_until(SETTLING, |scenario| {
            let begun = |state| state != ConnectionState::New;
            scenario.device.transports().filter(|of| begun(of.connection_state())).all(|of| {
                let there = scenario.router.transport(of.server_id());
                of.connection_state() == ConnectionState::Connected && there.is_some_and(|of| of.connected())
            })
        })
    }

    /// What cannot be done is refused, and nothing happens.
    fn command(&mut self, command: Option<Command>) {
        let Some(command) = command else { return };
        if let Ok(Accepted::Producing(producing)) =
            self.scenario.device.handle_input(self.scenario.now(), Input::Command(command))
        {
            self.producers.push(producing.producer);
        }
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: the device has {ours:?}, the router {theirs:?}")) }
}
