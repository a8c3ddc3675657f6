//! The port `Log`: what the rest of the house knows of a durable, partitioned, ordered log, whatever keeps it.

use std::sync::Arc;
use std::time::Duration;

use event::{Ack, Batch, Block, Millis, Position, StreamId};
use tokio::sync::oneshot;

use crate::{Damage, LogError};

/// One request to append: its batches become durable together and are answered together.
#[derive(Debug)]
pub struct Append {
    /// The batches, mostly one; a second carries what the door refused, to the internal stream.
    pub batches: Vec<Batch>,
    /// Whose queue it waits in: lanes take turns, so that one which is full does not hold up another. A tenant's
    /// requests share one; 0 is that of the default tenant.
    pub lane: u32,
    /// When to answer. [`Ack::Stored`] is answered as [`Ack::Durable`] here: the rest is the caller's, by
    /// [`Log::committed`].
    pub ack: Ack,
}

/// What became of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// For each partition that took records, in order of partition: partition, first and last offset. Records of
    /// other requests never lie between, so `last - first + 1` records of this batch are there.
    pub ranges: Vec<PlacedRange>,
    /// Indices into `drafts` of the events that were known already and were not appended again.
    pub duplicates: Vec<u32>,
}

/// Consecutive offsets that one batch took in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedRange {
    /// The partition.
    pub partition: u32,
    /// The first offset.
    pub first: u64,
    /// The last offset, inclusive.
    pub last: u64,
}

/// The answer to an [`Append`], still to come.
#[derive(Debug)]
pub struct Pending(pub oneshot::Receiver<Result<Vec<Placed>, LogError>>);

impl Pending {
    /// Waits for the answer without blocking the thread.
    ///
    /// # Errors
    /// What the log says; [`LogError::Closed`] when it stopped before it answered.
    pub async fn wait(self) -> Result<Vec<Placed>, LogError> {
        self.0.await.unwrap_or(Err(LogError::Closed))
    }

    /// Waits for the answer and blocks the thread; not for async code.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn wait_blocking(self) -> Result<Vec<Placed>, LogError> {
        self.0.blocking_recv().unwrap_or(Err(LogError::Closed))
    }
}

/// The offsets that a partition holds: `first..next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The oldest offset still there.
    pub first: u64,
    /// The offset that the next record gets.
    pub next: u64,
}

/// Figures of a log, for metrics, health and doctors.
#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    /// Why it stopped writing for good; `None` while it is sound.
    pub poisoned: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// When the oldest record still there was appended.
    pub oldest: Option<Millis>,
    /// Requests that wait for the writer.
    pub queue_len: usize,
    /// Their bytes.
    pub queue_bytes: usize,
    /// How long the oldest request without an answer has waited, in milliseconds; 0 when there is none. Those that the
    /// writer has at hand count too, so a disk that hangs shows.
    pub queue_age_ms: Millis,
    /// Free bytes of the disk, at most a second old; `None` where the system does not tell.
    pub free_bytes: Option<u64>,
    /// The bytes that the log leaves free: what would go below is refused with [`LogError::Full`].
    pub reserve_bytes: u64,
    /// What recovery or a reader found broken since this process started.
    pub damage: Vec<Damage>,
    /// Why the broker that keeps the log cannot be reached just now; `None` while it can, and for a log without one.
    pub away: Option<String>,
    /// What waits in front of the broker; `None` for a log without a spool.
    pub spool: Option<SpoolStatus>,
}

/// Figures of a spool: what was taken while the broker was away and has not reached it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Bytes on disk.
    pub bytes: u64,
    /// The bytes that it takes at the most.
    pub bytes_max: u64,
    /// Records that wait.
    pub records: u64,
    /// When the oldest of them was taken.
    pub oldest: Option<Millis>,
    /// Whether they are on their way to the broker now.
    pub draining: bool,
}

/// A durable log of streams. Every verb may be called from any thread.
pub trait Log: Send + Sync + 'static {
    /// Queues one request. It is answered once all its batches are as safe as asked; then either all of them are in
    /// the log or none is, unless the process dies in between, in which case nothing was answered.
    ///
    /// # Errors
    /// At once: [`LogError::Busy`] when the queue or the lane is full (nothing was taken; try again later),
    /// [`LogError::Poisoned`] or [`LogError::Closed`] for good. Later, through [`Pending`]: [`LogError::Full`] when
    /// the disk refused the bytes (nothing was taken), or as above. Retrying is safe for events with an id.
    fn append(&self, request: Append) -> Result<Pending, LogError>;

    /// Appends what a pipeline found, each record with an id, for one caller at a time: when it is asked again, by this
    /// process or another, with records of the batch before, those are not there twice. Where the log has transactions, who
    /// reads sees all of the batch or nothing. No places are told.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn publish(&self, batch: Batch) -> Result<Pending, LogError> {
        self.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable })
    }

    /// A reader of the given partitions of one stream, each from its offset on, in the order of the log. An offset
    /// before the oldest is moved up to it.
    ///
    /// # Errors
    /// When the log cannot be read at all.
    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError>;

    /// The offsets of every partition of a stream, by partition.
    fn extents(&self, stream: StreamId) -> Vec<Extent>;

    /// Whether the extents of a stream are those of the log: a broker that did not answer yet has told none, and they are
    /// empty until it does.
    fn knows_extents(&self, _stream: StreamId) -> bool {
        true
    }

    /// The first offset of a partition whose record has an event time at or after `time`, or the next offset when
    /// there is none yet.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError>;

    /// Waits until something was appended after the moment `seen` stands for, at most `timeout`; gives the new
    /// moment. Start with 0.
    fn wait(&self, seen: u64, timeout: Duration) -> u64;

    /// Keeps how far a consumer has come, so that retention spares what it needs and [`Log::committed`] can tell.
    /// The truth of a position is the store's transaction; this copy may lag behind it. A position past the end
    /// means that the end was lost: the end moves up, so that no offset is handed out twice.
    ///
    /// # Errors
    /// When it cannot be written.
    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError>;

    /// Forgets a consumer that comes no more: retention spares nothing for it from now on. One that is not known is none.
    ///
    /// # Errors
    /// When it cannot be written.
    fn forget(&self, consumer: &str) -> Result<(), LogError>;

    /// The consumers whose positions are kept, in the order of their names.
    fn consumers(&self) -> Vec<String>;

    /// Waits (async) until every given position (next offset) was committed by the consumer.
    fn committed<'a>(
        &'a self,
        consumer: &'a str,
        positions: &'a [Position],
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>>;

    /// Drops whole segments that are past their stream's retention and that no consumer needs; gives the bytes freed.
    ///
    /// # Errors
    /// When a file cannot be removed.
    fn trim(&self) -> Result<u64, LogError>;

    /// Where a record with this id lies, newest first; `None` when it is not there (any more). Reads id hashes only,
    /// so a caller compares the id itself.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn find(&self, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError>;

    /// How ids become hashes in this log.
    fn id_hasher(&self) -> crate::IdHasher;

    /// Figures.
    fn status(&self) -> LogStatus;

    /// Whether there is a record at every offset of an extent, unless it was lost. A broker leaves offsets out.
    fn is_dense(&self) -> bool {
        true
    }

    /// Takes part in the work of a consumer on these streams. Each partition is worked on by one member at a time; which
    /// are this one's is told to `owner`. Dropping the membership leaves: [`Owner::losing`] is called before.
    ///
    /// # Errors
    /// When the group cannot be joined at all; a broker that is away is waited for.
    fn join(
        &self,
        consumer: &str,
        streams: &[StreamId],
        owner: Arc<dyn Owner>,
    ) -> Result<Box<dyn Membership>, LogError>;

    /// Finishes what waits and stops. Dropping does the same. What is asked later fails with [`LogError::Closed`].
    fn close(&self);
}

/// Works on the partitions of a membership. Its verbs are called one at a time, by a thread of the membership, never from
/// within [`Log::join`] itself but for a log that one process has alone.
pub trait Owner: Send + Sync + 'static {
    /// These are this member's from now on, beside those it has.
    fn gained(&self, partitions: &[(StreamId, u32)]);

    /// These will be another member's. Returns when nobody here works on them any more; it may block for as long as a batch
    /// takes.
    fn losing(&self, partitions: &[(StreamId, u32)]);
}

/// A place in a group, for as long as it is held.
pub trait Membership: Send + Sync {
    /// The partitions that are this member's now.
    fn partitions(&self) -> Vec<(StreamId, u32)>;
}

/// A reader of a log.
pub trait Cursor: Send {
    /// The next blocks, about `bytes_max` of them and at least one when there is any; empty at the end of the log
    /// (more may come later), and only there. Damage is stepped over, counted and reported, never an error. Where offsets
    /// are left out (see [`Log::is_dense`]) at the end, a block without records says by its first offset where the reader
    /// stands.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn next(&mut self, bytes_max: usize) -> Result<Vec<Block>, LogError>;
}
