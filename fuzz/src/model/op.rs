//! What can happen to a room, in terms that need no ids: things are picked by number among those there are.

use arbitrary::Arbitrary;

/// One thing that happens. A number that picks is taken modulo what there is; a high one also reaches what was closed, or
/// never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Op {
    Join {
        nameless: bool,
        app: App,
    },
    Leave {
        app: App,
    },
    RemoteClose {
        app: App,
    },
    CreateTransport {
        app: App,
    },
    CreateProducer {
        track: TrackKind,
        simulcast: bool,
        app: App,
    },
    RestartIce,
    Transport {
        pick: u8,
        op: TransportOp,
    },
    Producer {
        pick: u8,
        op: ProducerOp,
    },
    Send {
        producer: u8,
        transport: u8,
    },
    /// The server answers: the oldest open request (0 to 127), the newest (128 to 191), or any there ever was or will be.
    Answer {
        to: u8,
        how: Answer,
    },
    Server(Notice),
    Engine {
        pick: u8,
        says: Says,
    },
    /// A key frame is wanted, of a producer that is sent.
    KeyFrame {
        producer: u8,
        layer: u8,
    },
    Media {
        producer: u8,
        layer: u8,
        bytes: u16,
    },
    /// Time goes on, deadline by deadline, or past them all in one jump.
    Pass {
        milliseconds: u16,
        jump: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum TransportOp {
    Close(App),
    EnableStats { milliseconds: u16 },
    DisableStats,
    SetAppData(App),
    RestartIce,
    AddAddress(u8),
    RemoveAddress(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum ProducerOp {
    Close(App),
    Pause(App),
    Resume(App),
    ReplaceTrack(TrackKind),
    EndTrack,
    EnableStats { milliseconds: u16 },
    DisableStats,
    SetAppData(App),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum TrackKind {
    Audio,
    Video,
    /// Video, disabled.
    Disabled,
    /// Video, ended.
    Ended,
}

/// None, null, or something to tell it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum App {
    None,
    Null,
    Some(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Answer {
    Good,
    /// As good, with less in it: no video, no peers, one candidate.
    Bare,
    /// A room that demands what we do not have. For the others: good.
    Demanding,
    /// Not what the protocol says.
    Malformed,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Notice {
    Closed(App),
    TransportClosed(u8, App),
    TransportStats(u8),
    ProducerPaused(u8, App),
    ProducerResumed(u8, App),
    ProducerClosed(u8, App),
    ProducerStats(u8),
    NewPeer(u8),
    PeerClosed(u8),
    /// Meant for receivers.
    Foreign,
    /// A known method without its id.
    Malformed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Says {
    Connected,
    Disconnected,
    Closed,
    Failed,
    Limit(u32),
}
