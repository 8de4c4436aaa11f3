//! How a call went.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call went. What is not MSP_STATUS_OK or MSP_STATUS_NOTHING has a text: `msp_last_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// It is done.
    Ok = 0,
    /// There is nothing.
    Nothing = 1,
    /// The library refuses, for a reason: a command in this state, media that nobody takes. Nothing has changed.
    Refused = 2,
    /// An argument is not what it should be: null, misaligned, not UTF-8, not the JSON it should be, an unknown flag. Nothing
    /// has changed.
    Invalid = 3,
    /// There is no such session: it was freed, or never was.
    NoSession = 4,
    /// Another call for this session is under way, in another thread. Nothing has changed.
    Busy = 5,
    /// The library has made a mistake. All that can be done with this session is to free it.
    Broken = 6,
}

/// What a call comes to when it fails.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) status: Status,
    text: String,
}

impl Error {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(Status::Invalid, text)
    }

    pub(crate) fn refused(error: impl std::error::Error) -> Self {
        Self::new(Status::Refused, error.to_string())
    }

    pub(crate) fn broken() -> Self {
        Self::new(Status::Broken, "the library has made a mistake: free the session, and report what was printed")
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(format!("not the JSON it should be: {error}"))
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Does what was called for. No panic gets out, and why it failed can be read.
pub(crate) fn of(call: impl FnOnce() -> Result<Status, Error>) -> Status {
    // What a panic leaves behind nobody sees: a session that it came out of is not used again.
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(Error::broken()));
    result.unwrap_or_else(|Error { status, text }| {
        // Zeros would cut it short.
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        // A thread that is ending keeps none.
        let _ = LAST_ERROR.try_with(|last| last.replace(text));
        status
    })
}

pub(crate) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
