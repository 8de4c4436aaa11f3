//! The connections of a room's transports, and the streams that none has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crate::connection::engine::EngineOutput;
use crate::connection::engine::endpoint::Refused;
use crate::connection::engine::{EngineEvent, EngineFactory, stream_and_rtx};
use crate::connection::streams::Streams;
use crate::connection::{Connection, Routed, SenderParameters, route};
use crate::id::{ProducerId, TransportId};
use crate::net::Receive;
use crate::outputs::Outputs;
use crate::rng::Rng;
use crate::rtp::MediaKind;
use crate::v2::ortc::SharedCodec;
use crate::v2::output::Output;
use crate::v2::rtp::{Profile, RtpEncodingParameters, RtxParameters};

#[derive(Debug)]
pub(crate) struct MediaPlane {
    pub(crate) engines: Box<dyn EngineFactory>,
    // Boxed, as a node of a map has room for eleven.
    paths: BTreeMap<TransportId, Box<Path>>,
    /// Those of producers that are sent over no transport.
    idle: BTreeMap<ProducerId, Box<Streams>>,
    /// Transports with media that was written and has not left: it does when outputs are polled.
    written: Vec<TransportId>,
    /// What engines have said and the control plane has not heard yet.
    pub(crate) heard: VecDeque<(TransportId, EngineEvent)>,
}

#[derive(Debug)]
struct Path {
    connection: Connection,
    next_mux_id: u32,
    /// SSRCs in use, so that no two meet.
    ssrcs: BTreeMap<ProducerId, BTreeSet<u32>>,
}

/// The streams of a producer on a connection, as the server is told.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) mux_id: String,
    pub(crate) cname: String,
    pub(crate) encodings: Vec<RtpEncodingParameters>,
}

impl MediaPlane {
    pub(crate) fn new(engines: Box<dyn EngineFactory>) -> Self {
        Self { engines, paths: BTreeMap::new(), idle: BTreeMap::new(), written: Vec::new(), heard: VecDeque::new() }
    }

    pub(crate) fn add_connection(&mut self, id: TransportId, connection: Connection) {
        self.paths.insert(id, Box::new(Path { connection, next_mux_id: 0, ssrcs: BTreeMap::new() }));
    }

    pub(crate) fn connection(&self, id: TransportId) -> Option<&Connection> {
        self.paths.get(&id).map(|path| &path.connection)
    }

    pub(crate) fn connection_mut(&mut self, id: TransportId) -> Option<&mut Connection> {
        self.paths.get_mut(&id).map(|path| &mut path.connection)
    }

    /// Nothing will be sent over a connection any more: its streams are idle.
    pub(crate) fn drop_connection(&mut self, id: TransportId) {
        if let Some(path) = self.paths.remove(&id) {
            self.idle.extend(path.connection.into_senders().map(|(id, streams)| (id, Box::new(streams))));
        }
    }

    /// The same, when the other side hears of it.
    pub(crate) fn close_connection(&mut self, now: Instant, id: TransportId, outputs: &mut Outputs<Output>) {
        let Some(connection) = self.connection_mut(id) else { return };
        connection.close(now);
        while let Some(output) = connection.poll_output() {
            match output {
                EngineOutput::Transmit(transmit) => outputs.push(Output::Transmit(transmit)),
                EngineOutput::Event(_) => {}
            }
        }
        self.drop_connection(id);
    }

    // Streams.

    pub(crate) fn add_streams(&mut self, id: ProducerId, streams: Streams) {
        self.idle.insert(id, Box::new(streams));
    }

    /// The producer is gone.
    pub(crate) fn forget_streams(&mut self, id: ProducerId) {
        self.idle.remove(&id);
    }

    /// The streams of a producer, wherever they are.
    pub(crate) fn streams_mut(&mut self, id: ProducerId) -> Option<&mut Streams> {
        let sent = self.paths.values_mut().find_map(|path| path.connection.streams_mut(id));
        sent.or_else(|| self.idle.get_mut(&id).map(Box::as_mut))
    }

    /// Makes the streams of a producer begin on a connection.
    pub(crate) fn send(
        &mut self,
        id: ProducerId,
        transport: TransportId,
        (shared, kind, layers): (&SharedCodec, MediaKind, &[Option<Profile>]),
        rng: &mut Rng,
    ) -> Option<Sending> {
        let path = self.paths.get_mut(&transport)?;
        let streams = *self.idle.remove(&id)?;
        let mut ours = BTreeSet::new();
        let mut ssrc = || loop {
            let ssrc = rng.next_u32();
            let in_use = path.ssrcs.values().any(|ssrcs| ssrcs.contains(&ssrc));
            if ssrc != 0 && !in_use && ours.insert(ssrc) {
                break ssrc;
            }
        };
        let encoding = |profile: &Option<Profile>| {
            let (ssrc, rtx) = stream_and_rtx(&mut ssrc, shared.rtx_payload_type.is_some());
            RtpEncodingParameters { ssrc, rtx: rtx.map(|ssrc| RtxParameters { ssrc }), profile: *profile }
        };
        let encodings: Vec<_> = layers.iter().map(encoding).collect();
        path.ssrcs.insert(id, ours);
        let mux_id = path.next_mux_id.to_string();
        path.next_mux_id += 1;
        let to_send: Vec<_> = encodings.iter().map(RtpEncodingParameters::encoding).collect();
        let payload_type = shared.capability.preferred_payload_type;
        let parameters = SenderParameters { mux_id: &mux_id, kind, payload_type, encodings: &to_send };
        let cname = path.connection.add_sender(id, streams, parameters, rng);
        Some(Sending { mux_id, cname, encodings })
    }

    /// Ends the streams of a producer on a connection: they are idle.
    pub(crate) fn remove_streams(&mut self, now: Instant, id: ProducerId, transport: TransportId) {
        let Some(path) = self.paths.get_mut(&transport) else { return };
        path.ssrcs.remove(&id);
        if let Some(streams) = path.connection.remove_sender(now, id) {
            self.idle.insert(id, Box::new(streams));
        }
    }

    // What comes in and goes out.

    /// Takes all that a connection has to say.
    pub(crate) fn drain(&mut self, id: TransportId, outputs: &mut Outputs<Output>) {
        while let Some(output) = self.connection_mut(id).and_then(Connection::poll_output) {
            match output {
                EngineOutput::Transmit(transmit) => outputs.push(Output::Transmit(transmit)),
                EngineOutput::Event(event) => self.heard.push_back((id, event)),
            }
        }
    }

    /// Lets all leave that waits.
    pub(crate) fn send_all(&mut self, now: Instant, id: TransportId, outputs: &mut Outputs<Output>) {
        if let Some(connection) = self.connection_mut(id) {
            connection.send_all(now);
            self.drain(id, outputs);
        }
    }

    /// Media was written on a connection: it leaves with all else, when outputs are polled.
    pub(crate) fn written(&mut self, id: TransportId, outputs: &mut Outputs<Output>) {
        match self.connection(id).map(Connection::unflushed) {
            None | Some(0) => self.drain(id, outputs),
            Some(_) if self.written.contains(&id) => {}
            Some(_) => self.written.push(id),
        }
    }

    /// Whether something was written that has not left.
    pub(crate) const fn is_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Packets that were written and become outputs when those are polled.
    pub(crate) fn unflushed(&self) -> usize {
        self.written.iter().filter_map(|id| self.connection(*id)).map(Connection::unflushed).sum()
    }

    /// Lets all leave that was written, in one go for each transport.
    pub(crate) fn flush(&mut self, now: Instant, outputs: &mut Outputs<Output>) {
        let mut written = std::mem::take(&mut self.written);
        for id in written.drain(..) {
            if let Some(connection) = self.connection_mut(id).filter(|connection| connection.unflushed() > 0) {
                connection.flush(now);
            }
            self.drain(id, outputs);
        }
        // Its memory is kept for the next.
        self.written = written;
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, outputs: &mut Outputs<Output>) {
        let is_due = |connection: &Connection| connection.poll_timeout().is_some_and(|at| at <= now);
        let due: Vec<_> = self.paths.iter().filter(|(_, path)| is_due(&path.connection)).map(|(id, _)| *id).collect();
        for id in due {
            if let Some(connection) = self.connection_mut(id) {
                connection.handle_timeout(now);
            }
            self.drain(id, outputs);
        }
        self.flush(now, outputs);
    }

    /// Hands a datagram to the transport that it is for; `names` tells which name the address that it came to. Fails if none
    /// takes it: why, if one knows.
    pub(crate) fn handle_receive(
        &mut self,
        now: Instant,
        receive: &Receive,
        is_named: bool,
        names: impl Fn(TransportId) -> bool,
        outputs: &mut Outputs<Output>,
    ) -> Result<(), Option<Refused>> {
        let paths = self.paths.iter_mut().map(|(id, path)| (*id, names(*id), &mut path.connection));
        let Routed { asked, result } = route(now, receive, is_named, paths);
        for id in asked {
            self.drain(id, outputs);
        }
        result
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due, but for what was written.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.paths.values().filter_map(|path| path.connection.poll_timeout()).min()
    }
}
