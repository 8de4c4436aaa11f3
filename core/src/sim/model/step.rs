//! What can happen to a room, in terms that need no ids: things are picked by number among those there are.

#[cfg(feature = "proptest")]
use super::Model;

/// One thing that happens. A number that picks is taken modulo what there is; from 224 on it also reaches what was closed,
/// or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Step {
    /// The application joins.
    Join {
        /// Without a name, which is refused.
        nameless: bool,
        /// The application's.
        app: App,
    },
    /// The application leaves.
    Leave {
        /// The application's.
        app: App,
    },
    /// The connection to the server is lost.
    RemoteClose {
        /// The application's.
        app: App,
    },
    /// The application makes a transport.
    CreateTransport {
        /// The application's.
        app: App,
    },
    /// The application makes a producer.
    CreateProducer {
        /// What it is to send.
        track: TrackKind,
        /// In three layers.
        simulcast: bool,
        /// The application's.
        app: App,
    },
    /// The application restarts ICE on all transports.
    RestartIce,
    /// The application wants something of a transport.
    Transport {
        /// Which.
        pick: u8,
        /// What.
        op: TransportOp,
    },
    /// The application wants something of a producer.
    Producer {
        /// Which.
        pick: u8,
        /// What.
        op: ProducerOp,
    },
    /// The application sends a producer over a transport.
    Send {
        /// Which.
        producer: u8,
        /// Over which.
        transport: u8,
    },
    /// The server answers: the oldest open request (0 to 127), the newest (128 to 159), the oldest that was given up (160 to
    /// 223), or any there ever was or will be, so that answers come late, twice, and unasked.
    Answer {
        /// What it answers.
        to: u8,
        /// How.
        how: Answer,
    },
    /// The server says something of its own accord.
    Server(Notice),
    /// The media plane of a transport has something to say.
    Engine {
        /// Of which.
        pick: u8,
        /// What.
        says: Says,
    },
    /// The server asks for a key frame, of a producer that is sent.
    KeyFrame {
        /// Which.
        producer: u8,
        /// Of which layer.
        layer: u8,
    },
    /// The application has a frame.
    Media {
        /// Whose.
        producer: u8,
        /// Of which layer; every fourth does not exist.
        layer: u8,
        /// How long.
        bytes: u16,
        /// Whether it can be decoded on its own.
        key_frame: bool,
    },
    /// A datagram comes in that is of no use to anyone.
    Datagram {
        /// Its first byte, by which it is taken for STUN, DTLS, RTP or RTCP (RFC 7983).
        first: u8,
        /// How long it is.
        bytes: u16,
    },
    /// Time goes on, deadline by deadline, or past them all in one jump.
    Pass {
        /// How long.
        milliseconds: u16,
        /// The loop overslept.
        jump: bool,
    },
}

#[cfg(feature = "proptest")]
impl Step {
    /// The same, with the least numbers that pick the same.
    pub(crate) fn plain(self, model: &Model) -> Self {
        let least = |number: u8, living: usize| if number < 224 { number % living.max(1) as u8 } else { number };
        let transport = |number| least(number, model.transports.len());
        let producer = |number| least(number, model.producers.len());
        match self {
            Self::Transport { pick, op } => Self::Transport { pick: transport(pick), op },
            Self::Producer { pick, op } => Self::Producer { pick: producer(pick), op },
            Self::Send { producer: p, transport: t } => Self::Send { producer: producer(p), transport: transport(t) },
            Self::Engine { pick, says } => Self::Engine { pick: transport(pick), says },
            Self::KeyFrame { producer: p, layer } => Self::KeyFrame { producer: producer(p), layer },
            Self::Media { producer: p, layer, bytes, key_frame } => {
                Self::Media { producer: producer(p), layer, bytes, key_frame }
            }
            Self::Server(notice) => Self::Server(match notice {
                Notice::TransportClosed(pick, app) => Notice::TransportClosed(transport(pick), app),
                Notice::TransportStats(pick) => Notice::TransportStats(transport(pick)),
                Notice::ProducerPaused(pick, app) => Notice::ProducerPaused(producer(pick), app),
                Notice::ProducerResumed(pick, app) => Notice::ProducerResumed(producer(pick), app),
                Notice::ProducerClosed(pick, app) => Notice::ProducerClosed(producer(pick), app),
                Notice::ProducerStats(pick) => Notice::ProducerStats(producer(pick)),
                other => other,
            }),
            other => other,
        }
    }
}

/// What the application wants of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[allow(missing_docs)] // each is the command of the same name
pub enum TransportOp {
    Close(App),
    /// 65535: the longest time there is.
    EnableStats {
        milliseconds: u16,
    },
    DisableStats,
    SetAppData(App),
    RestartIce,
    /// Modulo 8; 0 is no address.
    AddAddress(u8),
    RemoveAddress(u8),
}

/// What the application wants of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[allow(missing_docs)] // each is the command of the same name
pub enum ProducerOp {
    Close(App),
    Pause(App),
    Resume(App),
    ReplaceTrack(TrackKind),
    EndTrack,
    /// 65535: the longest time there is.
    EnableStats {
        milliseconds: u16,
    },
    DisableStats,
    SetAppData(App),
}

/// A track that the application gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum TrackKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// Video, disabled.
    Disabled,
    /// Video, ended.
    Ended,
}

/// App data: none, null, or something to tell it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum App {
    /// Absent.
    None,
    /// `null`, which is not the same.
    Null,
    /// An object with this number.
    Some(u8),
}

/// How the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Answer {
    /// As one hopes.
    Good,
    /// As good, with less in it: no video, no peers.
    Bare,
    /// A room that demands what we do not have. For other requests: good.
    Demanding,
    /// Not what the protocol says.
    Malformed,
    /// With an error.
    Refused,
    /// That the id is taken, by whichever peer. For requests without one: with another error.
    Taken,
}

/// What the server says of its own accord. A number that picks reaches closed and foreign ids as in [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Notice {
    /// `closed`.
    Closed(App),
    /// `transportClosed`.
    TransportClosed(u8, App),
    /// `transportStats`.
    TransportStats(u8),
    /// `producerPaused`.
    ProducerPaused(u8, App),
    /// `producerResumed`.
    ProducerResumed(u8, App),
    /// `producerClosed`.
    ProducerClosed(u8, App),
    /// `producerStats`.
    ProducerStats(u8),
    /// `newPeer`.
    NewPeer(u8),
    /// `peerClosed`.
    PeerClosed(u8),
    /// Meant for receivers.
    Foreign,
    /// A known method without its id.
    Malformed,
}

/// What the media plane of a transport says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Says {
    /// ICE and DTLS are done.
    Connected,
    /// The server is not heard any more.
    Disconnected,
    /// The server closed DTLS.
    Closed,
    /// DTLS failed.
    Failed,
    /// What the server can receive, in bits per second (REMB); the largest number stands for as much as can be counted.
    Limit(u32),
}
