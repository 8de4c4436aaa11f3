//! What is compared with the model after every step, and what must hold whatever it says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Difference, Lockstep, Plane, holds, same};
use crate::net::IceProtocol;
use crate::rtp::MediaKind;
use crate::sim::embedding::Embedding;
use crate::sim::model::{Said, address};
use crate::track::TrackState;
use crate::v2::RoomState;

impl<E: Embedding> Lockstep<E> {
    pub(super) fn compare_said(&self) -> Result<(), Difference> {
        let anything = |_: &&Said| true;
        let event = |said: &&Said| matches!(said, Said::Event(_));
        if self.one_order {
            return self.compare_each("what was said", anything);
        }
        self.compare_each("messages to the server", |said| !event(said))?;
        self.compare_each("events for the application", event)
    }

    /// One after another, so that what is told is the first that differs.
    fn compare_each(&self, what: &str, which: impl Fn(&&Said) -> bool) -> Result<(), Difference> {
        let mut model = self.model.said.iter().filter(|said| which(said));
        let mut actual = self.said.iter().filter(|said| which(said));
        for number in 1.. {
            match (model.next(), actual.next()) {
                (None, None) => break,
                (Some(model), None) => holds!(false, "{what}: number {number} is missing, which is {model:?}"),
                (None, Some(actual)) => holds!(false, "{what}: number {number} is too many, which is {actual:?}"),
                (Some(model), Some(actual)) => {
                    same!(actual, model, "{what}, number {number} of this step");
                }
            }
        }
        Ok(())
    }

    pub(super) fn compare_properties(&mut self) -> Result<(), Difference> {
        let Self { embedding, model, names, .. } = self;
        let room = embedding.room();
        let joined = model.state == RoomState::Joined;
        same!(room.state(), model.state, "the room's state");
        same!((room.joined(), room.closed()), (joined, model.state == RoomState::Closed), "joined, closed");
        same!(room.can_send(MediaKind::Audio), joined && model.sends_audio, "whether it can send audio");
        same!(room.can_send(MediaKind::Video), joined && model.sends_video, "whether it can send video");
        let peers: Vec<_> = room.peers().map(|peer| (&peer.name, &peer.app_data)).collect();
        same!(peers, model.peers.iter().collect::<Vec<_>>(), "the peers");
        let stats = room.stats();
        same!(stats.requests_pending, model.pending(), "requests without an answer");
        same!(stats.requests_forgotten, model.forgotten, "requests given up and forgotten");
        same!(stats.messages_malformed, model.malformed, "messages that cannot be read");
        same!(stats.messages_unexpected, model.unexpected, "messages about nothing we know");
        same!(stats.peers_dropped, model.peers_dropped, "peers not remembered");
        if self.plane == Plane::Scripted {
            same!(stats.datagrams_discarded, self.datagrams, "datagrams discarded");
        }
        let dropped = (stats.events_dropped, stats.transmits_dropped);
        holds!(dropped == (0, 0), "events and datagrams were dropped, because outputs were not polled: {dropped:?}");
        holds!(stats.outputs_waiting == 0, "{} outputs wait: the loop did not poll them", stats.outputs_waiting);

        same!(room.transports().count(), model.transports.len(), "the number of transports");
        for (index, known) in &model.transports {
            let id = names.transport(*index);
            let Some(transport) = room.transport_info(id) else {
                return Err(Difference(format!("transport {id} is gone")));
            };
            same!((transport.id(), transport.direction()), (id, "send"), "transport {id}");
            same!(transport.app_data(), known.app.as_ref(), "app data of transport {id}");
            same!(transport.connection_state(), known.connection, "connection of transport {id}");
            same!(transport.stats_interval(), known.stats.map(Duration::from_millis), "stats of transport {id}");
            let addresses: Vec<_> = known.addresses.iter().map(|number| (IceProtocol::Udp, address(*number))).collect();
            same!(transport.local_addresses().collect::<Vec<_>>(), addresses, "addresses of transport {id}");
        }

        same!(room.producers().count(), model.producers.len(), "the number of producers");
        for (index, known) in &model.producers {
            let id = names.producer(*index);
            let Some(producer) = room.producer_info(id) else {
                return Err(Difference(format!("producer {id} is gone")));
            };
            same!(producer.id(), id, "producer {id}");
            same!(producer.app_data(), known.app.as_ref(), "app data of producer {id}");
            same!(producer.kind() == MediaKind::Video, known.video, "whether producer {id} is video");
            same!(producer.simulcast().is_some(), known.simulcast, "simulcast of producer {id}");
            same!(producer.locally_paused(), known.locally_paused, "local pause of producer {id}");
            same!(producer.remotely_paused(), known.remotely_paused, "remote pause of producer {id}");
            same!(producer.paused(), known.locally_paused || known.remotely_paused, "pause of producer {id}");
            let transport = known.transport().map(|index| names.transport(index));
            same!(producer.transport(), transport, "transport of producer {id}");
            same!(producer.handled(), known.handled(), "whether producer {id} is handled");
            same!(producer.rtp_parameters().is_some(), known.handled(), "RTP parameters of producer {id}");
            same!(producer.stats_interval(), known.stats.map(Duration::from_millis), "stats of producer {id}");
            let track = producer.track();
            same!(track.ready_state() == TrackState::Ended, known.track_ended, "end of the track of producer {id}");
            holds!(track.enabled() != producer.paused(), "a track is enabled unless its producer {id} is paused");
            holds!(track.id() != producer.original_track().id(), "the track of producer {id} is no clone");
            same!(producer.original_track().id(), "track", "original track of producer {id}");
        }
        Ok(())
    }

    /// What must hold whatever happens, and what is needed for the next step.
    pub(super) fn check(&mut self) -> Result<(), Difference> {
        let now = self.now();
        self.check_deadline(now)?;
        let Self { embedding, model, names, .. } = self;
        let room = embedding.room();
        let mut flowing = BTreeMap::new();
        let mut waiting = 0;
        let mut mids = BTreeSet::new();
        for producer in room.producers() {
            let Some(parameters) = producer.rtp_parameters() else { continue };
            let fresh = mids.insert((producer.transport(), parameters.mux_id.clone()));
            holds!(fresh, "a MID twice on a transport");
            let index = names.producer_index(producer.id())?;
            for stats in room.outbound_stats(producer.id()) {
                let sent = self.sent.get(&stats.ssrc).copied().unwrap_or(0);
                let unsent = stats.packets_sent.checked_sub(sent);
                let unsent = unsent.ok_or_else(|| Difference("more packets left than were taken".to_owned()))?;
                holds!(unsent == 0 || !producer.paused(), "packets of a paused producer still wait");
                waiting += unsent;
                holds!(flowing.insert(stats.ssrc, index).is_none(), "an SSRC twice");
            }
            if producer.paused() {
                flowing.retain(|_, of| *of != index);
            }
        }
        let deadline = model.deadline().map(|deadline| self.start + Duration::from_millis(deadline));
        let actual = room.poll_timeout();
        match self.plane {
            Plane::Real => {
                let soon_enough = deadline.is_none_or(|deadline| actual.is_some_and(|actual| actual <= deadline));
                holds!(soon_enough, "the room's deadline is past that of a request");
            }
            Plane::Scripted if waiting == 0 => {
                same!(actual, deadline, "the room's deadline, which is that of the oldest request");
            }
            Plane::Scripted => {
                let paced = actual.is_some_and(|actual| now < actual && actual <= now + Duration::from_millis(5));
                holds!(paced, "{waiting} packets wait, and are not to leave within 5 ms: the loop has lost them");
            }
        }
        if model.state == RoomState::Closed {
            let held = (actual, room.transports().count(), room.producers().count(), room.peers().count());
            same!(held, (None, 0, 0, 0), "what a closed room holds");
            let endless: Vec<_> = self.begun.keys().filter(|id| !self.settled.contains(id)).collect();
            holds!(endless.is_empty(), "operations that never end: {endless:?}");
            self.begun.clear();
        }
        drop(room);
        self.flowing = flowing;
        Ok(())
    }

    /// The deadline lies in the future, and the loop does not sleep past it.
    pub(super) fn check_deadline(&mut self, now: Instant) -> Result<(), Difference> {
        let due = self.embedding.room().poll_timeout();
        let wakes = self.embedding.deadline();
        holds!(due.is_none_or(|at| at > now), "the room is due at once, all its outputs polled");
        let start = self.start;
        let told =
            |at: Option<Instant>| at.map_or("never".to_owned(), |at| format!("at {} ms", (at - start).as_millis()));
        let in_time = due.is_none_or(|due| wakes.is_some_and(|wakes| wakes <= due));
        holds!(in_time, "the loop would wake {}, but the room is due {}", told(wakes), told(due));
        holds!(wakes.is_none_or(|at| at > now), "the loop would wake {}, which is over", told(wakes));
        Ok(())
    }
}
