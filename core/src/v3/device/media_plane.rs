//! Media, datagrams, and what the engines have to say.

use std::time::Instant;

use tracing::info;

use super::Device;
use crate::connection::engine::endpoint::Refused;
use crate::connection::engine::{EngineEvent, EngineOutput};
use crate::connection::streams::{MAX_PACKET_BYTES, Streams};
use crate::connection::{Connection, Routed, route};
use crate::error::MediaError;
use crate::id::{ProducerId, TransportId};
use crate::journal::Entered;
use crate::media::Media;
use crate::net::Receive;
use crate::rtp::MediaKind;
use crate::v3::output::{Event as DeviceEvent, Output, ProducerEvent, TransportEvent};
use crate::v3::transport::Event;

impl Device {
    pub(super) fn receive(&mut self, now: Instant, receive: &Receive) {
        let to = (receive.protocol, receive.destination);
        let names = |transport: &super::TransportInfo| transport.local_addresses.contains(&to);
        let is_named = self.transports.values().any(|transport| names(transport));
        let transports =
            self.transports.iter_mut().map(|(id, transport)| (*id, names(transport), &mut transport.connection));
        let Routed { asked, result } = route(now, receive, is_named, transports);
        for id in asked {
            self.settle(id);
        }
        if let Err(why) = result {
            self.count_refused(why);
        }
    }

    fn count_refused(&mut self, why: Option<Refused>) {
        let stats = &mut self.stats;
        *match why {
            None => &mut stats.datagrams_discarded,
            Some(Refused::Stun) => &mut stats.stun_refused,
            Some(Refused::Dtls) => &mut stats.dtls_refused,
            Some(Refused::Rtp) => &mut stats.rtp_refused,
            Some(Refused::RtcpForged) => &mut stats.rtcp_forged,
            Some(Refused::RtcpReplayed) => &mut stats.rtcp_replayed,
        } += 1;
    }

    /// Has each connection do what is due.
    pub(super) fn connections_due(&mut self, now: Instant) {
        let due = |transport: &&mut Box<super::TransportInfo>| {
            transport.connection.poll_timeout().is_some_and(|at| at <= now)
        };
        let mut served = Vec::new();
        for transport in self.transports.values_mut().filter(due) {
            transport.connection.handle_timeout(now);
            served.push(transport.id);
        }
        served.into_iter().for_each(|id| self.settle(id));
        self.flush_written(now);
    }

    /// Takes all that a transport's engine has to say.
    pub(super) fn settle(&mut self, id: TransportId) {
        while let Some(output) = self.transports.get_mut(&id).and_then(|info| info.connection.poll_output()) {
            match output {
                EngineOutput::Transmit(transmit) => self.outputs.push(Output::Transmit(transmit)),
                EngineOutput::Event(event) => self.heard.push_back((id, event)),
            }
        }
    }

    /// The same of a connection that is closed: nobody hears its events.
    pub(super) fn last_words(&mut self, connection: &mut Connection) {
        while let Some(output) = connection.poll_output() {
            match output {
                EngineOutput::Transmit(transmit) => self.outputs.push(Output::Transmit(transmit)),
                EngineOutput::Event(_) => {}
            }
        }
    }

    pub(super) fn engine_says(&mut self, now: Instant, id: TransportId, event: EngineEvent) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        match event {
            EngineEvent::Connected => self.transport_event(now, id, Event::Up),
            EngineEvent::Disconnected => self.transport_event(now, id, Event::Lost),
            EngineEvent::Closed => self.transport_event(now, id, Event::DtlsOver),
            EngineEvent::Failed(cause) => {
                info!(parent: &transport.span, %cause, "DTLS failed");
                let event = TransportEvent::DtlsFailed { cause };
                self.outputs.push(Output::Event(DeviceEvent::Transport { id, event }));
                self.transport_event(now, id, Event::DtlsOver);
            }
            EngineEvent::KeyFrameRequest { ssrc } => {
                let Some((id, layer)) = transport.connection.key_frame_wanted(ssrc) else { return };
                // One that cannot be heeded yet is not passed on: it is asked for again when media can flow.
                if self.producers.get(&id).is_some_and(|producer| producer.machine.sends()) {
                    self.request_key_frame(now, id, layer);
                }
            }
            EngineEvent::BitrateLimit { bitrate_bps } => {
                if transport.connection.set_limit(now, bitrate_bps) {
                    self.reallocate(id);
                }
            }
            EngineEvent::StreamFeedback { ssrc, feedback } => transport.connection.set_feedback(ssrc, feedback),
        }
    }

    // Media.

    pub(crate) fn write(&mut self, now: Instant, id: ProducerId, media: &Media) -> Result<(), MediaError> {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Media { producer: id, media });
        let result = self.write_media(now, id, media);
        if let (Err(error), Media::Frame(frame)) = (&result, media) {
            self.frame_refused(now, id, frame.layer, error.is_key_frame_needed());
        }
        self.entered(now, entry.refused(&result));
        result
    }

    /// A frame was refused. `deltas`: for want of a key frame, which is asked for then, as the server's requests are: not
    /// more often than they.
    pub(super) fn frame_refused(&mut self, now: Instant, id: ProducerId, layer: usize, deltas: bool) {
        if let Some(streams) = self.streams_mut(id) {
            streams.frame_refused(layer);
        }
        if deltas {
            self.request_key_frame(now, id, layer);
        }
    }

    fn write_media(&mut self, now: Instant, id: ProducerId, media: &Media) -> Result<(), MediaError> {
        let unflushed = self.unflushed();
        if self.outputs.full() || self.outputs.clogged(unflushed) {
            return Err(MediaError::OutputsNotPolled(self.outputs.len() + unflushed));
        }
        let producer = self.producers.get(&id).ok_or(MediaError::ProducerNotFound(id))?;
        if !producer.machine.live() {
            return Err(MediaError::NotProduced(id));
        }
        let (layer, bytes, limit) = match media {
            Media::Frame(frame) => (frame.layer, frame.data.len(), self.config.limits.frame_bytes),
            Media::Packet(packet) => (packet.layer, packet.payload.len(), MAX_PACKET_BYTES),
        };
        let refused = if producer.track().is_none() {
            Some(MediaError::NoTrack(id))
        } else if producer.paused() {
            Some(MediaError::Paused(id))
        } else if producer.machine.is_inactive(layer) {
            Some(MediaError::Inactive { producer: id, layer })
        } else {
            None
        };
        let (transport, codec) = (producer.transport, producer.codec);
        if let Some(error) = refused {
            if let Some(streams) = self.streams_mut(id) {
                streams.source_paused();
            }
            return Err(error);
        }
        let info = self.transports.get_mut(&transport).filter(|transport| transport.machine.flows());
        let Some(info) = info else { return Err(MediaError::NotConnected(id)) };
        if info.backlog > 0 {
            return Err(MediaError::Blocked(info.backlog));
        }
        let connection = &mut info.connection;
        if connection.packets_waiting() >= self.config.limits.packets_waiting {
            return Err(MediaError::TooManyPackets(connection.packets_waiting()));
        }
        if bytes > limit {
            return Err(MediaError::TooLarge { bytes, limit });
        }
        let written = connection.write(now, id, media).map_err(|error| error.of_media(id, layer, codec))?;
        if connection.unflushed() == 0 {
            self.settle(transport);
        } else if !self.written.contains(&transport) {
            self.written.push(transport);
        }
        if written.time_went_back {
            let event = ProducerEvent::TimeWentBack { layer };
            self.outputs.push(Output::Event(DeviceEvent::Producer { id, event }));
        }
        Ok(())
    }

    /// Packets that were written and become outputs when those are polled.
    pub(super) fn unflushed(&self) -> usize {
        let written = self.written.iter().filter_map(|id| self.transports.get(id));
        written.map(|transport| transport.connection.unflushed()).sum()
    }

    /// Lets all leave that was written, in one go for each transport.
    pub(super) fn flush_written(&mut self, now: Instant) {
        let mut written = std::mem::take(&mut self.written);
        for id in written.drain(..) {
            if let Some(transport) = self.transports.get_mut(&id)
                && transport.connection.unflushed() > 0
            {
                transport.connection.flush(now);
            }
            self.settle(id);
        }
        // Its memory is kept for the next.
        self.written = written;
    }

    /// Lets all leave that waits on a transport.
    pub(super) fn send_all(&mut self, now: Instant, id: TransportId) {
        if let Some(transport) = self.transports.get_mut(&id) {
            transport.connection.send_all(now);
            self.settle(id);
        }
    }

    pub(super) fn streams_mut(&mut self, id: ProducerId) -> Option<&mut Streams> {
        let transport = self.producers.get(&id)?.transport;
        self.transports.get_mut(&transport)?.connection.streams_mut(id)
    }

    // Key frames and bitrates.

    /// On our own account: a decoder cannot go on without one. Nothing is said while media cannot flow.
    pub(super) fn key_frame_needed(&mut self, now: Instant, id: ProducerId, layer: usize) {
        let Some(producer) = self.producers.get(&id) else { return };
        let flows = self.transports.get(&producer.transport).is_some_and(|transport| transport.machine.flows());
        if !flows || producer.kind != MediaKind::Video {
            return;
        }
        if let Some(stream) = self.streams_mut(id).and_then(|streams| streams.stream_mut(layer)) {
            stream.key_frame_needed(now);
        }
        let event = ProducerEvent::KeyFrameRequest { layer };
        self.outputs.push(Output::Event(DeviceEvent::Producer { id, event }));
    }

    /// For somebody who asks often: the application hears of it unless it was asked just now.
    fn request_key_frame(&mut self, now: Instant, id: ProducerId, layer: usize) {
        let stream = self.streams_mut(id).and_then(|streams| streams.stream_mut(layer));
        if stream.is_some_and(|stream| stream.request_key_frame(now)) {
            let event = ProducerEvent::KeyFrameRequest { layer };
            self.outputs.push(Output::Event(DeviceEvent::Producer { id, event }));
        }
    }

    /// Divides what the server can take among the video encodings of a transport, and tells the encoders what is new.
    pub(super) fn reallocate(&mut self, id: TransportId) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        let sends = |producer: &&super::ProducerInfo| producer.transport == id && producer.machine.sends();
        let sending = self.producers.values().map(Box::as_ref).filter(sends).map(|producer| {
            let max = move |layer| producer.machine.max_bitrate(layer);
            (producer.id, max)
        });
        for (id, layer, bitrate_bps) in transport.connection.reallocate(sending) {
            let event = ProducerEvent::TargetBitrate { layer, bitrate_bps };
            self.outputs.push(Output::Event(DeviceEvent::Producer { id, event }));
        }
    }
}
