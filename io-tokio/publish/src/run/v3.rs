//! Rooms of mediasoup 3's demo.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mediasoup_producer::record::RecordOptions;
use mediasoup_producer::v2::Profile;
use mediasoup_producer::v3::{
    CodecChoice, DeviceConfig, EncodingOptions, Event as DeviceEvent, ProduceOptions, ProducerEvent,
    RtpCodecCapability, TransportEvent, TransportOptions,
};
use mediasoup_producer::{Codec, Originator, ProducerId, Track, random_seed};
use mediasoup_producer_tokio::Options;
use mediasoup_producer_tokio::driver::signalling::ProtooConnector;
use mediasoup_producer_tokio::v3::{Device, Event as IoEvent, Events, Producer, Transport, answered_by};
use serde_json::{Map, Value};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::feed::TrackInfo;
use super::line::{self, News, OfProducer};
use super::{RunError, told};
use crate::args::{Args, CodecWish, Dialect, RoomDialect};
use crate::demo::{Demo, DemoError, Said, StreamCount, peer_id};
use crate::report::{RoomCount, Sockets};

/// How often the room is asked what it counts when that alone is waited for.
const RECOUNT_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(super) struct Line {
    demo: Demo,
    device: Device,
    force_tcp: bool,
    wishes: Arc<[CodecWish]>,
    /// Sound and picture belong together, and with nobody else's.
    stream_id: Arc<str>,
    /// What the room counts is wanted at once.
    recount: Arc<Notify>,
}

/// The server tells what it counts only when it is asked.
pub(super) struct Ear {
    line: Line,
    events: Events,
    said: mpsc::Receiver<Said>,
    ask: Interval,
    asking: Option<Asking>,
    counted: VecDeque<(ProducerId, Vec<StreamCount>)>,
    /// It does not answer that.
    untold: bool,
}

type Counts = Vec<(ProducerId, Vec<StreamCount>)>;
type Asking = Pin<Box<dyn Future<Output = Result<Counts, DemoError>> + Send>>;

impl line::Line for Line {
    type Ear = Ear;
    type Transport = Transport;
    type Producer = Producer;

    async fn connect(args: &Args, url: &str, count_every: Duration) -> Result<(Self, Ear), RunError> {
        let records = args.record.is_some();
        let args = &args.room;
        let connector = ProtooConnector::new().accept_any_certificate(args.insecure).timeout(args.timeout);
        let words = args.dialect.and_then(RoomDialect::words);
        let (demo, said) =
            Demo::connect(&connector, url, words, args.timeout).await.map_err(RunError::connect(Dialect::V3))?;
        let mut config = DeviceConfig::default().dtls_role(args.dtls_role.into()).request_timeout(args.timeout);
        if records {
            config = config.record(RecordOptions::default());
        }
        let signalling = answered_by({
            let demo = demo.clone();
            move |request| demo.clone().answer(request)
        });
        let device = Device::with_options(config, random_seed(), Options::default().udp(!args.tcp), signalling);
        let (events, recount) = (device.events(), Arc::default());
        let line = Self {
            demo,
            device,
            force_tcp: args.tcp,
            wishes: args.codec.as_slice().into(),
            stream_id: format!("{:016x}", random_seed()).into(),
            recount,
        };
        let ear = Ear {
            line: line.clone(),
            events,
            said,
            ask: every(count_every),
            asking: None,
            counted: VecDeque::new(),
            untold: false,
        };
        Ok((line, ear))
    }

    fn sockets(&self) -> Sockets {
        self.device.io_stats().into()
    }

    fn take_record(&self) -> Vec<String> {
        self.device.take_record()
    }

    async fn enter(&self, peer: &str) -> Result<(Transport, Vec<String>), RunError> {
        self.device.load(self.demo.router_rtp_capabilities().await?, false).map_err(RunError::load)?;
        let parameters = self.demo.create_transport(self.force_tcp).await?;
        let peers = self.demo.join(peer).await?;
        let transport = self.device.create_send_transport(parameters, TransportOptions::default(), Map::new()).await?;
        Ok((transport, peers))
    }

    async fn produce(&self, transport: &Transport, index: usize, track: &TrackInfo) -> Result<Producer, RunError> {
        let kind = track.kind();
        let mut options = ProduceOptions::default().codec(self.choice(track.codec)?).stream_id(&*self.stream_id);
        if track.simulcast {
            options = options.encodings(vec![EncodingOptions::default(); Profile::SIMULCAST.len()]);
        }
        let label = Track::new(kind, format!("{kind}-{index}"), &*track.label);
        transport.produce(label, options).await.map_err(|error| RunError::produce(track.codec, error))
    }

    async fn connected(transport: &Transport) -> bool {
        transport.connected().await.is_ok()
    }

    fn offered(transport: &Transport) -> Vec<String> {
        let candidates = transport.remote_candidates();
        candidates.iter().map(|at| format!("{} port {} ({:?})", at.address, at.port, at.protocol)).collect()
    }

    fn restart_ice(&self, transport: &Transport) {
        let (demo, transport) = (self.demo.clone(), transport.clone());
        tokio::spawn(async move {
            let Some(id) = transport.server_id() else { return };
            if let Ok(parameters) = demo.restart_ice(&id).await {
                // It may be closed meanwhile.
                let _ = transport.restart_ice(parameters).await;
            }
        });
    }

    fn recount(&self, _: &[Producer]) {
        self.recount.notify_one();
    }

    async fn leave(&self, _: &[Producer]) {
        // The server closes what it has of us when the connection ends.
        self.device.close().await;
        self.demo.close().await;
    }
}

impl Line {
    /// What to send media of this codec as.
    fn choice(&self, codec: Codec) -> Result<CodecChoice, RunError> {
        let wish = self.wishes.iter().find(|wish| wish.is_of(codec));
        let Some((wish, profile)) = wish.and_then(|wish| Some((wish, wish.profile.as_deref()?))) else {
            return Ok(codec.into());
        };
        let capabilities = self.device.send_rtp_capabilities().unwrap_or_default();
        let all: Vec<_> = capabilities.codecs.into_iter().filter(|capability| is_of(capability, codec)).collect();
        let offered = all.iter().filter_map(profile_of).map(|profile| format!("{}/{profile}", codec.name())).collect();
        let wished =
            all.into_iter().find(|capability| profile_of(capability).is_some_and(|of| same(codec, &of, profile)));
        wished.map(Into::into).ok_or_else(|| RunError::Profile { wish: wish.clone(), offered })
    }
}

fn is_of(capability: &RtpCodecCapability, codec: Codec) -> bool {
    capability.mime_type.split_once('/').is_some_and(|(_, name)| name.eq_ignore_ascii_case(codec.name()))
}

fn profile_of(capability: &RtpCodecCapability) -> Option<String> {
    let parameters = &capability.parameters;
    let of_h264 = parameters.text("profile-level-id").map(str::to_owned);
    of_h264.or_else(|| parameters.number("profile-id").map(ToString::to_string))
}

/// H.264's level is free: its last two digits do not count (RFC 6184 section 8.1).
fn same(codec: Codec, one: &str, other: &str) -> bool {
    let profile = |of: &str| match codec {
        Codec::H264 => of.to_ascii_lowercase().chars().take(4).collect::<String>(),
        _ => of.to_owned(),
    };
    profile(one) == profile(other)
}

impl line::Ear for Ear {
    async fn next(&mut self) -> News {
        if let Some((producer, streams)) = self.counted.pop_front() {
            let streams = streams.iter().map(|stream| (stream.ssrc, RoomCount::from(stream)));
            return News::Producer(producer, OfProducer::Received(streams.collect()));
        }
        let may_ask = self.asking.is_none() && !self.untold;
        let answered = async {
            match &mut self.asking {
                Some(asking) => asking.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            event = self.events.next() => self.line.heard(event),
            said = self.said.recv() => said.map_or(News::Over(RunError::Ended), said_news),
            counts = answered => {
                self.asking = None;
                match counts {
                    Ok(counts) => self.counted.extend(counts),
                    // Of the connection's end it is said elsewhere.
                    Err(DemoError::Ended) => {}
                    Err(DemoError::Refused { .. } | DemoError::TimedOut(_) | DemoError::Answer { .. }) => {
                        self.untold = true;
                        return News::Untold;
                    }
                }
                News::Nothing
            }
            () = self.line.recount.notified() => {
                self.ask = every(RECOUNT_EVERY);
                News::Nothing
            }
            _ = self.ask.tick(), if may_ask => {
                self.asking = Some(Box::pin(count(self.line.clone())));
                News::Nothing
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What the room has received of each producer.
async fn count(line: Line) -> Result<Counts, DemoError> {
    let mut counts = Vec::new();
    for producer in line.device.producers() {
        if let Some(id) = producer.server_id() {
            counts.push((producer.id(), line.demo.producer_stats(&id).await?));
        }
    }
    Ok(counts)
}

impl Line {
    fn heard(&self, event: Option<IoEvent>) -> News {
        match event {
            None => News::Over(RunError::Ended),
            Some(IoEvent::Device(event)) => self.of_device(event),
            Some(IoEvent::Disconnected { error }) => News::Over(error.into()),
            Some(IoEvent::Unreachable { reason, .. }) => News::Over(RunError::Unreachable(reason)),
            Some(_) => News::Nothing,
        }
    }

    fn of_device(&self, event: DeviceEvent) -> News {
        match event {
            DeviceEvent::Orphan { producer_id, .. } => {
                let demo = self.demo.clone();
                // If it cannot be told, the end of the connection will.
                tokio::spawn(async move { drop(demo.close_producer(&producer_id).await) });
                News::Nothing
            }
            DeviceEvent::Transport { event, .. } => match event {
                TransportEvent::ConnectionStateChange { state } => News::Connection(state),
                TransportEvent::DtlsFailed { cause } => News::Over(RunError::Dtls(cause)),
                // By us.
                TransportEvent::Close => News::Nothing,
                _ => News::Nothing,
            },
            DeviceEvent::Producer { id, event } => {
                of_producer(event).map_or(News::Nothing, |event| News::Producer(id, event))
            }
            // We know how what we asked for has ended.
            DeviceEvent::Settled { .. } => News::Nothing,
            _ => News::Nothing,
        }
    }
}

fn of_producer(event: ProducerEvent) -> Option<OfProducer> {
    Some(match event {
        ProducerEvent::KeyFrameRequest { layer } => OfProducer::KeyFrameRequest(layer),
        ProducerEvent::TimeWentBack { layer } => OfProducer::TimeWentBack(layer),
        ProducerEvent::TargetBitrate { layer, bitrate_bps } => OfProducer::TargetBitrate { layer, bitrate_bps },
        // The server pauses, resumes and closes what it sends on, and tells its receivers.
        ProducerEvent::Pause => OfProducer::Paused(Originator::Local),
        ProducerEvent::Resume => OfProducer::Resumed(Originator::Local),
        _ => return None,
    })
}

fn said_news(said: Said) -> News {
    match said {
        Said::Ended(error) => News::Over(error.into()),
        Said::Notification(method, data) => News::Told(match (&*method, peer(&data)) {
            ("newPeer", Some(name)) => told::new_peer(name),
            ("peerClosed", Some(name)) => told::peer_closed(name),
            _ => told::application(method, &data),
        }),
    }
}

/// The peer that is told of.
fn peer(data: &Value) -> Option<String> {
    peer_id(&data["peer"]).or_else(|| peer_id(data))
}

impl From<&StreamCount> for RoomCount {
    fn from(count: &StreamCount) -> Self {
        Self { packets: count.packet_count, bytes: count.byte_count, lost: count.packets_lost }
    }
}
