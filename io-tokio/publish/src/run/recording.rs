//! The recording of a run: a file for each stay in a room.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::RunError;

/// How often what was recorded is written: so much is lost if the program is killed.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How long the last of it may take. A disk that hangs must not hang us.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// Where stays are recorded.
#[derive(Debug)]
pub(super) struct Recordings {
    path: PathBuf,
    /// The file of the first stay, until that begins.
    first: Option<File>,
    stays: u32,
}

impl Recordings {
    /// Makes the first file, so that one that cannot be written is known before anything else.
    pub(super) fn create(path: PathBuf) -> Result<Self, RunError> {
        let file = File::create(&path).map_err(|source| RunError::Record { path: path.clone(), source })?;
        Ok(Self { path, first: Some(file), stays: 0 })
    }

    /// Begins to write what a stay records: each time it is asked, the lines since the last time.
    pub(super) fn begin(&mut self, lines: impl FnMut() -> Vec<String> + Send + 'static) -> Recording {
        self.stays += 1;
        let mut path = self.path.clone();
        if self.stays > 1 {
            path.as_mut_os_string().push(format!(".{}", self.stays));
        }
        let file = self.first.take().map_or_else(|| File::create(&path), Ok);
        let (stop, stopped) = mpsc::channel();
        let (done, end) = oneshot::channel();
        let named = path.clone();
        // Not on the runtime: at its end that would wait for a disk that hangs.
        std::thread::spawn(move || {
            let result = file.and_then(|file| write(lines, file, &stopped));
            // Nobody waits for it any more.
            let _ = done.send(result.err().map(|error| told(&named, &error)));
        });
        Recording { path, stop, end: Some(end) }
    }
}

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct Recording {
    path: PathBuf,
    stop: mpsc::Sender<()>,
    end: Option<oneshot::Receiver<Option<String>>>,
}

impl Recording {
    /// What went wrong, if something did. Told once.
    pub(super) fn failed(&mut self) -> Option<String> {
        let failure = self.end.as_mut()?.try_recv().ok()?;
        self.end = None;
        failure
    }

    /// Writes what is left when the room has ended. Gives what went wrong, if something did and was not told yet.
    pub(super) async fn finish(self) -> Option<String> {
        // Refused when the thread has ended; then it has said why.
        let _ = self.stop.send(());
        let late = || told(&self.path, &io::ErrorKind::TimedOut.into());
        timeout(LAST_TIMEOUT, self.end?).await.map_or_else(|_| Some(late()), |end| end.ok().flatten())
    }
}

fn write(mut recorded: impl FnMut() -> Vec<String>, mut file: File, stopped: &mpsc::Receiver<()>) -> io::Result<()> {
    loop {
        let over = stopped.recv_timeout(WRITE_EVERY) != Err(RecvTimeoutError::Timeout);
        let lines = recorded();
        if !lines.is_empty() {
            file.write_all((lines.join("\n") + "\n").as_bytes())?;
        }
        if lines.last().is_some_and(|line| line.starts_with(r#"{"cut""#)) {
            return Err(io::Error::other("it could not be written as fast as it came"));
        }
        if over {
            return Ok(());
        }
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("the recording {} is not complete: {error}; is there space on the disk?", path.display())
}
