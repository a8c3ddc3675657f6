//! One replay from its start to its end: what it is doing, how far it is, what it found.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use event::{Millis, StreamId, limits};

use super::compare::{Difference, compare};
use super::run::Run;
use super::swap::Plan;
use super::{Into, ReplayError, ReplayParts, ReplaySpec, SHARED, Stopped};

/// How a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStatus {
    /// It works, see [`Phase`].
    Running,
    /// It came to its end.
    Done,
    /// It was cancelled. Nothing of it is left.
    Cancelled,
    /// It failed. Nothing of it is left.
    Failed,
}

impl ReplayStatus {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What a running replay is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Running the log.
    Reading,
    /// Comparing its results with the live ones.
    Comparing,
    /// Putting its results in place of the live ones.
    Swapping,
}

impl Phase {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Comparing => "comparing",
            Self::Swapping => "swapping",
        }
    }
}

/// A replay as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayView {
    /// Its id.
    pub id: String,
    /// What is replayed.
    pub spec: ReplaySpec,
    /// How it stands.
    pub status: ReplayStatus,
    /// What it does, while it runs.
    pub phase: Option<Phase>,
    /// Records of the log that were run, of [`ReplayView::total`].
    pub done: u64,
    /// Records to run.
    pub total: u64,
    /// When it was started.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// Why it failed; empty when it did not.
    pub error: String,
    /// What differs from the live rows, once they were compared. After a swap: what was exchanged.
    pub difference: Option<Difference>,
    /// Whether its results are in place of the live ones.
    pub swapped: bool,
    /// Whether they can be put there.
    pub swappable: bool,
}

/// A replay.
pub(crate) struct Job {
    pub(super) id: String,
    stream: StreamId,
    generation: u64,
    spec: ReplaySpec,
    started_at: Millis,
    cancelled: AtomicBool,
    pub(super) done: AtomicU64,
    pub(super) total: AtomicU64,
    state: Mutex<State>,
    /// What a swap goes on from.
    kept: Mutex<Option<Run>>,
}

struct State {
    status: ReplayStatus,
    phase: Phase,
    finished_at: Option<Millis>,
    error: String,
    difference: Option<Difference>,
    swapped: bool,
}

impl Job {
    pub(super) fn new(id: String, stream: StreamId, generation: u64, spec: ReplaySpec, now: Millis) -> Self {
        let state = State {
            status: ReplayStatus::Running,
            phase: Phase::Reading,
            finished_at: None,
            error: String::new(),
            difference: None,
            swapped: false,
        };
        Self {
            id,
            stream,
            generation,
            spec,
            started_at: now,
            cancelled: AtomicBool::new(false),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            state: Mutex::new(state),
            kept: Mutex::default(),
        }
    }

    pub(super) fn view(&self) -> ReplayView {
        let swappable = self.kept().is_some();
        let state = self.state();
        let running = state.status == ReplayStatus::Running;
        ReplayView {
            id: self.id.clone(),
            spec: self.spec.clone(),
            status: state.status,
            phase: running.then_some(state.phase),
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            started_at: self.started_at,
            finished_at: state.finished_at,
            error: state.error.clone(),
            difference: state.difference.clone(),
            swapped: state.swapped,
            swappable: swappable && !running,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state().status == ReplayStatus::Running
    }

    /// Tells one that runs to end; removes what one that ended left. Decided under the lock under which a swap begins, so
    /// that either the swap sees it or it sees the swap.
    pub(super) fn cancel(&self) {
        let state = self.state();
        if state.status == ReplayStatus::Running {
            self.cancelled.store(true, Ordering::Relaxed);
            return;
        }
        let left = self.kept().take();
        drop(state);
        drop(left);
    }

    /// An error once somebody cancelled it.
    pub(super) fn go_on(&self) -> Result<(), Stopped> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Stopped::Cancelled) } else { Ok(()) }
    }

    /// Removes what an ended replay left. One that runs does so itself.
    pub(super) fn leave(&self) {
        let state = self.state();
        let left = if state.status == ReplayStatus::Running { None } else { self.kept().take() };
        drop(state);
        drop(left);
    }

    /// The thread's work: run, compare, and swap when that was asked for from the start.
    pub(super) fn run(&self, parts: &ReplayParts) {
        let outcome = self.guarded(|| {
            let program = parts.live.program(self.stream).map_err(Stopped::Other)?;
            let mut run = Run::open(parts, &self.id, self.stream, program)?;
            run.read_all(parts, self)?;
            self.state().phase = Phase::Comparing;
            let difference = compare(parts, &run, &self.range(), self, &mut |_| Ok(()))?;
            *self.kept() = Some(run);
            Ok(difference)
        });
        if outcome.is_ok() && self.spec.into == Into::Live {
            return self.swap(parts);
        }
        self.end(parts, outcome.map(Some), false);
    }

    fn range(&self) -> Range<Millis> {
        self.spec.from..self.spec.to
    }

    /// Whether a swap may begin; then it counts as running. Gives what [`Job::not_begun`] needs.
    pub(super) fn begin_swap(&self, parts: &ReplayParts) -> Result<Option<Millis>, ReplayError> {
        if parts.live.generation() != Some(self.generation) {
            return Err(ReplayError::NotSwappable("rules or windows were changed since; replay again"));
        }
        if !parts.live.has_all(self.stream) {
            return Err(ReplayError::NotSwappable(SHARED));
        }
        let mut state = self.state();
        let kept = self.kept().is_some();
        match state.status {
            ReplayStatus::Running => return Err(ReplayError::NotSwappable("it is not done yet")),
            _ if state.swapped => return Err(ReplayError::NotSwappable("it was swapped already")),
            ReplayStatus::Done if kept => {}
            _ => return Err(ReplayError::NotSwappable("nothing of it is left; replay again")),
        }
        (state.status, state.phase) = (ReplayStatus::Running, Phase::Swapping);
        Ok(state.finished_at.take())
    }

    /// Takes back a swap that nobody works on: it is as it was, unless it was cancelled meanwhile.
    pub(super) fn not_begun(&self, finished_at: Option<Millis>) {
        let mut state = self.state();
        state.finished_at = finished_at;
        let left = self.close(&mut state);
        drop(state);
        drop(left);
    }

    /// Done, or cancelled when somebody asked for that; then gives what is to be removed.
    fn close(&self, state: &mut State) -> Option<Run> {
        let cancelled = self.cancelled.load(Ordering::Relaxed) && !state.swapped;
        state.status = if cancelled { ReplayStatus::Cancelled } else { ReplayStatus::Done };
        if cancelled { self.kept().take() } else { None }
    }

    /// The thread's work: the engine stands still, the run catches up with it, what differs is exchanged.
    pub(super) fn swap(&self, parts: &ReplayParts) {
        self.state().phase = Phase::Swapping;
        let Some(mut run) = self.kept().take() else { return self.end(parts, Err(Stopped::Cancelled), false) };
        let mut outcome = Err(Stopped::Other("the engine could not be stopped".to_owned()));
        let paused = parts.live.pause(&mut || outcome = self.guarded(|| self.exchange(parts, &mut run)));
        drop(run);
        let swapped = outcome.is_ok();
        let outcome = match paused {
            Err(error) if !swapped => Err(Stopped::Other(error)),
            Err(error) => {
                tracing::error!(error, "the engine did not start again after a replay was swapped");
                outcome
            }
            Ok(()) => outcome,
        };
        self.end(parts, outcome.map(Some), swapped);
    }

    fn exchange(&self, parts: &ReplayParts, run: &mut Run) -> Result<Difference, Stopped> {
        if parts.live.generation() != Some(self.generation) {
            return Err(Stopped::Other("rules or windows were changed meanwhile; replay again".to_owned()));
        }
        if !parts.live.has_all(self.stream) {
            return Err(Stopped::Other(SHARED.to_owned()));
        }
        run.catch_up(parts, self)?;
        let mut plan = Plan::new(limits::SWAP_CHANGES_MAX);
        let difference = compare(parts, run, &self.range(), self, &mut |change| plan.add(change, &run.late))?;
        self.go_on()?;
        plan.commit(parts)?;
        Ok(difference)
    }

    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Stopped>) -> Result<T, Stopped> {
        let lost = |_| Err(Stopped::Other("a mistake in this program: the replay panicked".to_owned()));
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(lost)
    }

    fn end(&self, parts: &ReplayParts, outcome: Result<Option<Difference>, Stopped>, swapped: bool) {
        let id = &self.id;
        let mut state = self.state();
        state.finished_at = Some(parts.clock.now());
        state.swapped = swapped;
        match outcome {
            Ok(difference) => {
                let left = self.close(&mut state);
                state.difference = difference;
                drop(state);
                drop(left);
                tracing::info!(id, stream = self.spec.stream, swapped, "a replay is done");
            }
            Err(Stopped::Cancelled) => state.status = ReplayStatus::Cancelled,
            Err(error) => {
                tracing::error!(id, stream = self.spec.stream, %error, "a replay failed");
                (state.status, state.error) = (ReplayStatus::Failed, error.to_string());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Run>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
