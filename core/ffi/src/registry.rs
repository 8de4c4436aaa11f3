//! The sessions that there are, by number. So one that was freed is told from one that was not, whatever is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::session::Session;
use crate::status::{self, Error, Status};

static SESSIONS: Mutex<Sessions> = Mutex::new(Sessions { last: 0, by_number: BTreeMap::new() });

struct Sessions {
    last: u64,
    by_number: BTreeMap<u64, Arc<Mutex<Session>>>,
}

/// Nothing panics while it is held.
fn sessions() -> MutexGuard<'static, Sessions> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn add(session: Session) -> u64 {
    let mut sessions = sessions();
    sessions.last += 1;
    let number = sessions.last;
    sessions.by_number.insert(number, Arc::new(Mutex::new(session)));
    number
}

pub(crate) fn remove(number: u64) -> Result<(), Error> {
    let mut sessions = sessions();
    let session = sessions.by_number.get(&number).ok_or_else(|| no_session(number))?;
    if let Err(TryLockError::WouldBlock) = session.try_lock() {
        return Err(busy(number));
    }
    let removed = sessions.by_number.remove(&number);
    // It takes its time, which is nothing to the others.
    drop(sessions);
    drop(removed);
    Ok(())
}

/// Has something done to a session.
pub(crate) fn with(number: u64, call: impl FnOnce(&mut Session) -> Result<Status, Error>) -> Status {
    status::of(|| {
        let session = sessions().by_number.get(&number).cloned().ok_or_else(|| no_session(number))?;
        // A panic poisons the lock.
        match session.try_lock() {
            Ok(mut session) => call(&mut session),
            Err(TryLockError::WouldBlock) => Err(busy(number)),
            Err(TryLockError::Poisoned(_)) => Err(Error::broken()),
        }
    })
}

fn no_session(number: u64) -> Error {
    Error::new(Status::NoSession, format!("there is no session {number}: it was freed, or never was"))
}

fn busy(number: u64) -> Error {
    Error::new(Status::Busy, format!("another call for session {number} is under way"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{msp_poll_timeout, msp_session_free};

    fn session() -> u64 {
        add(Session::new("{}").unwrap())
    }

    #[test]
    fn a_call_within_a_call_is_told() {
        let number = session();
        let status = with(number, |_| {
            let mut at = 0;
            // SAFETY: it is a place for a time.
            assert_eq!(unsafe { msp_poll_timeout(number, &raw mut at) }, Status::Busy);
            assert_eq!(msp_session_free(number), Status::Busy);
            Ok(Status::Ok)
        });
        assert_eq!(status, Status::Ok);
        assert_eq!(msp_session_free(number), Status::Ok);
    }

    #[test]
    fn a_panic_ends_at_the_border_and_breaks_its_session_alone() {
        let (broken, other) = (session(), session());
        assert_eq!(with(broken, |_| panic!("as a mistake of ours would")), Status::Broken);
        assert_eq!(crate::msp_handle_timeout(broken, 1), Status::Broken);
        assert_eq!(crate::msp_handle_timeout(other, 1), Status::Ok);
        assert_eq!(msp_session_free(broken), Status::Ok);
        assert_eq!(msp_session_free(broken), Status::NoSession);
        assert_eq!(msp_session_free(other), Status::Ok);
    }
}
