//! A thread that writes, so that a reader who is slow or gone does not hold up the media.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::{Event, Report, Row, Summary};

/// What waits for a slow reader; past it samples are left out.
const WAITING: usize = 256;

enum Message {
    Event(Duration, Event),
    Sample(Duration, Vec<Row>),
    Summary(Summary),
}

/// Reports on a thread of its own.
#[derive(Debug)]
pub struct Reporter {
    messages: SyncSender<Message>,
    thread: JoinHandle<()>,
    broken: watch::Receiver<bool>,
}

impl Reporter {
    /// Starts the thread.
    pub fn new(report: Box<dyn Report>) -> Self {
        let (messages, inbox) = sync_channel(WAITING);
        let (fails, broken) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            // What is written to nobody is not worth more than ending the run.
            if write(report, &inbox).is_err() {
                fails.send_replace(true);
            }
            // Takes what still comes, so that nobody waits.
            for _ in inbox {}
        });
        Self { messages, thread, broken }
    }

    /// Something happened, `t` after the start.
    pub fn event(&self, t: Duration, event: Event) {
        self.send(Message::Event(t, event));
    }

    /// The encodings as they stand.
    pub fn sample(&self, t: Duration, rows: Vec<Row>) {
        self.send(Message::Sample(t, rows));
    }

    /// Writes the summary after all the rest, and ends the thread. False: it could not be written.
    pub fn finish(self, summary: Summary) -> bool {
        let Self { messages, thread, broken } = self;
        let sent = messages.send(Message::Summary(summary)).is_ok();
        drop(messages);
        sent && thread.join().is_ok() && !*broken.borrow()
    }

    /// Becomes true when nobody reads any more.
    pub fn broken(&self) -> watch::Receiver<bool> {
        self.broken.clone()
    }

    fn send(&self, message: Message) {
        match self.messages.try_send(message) {
            // The reader is behind: it will have the summary.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write(mut report: Box<dyn Report>, inbox: &Receiver<Message>) -> std::io::Result<()> {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Event(t, event) => report.event(t, &event)?,
            Message::Sample(t, rows) => report.sample(t, &rows)?,
            Message::Summary(summary) => report.summary(&summary)?,
        }
    }
    Ok(())
}
