//! Brings the media of all tracks, each piece when it is due.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Codec, MediaKind, RtpPacket, RtpPacketError};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::input::{Feed, Track};
use crate::live::Pipes;
use crate::player::{Due, Player};
use crate::source::SourceError;

/// No datagram is longer.
const DATAGRAM: usize = 65_536;

/// Datagrams that a socket holds at most, about.
const MAX_OLD: usize = 4096;

/// All tracks.
#[derive(Debug)]
pub(crate) struct Feeds {
    tracks: Vec<TrackInfo>,
    player: Player,
    pipes: Pipes,
    ports: Vec<Port>,
    buffer: BytesMut,
}

/// What a producer for a track needs.
#[derive(Debug, Clone)]
pub(super) struct TrackInfo {
    pub(super) label: String,
    pub(super) codec: Codec,
    pub(super) simulcast: bool,
}

impl TrackInfo {
    pub(super) const fn kind(&self) -> MediaKind {
        self.codec.kind()
    }
}

/// Something for the producer of a track.
#[derive(Debug)]
pub(super) enum Media {
    /// A frame of a file or a pipe, and how late it is.
    Frame(Due, Duration),
    /// A packet.
    Packet { track: usize, packet: RtpPacket },
    /// The first datagram that is no RTP. More of them are passed over in silence.
    Junk { track: usize, error: RtpPacketError },
    /// A socket has failed, for this datagram.
    Socket { track: usize, error: io::Error },
}

#[derive(Debug)]
struct Port {
    track: usize,
    profile: Profile,
    socket: UdpSocket,
    junk: bool,
}

impl Feeds {
    pub(crate) fn new(tracks: Vec<Track>) -> Result<Self, SourceError> {
        let (mut infos, mut player, mut pipes, mut ports) =
            (Vec::new(), Player::default(), Pipes::default(), Vec::new());
        for (index, track) in tracks.into_iter().enumerate() {
            let simulcast = track.simulcast();
            infos.push(TrackInfo { label: track.label, codec: track.codec, simulcast });
            match track.feed {
                Feed::Files(files) => {
                    for (layer, file) in track.layers.iter().zip(files) {
                        player.add(index, layer.profile, file)?;
                    }
                }
                Feed::Clips(clips) => {
                    for (layer, clip) in track.layers.iter().zip(clips) {
                        player.add(index, layer.profile, clip)?;
                    }
                }
                Feed::Pipes(lives) => {
                    for (layer, live) in track.layers.iter().zip(lives) {
                        pipes.add(index, layer.profile, live);
                    }
                }
                Feed::Rtp(sockets) => {
                    for (layer, socket) in track.layers.iter().zip(sockets) {
                        ports.push(Port { track: index, profile: layer.profile, socket, junk: false });
                    }
                }
            }
        }
        Ok(Self { tracks: infos, player, pipes, ports, buffer: BytesMut::new() })
    }

    pub(super) fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    /// Where RTP is expected, and what it is called.
    pub(super) fn ports(&self) -> Vec<(SocketAddr, String)> {
        let address = |port: &Port| {
            let label = &self.tracks[port.track].label;
            let name = match port.profile {
                Profile::Default => label.clone(),
                profile => format!("{label} ({profile})"),
            };
            Some((port.socket.local_addr().ok()?, name))
        };
        self.ports.iter().filter_map(address).collect()
    }

    /// What is due next, when it is. `None`: all files are over, and there is nothing else. Nothing is lost if the
    /// future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Media>, SourceError> {
        loop {
            let due = self.player.due(Instant::now());
            if due.is_none() && self.ports.is_empty() && self.pipes.ended() {
                return Ok(None);
            }
            let until_due = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = until_due => if let Some(frame) = self.player.take()? {
                    let late = due.map_or(Duration::ZERO, |at| Instant::now().saturating_duration_since(at));
                    return Ok(Some(Media::Frame(frame, late)));
                },
                frame = self.pipes.next() => if let Some((frame, late)) = frame? {
                    return Ok(Some(Media::Frame(frame, late)));
                },
                (port, received) = receive(&self.ports, &mut self.buffer) => {
                    if let Some(media) = self.ports[port].media(received) {
                        return Ok(Some(media));
                    }
                }
            }
        }
    }

    /// A frame was not sent. Those after it up to the next key frame are left out.
    pub(super) fn not_sent(&mut self, track: usize, profile: Profile) {
        self.player.not_sent(track, profile);
        self.pipes.not_sent(track, profile);
    }

    /// The streams begin anew, at a new server: each with a key frame.
    pub(super) fn begin(&mut self) {
        for track in 0..self.tracks.len() {
            for profile in [Profile::Default, Profile::Low, Profile::Medium, Profile::High] {
                self.player.not_sent(track, profile);
            }
        }
        self.pipes.begin();
        for port in &mut self.ports {
            // What came while nobody was connected is old.
            let drained = |_: &usize| port.socket.try_recv(&mut [0; 1]).is_err();
            let _ = (0..MAX_OLD).find(drained);
        }
    }
}

impl Port {
    /// `None`: nothing for a producer.
    fn media(&mut self, received: io::Result<Bytes>) -> Option<Media> {
        let track = self.track;
        let mut packet = match received.map(RtpPacket::parse) {
            Ok(Ok(packet)) => packet,
            Ok(Err(RtpPacketError::Rtcp)) => return None,
            Ok(Err(error)) => {
                let first = !std::mem::replace(&mut self.junk, true);
                return first.then_some(Media::Junk { track, error });
            }
            Err(error) => return Some(Media::Socket { track, error }),
        };
        // GStreamer ends a stream with padding alone.
        if packet.payload.is_empty() {
            return None;
        }
        packet.layer = self.profile.layer();
        Some(Media::Packet { track, packet })
    }
}

/// A datagram from whichever port has one.
async fn receive(ports: &[Port], buffer: &mut BytesMut) -> (usize, io::Result<Bytes>) {
    poll_fn(|cx| {
        for (index, port) in ports.iter().enumerate() {
            buffer.resize(DATAGRAM, 0);
            let mut into = ReadBuf::new(buffer);
            match port.socket.poll_recv(cx, &mut into) {
                Poll::Ready(Ok(())) => {
                    let datagram = Bytes::copy_from_slice(into.filled());
                    return Poll::Ready((index, Ok(datagram)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready((index, Err(error))),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}
