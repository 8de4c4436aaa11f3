//! What a recording has of a room.

use serde_json::Value;

use super::Room;
use crate::journal::Recorded;
#[cfg(feature = "record")]
use crate::journal::recorder::{AlreadyStarted, RecordOptions};
use crate::v2::config::RoomConfig;
use crate::v2::input::Command;
use crate::v2::output::Output;
use crate::v2::protocol::Refusal;

impl Recorded for Room {
    const DIALECT: Option<&'static str> = None;
    type Config = RoomConfig;
    type Command = Command;
    type Answer = Value;
    type Refusal = Refusal;
    type Output = Output;

    #[cfg(feature = "record")]
    fn options(config: &RoomConfig) -> Option<RecordOptions> {
        config.record
    }
}

#[cfg(feature = "record")]
impl Room {
    /// Begins a recording of what goes in and what comes out, as [`RoomConfig::record`] does; see
    /// [`record`](crate::record). Fails if the room was given something already.
    pub fn start_recording(&mut self, options: RecordOptions) -> Result<(), AlreadyStarted> {
        self.journal.begin(self.now.is_none(), options, &self.config, self.rng.state())
    }

    /// The next line of the recording, without a line end; `None` when there is none until something else happens.
    pub fn poll_record(&mut self) -> Option<String> {
        self.journal.poll()
    }
}
