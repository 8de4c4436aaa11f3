//! One browser that watches: a task with a socket and a media engine. When it ends, nothing of it is left.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Codec, MediaKind};
use serde::Serialize;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};
use tokio::net::UdpSocket;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, watch};

use super::answer::{Answered, Line, OfferError, answer};
use super::forward::{Forward, Outgoing};
use crate::embedded::{Handle, Packet, ProducerKey, ProducerView};

/// A browser that has not connected by then does not come.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// Packets taken up in one go before the engine may send them.
const PACKETS_PER_WAKE: usize = 64;

/// What a browser sends is small; what is longer is not for us.
const DATAGRAM_BYTES: usize = 2000;

/// What the page tells a viewer.
#[derive(Debug)]
pub(crate) enum Command {
    Prefer(Profile),
    Close,
}

/// How a viewer does, for the page.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub(crate) struct View {
    connected: bool,
    /// The layer asked for.
    preferred: Profile,
    /// The layer shown; none while nothing is.
    effective: Option<Profile>,
    codecs: Vec<Codec>,
    packets: u64,
    /// Packets that came faster than they could be forwarded.
    overrun: u64,
    switches: u64,
}

/// A viewer about to run.
pub(crate) struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    room: Handle,
    lines: BTreeMap<MediaKind, Line>,
    video: Forward,
    audio: Forward,
    view: watch::Sender<View>,
    commands: mpsc::Receiver<Command>,
    connected: bool,
    started: Instant,
    overrun: u64,
}

/// Why a viewer cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewerError {
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error("no UDP socket for the viewer: {0}")]
    Socket(#[from] io::Error),
}

/// Why a viewer ended unasked.
enum End {
    /// Nothing can be said to the browser any more.
    Broken,
    RoomClosed,
    Left,
}

impl From<RtcError> for End {
    fn from(_: RtcError) -> Self {
        Self::Broken
    }
}

impl Viewer {
    /// Answers a browser's offer. `ip`: where the browser reaches us.
    pub(crate) async fn answer(
        offer: &str,
        ip: IpAddr,
        room: Handle,
        view: watch::Sender<View>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<(Self, String), ViewerError> {
        let socket = UdpSocket::bind((ip, 0)).await?;
        let address = socket.local_addr()?;
        let started = Instant::now();
        let Answered { rtc, sdp, lines } = answer(started, address, offer)?;
        let viewer = Self {
            rtc,
            socket,
            address,
            room,
            lines,
            video: Forward::new(Profile::High),
            audio: Forward::new(Profile::Default),
            view,
            commands,
            connected: false,
            started,
            overrun: 0,
        };
        Ok((viewer, sdp))
    }

    /// Runs until the browser leaves, the page says so or the room closes.
    pub(crate) async fn run(mut self) {
        let packets = self.room.packets();
        let producers = self.room.producers();
        if let Err(End::RoomClosed | End::Left) = self.watch(packets, producers).await {
            self.say_goodbye().await;
        }
    }

    async fn watch(
        &mut self,
        mut packets: broadcast::Receiver<Packet>,
        mut producers: watch::Receiver<BTreeMap<ProducerKey, ProducerView>>,
    ) -> Result<(), End> {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        producers.mark_changed();
        loop {
            let deadline = self.drain().await?;
            if !self.rtc.is_alive() {
                return Ok(());
            }
            if !self.connected && self.started.elapsed() > CONNECT_WITHIN {
                return Err(End::Left);
            }
            // In this order: a packet is judged by what is known of its producer.
            tokio::select! {
                biased;
                changed = producers.changed() => {
                    changed.map_err(|_| End::RoomClosed)?;
                    let now = Instant::now();
                    self.select(now, &producers.borrow_and_update());
                }
                command = self.commands.recv() => match command {
                    Some(Command::Prefer(profile)) => {
                        self.video.set_preferred(profile);
                        self.select(Instant::now(), &producers.borrow());
                    }
                    Some(Command::Close) | None => return Err(End::Left),
                },
                received = self.socket.recv_from(&mut datagram) => self.receive(&datagram, received)?,
                packet = packets.recv() => self.forward(packet, &mut packets)?,
                () = tokio::time::sleep_until(deadline.into()) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
            }
            self.ask_for_key_frames().await;
            self.tell();
        }
    }

    /// Sends what is to be sent; returns when to come again.
    async fn drain(&mut self) -> Result<Instant, RtcError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(deadline),
                // What the network does not take is lost, as anywhere else on the way; RTX repairs it.
                Output::Transmit(transmit) => {
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination).await;
                }
                Output::Event(event) => self.event(event),
            }
            if !self.rtc.is_alive() {
                return Ok(Instant::now());
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                let now = Instant::now();
                self.video.settle(now);
                self.audio.settle(now);
            }
            // Not heard for long: the tab is gone.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => self.rtc.disconnect(),
            Event::KeyframeRequest(request)
                if self.lines.get(&MediaKind::Video).is_some_and(|line| line.mid == request.mid) =>
            {
                self.video.decoder_stuck();
            }
            _ => {}
        }
    }

    fn receive(&mut self, datagram: &[u8], received: io::Result<(usize, SocketAddr)>) -> Result<(), RtcError> {
        // An error here is an ICMP message about something sent earlier; whether the browser is there, ICE finds out.
        let Ok((length, source)) = received else { return Ok(()) };
        let Some(datagram) = datagram.get(..length) else { return Ok(()) };
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, datagram) else { return Ok(()) };
        let input = Input::Receive(Instant::now(), receive);
        if self.rtc.accepts(&input) { self.rtc.handle_input(input) } else { Ok(()) }
    }

    fn select(&mut self, now: Instant, producers: &BTreeMap<ProducerKey, ProducerView>) {
        for (kind, forward) in [(MediaKind::Video, &mut self.video), (MediaKind::Audio, &mut self.audio)] {
            let producer = self.lines.get(&kind).and_then(|line| {
                producers.iter().find(|(_, view)| view.kind == kind && line.payload_types.contains_key(&view.codec))
            });
            forward.select(now, producer);
        }
    }

    fn forward(
        &mut self,
        first: Result<Packet, RecvError>,
        packets: &mut broadcast::Receiver<Packet>,
    ) -> Result<(), End> {
        let now = Instant::now();
        match first {
            Ok(packet) => self.write(now, &packet),
            Err(RecvError::Lagged(missed)) => self.overrun += missed,
            Err(RecvError::Closed) => return Err(End::RoomClosed),
        }
        for _ in 1..PACKETS_PER_WAKE {
            match packets.try_recv() {
                Ok(packet) => self.write(now, &packet),
                Err(TryRecvError::Lagged(missed)) => self.overrun += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    fn write(&mut self, now: Instant, packet: &Packet) {
        let kind = packet.codec.kind();
        let forward = match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        // Before that the browser could take nothing, and the first key frame would be lost.
        if !self.connected {
            return;
        }
        let Some(Outgoing { codec, sequence_number, timestamp, marker, payload }) = forward.take(now, packet) else {
            return;
        };
        let Some(line) = self.lines.get(&kind) else { return };
        let Some(payload_type) = line.payload_types.get(&codec) else { return };
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(line.mid, None) {
            let rtp = RtpWrite::new(*payload_type, sequence_number.into(), timestamp, now, payload);
            stream.write_rtp(rtp.marker(marker).nackable(kind == MediaKind::Video));
        }
    }

    async fn ask_for_key_frames(&mut self) {
        if !self.connected {
            return;
        }
        if let Some((producer, profile)) = self.video.key_frame_wanted(Instant::now()) {
            self.room.request_key_frame(producer, profile).await;
        }
    }

    fn tell(&self) {
        let codecs = self.lines.values().flat_map(|line| line.payload_types.keys().copied()).collect();
        let view = View {
            connected: self.connected,
            preferred: self.video.preferred(),
            effective: self.video.effective().map(|(_, profile)| profile),
            codecs,
            packets: self.video.packets + self.audio.packets,
            overrun: self.overrun,
            switches: self.video.switches,
        };
        // Nobody looks: the page is on its way out.
        self.view.send_replace(view);
    }

    /// BYE and close_notify, as far as they get in one go.
    async fn say_goodbye(&mut self) {
        if self.rtc.close().is_err() {
            return;
        }
        for _ in 0..8 {
            if self.drain().await.is_err() || !self.rtc.is_alive() {
                return;
            }
            if self.rtc.handle_input(Input::Timeout(Instant::now())).is_err() {
                return;
            }
        }
    }
}
