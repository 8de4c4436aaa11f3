//! What a recording has of a device.

use super::Device;
use crate::journal::Recorded;
#[cfg(feature = "record")]
use crate::journal::recorder::{AlreadyStarted, RecordOptions};
use crate::v3::input::{Answer, Command, Refusal};
use crate::v3::options::DeviceConfig;
use crate::v3::output::Output;

impl Recorded for Device {
    const DIALECT: Option<&'static str> = Some("v3");
    type Config = DeviceConfig;
    type Command = Command;
    type Answer = Answer;
    type Refusal = Refusal;
    type Output = Output;

    #[cfg(feature = "record")]
    fn options(config: &DeviceConfig) -> Option<RecordOptions> {
        config.record
    }
}

#[cfg(feature = "record")]
impl Device {
    /// Begins a recording of what goes in and what comes out, as [`DeviceConfig::record`] does; see
    /// [`record`](crate::record). Fails if the device was given something already.
    pub fn start_recording(&mut self, options: RecordOptions) -> Result<(), AlreadyStarted> {
        self.journal.begin(self.now.is_none(), options, &self.config, self.rng.state())
    }

    /// The next line of the recording, without a line end; `None` when there is none until something else happens.
    pub fn poll_record(&mut self) -> Option<String> {
        self.journal.poll()
    }
}
