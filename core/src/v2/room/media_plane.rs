//! What the engines have to say.

use std::time::Instant;

use tracing::info;

use super::Room;
use crate::connection::Connection;
use crate::connection::engine::crypto::DtlsFailure;
use crate::connection::engine::{EngineEvent, EngineOutput};
use crate::event::Originator;
use crate::id::{ProducerId, TransportId};
use crate::v2::output::{Event, Output, ProducerEvent, TransportEvent};
use crate::v2::producer::ProducerInfo;
use crate::v2::rtp::Profile;
use crate::v2::transport::TransportInfo;
use crate::v2::transport::state::State;

impl Room {
    /// Takes all that a transport's engine has to say.
    pub(super) fn settle(&mut self, id: TransportId) {
        while let Some(output) = self.connection_mut(id).and_then(Connection::poll_output) {
            match output {
                EngineOutput::Transmit(transmit) => self.outputs.push(Output::Transmit(transmit)),
                EngineOutput::Event(event) => self.heard.push_back((id, event)),
            }
        }
    }

    pub(super) fn engine_says(&mut self, now: Instant, id: TransportId, event: EngineEvent) {
        match event {
            EngineEvent::Connected => {
                self.set_transport_state(id, State::Connected);
                let on_it = self.producers_in_order(|producer| {
                    producer.handled() && producer.transport() == Some(id) && !producer.paused()
                });
                for producer in on_it {
                    self.request_key_frames(now, producer);
                }
            }
            EngineEvent::Disconnected => {
                let connected = self.transports.get(&id).is_some_and(TransportInfo::flows);
                self.set_transport_state(id, if connected { State::Disconnected } else { State::Failed });
            }
            EngineEvent::Closed => self.set_transport_state(id, State::Failed),
            EngineEvent::Failed(cause) => self.dtls_failed(now, id, cause),
            EngineEvent::KeyFrameRequest { ssrc } => {
                let wanted = self.connection_mut(id).and_then(|connection| connection.key_frame_wanted(ssrc));
                let Some((id, layer)) = wanted else { return };
                // One that cannot be heeded yet is not passed on: it is asked for again when media can flow.
                if self.producers.get(&id).is_some_and(|producer| producer.handled() && !producer.paused()) {
                    self.request_key_frame(now, id, layer);
                }
            }
            EngineEvent::BitrateLimit { bitrate_bps } => {
                if self.connection_mut(id).is_some_and(|connection| connection.set_limit(now, bitrate_bps)) {
                    self.reallocate(id);
                }
            }
            EngineEvent::StreamFeedback { ssrc, feedback } => {
                if let Some(connection) = self.connection_mut(id) {
                    connection.set_feedback(ssrc, feedback);
                }
            }
        }
    }

    /// A frame was refused. `deltas`: for want of a key frame, which is asked for then, as the server's requests are: not
    /// more often than they, and not while there is nobody to send it to.
    pub(super) fn frame_refused(&mut self, now: Instant, id: ProducerId, layer: usize, deltas: bool) {
        if let Some(streams) = self.streams_mut(id) {
            streams.frame_refused(layer);
        }
        if deltas {
            self.request_key_frame(now, id, layer);
        }
    }

    /// Asks the application for a key frame, unless it was asked just now.
    fn request_key_frame(&mut self, now: Instant, id: ProducerId, layer: usize) {
        let stream = self.streams_mut(id).and_then(|streams| streams.stream_mut(layer));
        let news = stream.is_some_and(|stream| stream.request_key_frame(now));
        if let Some(profile) = self.profile(id, layer).filter(|_| news) {
            self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
        }
    }

    /// v2's word for a layer.
    pub(super) fn profile(&self, id: ProducerId, layer: usize) -> Option<Profile> {
        self.producers.get(&id)?.profiles().get(layer).copied()
    }

    pub(super) fn dtls_failed(&mut self, now: Instant, id: TransportId, cause: DtlsFailure) {
        if let Some(transport) = self.transports.get(&id) {
            info!(parent: &transport.span, %cause, "DTLS failed");
        }
        self.outputs.event(Event::Transport { id, event: TransportEvent::Failed { cause } });
        self.set_transport_state(id, State::Failed);
        self.close_transport(now, id, Originator::Local, None, true);
    }

    /// Divides what the server can take among the video layers of a transport, and tells the encoders what is new.
    pub(super) fn reallocate(&mut self, id: TransportId) {
        let Some(connection) = self.transports.get_mut(&id).and_then(|transport| transport.connection.as_mut()) else {
            return;
        };
        let sends =
            |producer: &&ProducerInfo| producer.handled() && producer.transport() == Some(id) && !producer.paused();
        let sending = self.producers.values().filter(sends).map(|producer| {
            let simulcast = producer.simulcast;
            let profiles = producer.profiles();
            let max = move |layer: usize| simulcast?.bitrate_bps(*profiles.get(layer)?).map(u64::from);
            (producer.id, max)
        });
        for (id, layer, bitrate_bps) in connection.reallocate(sending) {
            let Some(profile) = self.profile(id, layer) else { continue };
            let event = ProducerEvent::TargetBitrate { profile, bitrate_bps };
            self.outputs.event(Event::Producer { id, event });
        }
    }
}
