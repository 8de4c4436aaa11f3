//! A thread that writes, so that a reader who is slow or gone does not hold up the media.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::{Event, Report};

/// What waits for a slow reader; past it samples are left out.
const WAITING: usize = 256;

enum Message<Sample, Summary> {
    Event(Duration, Event),
    Sample(Duration, Sample),
    Summary(Summary),
}

/// Reports on a thread of its own.
#[derive(Debug)]
pub struct Reporter<Sample, Summary> {
    messages: SyncSender<Message<Sample, Summary>>,
    thread: JoinHandle<()>,
    broken: watch::Receiver<bool>,
}

impl<Sample: Send + 'static, Summary: Send + 'static> Reporter<Sample, Summary> {
    /// Starts the thread.
    pub fn new(report: Box<dyn Report<Sample, Summary>>) -> Self {
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

    /// How things stand.
    pub fn sample(&self, t: Duration, sample: Sample) {
        self.send(Message::Sample(t, sample));
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

    fn send(&self, message: Message<Sample, Summary>) {
        match self.messages.try_send(message) {
            // The reader is behind: it will have the summary.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write<Sample, Summary>(
    mut report: Box<dyn Report<Sample, Summary>>,
    inbox: &Receiver<Message<Sample, Summary>>,
) -> std::io::Result<()> {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Event(t, event) => report.event(t, &event)?,
            Message::Sample(t, sample) => report.sample(t, &sample)?,
            Message::Summary(summary) => report.summary(&summary)?,
        }
    }
    Ok(())
}
