//! Generated sequences of steps, an embedding beside the model, and what is told when they part.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use super::embedding::Embedding;
use super::lockstep::{Difference, Lockstep};
use super::model::{Model, Step};
use super::strategies::Reference;
use crate::v2::Room;

/// The longest sequences.
const STEPS: usize = 100;
/// How many shorter sequences are tried when one went wrong.
const SHORTER: u32 = 500;

/// Tries whether a loop around a room does what the model says, in generated sequences of up to 100 steps, all in virtual
/// time.
///
/// `make` puts the loop around a [scripted](crate::sim::Scripted) room, once for each sequence. `start` is where virtual time
/// begins: any [`Instant`]. Of `config` the number of cases matters most. After each step the loop and the model are
/// compared as [`Lockstep`] says, that is
///
/// - what the loop has passed on: events with their originators and app data, messages to the server, both in their order,
///   and the packets;
/// - the properties of the room, which tell whether all that came in reached it, with the right time;
/// - when it wants to be woken: not after the room's deadline, nor at a time that is over, nor all the time.
///
/// A panic of the loop counts as a failure too.
pub fn check<E: Embedding>(start: Instant, config: Config, make: impl Fn(Room) -> E) -> Result<(), Failure> {
    check_reference::<Reference, E>(config, || Lockstep::embedding(start, 1, &make))
}

/// As [`check`], with what may happen said by `R`, and with a lockstep of one's own.
pub fn check_reference<R, E>(mut config: Config, begin: impl Fn() -> Lockstep<E>) -> Result<(), Failure>
where
    R: ReferenceStateMachine<State = Model, Transition = Step>,
    E: Embedding,
{
    if config.source_file.is_none() {
        config.failure_persistence = None;
    }
    if config.max_shrink_iters == u32::MAX {
        config.max_shrink_iters = 20_000;
    }
    let Some((mut steps, sequences_right)) = search::<R, E>(config.clone(), STEPS, &begin) else { return Ok(()) };
    // Shrinking only leaves out. There is often a shorter way to the same mistake, and short sequences cost little.
    config.cases = SHORTER;
    while steps.len() > 1 {
        let Some((shorter, _)) = search::<R, E>(config.clone(), steps.len() - 1, &begin) else { break };
        steps = shorter;
    }
    Err(Failure::of(steps, sequences_right, &begin))
}

/// A sequence of at most so many steps that goes wrong, and how many were right before.
fn search<R, E>(config: Config, longest: usize, begin: &impl Fn() -> Lockstep<E>) -> Option<(Vec<Step>, u32)>
where
    R: ReferenceStateMachine<State = Model, Transition = Step>,
    E: Embedding,
{
    let (begun, wrong) = (Cell::new(0), Cell::new(None));
    let outcome = TestRunner::new(config).run(&R::sequential_strategy(1..=longest), |(_, steps, seen)| {
        begun.set(begun.get() + 1);
        let mut lockstep = begin();
        let mut test = || {
            steps.iter().try_for_each(|step| {
                if let Some(seen) = &seen {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
                lockstep.step(step)
            })
        };
        let result = caught(&mut test);
        if result.is_err() && wrong.get().is_none() {
            wrong.set(Some(begun.get() - 1));
        }
        result.map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Abort(reason)) => panic!("no sequences could be made: {reason}"),
        Err(TestError::Fail(_, (_, steps, _))) => Some((minimal(steps, begin), wrong.get().unwrap_or_default())),
    }
}

/// Without the steps that are not needed. Shrinking has taken out nearly all of them; what is left is often there to make
/// numbers pick the same as before.
fn minimal<E: Embedding>(steps: Vec<Step>, begin: &impl Fn() -> Lockstep<E>) -> Vec<Step> {
    let mut steps = plain(steps);
    let mut at = steps.len();
    while at > 0 {
        at -= 1;
        let mut fewer = steps.clone();
        fewer.remove(at);
        if run(&fewer, begin).1.is_some() {
            at = fewer.len();
            steps = fewer;
        }
    }
    plain(steps)
}

/// The same, with the least numbers that pick the same.
fn plain(steps: Vec<Step>) -> Vec<Step> {
    let mut model = Model::default();
    let plain = |step: Step| {
        let step = step.plain(&model);
        model.step(&step);
        step
    };
    steps.into_iter().map(plain).collect()
}

/// What happened, a line each, and how it went wrong if it did.
fn run<E: Embedding>(steps: &[Step], begin: &impl Fn() -> Lockstep<E>) -> (Vec<String>, Option<String>) {
    let mut lockstep = begin().told();
    let end = caught(|| steps.iter().try_for_each(|step| lockstep.step(step)));
    (lockstep.story().to_vec(), end.err())
}

/// A panic of the loop is a difference too.
fn caught(test: impl FnOnce() -> Result<(), Difference>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(test)) {
        Ok(result) => result.map_err(|difference| difference.to_string()),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", message.unwrap_or("without a word")))
        }
    }
}

/// The shortest sequence found after which a loop and the model part. No step of it can be left out.
///
/// Its `Display` and `Debug` are the same, so that `check(..).unwrap()` tells the story: the steps, what was handed in at
/// what time, and the difference.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    steps: Vec<Step>,
    story: Vec<String>,
    difference: String,
    sequences_right: u32,
}

impl Failure {
    fn of<E: Embedding>(steps: Vec<Step>, sequences_right: u32, begin: &impl Fn() -> Lockstep<E>) -> Self {
        let (story, difference) = run(&steps, begin);
        let difference =
            difference.unwrap_or_else(|| "it is gone when tried again: the loop is not deterministic".to_owned());
        Self { steps, story, difference, sequences_right }
    }

    /// The steps. To run them again hand them to [`Lockstep::step`], one after another.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What was not as the model has it, after the last step.
    pub fn difference(&self) -> &str {
        &self.difference
    }

    /// How many sequences were tried, and right, before the first that was not.
    pub const fn sequences_right(&self) -> u32 {
        self.sequences_right
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (right, step) = (self.sequences_right, self.steps.len());
        writeln!(f, "after {right} sequences that were right, the implementation and the model part at step {step}:")?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>4}. {step:?}", at + 1)?;
        }
        writeln!(f, "What was handed in:")?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        write!(f, "What is different (ids count from 0, in the order of creation):\n  {}", self.difference)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
