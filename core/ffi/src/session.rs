//! A session: the state machine of a dialect, and what it has last told.

use std::ffi::c_char;
use std::time::{Duration, Instant};

use mediasoup_producer::{DtlsBackend, Media, ProducerId, Receive, RequestId, Transmit, random_seed, v2, v3};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::media::{Datagram, Frame, Packet};
use crate::output::{MSP_EVENT, MSP_NOTIFICATION, MSP_REQUEST, MSP_TRANSMIT, Output};
use crate::status::{Error, Status};

/// What an accepted command gave rise to; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Accepted {
    /// It takes time: the event `Settled` will tell the end of this operation.
    pub operation: u64,
    /// How many operations: those of a room that restarts ICE count on from the first.
    pub operations: u32,
    /// The transport that was made.
    pub transport: u32,
    /// The producer that was made, or is being made.
    pub producer: u32,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dialect: Dialect,
    config: Map<String, Value>,
    dtls_backend: DtlsBackend,
    seed: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Dialect {
    V2,
    #[default]
    V3,
}

pub(crate) struct Session {
    /// Time 0.
    start: Instant,
    machine: Machine,
    told: Told,
}

enum Machine {
    V2(Box<v2::Room>),
    V3(Box<v3::Device>),
}

/// What the caller was last pointed to.
#[derive(Default)]
struct Told {
    datagram: Option<Transmit>,
    name: Vec<u8>,
    json: Vec<u8>,
}

impl Session {
    pub(crate) fn new(options: &str) -> Result<Self, Error> {
        let Options { dialect, config, dtls_backend, seed } = serde_json::from_str(options)?;
        let (config, seed) = (Value::Object(config), seed.unwrap_or_else(random_seed));
        let machine = match dialect {
            Dialect::V2 => {
                let config: v2::RoomConfig = serde_json::from_value(config)?;
                Machine::V2(Box::new(v2::Room::new(config.dtls_backend(dtls_backend), seed)))
            }
            Dialect::V3 => {
                let config: v3::DeviceConfig = serde_json::from_value(config)?;
                Machine::V3(Box::new(v3::Device::new(config.dtls_backend(dtls_backend), seed)))
            }
        };
        // What the caller's zero stands for is all the same.
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        Ok(Self { start, machine, told: Told::default() })
    }

    fn at(&self, nanoseconds: u64) -> Result<Instant, Error> {
        let at = self.start.checked_add(Duration::from_nanos(nanoseconds));
        at.ok_or_else(|| Error::invalid("a time beyond all that this machine can count"))
    }

    pub(crate) fn command(&mut self, now: u64, command: &str) -> Result<Accepted, Error> {
        let now = self.at(now)?;
        let none = Accepted::default();
        Ok(match &mut self.machine {
            Machine::V2(room) => {
                match room.handle_input(now, v2::Input::Command(read(command)?)).map_err(Error::refused)? {
                    v2::Accepted::Transport(id) => Accepted { transport: id.value(), ..none },
                    v2::Accepted::Producer(id) => Accepted { producer: id.value(), ..none },
                    v2::Accepted::Operation(id) => Accepted { operation: id.value(), operations: 1, ..none },
                    v2::Accepted::Operations(ids) => Accepted {
                        operation: ids.first().map_or(0, |first| first.value()),
                        operations: u32::try_from(ids.len()).unwrap_or(u32::MAX),
                        ..none
                    },
                    _ => none,
                }
            }
            Machine::V3(device) => {
                match device.handle_input(now, v3::Input::Command(read(command)?)).map_err(Error::refused)? {
                    v3::Accepted::Transport(id) => Accepted { transport: id.value(), ..none },
                    v3::Accepted::Producing(v3::Producing { producer, operation }) => {
                        Accepted { producer: producer.value(), operation: operation.value(), operations: 1, ..none }
                    }
                    v3::Accepted::Operation(id) => Accepted { operation: id.value(), operations: 1, ..none },
                    _ => none,
                }
            }
        })
    }

    pub(crate) fn response(&mut self, now: u64, request: u64, data: &str) -> Result<Status, Error> {
        let data: Value = read(data)?;
        self.answer(now, request, Ok(data))
    }

    pub(crate) fn refusal(&mut self, now: u64, request: u64, reason: &str) -> Result<Status, Error> {
        self.answer(now, request, Err(reason))
    }

    fn answer(&mut self, now: u64, request: u64, result: Result<Value, &str>) -> Result<Status, Error> {
        let (now, id) = (self.at(now)?, RequestId::from(request));
        match &mut self.machine {
            Machine::V2(room) => {
                let result = result.map_err(v2::protocol::Refusal::new);
                room.handle_input(now, v2::Input::Response { id, result }).map_err(Error::refused)?;
            }
            Machine::V3(device) => {
                let result = result.map_err(v3::Refusal::new).map(|data| match data["id"].as_str() {
                    Some(id) => v3::Answer::Produced { id: id.to_owned() },
                    None => v3::Answer::Connected,
                });
                device.handle_input(now, v3::Input::Answer { id, result }).map_err(Error::refused)?;
            }
        }
        Ok(Status::Ok)
    }

    pub(crate) fn notification(&mut self, now: u64, notification: &str) -> Result<Status, Error> {
        let now = self.at(now)?;
        let notification: Value = read(notification)?;
        match &mut self.machine {
            Machine::V2(room) => {
                room.handle_input(now, v2::Input::Notification(notification)).map_err(Error::refused)?;
                Ok(Status::Ok)
            }
            Machine::V3(_) => Err(Error::new(
                Status::Refused,
                "mediasoup 3 has no notifications: what the server says besides is the application's",
            )),
        }
    }

    pub(crate) fn receive(&mut self, now: u64, datagram: &Datagram, data: &[u8]) -> Result<Status, Error> {
        let (now, receive): (_, Receive) = (self.at(now)?, datagram.to_receive(data)?);
        match &mut self.machine {
            Machine::V2(room) => room.handle_receive(now, &receive),
            Machine::V3(device) => device.handle_receive(now, &receive),
        }
        Ok(Status::Ok)
    }

    pub(crate) fn write_frame(&mut self, now: u64, producer: u32, frame: &Frame, data: &[u8]) -> Result<Status, Error> {
        self.write(now, producer, Media::Frame(frame.to_frame(data)?))
    }

    pub(crate) fn write_packet(
        &mut self,
        now: u64,
        producer: u32,
        packet: &Packet,
        data: &[u8],
    ) -> Result<Status, Error> {
        self.write(now, producer, Media::Packet(packet.to_packet(data)?))
    }

    fn write(&mut self, now: u64, producer: u32, media: Media) -> Result<Status, Error> {
        let (now, producer) = (self.at(now)?, ProducerId::from(producer));
        match &mut self.machine {
            Machine::V2(room) => {
                room.handle_input(now, v2::Input::Media { producer, media }).map_err(Error::refused)?;
            }
            Machine::V3(device) => {
                device.handle_input(now, v3::Input::Media { producer, media }).map_err(Error::refused)?;
            }
        }
        Ok(Status::Ok)
    }

    pub(crate) fn handle_timeout(&mut self, now: u64) -> Result<Status, Error> {
        let now = self.at(now)?;
        match &mut self.machine {
            Machine::V2(room) => room.handle_timeout(now),
            Machine::V3(device) => device.handle_timeout(now),
        }
        Ok(Status::Ok)
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let at = match &self.machine {
            Machine::V2(room) => room.poll_timeout(),
            Machine::V3(device) => device.poll_timeout(),
        }?;
        Some(u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX))
    }

    /// What it points to stays until this session is asked for something else.
    pub(crate) fn poll_output(&mut self) -> Result<Output, Error> {
        let told = &mut self.told;
        match &mut self.machine {
            Machine::V2(room) => match room.poll_output() {
                None => Ok(Output::NOTHING),
                Some(v2::Output::Transmit(transmit)) => Ok(told.transmit(transmit)),
                Some(v2::Output::Request { id, request }) => told.request(id, request.method(), &request.to_json()),
                Some(v2::Output::Notification(notification)) => {
                    told.message(MSP_NOTIFICATION, Some(notification.method()), &notification.to_json())
                }
                Some(v2::Output::Event(event)) => told.message(MSP_EVENT, None, &event),
            },
            Machine::V3(device) => match device.poll_output() {
                None => Ok(Output::NOTHING),
                Some(v3::Output::Transmit(transmit)) => Ok(told.transmit(transmit)),
                Some(v3::Output::Request { id, request }) => told.request(id, request.name(), &request.to_json()),
                Some(v3::Output::Event(event)) => told.message(MSP_EVENT, None, &event),
            },
        }
    }

    /// What it points to stays until this session is asked for something else.
    pub(crate) fn outbound_stats(&mut self, producer: u32) -> Result<(*const c_char, usize), Error> {
        let producer = ProducerId::from(producer);
        let stats = match &self.machine {
            Machine::V2(room) => room.outbound_stats(producer),
            Machine::V3(device) => device.outbound_stats(producer),
        };
        self.told.json(&stats)
    }
}

impl Told {
    fn transmit(&mut self, transmit: Transmit) -> Output {
        let datagram = Datagram::of(self.datagram.insert(transmit));
        Output { kind: MSP_TRANSMIT, datagram, ..Output::NOTHING }
    }

    fn request(&mut self, id: RequestId, name: &str, data: &Value) -> Result<Output, Error> {
        Ok(Output { request: id.value(), ..self.message(MSP_REQUEST, Some(name), data)? })
    }

    fn message(&mut self, kind: u32, name: Option<&str>, message: &impl Serialize) -> Result<Output, Error> {
        let (json, json_length) = self.json(message)?;
        let name = name.map_or(std::ptr::null(), |name| {
            self.name = [name.as_bytes(), b"\0"].concat();
            self.name.as_ptr().cast()
        });
        Ok(Output { kind, name, json, json_length, ..Output::NOTHING })
    }

    fn json(&mut self, message: &impl Serialize) -> Result<(*const c_char, usize), Error> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, message)?;
        let length = self.json.len();
        self.json.push(0);
        Ok((self.json.as_ptr().cast(), length))
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    Ok(serde_json::from_str(json)?)
}
