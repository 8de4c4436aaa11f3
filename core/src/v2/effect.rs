//! What transitions bring about: data, in the order in which it is to happen.

use serde_json::Value;

use crate::event::Originator;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::net::{IceParameters, RemoteTransport};
use crate::v2::error::Failure;
use crate::v2::id::ServerId;
use crate::v2::output::{Event, ProducerEvent, TransportEvent};
use crate::v2::protocol::{Notification, Request};
use crate::v2::room::inflight::Waiting;
use crate::v2::{join, producer, transport};

/// One thing to be done. What follows from it is done before what comes after it.
#[derive(Debug)]
pub(crate) enum Effect {
    // Said to the server and the application.
    Notify(Notification),
    Emit(Event),
    /// Asks the server. The machine that waits for the answer is told if it cannot be asked.
    Ask {
        request: Request,
        waiting: Waiting,
    },

    // Told to another machine.
    Join(join::Input),
    Transport(TransportId, transport::Input),
    Producer(ProducerId, producer::Input),

    // What several take part in.
    /// Asks the server for its side of a transport, with a connection of ours.
    CreateTransport {
        id: TransportId,
        operation: OperationId,
    },
    /// Asks the server for its side of a producer, with streams on a connection.
    CreateProducer {
        id: ProducerId,
        transport: TransportId,
    },
    /// The server says that the name is another's.
    RenameTransport(TransportId),
    RenameProducer(ProducerId),
    /// Media sent over it is at an end: its producers are un-handled.
    Unhandle(TransportId),
    CloseTransport {
        id: TransportId,
        originator: Originator,
        app_data: Option<Value>,
        tell_server: bool,
    },
    CloseProducer {
        id: ProducerId,
        originator: Originator,
        app_data: Option<Value>,
    },
    /// The server is told that a transport is closed, at once or when it has answered what is under way; or nobody waits for
    /// that answer any more.
    CloseAtServer {
        asked: Option<RequestId>,
        close: Option<Close>,
    },
    /// The room is closed: so is all in it, without further messages.
    CloseAll {
        originator: Originator,
    },

    // The media plane.
    /// Lets all leave that waits on a transport.
    SendAll(TransportId),
    Connect {
        id: TransportId,
        operation: OperationId,
        remote: RemoteTransport,
    },
    RestartIce {
        id: TransportId,
        parameters: IceParameters,
    },
    /// Nothing came of the connection.
    DropConnection(TransportId),
    /// It says goodbye.
    CloseConnection(TransportId),
    /// Ends the streams of a producer on a transport. They are the producer's again, if it is still there.
    RemoveStreams {
        producer: ProducerId,
        transport: TransportId,
    },
    /// Takes what a connection has to say.
    Drain(TransportId),
    /// Media comes from another source from here on.
    NewSource(ProducerId),
    /// A decoder cannot begin without a key frame of every layer.
    KeyFrames(ProducerId),
    /// The same of all that are sent over a transport.
    KeyFramesOn(TransportId),
    /// Divides what the server can take anew.
    Reallocate(TransportId),
}

/// How the server is told that a transport is closed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Close {
    pub(crate) transport: ServerId,
    pub(crate) app_data: Option<Value>,
    /// It was asked for it once.
    pub(crate) heard_of: bool,
}

impl Close {
    /// If it is said at once.
    pub(crate) fn now(self) -> Option<Notification> {
        let Self { transport: id, app_data, heard_of } = self;
        heard_of.then_some(Notification::CloseTransport { id, app_data })
    }
}

impl Effect {
    pub(crate) const fn of_transport(id: TransportId, event: TransportEvent) -> Self {
        Self::Emit(Event::Transport { id, event })
    }

    pub(crate) const fn of_producer(id: ProducerId, event: ProducerEvent) -> Self {
        Self::Emit(Event::Producer { id, event })
    }

    pub(crate) const fn settled(operation: OperationId, result: Result<(), Failure>) -> Self {
        Self::Emit(Event::Settled { operation, result })
    }
}
