//! An engine that does as it is told: no sockets, no keys, and the same in every process.
//!
//! It has no ICE and no DTLS, and sends RTP in the clear: each packet the control plane lets through is one
//! [`Transmit`], twelve bytes of header and the payload.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::{BufMut, BytesMut};

use super::{Agreed, Encoding, Engine, EngineAnswer, EngineFactory, EngineOutput, OutgoingPacket, SelectedPath};
use crate::connection::engine::endpoint::Received;
use crate::error::SetupError;
use crate::net::Receive;
use crate::net::Transmit;
use crate::net::{DtlsFingerprint, DtlsRole, IceParameters, IceProtocol, RemoteTransport};
use crate::rng::Rng;
use crate::rtp::MediaKind;

/// Makes scripted engines.
#[derive(Debug)]
pub(crate) struct Scripted {
    rng: Rng,
    fingerprint: DtlsFingerprint,
    /// Whether engines send anything at all; a replay has no use for datagrams.
    sends: bool,
    answers: VecDeque<EngineAnswer>,
}

impl Scripted {
    pub(crate) fn new(seed: u64, sends: bool) -> Self {
        // Not the room's own numbers again.
        let mut rng = Rng::new(!seed);
        let bytes: Vec<_> = (0..32).map(|_| format!("{:02X}", rng.range(0, 256))).collect();
        let fingerprint = DtlsFingerprint { algorithm: "sha-256".to_owned(), value: bytes.join(":") };
        Self { rng, fingerprint, sends, answers: VecDeque::new() }
    }
}

impl EngineFactory for Scripted {
    fn engine(&mut self, _now: Instant, _agreed: &Agreed) -> Result<Box<dyn Engine>, SetupError> {
        let fingerprint = match self.answers.pop_front() {
            Some(EngineAnswer::NotMade(error)) => return Err(error),
            Some(EngineAnswer::Made(fingerprint)) => fingerprint,
            _ => self.fingerprint.clone(),
        };
        Ok(Box::new(ScriptedEngine {
            rng: Rng::new(self.rng.next_u64()),
            fingerprint,
            sends: self.sends,
            path: (SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            answers: VecDeque::new(),
            written: Vec::new(),
            outputs: VecDeque::new(),
        }))
    }

    fn scripted(&self) -> bool {
        true
    }

    fn prepare(&mut self, answer: EngineAnswer) {
        self.answers.push_back(answer);
    }
}

struct ScriptedEngine {
    rng: Rng,
    fingerprint: DtlsFingerprint,
    sends: bool,
    /// From where to where packets go.
    path: (SocketAddr, SocketAddr),
    answers: VecDeque<EngineAnswer>,
    /// Not flushed yet.
    written: Vec<OutgoingPacket>,
    outputs: VecDeque<EngineOutput>,
}

impl std::fmt::Debug for ScriptedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ScriptedEngine {
    /// The next answer, if one was prepared for this question.
    fn answer(&mut self, fits: impl FnOnce(&EngineAnswer) -> bool) -> Option<EngineAnswer> {
        if self.answers.front().is_some_and(fits) { self.answers.pop_front() } else { None }
    }
}

impl Engine for ScriptedEngine {
    fn fingerprint(&self) -> DtlsFingerprint {
        self.fingerprint.clone()
    }

    fn connect(&mut self, _now: Instant, remote: &RemoteTransport, _role: DtlsRole) -> Result<(), SetupError> {
        if let Some(EngineAnswer::NotStarted(error)) = self.answer(|a| matches!(a, EngineAnswer::NotStarted(_))) {
            return Err(error);
        }
        let best = remote.ice_candidates.iter().max_by_key(|candidate| candidate.priority);
        if let Some(candidate) = best {
            self.path.1 = SocketAddr::new(candidate.ip, candidate.port);
        }
        Ok(())
    }

    fn restart_ice(&mut self, _now: Instant, _parameters: &IceParameters) {}

    fn add_local_address(&mut self, _now: Instant, _protocol: IceProtocol, address: SocketAddr) -> bool {
        let refused = self.answer(|answer| *answer == EngineAnswer::AddressRefused).is_some();
        if !refused {
            self.path.0 = address;
        }
        !refused
    }

    fn remove_local_address(&mut self, _now: Instant, _protocol: IceProtocol, _address: SocketAddr) {}

    fn add_streams(&mut self, _mux_id: &str, _kind: MediaKind, _encodings: &[Encoding]) -> String {
        match self.answer(|answer| matches!(answer, EngineAnswer::Cname(_))) {
            Some(EngineAnswer::Cname(cname)) => cname,
            _ => format!("{:016x}", self.rng.next_u64()),
        }
    }

    fn remove_streams(&mut self, _mux_id: &str) {}

    fn write(&mut self, packet: OutgoingPacket) {
        if self.sends {
            self.written.push(packet);
        }
    }

    fn flush(&mut self, _now: Instant) {
        let (source, destination) = self.path;
        self.outputs.extend(self.written.drain(..).map(|packet| {
            let mut contents = BytesMut::with_capacity(12 + packet.payload.len());
            contents.put_u8(0x80);
            contents.put_u8(u8::from(packet.marker) << 7 | packet.payload_type & 0x7f);
            contents.put_u16(packet.sequence_number as u16);
            contents.put_u32(packet.timestamp);
            contents.put_u32(packet.ssrc);
            contents.put_slice(&packet.payload);
            let protocol = IceProtocol::Udp;
            EngineOutput::Transmit(Transmit { protocol, source, destination, contents: contents.freeze() })
        }));
    }

    fn handle_receive(&mut self, _now: Instant, _receive: &Receive) -> Received {
        Received::NotOurs
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_output(&mut self) -> Option<EngineOutput> {
        self.outputs.pop_front()
    }

    fn packets_resent(&self, _ssrc: u32) -> u64 {
        0
    }

    fn selected_path(&self) -> Option<SelectedPath> {
        None
    }

    fn close(&mut self, now: Instant) {
        self.flush(now);
    }

    fn prepare(&mut self, answer: EngineAnswer) {
        self.answers.push_back(answer);
    }
}
