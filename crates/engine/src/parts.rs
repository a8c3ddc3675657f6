//! What an engine is made of, how it behaves, and what it can be told.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use breaker::BreakerSettings;
use event::{Catalog, Millis, StreamId, limits};
use log::{Clock, Log};
use process::Program;
use store::Store;

/// What an engine is made of.
pub struct Parts {
    /// The streams.
    pub catalog: Arc<Catalog>,
    /// Where records come from.
    pub log: Arc<dyn Log>,
    /// Where everything goes.
    pub store: Arc<dyn Store>,
    /// Tells the time and lets it pass.
    pub clock: Arc<dyn Clock>,
    /// The rules of the streams that have any; at most one program for a stream, none for the internal stream.
    pub programs: Vec<(StreamId, Program)>,
    /// What is to be told to others of the anomalies of a batch; asked once a batch that has any.
    pub alerts: Alerts,
    /// How it behaves.
    pub settings: Settings,
    /// The partitions that it works on; `None` for all. They are claimed before their positions are read.
    pub owned: Option<Vec<(StreamId, u32)>>,
    /// The token under which they are claimed, see [`Store::claim`]; 0 claims nothing, for a store that one process has
    /// alone.
    pub owner: u64,
    /// Set when nobody wants the engine any more that is being started: the start ends with [`crate::EngineError::Halted`].
    pub halt: Arc<AtomicBool>,
}

impl Parts {
    /// Whether a partition is among those that it works on.
    pub(crate) fn owns(&self, stream: StreamId, partition: u32) -> bool {
        self.owned.as_ref().is_none_or(|owned| owned.contains(&(stream, partition)))
    }

    /// Whether it does what one engine of all that share the work does for all: who has the first partition of the
    /// internal stream.
    pub(crate) fn leads(&self) -> bool {
        self.owns(self.catalog.refused(), 0)
    }
}

/// Makes the notifications of anomalies: targets are not known here.
pub type Alerts = Arc<dyn Fn(&[event::Anomaly]) -> Vec<event::Alert> + Send + Sync>;

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name under which positions are kept. Its rule states are kept for `<consumer>.state`: the log spares what
    /// either needs.
    pub consumer: String,
    /// Bytes of records that one batch takes, about: one store transaction.
    pub batch_bytes: usize,
    /// Store transactions at the same time, each with the batches of partitions of its own: more than one is of use where the
    /// store works on one while another waits for its disk.
    pub lanes: usize,
    /// How often rule states are written down, in milliseconds; a restart re-runs about that much of the log.
    /// Less often where that would take more than 5 % of the time.
    pub snapshot_every_ms: Millis,
    /// Or after this many records, whichever comes first.
    pub snapshot_every_records: u64,
    /// After how long without a record a partition counts as idle, in milliseconds of the clock: its windows close by the
    /// clock then.
    pub idle_after_ms: Millis,
    /// When the store is left alone, and for how long.
    pub store_breaker: BreakerSettings,
    /// How often retention is enforced, in milliseconds.
    pub housekeeping_every_ms: Millis,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consumer: "engine".to_owned(),
            batch_bytes: limits::PIPELINE_BATCH_BYTES,
            lanes: 1,
            snapshot_every_ms: 30_000,
            snapshot_every_records: 10_000_000,
            idle_after_ms: 30_000,
            store_breaker: BreakerSettings { failures: 5, open_ms: 5_000, probes: 1 },
            housekeeping_every_ms: 60_000,
        }
    }
}

/// Everything that can be told to a running engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End when everything that is now in the log is committed.
    Drain,
    /// End after the batch in hand.
    Stop,
}

/// Where states are committed for the log's retention.
pub(crate) fn state_consumer(consumer: &str) -> String {
    format!("{consumer}.state")
}
