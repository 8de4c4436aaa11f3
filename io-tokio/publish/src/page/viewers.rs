//! The browsers that watch, bounded in number.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mediasoup_producer::v2::Profile;
use tokio::sync::{mpsc, watch};

use super::viewer::{Command, View, Viewer, ViewerError};
use crate::embedded::Handle;

/// So many may watch at once.
const MAX_VIEWERS: usize = 16;

/// Commands that wait for a viewer; beyond it the page is told to try again.
const COMMANDS_WAITING: usize = 16;

#[derive(Debug, Clone, Default)]
pub(crate) struct Viewers(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
}

/// A place in the table; it is free again when this is dropped.
struct Place {
    viewers: Viewers,
    id: u64,
}

/// Why nobody more can watch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("{MAX_VIEWERS} browsers are watching already: close one of them")]
    Full,
    #[error(transparent)]
    Viewer(#[from] ViewerError),
}

/// Why a viewer does not obey.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("there is no viewer {0}: it has left, or was never there")]
    Unknown(u64),
    #[error("viewer {0} is given commands faster than it takes them")]
    Busy(u64),
}

impl Viewers {
    /// Answers an offer and starts forwarding. `ip`: where the browser reaches us.
    pub(crate) async fn join(&self, offer: &str, ip: IpAddr, room: Handle) -> Result<(u64, String), JoinError> {
        let (commands, commands_in) = mpsc::channel(COMMANDS_WAITING);
        let (view_out, view) = watch::channel(View::default());
        let place = self.reserve(Entry { commands, view })?;
        let id = place.id;
        let (viewer, answer) = Viewer::answer(offer, ip, room, view_out, commands_in).await?;
        tokio::spawn(async move {
            viewer.run().await;
            drop(place);
        });
        Ok((id, answer))
    }

    pub(crate) fn prefer(&self, id: u64, profile: Profile) -> Result<(), CommandError> {
        self.command(id, Command::Prefer(profile))
    }

    pub(crate) fn close(&self, id: u64) -> Result<(), CommandError> {
        self.command(id, Command::Close)
    }

    pub(crate) fn view(&self, id: u64) -> Option<View> {
        self.table().entries.get(&id).map(|entry| entry.view.borrow().clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.table().entries.len()
    }

    fn reserve(&self, entry: Entry) -> Result<Place, JoinError> {
        let mut table = self.table();
        if table.entries.len() >= MAX_VIEWERS {
            return Err(JoinError::Full);
        }
        table.last_id += 1;
        let id = table.last_id;
        table.entries.insert(id, entry);
        Ok(Place { viewers: self.clone(), id })
    }

    fn command(&self, id: u64, command: Command) -> Result<(), CommandError> {
        let table = self.table();
        let entry = table.entries.get(&id).ok_or(CommandError::Unknown(id))?;
        entry.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Busy(id),
            mpsc::error::TrySendError::Closed(_) => CommandError::Unknown(id),
        })
    }

    /// The table is whole between any two statements, so a panic elsewhere leaves it usable.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.viewers.table().entries.remove(&self.id);
    }
}
