//! One peer of a load.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::board::Board;
use super::media::Media;
use super::target::Target;
use crate::args::{Args, Dialect};
use crate::input::Track;
use crate::report::{Event, Row, Sockets};
use crate::run::{Feeds, Run, RunError, Stop, Teller};

/// How often the server is asked what it counts: a load should not measure that.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// A peer whose turn has come.
pub(super) struct Peer {
    index: usize,
    name: String,
    url: String,
    dialect: Dialect,
    args: Arc<Args>,
    tracks: Vec<Track>,
    board: Arc<Board>,
    ended: watch::Receiver<bool>,
}

impl Peer {
    /// The `index`th, which leaves when `ended` is true.
    pub(super) fn new(
        index: u32,
        args: &Arc<Args>,
        target: &Target,
        media: &Media,
        board: &Arc<Board>,
        ended: watch::Receiver<bool>,
    ) -> Self {
        let (name, url) = target.peer(index);
        Self {
            index: index as usize,
            name,
            url,
            dialect: target.dialect(),
            args: Arc::clone(args),
            tracks: media.tracks(),
            board: Arc::clone(board),
            ended,
        }
    }

    /// Publishes until the end.
    pub(super) async fn run(self) {
        let Self { index, name, url, dialect, args, tracks, board, ended } = self;
        board.begun(index);
        let post = Post { board: Arc::clone(&board), index, late: Vec::new() };
        let mut run = Run::of(args, &tracks, post, COUNT_EVERY);
        let result = match Feeds::new(tracks) {
            Ok(mut feeds) => run.stay_on(dialect, &url, &name, &mut feeds, &mut Stop::when(ended)).await,
            Err(error) => Err(error.into()),
        };
        // What the room has confirmed last.
        let (rows, sockets) = (run.rows(), run.sockets());
        run.teller().count(&rows, sockets);
        board.ended(index, result);
    }
}

/// Writes down how a peer is.
struct Post {
    board: Arc<Board>,
    index: usize,
    /// Since the last count.
    late: Vec<Duration>,
}

impl Post {
    fn count(&mut self, rows: &[Row], sockets: Sockets) {
        self.board.counted(self.index, rows, sockets, &mut self.late);
    }
}

impl Teller for Post {
    // Of one peer among many that is too much.
    fn event(&mut self, _: Duration, _: Event) {}

    fn complain(&mut self, _: &str) {}

    fn sample(&mut self, _: Duration, rows: Vec<Row>, sockets: Sockets) {
        self.count(&rows, sockets);
    }

    fn connected(&mut self, took: Duration) {
        self.board.connected(self.index, took);
    }

    fn late(&mut self, late: Duration) {
        self.late.push(late);
    }

    fn lost(&mut self, _: Duration, error: &RunError, _: Duration) {
        self.board.lost(self.index, error);
    }
}
