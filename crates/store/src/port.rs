//! The port `Store`: what the rest of the house knows of the database, whatever it is.

use event::{
    Alert, Anomaly, Block, DeadLetter, DeliveryChange, LateEvents, LetterChange, Millis, Position, Record, WindowDelta,
    WindowId,
};

use crate::StoreError;
use crate::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};

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
    /// Pieces of windows: merged with what is there, in whatever order. One of another definition than the row's replaces
    /// the row; so does the last one where definitions differ within a commit. A piece that names a stream puts the result
    /// into the outbox: one entry for a window and stream, and what is told is the result as it is then.
    pub windows: &'a [WindowDelta],
    /// Counts of late events: added to what is there, whether the window has a row or not.
    pub late: &'a [LateEvents],
    /// What is to be told to others: each is kept when its anomaly was not there before this commit, not even to be
    /// retracted, and there is none of its id yet for its tenant, stream and target.
    pub alerts: &'a [Alert],
    /// What happened to dead letters, after those above were added. What a letter's status does not allow is passed over.
    pub letter_changes: &'a [LetterChange],
    /// What became of things to be told. For one that is not pending, or not there any more, it is passed over.
    pub deliveries: &'a [DeliveryChange],
    /// What goes before anything is added: a replay's result replaces what was there.
    pub retract: &'a [Retract],
    /// The token under which the partitions that move were claimed, see [`Store::claim`]; 0 when they were not: the
    /// commit is refused then when somebody has claimed them.
    pub owner: u64,
}

/// A derived row that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retract {
    /// An anomaly.
    Anomaly {
        /// Whose.
        tenant: String,
        /// Its stream.
        stream: String,
        /// Its id.
        id: String,
    },
    /// A window's result, and its counts of late events. When the same commit adds pieces of the window, they take its
    /// place: its revision goes on, and what waits to be told of it is told as it is then.
    Window(WindowId),
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

/// What can be asked of a store. Every verb may be called from any thread; none changes anything.
pub trait Answers: Send + Sync + 'static {
    /// A page of events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] may be asked again as it is.
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError>;

    /// A page of anomalies.
    ///
    /// # Errors
    /// As [`Answers::events`].
    fn anomalies(&self, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError>;

    /// A page of dead letters.
    ///
    /// # Errors
    /// As [`Answers::events`].
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError>;

    /// A page of windows' results.
    ///
    /// # Errors
    /// As [`Answers::events`].
    fn windows(&self, query: &WindowQuery) -> Result<WindowPage, StoreError>;

    /// A page of what was and is to be told to others.
    ///
    /// # Errors
    /// As [`Answers::events`].
    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, StoreError>;

    /// Counts since a time (by the time of receipt), for the JSON summary: of one tenant, or of all.
    ///
    /// # Errors
    /// As [`Answers::events`].
    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, StoreError>;
}

/// A database of event rows, what processing found, rule state and positions. Every verb may be called from any thread;
/// a partition is moved by one process at a time.
pub trait Store: Answers {
    /// Writes everything of a commit, or nothing. One that is empty ends after all that were under way when it began.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when a position is not where `from` says, or [`StoreError::Claimed`] when the partition is
    /// another's by now (another engine was here: stop); [`StoreError::Unavailable`] may be retried as it is;
    /// [`StoreError::Refused`] will fail again.
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// Makes partitions, by stream's name, the claimant's: once this returns, no commit of an earlier claimant that moves
    /// one of them succeeds, not even one that moves it nowhere. `owner` is a token that nobody had before, above 0. A store
    /// that one process has alone has nothing to do.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn claim(&self, consumer: &str, owner: u64, partitions: &[(String, u32)]) -> Result<(), StoreError> {
        let _ = (consumer, owner, partitions);
        Ok(())
    }

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

    /// What is to be told to others and due at `now`: oldest first, at most `limit` for each target and each stream, so
    /// that what waits for one of them never hides what is due for another. A window that changes after this is due again
    /// under another row number: what became of the earlier row does not touch it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError>;

    /// Drops whole chunks of a stream whose last record was received before `before`; gives the rows dropped. What was
    /// derived from the stream goes too: anomalies of records received before, windows and counts of late events that
    /// ended before and have not changed since, with what waits to be told of them, and what was told, or given up, before.
    /// Of dead letters whose record lies in the stream's log (for [`event::Stage::Collect`] that is the internal stream)
    /// those go that were resolved or discarded before; all others stay.
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
