//! What the engines have to say.

use std::time::Instant;

use tracing::info;

use super::Room;
use crate::crypto::DtlsFailure;
use crate::id::{ProducerId, TransportId};
use crate::output::{Event, Originator, ProducerEvent, TransportEvent};
use crate::producer::ProducerInfo;
use crate::rtp::{MediaKind, Profile};
use crate::transport::TransportInfo;
use crate::transport::allocation::allocate;
use crate::transport::engine::{EngineEvent, EngineOutput};
use crate::transport::state::State;

impl Room {
    /// Takes all that a transport's engine has to say.
    pub(super) fn settle(&mut self, id: TransportId) {
        while let Some(output) = self.transports.get_mut(&id).and_then(|t| t.engine.as_mut()?.poll_output()) {
            match output {
                EngineOutput::Transmit(transmit) => self.outputs.transmit(transmit),
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
                // One that cannot be heeded yet is not passed on: it is asked for again when media can flow.
                let able = |producer: &&mut ProducerInfo| producer.handled() && !producer.paused();
                let stream = self.producers.values_mut().filter(able).find_map(|producer| {
                    let id = producer.id;
                    producer.streams.by_ssrc(ssrc).map(|(profile, stream)| (id, profile, stream.request_key_frame(now)))
                });
                if let Some((id, profile, true)) = stream {
                    self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
                }
            }
            EngineEvent::BitrateLimit { bitrate_bps } => {
                if let Some(transport) = self.transports.get_mut(&id)
                    && transport.limit_means_video(now)
                {
                    transport.bitrate_limit_bps = Some(bitrate_bps);
                    self.reallocate(id);
                }
            }
            EngineEvent::StreamFeedback { ssrc, feedback } => {
                let stream = self.producers.values_mut().find_map(|producer| producer.streams.by_ssrc(ssrc));
                if let Some((_, stream)) = stream {
                    stream.set_feedback(feedback);
                }
            }
        }
    }

    /// A frame was refused. `deltas`: for want of a key frame, which is asked for then, as the server's requests are: not
    /// more often than they, and not while there is nobody to send it to.
    pub(super) fn frame_refused(&mut self, now: Instant, id: ProducerId, profile: Profile, deltas: bool) {
        let Some(producer) = self.producers.get_mut(&id) else { return };
        producer.streams.frame_refused(profile);
        if deltas && producer.streams.stream_mut(profile).is_some_and(|stream| stream.request_key_frame(now)) {
            self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
        }
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
        let Some(limit) = self.transports.get(&id).and_then(|transport| transport.bitrate_limit_bps) else { return };
        let mut layers = Vec::new();
        let mut audio = 0;
        for (index, producer) in self.producers.values().enumerate() {
            if !producer.handled() || producer.transport() != Some(id) || producer.paused() {
                continue;
            }
            match producer.kind() {
                MediaKind::Audio => audio += 1,
                MediaKind::Video => layers.extend(producer.streams.profiles().map(|profile| {
                    let max = producer.simulcast.and_then(|simulcast| simulcast.bitrate_bps(profile));
                    (index, producer.id, profile, max.map(u64::from))
                })),
            }
        }
        let wants: Vec<_> = layers.iter().map(|(index, _, _, max)| (*index, *max)).collect();
        for ((_, id, profile, _), bitrate_bps) in layers.into_iter().zip(allocate(limit, audio, &wants)) {
            let stream = self.producers.get_mut(&id).and_then(|producer| producer.streams.stream_mut(profile));
            if stream.is_some_and(|stream| stream.set_target_bitrate(bitrate_bps)) {
                let event = ProducerEvent::TargetBitrate { profile, bitrate_bps };
                self.outputs.event(Event::Producer { id, event });
            }
        }
    }
}
