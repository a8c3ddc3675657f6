//! The port `Store`: what the rest of the house knows of the database, whatever it is.

use event::{Anomaly, Block, DeadLetter, Millis, Position, Record};

use crate::StoreError;
use crate::query::{AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Summary};

/// How far a consumer has come in one partition, by name, as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredPosition {
    /// The stream's name.
    pub stream: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to process.
    pub offset: u64,
}

/// The state of the rules over one partition, as of a position that may lag behind the committed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The position whose earlier records are in it.
    pub position: StoredPosition,
    /// The state, opaque here.
    pub state: Vec<u8>,
}

/// What one engine batch did: all of it goes into one transaction.
#[derive(Debug, Default)]
pub struct Commit<'a> {
    /// The consumer.
    pub consumer: &'a str,
    /// For every partition that moves: where it was, and the next offset now.
    pub moves: Vec<Move>,
    /// Records to keep as event rows.
    pub blocks: &'a [Block],
    /// Anomalies; one whose id is there already, in its stream and for its tenant, is kept as it was.
    pub anomalies: &'a [Anomaly],
    /// Dead letters; likewise by tenant and id.
    pub dead_letters: &'a [DeadLetter],
    /// Snapshots that replace earlier ones of their partition.
    pub snapshots: &'a [Snapshot],
}

/// One partition's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where the consumer was: the commit is refused when the store knows otherwise.
    pub from: Position,
    /// The next offset to process.
    pub to: u64,
}

/// An event row as it is kept, for `verify`: see [`Store::scan`].
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Its partition.
    pub partition: u32,
    /// The tenant that it is kept for: the one that its headers name, unless somebody changed it.
    pub tenant: &'a [u8],
    /// The rest.
    pub record: Record<'a>,
}

/// What [`Store::scan`] calls for every row.
pub type ScanFn<'a> = &'a mut dyn FnMut(&Scanned<'_>) -> std::ops::ControlFlow<()>;

/// A database of event rows, anomalies, dead letters, rule state and positions. Eight verbs; every one may be called
/// from any thread; one process commits.
pub trait Store: Send + Sync + 'static {
    /// Writes everything of a commit, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when a position is not where `from` says (another engine was here: stop);
    /// [`StoreError::Unavailable`] may be retried as it is; [`StoreError::Refused`] will fail again.
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// All positions of a consumer.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn positions(&self, consumer: &str) -> Result<Vec<StoredPosition>, StoreError>;

    /// All rule-state snapshots.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError>;

    /// A page of events.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError>;

    /// A page of anomalies, or of dead letters.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn anomalies(&self, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError>;

    /// A page of dead letters.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError>;

    /// Counts since a time (by the time of receipt), for the JSON summary: of one tenant, or of all.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, StoreError>;

    /// Drops whole chunks of a stream whose last record was received before `before`; gives the rows dropped.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn expire(&self, stream: &str, before: Millis) -> Result<u64, StoreError>;

    /// Calls `each` for every event row of a stream, whosever, in ascending offset within each partition.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn scan(&self, stream: &str, each: ScanFn<'_>) -> Result<(), StoreError>;
}
