//! What the handles and the driver share: the room and its sockets behind one lock, held for as long as a call into them
//! takes and never across an await.
//!
//! A handle does what follows from its call itself, where it is: datagrams leave before the call returns, and the driver's
//! task is woken only for what it alone can do (messages for the server, and the end).

mod alarm;
mod handle;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::dialect::Dialect;
use crate::events::EventLog;
use crate::options::Options;
use crate::runtime::Runtime;

pub(crate) use handle::Handle;
use state::State;

/// Turns that are taken at a time, of [`Outbox::BATCH`] outputs or datagrams each, before others have theirs.
pub(crate) const TURNS: usize = 16;

#[derive(derive_more::Debug)]
pub(crate) struct Shared<R: Runtime, D: Dialect> {
    pub(crate) runtime: R,
    #[debug(skip)]
    state: Mutex<State<R, D>>,
    #[debug(skip)]
    events: Arc<EventLog<D::Heard>>,
    task: Arc<Task>,
    /// Wakes the driver's task.
    waker: Waker,
}

/// Wakes the driver's task, whoever polls.
#[derive(Debug, Default)]
struct Task(AtomicWaker);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl<R: Runtime, D: Dialect> Shared<R, D> {
    pub(crate) fn new(runtime: R, conductor: D, options: Options) -> Self {
        let events = EventLog::new(options.events);
        let state = State::new(runtime.clone(), conductor, options, Arc::clone(&events));
        let task = Arc::new(Task::default());
        Self { runtime, state: Mutex::new(state), events, waker: Waker::from(Arc::clone(&task)), task }
    }

    /// A panic elsewhere does not make the room useless: what it breaks is found out by the calls that follow.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R, D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task that is to be woken from now on.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.task.0.register(cx.waker());
    }

    /// The context in which sockets and the timer are polled, whoever does it: that of the driver's task.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn wake(&self) {
        self.waker.wake_by_ref();
    }
}
