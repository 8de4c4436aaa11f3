//! One WebRTC connection to the server, without any signalling.
//!
//! ```text
//!   what a dialect agreed --+    +------------- Connection -------------+
//!   frames, RTP packets ----+--> | streams -> pacer -> engine (str0m)   |--> datagrams, events
//!   datagrams, the time ----+    +--------------------------------------+--> and one deadline
//! ```
//!
//! It is told the server's side of ICE and DTLS, our addresses, and for each producer its streams: payload type, SSRCs, MID. It
//! knows of no room, no request and no message. What it gives are datagrams and [`EngineEvent`]s.
//!
//! What is written leaves when outputs are polled, in one go with all else that was written: str0m does much for each
//! round that it is given.

mod allocation;
pub(crate) mod engine;
mod pacer;
pub(crate) mod streams;
#[cfg(all(test, feature = "sim"))]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::SetupError;
use crate::id::{ProducerId, TransportId};
use crate::media::Media;
use crate::net::Receive;
use crate::net::{DtlsFingerprint, DtlsRole, IceParameters, IceProtocol, RemoteTransport};
use crate::rng::Rng;
use crate::rtp::MediaKind;
use crate::stats::OutboundRtpStats;

use allocation::allocate;
#[cfg(feature = "sim")]
use engine::EngineAnswer;
use engine::endpoint::{Received, Refused};
use engine::{Encoding, Engine, EngineOutput, OutgoingPacket, SelectedPath, StreamFeedback};
use pacer::Pacer;
use streams::{StreamError, Streams};

/// So many addresses that were withdrawn are remembered, the last ones: what is under way to them arrives soon or never.
const MAX_WITHDRAWN: usize = 16;

/// Packets that are written and wait for outputs to be polled; more leave at once.
const MAX_UNFLUSHED: usize = 256;

/// Video that was silent for this long begins anew.
const VIDEO_GAP: Duration = Duration::from_secs(2);
/// The server's estimate takes this long to catch up with new video (mediasoup's first REMB comes after 5 s).
const LIMIT_SETTLES: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Connection {
    engine: Box<dyn Engine>,
    pacer: Pacer,
    /// Addresses of ours that were in use, the last at the end.
    withdrawn: VecDeque<(IceProtocol, SocketAddr)>,
    // Boxed, as a node of a map has room for eleven.
    senders: BTreeMap<ProducerId, Box<Sender>>,
    /// Packets that the engine was given since it was last flushed.
    unflushed: usize,
    /// What the server last said it can take, or what is reckoned with until then.
    limit_bps: Option<u64>,
    /// When video began to flow, and when it last did.
    video: Option<(Instant, Instant)>,
    /// Kept from one write to the next.
    packets: Vec<OutgoingPacket>,
}

/// The streams of a producer.
#[derive(Debug)]
struct Sender {
    mux_id: String,
    kind: MediaKind,
    streams: Streams,
}

/// What a dialect has agreed on for the streams of a producer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SenderParameters<'a> {
    /// The MID.
    pub(crate) mux_id: &'a str,
    pub(crate) kind: MediaKind,
    pub(crate) payload_type: u8,
    pub(crate) encodings: &'a [Encoding],
}

/// What came of media that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Media time went back in its encoding, and for the first time.
    pub(crate) time_went_back: bool,
}

/// What came of a datagram.
pub(crate) struct Routed {
    /// Who was asked. An engine that was may have done what was due by the way.
    pub(crate) asked: Vec<TransportId>,
    /// That it was taken, or why not, if one knows.
    pub(crate) result: Result<(), Option<Refused>>,
}

/// Asks the connections that expect a datagram, in turn, whether it is theirs. Each comes with whether its transport names the
/// address that it came to; `is_named`: one does.
///
/// Transports have addresses of their own; one that is named by none was withdrawn a while ago. One that was a closed
/// transport's is nobody's: the server may have one address for all, and DTLS that is not its own ends a transport.
pub(crate) fn route<'a>(
    now: Instant,
    receive: &Receive,
    is_named: bool,
    connections: impl Iterator<Item = (TransportId, bool, &'a mut Connection)>,
) -> Routed {
    let mut routed = Routed { asked: Vec::new(), result: Err(None) };
    for (id, names_it, connection) in connections {
        let expects_it = match is_named {
            true => names_it,
            false => connection.had_address(receive.protocol, receive.destination),
        };
        if !expects_it {
            continue;
        }
        routed.asked.push(id);
        match connection.handle_receive(now, receive) {
            Received::Taken => {
                routed.result = Ok(());
                break;
            }
            Received::NotOurs => {}
            Received::Refused(why) => routed.result = Err(routed.result.err().flatten().or(Some(why))),
        }
    }
    routed
}

impl Connection {
    /// `burst`: video that leaves at once is at most what is sent in this time on average. `limit_bps`: what it is taken to
    /// carry until the server says.
    pub(crate) fn new(engine: Box<dyn Engine>, burst: Duration, limit_bps: Option<u64>) -> Self {
        Self {
            engine,
            pacer: Pacer::new(burst),
            withdrawn: VecDeque::new(),
            senders: BTreeMap::new(),
            unflushed: 0,
            limit_bps,
            video: None,
            packets: Vec::new(),
        }
    }

    // What a dialect agrees on.

    /// The hash of our certificate.
    pub(crate) fn fingerprint(&self) -> DtlsFingerprint {
        self.engine.fingerprint()
    }

    /// Begins ICE and DTLS towards the server.
    pub(crate) fn connect(&mut self, now: Instant, remote: &RemoteTransport, role: DtlsRole) -> Result<(), SetupError> {
        self.engine.connect(now, remote, role)
    }

    /// Takes up new ICE credentials of the server; media goes on meanwhile.
    pub(crate) fn restart_ice(&mut self, now: Instant, parameters: &IceParameters) {
        self.engine.restart_ice(now, parameters);
    }

    /// Offers one of our addresses to ICE. False: ICE does not take it.
    pub(crate) fn add_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr) -> bool {
        self.engine.add_local_address(now, protocol, address)
    }

    /// Withdraws one of our addresses.
    pub(crate) fn remove_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr) {
        self.engine.remove_local_address(now, protocol, address);
        self.withdrawn.retain(|known| *known != (protocol, address));
        self.withdrawn.push_back((protocol, address));
        if self.withdrawn.len() > MAX_WITHDRAWN {
            self.withdrawn.pop_front();
        }
    }

    /// Whether this was one of our addresses until it was withdrawn, so that what is under way to it is ours.
    fn had_address(&self, protocol: IceProtocol, address: SocketAddr) -> bool {
        self.withdrawn.contains(&(protocol, address))
    }

    /// Makes the streams of a producer begin here; returns their CNAME.
    pub(crate) fn add_sender(
        &mut self,
        id: ProducerId,
        mut streams: Streams,
        parameters: SenderParameters<'_>,
        rng: &mut Rng,
    ) -> String {
        let SenderParameters { mux_id, kind, payload_type, encodings } = parameters;
        let cname = self.engine.add_streams(mux_id, kind, encodings);
        streams.start(payload_type, encodings, rng);
        self.senders.insert(id, Box::new(Sender { mux_id: mux_id.to_owned(), kind, streams }));
        cname
    }

    /// Ends the streams of a producer, and gives them back.
    pub(crate) fn remove_sender(&mut self, now: Instant, id: ProducerId) -> Option<Streams> {
        let sender = self.senders.remove(&id)?;
        self.engine.remove_streams(&sender.mux_id);
        self.flush(now);
        Some(sender.streams)
    }

    /// Gives all streams back, when nothing will be sent any more.
    pub(crate) fn into_senders(self) -> impl Iterator<Item = (ProducerId, Streams)> {
        self.senders.into_iter().map(|(id, sender)| (id, sender.streams))
    }

    pub(crate) fn streams_mut(&mut self, id: ProducerId) -> Option<&mut Streams> {
        self.senders.get_mut(&id).map(|sender| &mut sender.streams)
    }

    // Media.

    /// Packets that wait for their turn.
    pub(crate) fn packets_waiting(&self) -> usize {
        self.pacer.len()
    }

    /// Packets that leave as soon as outputs are polled.
    pub(crate) const fn unflushed(&self) -> usize {
        self.unflushed
    }

    /// Takes a frame or a packet. It leaves when outputs are polled, the end of a large frame a little later.
    pub(crate) fn write(&mut self, now: Instant, id: ProducerId, media: &Media) -> Result<Written, StreamError> {
        let sender = self.senders.get_mut(&id).ok_or(StreamError::UnknownLayer)?;
        let time_went_back = match media {
            Media::Frame(frame) => sender.streams.frame(now, frame, &mut self.packets)?,
            Media::Packet(packet) => sender.streams.packet(now, packet, &mut self.packets)?,
        };
        let video = sender.kind == MediaKind::Video;
        match media {
            Media::Frame(_) if video => {
                self.pacer.push(now, &mut self.packets);
                self.release(now);
            }
            // A ready-made packet was paced by whoever made it.
            Media::Frame(_) | Media::Packet(_) => {
                self.unflushed += self.packets.len();
                self.packets.drain(..).for_each(|packet| self.engine.write(packet));
            }
        }
        if video {
            self.video_flows(now);
        }
        if self.unflushed > MAX_UNFLUSHED {
            self.flush(now);
        }
        Ok(Written { time_went_back })
    }

    fn release(&mut self, now: Instant) {
        let Self { pacer, engine, unflushed, .. } = self;
        pacer.release(now, |packet| {
            *unflushed += 1;
            engine.write(packet);
        });
    }

    /// Lets all leave that was written, because its producer is about to pause or close: the numbers are given out, and a
    /// gap would look like loss.
    pub(crate) fn send_all(&mut self, now: Instant) {
        let Self { pacer, engine, unflushed, .. } = self;
        pacer.release_all(|packet| {
            *unflushed += 1;
            engine.write(packet);
        });
        if self.unflushed > 0 {
            self.flush(now);
        }
    }

    fn video_flows(&mut self, now: Instant) {
        let since = match self.video {
            Some((since, last)) if now < last + VIDEO_GAP => since,
            _ => now,
        };
        self.video = Some((since, now));
    }

    // Network and time.

    /// Takes a datagram, or says why not.
    pub(crate) fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received {
        let received = self.engine.handle_receive(now, receive);
        match received {
            Received::Taken | Received::Refused(_) => self.flush(now),
            // Nothing has changed: what is due stays due.
            Received::NotOurs => {}
        }
        received
    }

    /// Does what is due: paced packets, then whatever the engine has to do.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.flush(now);
    }

    /// The same, when nothing was due and something was written.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.release(now);
        self.unflushed = 0;
        self.engine.flush(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout().into_iter().chain(self.pacer.poll_timeout()).min()
    }

    /// The next thing to act on. What was written comes after a [`flush`](Self::flush).
    pub(crate) fn poll_output(&mut self) -> Option<EngineOutput> {
        self.engine.poll_output()
    }

    /// Says goodbye (RTCP BYE, DTLS close_notify); the last datagrams come out of [`poll_output`](Self::poll_output).
    pub(crate) fn close(&mut self, now: Instant) {
        self.engine.close(now);
    }

    // What the server's feedback means.

    /// Whose stream this is.
    fn by_ssrc(&mut self, ssrc: u32) -> Option<(ProducerId, usize, &mut streams::Stream)> {
        self.senders.iter_mut().find_map(|(id, sender)| {
            let (layer, stream) = sender.streams.by_ssrc(ssrc)?;
            Some((*id, layer, stream))
        })
    }

    /// Whose stream the server wants a key frame of.
    pub(crate) fn key_frame_wanted(&mut self, ssrc: u32) -> Option<(ProducerId, usize)> {
        self.by_ssrc(ssrc).map(|(id, layer, _)| (id, layer))
    }

    pub(crate) fn set_feedback(&mut self, ssrc: u32, feedback: StreamFeedback) {
        if let Some((_, _, stream)) = self.by_ssrc(ssrc) {
            stream.set_feedback(feedback);
        }
    }

    /// The server can take this much. False: it says nothing about video. It follows what was received of late, and with
    /// audio alone it is a few kilobits.
    pub(crate) fn set_limit(&mut self, now: Instant, bitrate_bps: u64) -> bool {
        let tells = self.video.is_some_and(|(since, last)| now < last + VIDEO_GAP && now >= since + LIMIT_SETTLES);
        if tells {
            self.limit_bps = Some(bitrate_bps);
        }
        tells
    }

    /// Divides what the server can take among the video layers of those that send, each with the most that its layers
    /// should take, and returns what is news to an encoder.
    pub(crate) fn reallocate(
        &mut self,
        sending: impl Iterator<Item = (ProducerId, impl Fn(usize) -> Option<u64>)>,
    ) -> Vec<(ProducerId, usize, u64)> {
        let Some(limit) = self.limit_bps else { return Vec::new() };
        let (mut layers, mut wants, mut audio) = (Vec::new(), Vec::new(), 0);
        for (index, (id, max)) in sending.enumerate() {
            let Some(sender) = self.senders.get(&id) else { continue };
            match sender.kind {
                MediaKind::Audio => audio += 1,
                MediaKind::Video => {
                    for layer in sender.streams.layers() {
                        layers.push((id, layer));
                        wants.push((index, max(layer)));
                    }
                }
            }
        }
        let shares = allocate(limit, audio, &wants);
        let mut news = Vec::new();
        for ((id, layer), bitrate_bps) in layers.into_iter().zip(shares) {
            let stream = self.streams_mut(id).and_then(|streams| streams.stream_mut(layer));
            if stream.is_some_and(|stream| stream.set_target_bitrate(bitrate_bps)) {
                news.push((id, layer, bitrate_bps));
            }
        }
        news
    }

    /// Where media goes.
    pub(crate) fn selected_path(&self) -> Option<SelectedPath> {
        self.engine.selected_path()
    }

    /// Our own statistics of a producer, one entry for each encoding.
    pub(crate) fn stats(&self, id: ProducerId) -> Vec<OutboundRtpStats> {
        let sender = self.senders.get(&id);
        sender.map(|sender| sender.streams.stats(|ssrc| self.engine.packets_resent(ssrc))).unwrap_or_default()
    }

    /// Prepares an answer. Only a scripted engine takes one.
    #[cfg(feature = "sim")]
    pub(crate) fn prepare(&mut self, answer: EngineAnswer) {
        self.engine.prepare(answer);
    }
}
