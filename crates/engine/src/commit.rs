//! The second thread: commits batches, tries again while the store is away, tells the log and the figures.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use event::Position;
use log::{Clock, Log};
use store::{Commit, Store, StoreError};

use crate::housekeeping::Housekeeping;
use crate::meters::Meters;
use crate::parts::state_consumer;
use crate::processor::Batch;
use crate::shared::Shared;
use crate::{EngineError, EngineStats, Parts};

/// The delay before a commit is tried again; doubles up to [`DELAY_MAX`].
const DELAY_FIRST: Duration = Duration::from_millis(10);
const DELAY_MAX: Duration = Duration::from_secs(1);
/// How often an idle committer looks after figures and retention.
const IDLE: Duration = Duration::from_millis(500);

/// The second thread's belongings.
pub(crate) struct Committer {
    log: Arc<dyn Log>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    consumer: String,
    state_consumer: String,
    shared: Arc<Shared>,
    stats: Arc<EngineStats>,
    meters: Meters,
    housekeeping: Housekeeping,
    batches: Receiver<Batch>,
}

impl Committer {
    pub(crate) fn new(
        parts: Parts,
        shared: Arc<Shared>,
        stats: Arc<EngineStats>,
        meters: Meters,
        housekeeping: Housekeeping,
        batches: Receiver<Batch>,
    ) -> Self {
        Self {
            state_consumer: state_consumer(&parts.settings.consumer),
            consumer: parts.settings.consumer,
            log: parts.log,
            store: parts.store,
            clock: parts.clock,
            shared,
            stats,
            meters,
            housekeeping,
            batches,
        }
    }

    /// Commits until there are no more batches.
    pub(crate) fn run(mut self) -> Result<(), EngineError> {
        loop {
            match self.batches.recv_timeout(IDLE) {
                Ok(batch) => self.commit(&batch)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.housekeeping.run(&self.stats, &self.meters);
        }
    }

    /// One batch: into the store, then everybody who waits for it is told.
    fn commit(&mut self, batch: &Batch) -> Result<(), EngineError> {
        let begun = self.clock.elapsed();
        self.store_batch(batch)?;
        let (now, done) = (self.clock.now(), self.clock.elapsed());
        let moves: Vec<_> = batch.moves.iter().map(|step| Position { offset: step.to, ..step.from }).collect();
        self.stats.note(batch, &moves, now);
        self.meters.note(batch, begun, done, now);
        // The truth is in the store already. What the log keeps is a copy that may lag behind.
        self.tell_log(&self.consumer, &moves);
        self.tell_log(&self.state_consumer, &batch.states);
        Ok(())
    }

    fn store_batch(&self, batch: &Batch) -> Result<(), EngineError> {
        let commit = Commit {
            consumer: &self.consumer,
            moves: batch.moves.clone(),
            blocks: &batch.blocks,
            anomalies: &batch.anomalies,
            dead_letters: &batch.dead_letters,
            snapshots: &batch.snapshots,
        };
        let mut delay = DELAY_FIRST;
        loop {
            match self.store.commit(&commit) {
                Ok(()) => return Ok(()),
                Err(StoreError::Unavailable(cause)) if self.shared.stopping() => {
                    return Err(EngineError::Unfinished(cause));
                }
                Err(StoreError::Unavailable(cause)) => {
                    tracing::warn!(
                        cause,
                        delay_ms = delay.as_millis() as u64,
                        "the store is not available; the commit is tried again"
                    );
                    self.clock.sleep(delay);
                    delay = (delay * 2).min(DELAY_MAX);
                }
                Err(refused) => return Err(refused.into()),
            }
        }
    }

    fn tell_log(&self, consumer: &str, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        if let Err(error) = self.log.commit(consumer, positions) {
            tracing::warn!(consumer, %error, "the log did not keep a position; the store has it");
        }
    }
}
