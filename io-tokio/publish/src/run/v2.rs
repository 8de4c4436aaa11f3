//! Rooms of mediasoup v2.

use std::time::Duration;

use futures_util::FutureExt;
use mediasoup_producer::record::RecordOptions;
use mediasoup_producer::v2::{
    CommandError, CreateProducerError, Event as RoomEvent, ProducerEvent, ProducerOptions, RoomConfig, TransportEvent,
    TransportOptions,
};
use mediasoup_producer::{Originator, Track, random_seed};
use mediasoup_producer_tokio::Options;
use mediasoup_producer_tokio::v2::{self as io, Events, Producer, ProtooConnector, Room, Transport};

use super::feed::TrackInfo;
use super::line::{self, News, OfProducer};
use super::{RunError, told};
use crate::args::{Args, Dialect};
use crate::report::{RoomCount, Sockets};

/// How often the room tells what it counts when that alone is waited for: no server tells it more often.
const RECOUNT_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Line {
    room: Room,
    count_every: Duration,
}

#[derive(Debug)]
pub(super) struct Ear(Events);

impl line::Line for Line {
    type Ear = Ear;
    type Transport = Transport;
    type Producer = Producer;

    async fn connect(args: &Args, url: &str, count_every: Duration) -> Result<(Self, Ear), RunError> {
        let records = args.record.is_some();
        let args = &args.room;
        let mut offer = TransportOptions::default();
        if args.tcp {
            (offer.udp, offer.tcp) = (Some(false), Some(true));
        }
        let mut config = RoomConfig::default()
            .dtls_role(args.dtls_role.into())
            .transport_options(offer)
            .request_timeout(args.timeout);
        // It takes every server's certificate, and whoever builds it in has a server that needs it.
        #[cfg(feature = "legacy-dtls")]
        {
            config = config.dtls_backend(mediasoup_producer::DtlsBackend::Legacy);
        }
        if records {
            config = config.record(RecordOptions::default());
        }
        let connector = ProtooConnector::new().accept_any_certificate(args.insecure).timeout(args.timeout);
        let signalling = connector.connect(url).await.map_err(RunError::connect(Dialect::V2))?;
        let room = Room::with_options(config, random_seed(), Options::default().udp(!args.tcp), signalling);
        let events = room.events();
        Ok((Self { room, count_every }, Ear(events)))
    }

    fn sockets(&self) -> Sockets {
        self.room.io_stats().into()
    }

    fn take_record(&self) -> Vec<String> {
        self.room.take_record()
    }

    async fn enter(&self, peer: &str) -> Result<(Transport, Vec<String>), RunError> {
        self.room.join(peer, None).await.map_err(RunError::join)?;
        let peers = self.room.peers().into_iter().map(|peer| peer.name).collect();
        let transport = self.room.create_transport(None).map_err(CommandError::from)?;
        Ok((transport, peers))
    }

    async fn produce(&self, transport: &Transport, index: usize, track: &TrackInfo) -> Result<Producer, RunError> {
        let kind = track.kind();
        let options = ProducerOptions::default().simulcast(track.simulcast).codec(track.codec);
        let label = Track::new(kind, format!("{kind}-{index}"), &*track.label);
        let producer = self.room.create_producer(label, options, None).map_err(|error| match error {
            CreateProducerError::CannotSend { .. } => RunError::Codec { codec: track.codec, kind },
            error => RunError::Command(error.into()),
        })?;
        producer.send(transport).await.map_err(|error| RunError::send(kind, error))?;
        producer.enable_stats(self.count_every).map_err(CommandError::from)?;
        Ok(producer)
    }

    async fn connected(transport: &Transport) -> bool {
        transport.connected().await.is_ok()
    }

    fn offered(transport: &Transport) -> Vec<String> {
        let candidates = transport.remote_candidates();
        candidates.iter().map(|at| format!("{} port {} ({:?})", at.ip, at.port, at.protocol)).collect()
    }

    fn restart_ice(&self, _: &Transport) {
        // Once begun it goes on.
        let _ = self.room.restart_ice().now_or_never();
    }

    fn recount(&self, producers: &[Producer]) {
        for producer in producers {
            // Enabled anew, statistics come at once, and then so often: what was under way is counted later.
            let _ = producer.enable_stats(RECOUNT_EVERY);
        }
    }

    async fn leave(&self, producers: &[Producer]) {
        for producer in producers {
            // Closed by the server already, perhaps.
            let _ = producer.close(None);
        }
        self.room.close().await;
    }
}

impl line::Ear for Ear {
    async fn next(&mut self) -> News {
        match self.0.next().await {
            None => News::Over(RunError::Ended),
            Some(io::Event::Room(event)) => of_room(event),
            Some(io::Event::Application { method, data }) => News::Told(told::application(method, &data)),
            Some(io::Event::Disconnected { error }) => News::Over(error.into()),
            Some(io::Event::Unreachable { reason, .. }) => News::Over(RunError::Unreachable(reason)),
            Some(_) => News::Nothing,
        }
    }
}

fn of_room(event: RoomEvent) -> News {
    match event {
        RoomEvent::Closed { originator: Originator::Remote, .. } => News::Over(RunError::RoomClosed),
        RoomEvent::NewPeer { peer } => News::Told(told::new_peer(peer.name)),
        RoomEvent::PeerClosed { name, .. } => News::Told(told::peer_closed(name)),
        RoomEvent::Transport { event, .. } => match event {
            TransportEvent::ConnectionStateChange { state } => News::Connection(state),
            TransportEvent::Failed { cause } => News::Over(RunError::Dtls(cause)),
            TransportEvent::Close { originator: Originator::Remote, .. } => News::Over(RunError::TransportClosed),
            _ => News::Nothing,
        },
        RoomEvent::Producer { id, event } => {
            of_producer(event).map_or(News::Nothing, |event| News::Producer(id, event))
        }
        // We know when we have joined and left, and how what we asked for has ended. Notifications are for receivers.
        RoomEvent::Joined { .. }
        | RoomEvent::Closed { originator: Originator::Local, .. }
        | RoomEvent::Settled { .. }
        | RoomEvent::Notification { .. } => News::Nothing,
        _ => News::Nothing,
    }
}

fn of_producer(event: ProducerEvent) -> Option<OfProducer> {
    Some(match event {
        ProducerEvent::Stats { stats } => {
            let streams = stats.iter().filter_map(|stats| stats.stream.as_ref());
            OfProducer::Received(streams.map(|stream| (stream.ssrc, RoomCount::from(stream))).collect())
        }
        ProducerEvent::Close { originator: Originator::Remote, .. } => OfProducer::Closed,
        ProducerEvent::Pause { originator, .. } => OfProducer::Paused(originator),
        ProducerEvent::Resume { originator, .. } => OfProducer::Resumed(originator),
        ProducerEvent::KeyFrameRequest { profile } => OfProducer::KeyFrameRequest(profile.layer()),
        ProducerEvent::TimeWentBack { profile } => OfProducer::TimeWentBack(profile.layer()),
        ProducerEvent::TargetBitrate { profile, bitrate_bps } => {
            OfProducer::TargetBitrate { layer: profile.layer(), bitrate_bps }
        }
        _ => return None,
    })
}
