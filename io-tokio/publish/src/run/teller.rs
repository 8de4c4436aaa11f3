//! Who is told how a run goes.

use std::time::Duration;

use super::RunError;
use crate::report::{Event, Reporter, Row, Sockets, Summary};

/// Somebody who is told how a run goes: the program's user, or a load of many such runs. `t` is the time since the start.
pub(crate) trait Teller {
    /// Something happened.
    fn event(&mut self, t: Duration, event: Event);

    /// Something is wrong, and the run goes on.
    fn complain(&mut self, words: &str);

    /// The encodings as they stand and what the sockets have refused, once a second.
    fn sample(&mut self, t: Duration, rows: Vec<Row>, sockets: Sockets);

    /// Connected, so long after it was begun with.
    fn connected(&mut self, took: Duration);

    /// A frame is handed in so long after it was due.
    fn late(&mut self, late: Duration);

    /// The room or the connection is lost. It is joined again after a while.
    fn lost(&mut self, t: Duration, error: &RunError, again_in: Duration);
}

/// The program's user.
pub(super) struct User(pub(super) Reporter<Vec<Row>, Summary>);

impl Teller for User {
    fn event(&mut self, t: Duration, event: Event) {
        self.0.event(t, event);
    }

    fn complain(&mut self, words: &str) {
        eprintln!("mediasoup-publish: {words}");
    }

    fn sample(&mut self, t: Duration, rows: Vec<Row>, _: Sockets) {
        self.0.sample(t, rows);
    }

    // The summary has it.
    fn connected(&mut self, _: Duration) {}

    fn late(&mut self, _: Duration) {}

    fn lost(&mut self, t: Duration, error: &RunError, again_in: Duration) {
        self.complain(&error.to_string());
        let text = format!("lost: {error}; joining again in {} s", again_in.as_secs());
        let event = Event::new("lost", text).with("error", error.to_string());
        self.event(t, event.with("again_in_s", again_in.as_secs()));
    }
}
