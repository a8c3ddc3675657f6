//! What the engine's threads and its handle share.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event::{Position, StreamId};

use crate::EngineError;
use crate::poison::Why;
use crate::quiet::words_of;

/// Flags and notes across threads.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    stop: AtomicBool,
    failed: Mutex<Option<String>>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

/// How far the committers have come.
#[derive(Debug, Default)]
struct Progress {
    /// Batches that it is done with, whatever came of them, by lane.
    batches: Vec<u64>,
    /// How long the last snapshots took to be stored, by lane.
    snapshot_costs: BTreeMap<usize, Duration>,
    /// One of them takes no more.
    closed: bool,
    setbacks: Vec<Setback>,
    /// By partition that was set back: the epoch from which on what it makes is worth something, in whatever lane it goes.
    epochs: HashMap<(StreamId, u32), u64>,
}

/// A partition must be processed again from its committed position: the store refused something of it.
#[derive(Clone, Debug)]
pub(crate) struct Setback {
    /// The partition, and how far it is committed. That stays so: what is still on its way to the store is dropped.
    pub(crate) at: Position,
    /// What the partition makes from now on is of this epoch; all before is dropped.
    pub(crate) epoch: u64,
    pub(crate) then: Then,
}

/// What is done differently this time.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// The record at this offset is passed over; it is a dead letter already.
    Skip(u64, Why),
    /// Record by record up to this offset, so that the one at fault can be told.
    OneByOne(u64),
    /// Nothing is handed over because of idleness until there is a record again.
    NoAdvance,
}

impl Shared {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Set as soon as the engine is told to stop.
    pub(crate) fn halt(&self) -> &AtomicBool {
        &self.stop
    }

    pub(crate) fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A lane's committer is done with a batch.
    pub(crate) fn batch_done(&self, lane: usize) {
        let mut progress = self.progress();
        let lanes = progress.batches.len().max(lane + 1);
        progress.batches.resize(lanes, 0);
        progress.batches[lane] += 1;
        self.moved.notify_all();
    }

    /// A committer takes no more.
    pub(crate) fn close(&self) {
        self.progress().closed = true;
        self.moved.notify_all();
    }

    /// Whether a committer takes no more: then all is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.progress().closed
    }

    /// Waits until a lane's committer is done with so many batches; `false` when one takes no more.
    pub(crate) fn settled(&self, lane: usize, batches: u64) -> bool {
        let mut progress = self.progress();
        while progress.batches.get(lane).copied().unwrap_or(0) < batches && !progress.closed {
            progress = self.moved.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        !progress.closed
    }

    pub(crate) fn set_back(&self, setback: Setback) {
        let mut progress = self.progress();
        progress.epochs.insert((setback.at.stream, setback.at.partition), setback.epoch);
        progress.setbacks.push(setback);
    }

    /// Whether something was made before its partition was set back.
    pub(crate) fn is_stale(&self, at: Position, epoch: u64) -> bool {
        self.progress().epochs.get(&(at.stream, at.partition)).is_some_and(|since| epoch < *since)
    }

    pub(crate) fn is_set_back(&self) -> bool {
        !self.progress().setbacks.is_empty()
    }

    pub(crate) fn take_setbacks(&self) -> Vec<Setback> {
        std::mem::take(&mut self.progress().setbacks)
    }

    pub(crate) fn note_snapshot_cost(&self, lane: usize, cost: Duration) {
        self.progress().snapshot_costs.insert(lane, cost);
    }

    /// Of the lane that it took longest.
    pub(crate) fn snapshot_cost(&self) -> Duration {
        self.progress().snapshot_costs.values().max().copied().unwrap_or_default()
    }

    /// Runs a thread's work: whatever ends it but success is said loudly and kept, a panic included.
    pub(crate) fn guard(
        &self,
        thread: &'static str,
        work: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let result = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(EngineError::Panicked { thread, message: words_of(&*panic) }));
        if let Err(error) = &result {
            match error {
                EngineError::Taken(_) => tracing::warn!(thread, %error, "the engine stopped"),
                EngineError::Halted => tracing::debug!(thread, "the engine stopped"),
                error => tracing::error!(thread, %error, "the engine stopped"),
            }
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.to_string());
        }
        result
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
