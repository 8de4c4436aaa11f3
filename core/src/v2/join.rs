//! Every transition of the room itself: how it is joined, left and closed.

use serde_json::Value;

use crate::event::Originator;
use crate::id::OperationId;
use crate::rtp::Codec;
use crate::v2::config::RoomConfig;
use crate::v2::effect::Effect;
use crate::v2::error::{Failure, JoinError, JoinFailure};
use crate::v2::ortc::SharedCapabilities;
use crate::v2::output::Event;
use crate::v2::protocol::{Notification, Peer, Request, RoomSettings};
use crate::v2::room::inflight::Waiting;
use crate::v2::room::peers::Peers;

/// Where a room is in its life.
///
/// # Every transition
///
/// What a room does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../states/room.md")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoomState {
    /// Never joined, or a join has failed.
    New,
    /// `join` is under way.
    Joining,
    /// In the room.
    Joined,
    /// Left, or closed by the server. It can be joined again.
    Closed,
}

impl std::fmt::Display for RoomState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Joining => "joining",
            Self::Joined => "joined",
            Self::Closed => "closed",
        })
    }
}

/// A room as one of its peers.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) state: RoomState,
    /// `join` went out: the server may know us.
    pub(crate) announced: bool,
    pub(crate) peer_name: Option<String>,
    /// What the server and we have in common.
    pub(crate) capabilities: SharedCapabilities,
    pub(crate) peers: Peers,
    settings: Option<RoomSettings>,
    preferences: Vec<Codec>,
    spy: bool,
}

/// What happens to a room.
#[derive(Debug)]
pub(crate) enum Input {
    // The application.
    Join {
        operation: OperationId,
        peer_name: String,
        app_data: Option<Value>,
    },
    Leave {
        app_data: Option<Value>,
    },
    /// By the server, or as if: the connection to it is lost.
    RemoteClose {
        app_data: Option<Value>,
    },

    // The server.
    Settings {
        join: OperationId,
        app_data: Option<Value>,
        settings: RoomSettings,
    },
    Joined {
        join: OperationId,
        peers: Vec<Peer>,
    },
    /// `queryRoom` or `join` has come to nothing.
    NotJoined {
        join: OperationId,
        error: JoinFailure,
    },
    /// What was in the way of `join` is undone.
    JoinAgain {
        join: OperationId,
        app_data: Option<Value>,
    },
    NewPeer(Peer),
    PeerClosed {
        name: String,
        app_data: Option<Value>,
    },
}

impl Machine {
    pub(crate) fn new(config: &RoomConfig) -> Self {
        Self {
            state: RoomState::New,
            announced: false,
            peer_name: None,
            capabilities: SharedCapabilities::default(),
            peers: Peers::new(&config.limits),
            settings: config.room_settings.clone(),
            preferences: config.codec_preferences.clone(),
            spy: config.spy,
        }
    }

    /// Whether it can be joined now.
    pub(crate) fn may_join(&self, peer_name: &str) -> Result<(), JoinError> {
        match self.state {
            RoomState::New | RoomState::Closed => {}
            RoomState::Joining | RoomState::Joined => return Err(JoinError::RoomState(self.state)),
        }
        if peer_name.is_empty() { Err(JoinError::EmptyPeerName) } else { Ok(()) }
    }

    /// Else the state it is in.
    pub(crate) const fn require_joined(&self) -> Result<(), RoomState> {
        match self.state {
            RoomState::Joined => Ok(()),
            RoomState::New | RoomState::Joining | RoomState::Closed => Err(self.state),
        }
    }

    pub(crate) fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Join { operation, peer_name, app_data } => {
                self.state = RoomState::Joining;
                self.announced = false;
                self.peers.clear();
                self.peer_name = Some(peer_name);
                match self.settings.clone() {
                    Some(settings) => self.settings_known(operation, app_data, &settings, effects),
                    None => {
                        let waiting = Waiting::QueryRoom { join: operation, app_data };
                        effects.push(Effect::Ask { request: Request::QueryRoom, waiting });
                    }
                }
            }
            Input::Leave { app_data } => {
                if self.announced {
                    effects.push(Effect::Notify(Notification::Leave { app_data: app_data.clone() }));
                }
                self.close(Originator::Local, app_data, effects);
            }
            Input::RemoteClose { app_data } => self.close(Originator::Remote, app_data, effects),
            Input::Settings { join, app_data, settings } => self.settings_known(join, app_data, &settings, effects),
            Input::Joined { join, peers } => {
                self.state = RoomState::Joined;
                for peer in &peers {
                    self.peers.remember(peer.clone());
                }
                effects.push(Effect::Emit(Event::Joined { peers }));
                effects.push(Effect::settled(join, Ok(())));
            }
            Input::NotJoined { join, error } => self.failed(join, error, effects),
            Input::JoinAgain { join, app_data } => self.ask(join, app_data, effects),
            Input::NewPeer(peer) => {
                self.peers.remember(peer.clone());
                effects.push(Effect::Emit(Event::NewPeer { peer }));
            }
            Input::PeerClosed { name, app_data } => {
                self.peers.forget(&name);
                effects.push(Effect::Emit(Event::PeerClosed { name, app_data }));
            }
        }
    }

    fn settings_known(
        &mut self,
        join: OperationId,
        app_data: Option<Value>,
        settings: &RoomSettings,
        effects: &mut Vec<Effect>,
    ) {
        self.capabilities = SharedCapabilities::new(&settings.rtp_capabilities, &self.preferences);
        let missing = self.capabilities.missing(&settings.mandatory_codec_payload_types);
        if missing.is_empty() {
            self.announced = true;
            self.ask(join, app_data, effects);
            return;
        }
        let name = |pt: u8| {
            let of_room = settings.rtp_capabilities.codecs.iter().find(|codec| codec.preferred_payload_type == pt);
            of_room.map_or_else(|| format!("payload type {pt}"), |codec| codec.mime_type.clone())
        };
        let names = missing.into_iter().map(name).collect();
        self.failed(join, JoinFailure::MandatoryCodecs(names), effects);
    }

    fn ask(&self, join: OperationId, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        let request = Request::Join {
            peer_name: self.peer_name.clone().unwrap_or_default(),
            rtp_capabilities: self.capabilities.receiving(),
            spy: self.spy,
            app_data: app_data.clone(),
        };
        effects.push(Effect::Ask { request, waiting: Waiting::Join { join, app_data } });
    }

    fn failed(&mut self, join: OperationId, error: JoinFailure, effects: &mut Vec<Effect>) {
        self.state = RoomState::New;
        self.announced = false;
        effects.push(Effect::settled(join, Err(Failure::Join(error))));
    }

    fn close(&mut self, originator: Originator, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        match self.state {
            RoomState::New | RoomState::Closed => return,
            RoomState::Joining | RoomState::Joined => {}
        }
        self.state = RoomState::Closed;
        self.announced = false;
        self.peers.clear();
        effects.push(Effect::Emit(Event::Closed { originator, app_data }));
        effects.push(Effect::CloseAll { originator });
    }
}
