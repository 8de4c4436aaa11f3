//! What the media plane of a transport says, and what is asked of it.

use std::time::Instant;

use str0m::rtp::RtpPacket;

use super::Router;
use crate::id::{ProducerId, TransportId};
use crate::rtp::MediaKind;
use crate::sim::receiver::packet::{Extensions, payload, sender_report};
use crate::sim::receiver::{ReceiverEvent, ReceiverOutput};
use crate::sim::v3::key_frames::begins_key_frame;
use crate::sim::v3::output::{ReceivedPacket, RouterEvent, RouterOutput};
use crate::sim::v3::transport::RouterProducer;

impl Router {
    /// Takes all that a transport's receiver has to say.
    pub(super) fn settle(&mut self, now: Instant, id: TransportId) {
        while let Some(output) = self.transports.get_mut(&id).and_then(|transport| transport.receiver.poll_output()) {
            match output {
                ReceiverOutput::Transmit(transmit) => self.lesser_output(RouterOutput::Transmit(transmit)),
                ReceiverOutput::Packet { packet, repaired } => self.packet(now, id, *packet, repaired),
                ReceiverOutput::Event(event) => self.receiver_event(id, event),
            }
        }
    }

    fn receiver_event(&mut self, id: TransportId, event: ReceiverEvent) {
        let Some(id) = self.transports.get(&id).map(|transport| transport.name.clone()) else { return };
        self.lesser_output(RouterOutput::Event(match event {
            ReceiverEvent::Connected => RouterEvent::TransportConnected { id },
            ReceiverEvent::Disconnected => RouterEvent::TransportDisconnected { id },
            ReceiverEvent::Closed => RouterEvent::TransportEnded { id },
            ReceiverEvent::Failed(cause) => RouterEvent::TransportFailed { id, cause },
            ReceiverEvent::Goodbye { ssrcs } => RouterEvent::Goodbye { id, ssrcs },
        }));
    }

    fn packet(&mut self, now: Instant, on: TransportId, packet: RtpPacket, repaired: bool) {
        let ssrc = *packet.header.ssrc;
        let Some(transport) = self.transports.get_mut(&on) else { return };
        let Some(stream) = transport.receiver.stream(ssrc) else { return };
        let (id, layer) = (stream.producer, stream.layer);
        let Some(producer) = transport.producers.get(&id) else { return };
        let name = producer.name.clone();
        let (paused, video) = (producer.paused, producer.kind == MediaKind::Video);
        let key_frame = video && begins_key_frame(producer.producing.codec, &packet.payload);
        let forwarded = (self.config.forward_media && !paused).then(|| {
            let Extensions { mid, audio_level, rotation } = Extensions::of(&packet, producer.producing.read);
            ReceivedPacket {
                transport: transport.name.clone(),
                producer: name.clone(),
                codec: producer.producing.codec,
                layer,
                ssrc,
                payload_type: producer.producing.mapped_payload_type,
                sequence_number: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                repaired,
                mid,
                audio_level,
                rotation,
                sender_report: sender_report(&packet),
                payload: payload(packet),
            }
        });
        if key_frame {
            transport.key_frames.came(ssrc);
        }
        let started = transport.started.iter().any(|(_, _, of)| *of == ssrc);
        if started {
            transport.started.retain(|(_, _, of)| *of != ssrc);
            // What came before may be lost.
            if video && !paused && !key_frame {
                transport.want_key_frame(now, ssrc);
                transport.receiver.flush(now);
            }
            let event = RouterEvent::StreamStarted { producer: name, layer, ssrc };
            self.lesser_output(RouterOutput::Event(event));
        }
        if let Some(received) = forwarded {
            self.lesser_output(RouterOutput::Rtp(received));
        }
    }

    pub(super) fn want_key_frames(
        &mut self,
        now: Instant,
        on: TransportId,
        id: ProducerId,
        layer: Option<usize>,
    ) -> usize {
        let Some(transport) = self.transports.get_mut(&on) else { return 0 };
        let can = |producer: &&RouterProducer| producer.kind == MediaKind::Video && !producer.paused;
        if transport.producers.get(&id).filter(can).is_none() {
            return 0;
        }
        let wanted: Vec<_> = transport
            .receiver
            .streams()
            .filter(|stream| stream.producer == id && layer.is_none_or(|layer| layer == stream.layer))
            .map(|stream| stream.ssrc)
            .collect();
        for ssrc in &wanted {
            transport.want_key_frame(now, *ssrc);
        }
        transport.receiver.flush(now);
        wanted.len()
    }
}
