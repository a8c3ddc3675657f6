//! The second thread, one for each lane: commits batches, waits while the store is away, tells the log and the figures.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use event::{Block, Catalog, LateEvents, Position, WindowId};
use log::{Clock, Log};
use store::{Commit, Store, StoreError};

use crate::batch::Batch;
use crate::housekeeping::Housekeeping;
use crate::meters::Meters;
use crate::outage::Outage;
use crate::parts::{Alerts, state_consumer};
use crate::shared::Shared;
use crate::{EngineError, EngineStats, Parts};

/// How often an idle committer looks after figures and retention.
const IDLE: Duration = Duration::from_millis(500);

/// The second thread's belongings.
pub(crate) struct Committer {
    pub(crate) catalog: Arc<Catalog>,
    log: Arc<dyn Log>,
    store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    alerts: Alerts,
    consumer: String,
    /// The token of its claims.
    owner: u64,
    state_consumer: String,
    pub(crate) shared: Arc<Shared>,
    stats: Arc<EngineStats>,
    meters: Arc<Meters>,
    lane: usize,
    /// What one lane does for all.
    housekeeping: Option<Housekeeping>,
    batches: Receiver<Batch>,
    pub(crate) outage: Outage,
    /// Records in a row that the store refused.
    pub(crate) refused: u64,
}

impl Committer {
    pub(crate) fn new(
        parts: &Parts,
        (lane, batches): (usize, Receiver<Batch>),
        outage: Outage,
        meters: Arc<Meters>,
        housekeeping: Option<Housekeeping>,
    ) -> Self {
        Self {
            shared: outage.shared.clone(),
            stats: outage.stats.clone(),
            outage,
            state_consumer: state_consumer(&parts.settings.consumer),
            consumer: parts.settings.consumer.clone(),
            owner: parts.owner,
            catalog: parts.catalog.clone(),
            log: parts.log.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            alerts: parts.alerts.clone(),
            meters,
            lane,
            housekeeping,
            batches,
            refused: 0,
        }
    }

    /// Commits until there are no more batches.
    pub(crate) fn run(mut self) -> Result<(), EngineError> {
        loop {
            match self.batches.recv_timeout(IDLE) {
                Ok(batch) => {
                    self.settle(batch)?;
                    self.shared.batch_done(self.lane);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if let Some(housekeeping) = &mut self.housekeeping {
                housekeeping.run(&self.stats, &self.meters);
            }
        }
    }

    /// One batch: into the store as it is, or as much of it as the store takes.
    fn settle(&mut self, batch: Batch) -> Result<(), EngineError> {
        let batch = batch.without(&|at, epoch| self.shared.is_stale(at, epoch));
        if batch.is_empty() {
            return Ok(());
        }
        match self.commit(&batch)? {
            None => Ok(()),
            Some(cause) => self.take_apart(&batch, &cause),
        }
    }

    /// One transaction, tried until the store is there; then everybody who waits for it is told. Gives why the store will
    /// never take it, if so.
    ///
    /// # Errors
    /// When another engine was here, or this one is told to stop while the store is away.
    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<Option<String>, EngineError> {
        let begun = self.clock.elapsed();
        let alerts = match &batch.output.anomalies[..] {
            [] => Vec::new(),
            anomalies => (self.alerts)(anomalies),
        };
        let late = together(&batch.output.late);
        let commit = Commit {
            consumer: &self.consumer,
            moves: batch.moves(),
            blocks: &batch.blocks,
            anomalies: &batch.output.anomalies,
            dead_letters: &batch.dead_letters,
            snapshots: &batch.snapshots,
            windows: &batch.output.windows,
            late: &late,
            alerts: &alerts,
            letter_changes: &batch.letter_changes,
            owner: self.owner,
            ..Commit::default()
        };
        loop {
            match self.store.commit(&commit) {
                Ok(()) => break,
                Err(StoreError::Unavailable(cause)) => self.outage.wait(&cause)?,
                Err(StoreError::Refused(cause)) => return Ok(Some(cause)),
                Err(for_good) => return Err(for_good.into()),
            }
        }
        self.outage.over();
        if !batch.blocks.is_empty() {
            self.refused = 0;
        }
        self.tell(batch, begun);
        Ok(None)
    }

    /// A batch is in the store: the figures, the log.
    fn tell(&self, batch: &Batch, begun: Duration) {
        let (now, done) = (self.clock.now(), self.clock.elapsed());
        if !batch.snapshots.is_empty() {
            self.shared.note_snapshot_cost(self.lane, share(batch, done.saturating_sub(begun)));
        }
        let moves: Vec<_> = batch.moves().iter().map(|step| Position { offset: step.to, ..step.from }).collect();
        tell_anomalies(batch);
        let closing = self.stats.closing(batch);
        self.stats.note(batch, &moves, closing.len() as u64, now);
        self.meters.note(batch, &closing, begun, done, now);
        // The truth is in the store already. What the log keeps is a copy that may lag behind.
        self.tell_log(&self.consumer, &moves);
        let states: Vec<_> = batch.states.iter().map(|(position, _)| *position).collect();
        self.tell_log(&self.state_consumer, &states);
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

/// One line, however many there are.
fn tell_anomalies(batch: &Batch) {
    if batch.output.anomalies.is_empty() {
        return;
    }
    let mut counts = BTreeMap::<&str, u64>::new();
    batch.output.anomalies.iter().for_each(|anomaly| *counts.entry(&anomaly.rule).or_default() += 1);
    let rules: Vec<_> = counts.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    tracing::info!(anomalies = batch.output.anomalies.len(), rules = rules.join(", "), "rules found something");
}

/// Late events of one window as one count: there may be thousands.
pub(crate) fn together(late: &[LateEvents]) -> Vec<LateEvents> {
    let mut sums: HashMap<&WindowId, LateEvents> = HashMap::new();
    for counts in late {
        let Some(sum) = sums.get_mut(&counts.id) else {
            sums.insert(&counts.id, counts.clone());
            continue;
        };
        sum.events += counts.events;
        sum.end = sum.end.max(counts.end);
        sum.lateness_ms = sum.lateness_ms.max(counts.lateness_ms);
        sum.corrected |= counts.corrected;
        (sum.partition, sum.offset) = (counts.partition, counts.offset);
    }
    sums.into_values().collect()
}

/// The share of the snapshots in the time that a batch took, by bytes.
fn share(batch: &Batch, took: Duration) -> Duration {
    let snapshots: usize = batch.snapshots.iter().map(|snapshot| snapshot.state.len()).sum();
    let rows: usize = batch.blocks.iter().map(Block::weight).sum();
    took.mul_f64(snapshots as f64 / (snapshots + rows).max(1) as f64)
}
