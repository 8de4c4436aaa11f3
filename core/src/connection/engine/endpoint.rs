//! One end of a WebRTC connection, over str0m in RTP mode: what a transport's engine and the room of `sim` both drive.
//!
//! str0m is polled until it has nothing more to say, time and datagrams go in, and what ends DTLS comes out as the last
//! output. What the outputs mean is for the driver to say.
//!
//! str0m drops most of what is forged without a word, and takes RTCP as often as it comes. So datagrams are judged here, and
//! each that is refused has a reason by which it can be counted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::change::DirectApi;
use str0m::net::{Protocol, Receive as RtcReceive, TcpType};
use str0m::{Candidate, Event, Input, Output, Reason, Rtc, RtcConfig};

use crate::connection::engine::crypto::{self, DtlsBackend, DtlsFailure, DtlsWatch, RtcpGuard, RtcpVerdict};
use crate::net::Receive;
use crate::net::Transmit;
use crate::net::{DtlsRole, IceProtocol};

/// str0m may answer a timeout with another one for the same moment. We let time move on instead of spinning.
const MIN_TICK: Duration = Duration::from_millis(1);
/// str0m's "not happening" is years away.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// What comes as often as this, reports of RTCP and statistics, waits for the next whole one since the beginning: each stream
/// and the statistics would have a wake of their own otherwise.
const ROUTINE: Duration = Duration::from_secs(1);
/// How often, at most, a deadline of str0m's that is due at once is served before others have their turn.
const ROUNDS: u8 = 64;
/// How many of those a goodbye gets.
const LAST_ROUNDS: u8 = 8;

pub(crate) struct Endpoint {
    rtc: Rtc,
    /// Knows why DTLS failed.
    watch: DtlsWatch,
    stage: Stage,
    /// Whether media comes in.
    receives: bool,
    /// Our side of DTLS, once it has begun.
    role: Option<DtlsRole>,
    /// DTLS has been up.
    secured: bool,
    rtcp: RtcpGuard,
    began_at: Instant,
    timeout: Option<Instant>,
    /// Of the poll that is going on: rounds that are left, and whether this one gave anything.
    rounds: u8,
    yielded: bool,
}

enum Stage {
    Open,
    /// The goodbye is being said.
    Closing,
    /// DTLS has ended; the alert that tells the other side comes out first.
    Failing(DtlsFailure),
    Done,
}

/// What an endpoint has to say.
#[allow(clippy::large_enum_variant)] // taken apart as soon as it is made
pub(crate) enum EndpointOutput {
    Transmit(Transmit),
    Event(Event),
    /// DTLS will never be up (again). The last output.
    Failed(DtlsFailure),
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Taken,
    /// It comes from nowhere that is known, or makes no sense.
    NotOurs,
    Refused(Refused),
}

/// Why a datagram from where one may come was refused; each has its counter in
/// [`RoomStats`](crate::v2::stats::RoomStats).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Stun,
    Dtls,
    Rtp,
    RtcpForged,
    RtcpReplayed,
}

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
}

impl Kind {
    /// RFC 7983 section 7, and RFC 5761 section 4 for RTCP. What is none of them str0m refuses to parse.
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match *datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [128..=191, second, ..] if (64..96).contains(&(second & 0x7f)) => Self::Rtcp,
            _ => Self::Rtp,
        }
    }
}

impl Endpoint {
    /// `receives`: whether there is media to come in.
    pub(crate) fn new(now: Instant, config: RtcConfig, dtls: DtlsBackend, receives: bool) -> Self {
        let (rtc, watch) = crypto::build(config, dtls, now);
        Self {
            rtc,
            watch,
            stage: Stage::Open,
            receives,
            role: None,
            secured: false,
            rtcp: RtcpGuard::default(),
            began_at: now,
            timeout: None,
            rounds: ROUNDS,
            yielded: false,
        }
    }

    pub(crate) fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    pub(crate) fn api(&mut self) -> DirectApi<'_> {
        self.rtc.direct_api()
    }

    /// Nothing is taken any more.
    pub(crate) const fn is_over(&self) -> bool {
        !matches!(self.stage, Stage::Open)
    }

    /// When the time is next wanted.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// What SRTP adds to each RTP packet, in bytes.
    #[cfg(feature = "sim")]
    pub(crate) fn tag_bytes(&self) -> usize {
        self.watch.profile().map_or(0, crypto::tag_bytes)
    }

    /// The next thing to act on. Until there is none, nothing else may be asked of the endpoint.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<EndpointOutput> {
        loop {
            let output = match &self.stage {
                Stage::Done => return None,
                Stage::Failing(_) => self.rtc.poll_output().ok().filter(|output| matches!(output, Output::Transmit(_))),
                Stage::Open | Stage::Closing => match self.rtc.poll_output() {
                    Ok(output) => Some(output),
                    Err(error) => {
                        self.fail(self.watch.explain(&error).unwrap_or_else(|| unexplained(&error)));
                        continue;
                    }
                },
            };
            match output {
                Some(Output::Transmit(transmit)) => {
                    self.yielded = true;
                    return Some(EndpointOutput::Transmit(outgoing(transmit)));
                }
                Some(Output::Event(event)) => {
                    self.yielded = true;
                    self.secured |= matches!(event, Event::Connected);
                    return Some(EndpointOutput::Event(event));
                }
                Some(Output::Timeout(timeout)) => {
                    if !self.goes_on(now, timeout) {
                        return None;
                    }
                    self.input(Input::Timeout(now));
                }
                None => {
                    self.timeout = None;
                    let Stage::Failing(failure) = std::mem::replace(&mut self.stage, Stage::Done) else { return None };
                    return Some(EndpointOutput::Failed(failure));
                }
            }
        }
    }

    /// A round ends with str0m's next deadline. One that is due now is served at once, as long as that yields something.
    fn goes_on(&mut self, now: Instant, timeout: Instant) -> bool {
        self.timeout = (timeout < now + NEVER).then(|| self.deadline(timeout).max(now + MIN_TICK));
        let yielded = std::mem::take(&mut self.yielded);
        let closing = matches!(self.stage, Stage::Closing);
        if self.rtc.is_alive() && self.rounds > 0 && (closing || yielded && timeout <= now) {
            self.rounds -= 1;
            return true;
        }
        self.rounds = ROUNDS;
        if closing {
            self.stage = Stage::Done;
            self.timeout = None;
        }
        false
    }

    /// When str0m is to be called for a deadline of its own. It knows the first alone: what another reason wants soon after one
    /// that waits would come late, so nothing waits before there is a connection, and in the end all routine is due together.
    fn deadline(&self, timeout: Instant) -> Instant {
        let routine = matches!(self.rtc.last_timeout_reason(), Reason::Feedback | Reason::Stats);
        if !routine || !self.secured || self.receives {
            return timeout;
        }
        let since = timeout.saturating_duration_since(self.began_at);
        let seconds = since.as_nanos().div_ceil(ROUTINE.as_nanos());
        u32::try_from(seconds).ok().and_then(|seconds| self.began_at.checked_add(ROUTINE * seconds)).unwrap_or(timeout)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if !self.is_over() {
            self.input(Input::Timeout(now));
        }
    }

    /// Takes a datagram, or says why not. Whether STUN is authentic is for the driver to find out before.
    pub(crate) fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received {
        let protocol = match receive.protocol {
            IceProtocol::Udp => Protocol::Udp,
            IceProtocol::Tcp => Protocol::Tcp,
        };
        let Ok(received) = RtcReceive::new(protocol, receive.source, receive.destination, &receive.contents) else {
            return Received::NotOurs;
        };
        let input = Input::Receive(now, received);
        if self.is_over() || !self.rtc.accepts(&input) {
            return Received::NotOurs;
        }
        match Kind::of(&receive.contents) {
            Kind::Stun => {
                self.input(input);
                Received::Taken
            }
            Kind::Dtls => self.dtls(receive, input),
            Kind::Rtp => self.rtp(input),
            Kind::Rtcp => self.rtcp(receive, input),
        }
    }

    fn dtls(&mut self, receive: &Receive, input: Input<'_>) -> Received {
        let wrong_way = |role| crypto::is_wrong_way_hello(&receive.contents, role == DtlsRole::Client);
        if !self.secured && self.role.is_some_and(wrong_way) {
            return Received::Refused(Refused::Dtls);
        }
        let alive = self.rtc.is_alive();
        let taken = self.input(input);
        // What ended DTLS was taken, too.
        let ended = self.is_over() || alive != self.rtc.is_alive();
        // After the handshake nothing is said over DTLS but that it ends.
        if ended || (taken && !self.secured) { Received::Taken } else { Received::Refused(Refused::Dtls) }
    }

    fn rtp(&mut self, input: Input<'_>) -> Received {
        // str0m would make a place for each SSRC that comes with a known MID before it looks at the tag.
        let before = crypto::authentic();
        let taken = self.receives && self.input(input) && crypto::authentic() != before;
        if taken { Received::Taken } else { Received::Refused(Refused::Rtp) }
    }

    fn rtcp(&mut self, receive: &Receive, input: Input<'_>) -> Received {
        let mut guard = std::mem::take(&mut self.rtcp);
        let verdict = guard.judge(self.watch.profile(), &receive.contents, || _ = self.input(input));
        self.rtcp = guard;
        match verdict {
            RtcpVerdict::Authentic => Received::Taken,
            RtcpVerdict::Forged => Received::Refused(Refused::RtcpForged),
            RtcpVerdict::Replayed => Received::Refused(Refused::RtcpReplayed),
        }
    }

    /// A datagram that only makes no sense is none of DTLS's failures, and harms nothing.
    fn input(&mut self, input: Input<'_>) -> bool {
        let result = self.rtc.handle_input(input);
        if let Err(error) = &result
            && let Some(failure) = self.watch.explain(error)
        {
            self.fail(failure);
        }
        result.is_ok()
    }

    pub(crate) fn start_dtls(&mut self, role: DtlsRole) {
        self.role = Some(role);
        if let Err(error) = self.rtc.direct_api().start_dtls(role == DtlsRole::Client) {
            self.fail(self.watch.explain(&error).unwrap_or_else(|| unexplained(&error)));
        }
    }

    fn fail(&mut self, failure: DtlsFailure) {
        self.stage = match self.stage {
            Stage::Open => Stage::Failing(failure),
            // It was to end anyway, or has.
            _ => Stage::Done,
        };
        self.timeout = None;
    }

    /// Ends DTLS. The last datagrams are to be polled; false if there are none.
    pub(crate) fn close(&mut self) -> bool {
        if self.is_over() || self.rtc.close().is_err() {
            return false;
        }
        self.stage = Stage::Closing;
        self.rounds = LAST_ROUNDS;
        true
    }
}

fn unexplained(error: &dyn std::error::Error) -> DtlsFailure {
    DtlsFailure::Handshake(error.to_string())
}

fn outgoing(transmit: str0m::net::Transmit) -> Transmit {
    Transmit {
        protocol: match transmit.proto {
            Protocol::Udp => IceProtocol::Udp,
            _ => IceProtocol::Tcp,
        },
        source: transmit.source,
        destination: transmit.destination,
        contents: Bytes::from(Vec::from(transmit.contents)),
    }
}

/// One of our addresses as ICE wants it; over TCP one side opens connections and the other takes them (RFC 6544
/// section 4.5).
pub(crate) fn local_candidate(protocol: IceProtocol, address: SocketAddr, tcp_type: TcpType) -> Option<Candidate> {
    match protocol {
        IceProtocol::Udp => Candidate::host(address, Protocol::Udp).ok(),
        IceProtocol::Tcp => Candidate::builder().tcp().host(address).tcptype(tcp_type).build().ok(),
    }
}

/// The SSRC of an RTP packet; none for RTCP and other things. The header is not encrypted (RFC 3711 section 3.1).
pub(crate) fn rtp_ssrc(datagram: &[u8]) -> Option<u32> {
    let [_, _, _, _, _, _, _, _, s0, s1, s2, s3, ..] = *datagram else { return None };
    (Kind::of(datagram) == Kind::Rtp).then(|| u32::from_be_bytes([s0, s1, s2, s3]))
}
