//! From time to time: lag as a metric, and retention in log and store.

use std::sync::Arc;
use std::time::Duration;

use event::{Millis, StreamId};
use log::{Clock, Log};
use store::Store;

use crate::meters::Meters;
use crate::parts::state_consumer;
use crate::track::StreamTrack;
use crate::{EngineStats, Parts};

/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// What is done beside the commits, by the first of the threads that commit.
pub(crate) struct Housekeeping {
    log: Arc<dyn Log>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    state_consumer: String,
    /// Streams with an age, by name.
    ages: Vec<(String, Millis)>,
    /// Streams without rules: they have no state to rebuild, so the log must keep nothing for it.
    stateless: Vec<StreamId>,
    every: Duration,
    lag_at: Duration,
    retention_at: Duration,
}

impl Housekeeping {
    pub(crate) fn new(parts: &Parts, tracks: &[StreamTrack]) -> Self {
        let now = parts.clock.elapsed();
        let age = |(_, s): (StreamId, &event::Stream)| Some((s.name.clone(), s.retention.age_ms?));
        Self {
            log: parts.log.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            state_consumer: state_consumer(&parts.settings.consumer),
            // One process of all that share a store is enough.
            ages: parts.catalog.processed().filter_map(age).filter(|_| parts.leads()).collect(),
            stateless: tracks.iter().filter(|track| track.program.is_none()).map(|track| track.id).collect(),
            every: Duration::from_millis(parts.settings.housekeeping_every_ms.max(1) as u64),
            lag_at: now,
            retention_at: now,
        }
    }

    /// Does what is due. Trouble is told and left for the next time: it stops no commit.
    pub(crate) fn run(&mut self, stats: &EngineStats, meters: &Meters) {
        let now = self.clock.elapsed();
        if now.saturating_sub(self.lag_at) >= LAG_EVERY {
            self.lag_at = now;
            meters.note_lag(stats);
        }
        if now.saturating_sub(self.retention_at) >= self.every {
            self.retention_at = now;
            self.enforce_retention(stats);
        }
    }

    fn enforce_retention(&self, stats: &EngineStats) {
        let positions: Vec<_> = self.stateless.iter().flat_map(|id| stats.committed(*id)).collect();
        if let Err(error) = self.log.commit(&self.state_consumer, &positions) {
            tracing::warn!(%error, "the log did not keep positions");
        }
        match self.log.trim() {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "retention freed log"),
            Err(error) => tracing::warn!(%error, "retention could not free log"),
        }
        for (stream, age_ms) in &self.ages {
            match self.store.expire(stream, self.clock.now().saturating_sub(*age_ms)) {
                Ok(0) => {}
                Ok(rows) => tracing::info!(stream, rows, "retention dropped rows"),
                Err(error) => tracing::warn!(stream, %error, "retention could not drop rows"),
            }
        }
    }
}
