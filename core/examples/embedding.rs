//! How to test an event loop of one's own: it runs beside the reference model through generated sequences of commands,
//! messages of the server, media and time, on virtual time and without a network.
//!
//! ```sh
//! cargo run -p mediasoup-producer --example embedding     # tells what is found
//! cargo test -p mediasoup-producer --example embedding    # the same as a test
//! ```
//!
//! The loop here is a toy, and comes with mistakes that such loops have. What to copy is the `impl Embedding` and the first
//! test, and in `Cargo.toml`:
//!
//! ```toml
//! [dev-dependencies]
//! mediasoup-producer = { version = "0.1", features = ["proptest"] }
//! proptest = "1"
//! ```

#![allow(clippy::disallowed_methods)] // an application may ask for the time

use std::collections::VecDeque;
use std::ops::DerefMut;
use std::time::Instant;

use mediasoup_producer::sim::{Embedding, Failure, check};
use mediasoup_producer::v2::{Accepted, Command, Input, InputError, Output, Room};
use proptest::test_runner::Config;

/// An event loop: each turn takes one input, passes on what comes of it, and sets the timer.
struct EventLoop {
    room: Room,
    /// When the timer goes off.
    timer: Option<Instant>,
    /// When the last turn was.
    last_turn: Option<Instant>,
    /// The ends of a WebSocket, of the application's channel and of a UDP socket.
    to_server_first: VecDeque<Output>,
    to_server: VecDeque<Output>,
    to_application: VecDeque<Output>,
    to_network: VecDeque<Output>,
    mistake: Option<Mistake>,
}

/// What can be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    /// `if` where `while` should be.
    OneOutputATurn,
    /// Commands are handled elsewhere, and nobody looks for what came of them.
    NoPollAfterCommand,
    /// The timer is set before the input is handled.
    OldDeadline,
    /// With nothing due the timer is set to now.
    BusyWaiting,
    /// The clock is read before the loop waits, and not after.
    OldTime,
    /// Requests and notifications go through two queues, of which the first is emptied first.
    RequestsOvertake,
    /// App data goes through an `Option` that makes no difference between `null` and nothing.
    NullIsNothing,
}

impl EventLoop {
    fn new(room: Room, mistake: Option<Mistake>) -> Self {
        Self {
            room,
            timer: None,
            last_turn: None,
            to_server_first: VecDeque::new(),
            to_server: VecDeque::new(),
            to_application: VecDeque::new(),
            to_network: VecDeque::new(),
            mistake,
        }
    }

    fn turn(&mut self, now: Instant, mut input: Input) -> Result<Accepted, InputError> {
        let time = match self.last_turn.replace(now) {
            Some(last) if self.mistake == Some(Mistake::OldTime) => last,
            _ => now,
        };
        if let Input::Command(Command::Join { app_data, .. } | Command::Pause { app_data, .. }) = &mut input
            && self.mistake == Some(Mistake::NullIsNothing)
        {
            app_data.take_if(|data| data.is_null());
        }
        let deadline_before = self.room.poll_timeout();
        let command = matches!(input, Input::Command(_));

        let accepted = self.room.handle_input(time, input);
        if !(command && self.mistake == Some(Mistake::NoPollAfterCommand)) {
            self.pass_on();
        }
        self.timer = match self.mistake {
            Some(Mistake::OldDeadline) => deadline_before,
            Some(Mistake::BusyWaiting) => self.room.poll_timeout().or(Some(now)),
            _ => self.room.poll_timeout(),
        };
        accepted
    }

    fn pass_on(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { .. } if self.mistake == Some(Mistake::RequestsOvertake) => {
                    self.to_server_first.push_back(output);
                }
                Output::Request { .. } | Output::Notification(_) => self.to_server.push_back(output),
                Output::Event(_) => self.to_application.push_back(output),
                Output::Transmit(_) => self.to_network.push_back(output),
            }
            if self.mistake == Some(Mistake::OneOutputATurn) {
                break;
            }
        }
    }
}

/// What the test needs to see of it.
impl Embedding for EventLoop {
    fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
        self.turn(now, input)
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        let queues = [&mut self.to_server_first, &mut self.to_server, &mut self.to_application, &mut self.to_network];
        queues.into_iter().flat_map(std::mem::take).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        self.timer
    }

    fn room(&mut self) -> impl DerefMut<Target = Room> {
        &mut self.room
    }
}

/// The loop beside the model, in a thousand sequences.
fn check_loop(mistake: Option<Mistake>) -> Result<(), Failure> {
    check(Instant::now(), Config::with_cases(1000), |room| EventLoop::new(room, mistake))
}

/// Each mistake, and the most steps that are needed to show it.
const MISTAKES: [(Mistake, usize); 7] = [
    (Mistake::OneOutputATurn, 3),
    (Mistake::NoPollAfterCommand, 1),
    (Mistake::OldDeadline, 1),
    (Mistake::BusyWaiting, 1),
    (Mistake::OldTime, 4),
    (Mistake::RequestsOvertake, 16),
    (Mistake::NullIsNothing, 5),
];

fn main() {
    match check_loop(None) {
        Ok(()) => println!("The loop does what the model says, in 1000 sequences."),
        Err(failure) => println!("The loop is wrong: {failure}"),
    }
    for (mistake, _) in MISTAKES {
        match check_loop(Some(mistake)) {
            Ok(()) => println!("\n{mistake:?} is not found."),
            Err(failure) => {
                println!("\n{mistake:?} is found: {failure}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_does_what_the_model_says() {
        check_loop(None).unwrap();
    }

    #[test]
    fn each_mistake_is_found_and_shown_in_few_steps() {
        for (mistake, most) in MISTAKES {
            let failure = check_loop(Some(mistake)).expect_err("it is wrong");
            assert!(failure.steps().len() <= most, "{mistake:?}: {failure}");
        }
    }
}
