//! The words of Millstream: stream, record, batch, block, position, and the facts that processing yields.
//!
//! This crate knows no disk, no clock, no network and no async. Everything above speaks in these types.

mod alert;
mod batch;
mod block;
mod facts;
pub mod headers;
mod letter;
pub mod limits;
pub mod measure;
mod partition;
mod stream;
pub mod varint;
mod window;

pub use alert::{Alert, DeliveryChange, DeliveryStatus};
pub use batch::{Batch, Draft, Span};
pub use block::{Block, BlockBuilder, BlockError, ENTRY_BYTES, Record};
pub use facts::{Anomaly, RefusalCode, Severity};
pub use letter::{Classification, DeadLetter, LetterChange, LetterEvent, LetterStatus, Stage};
pub use partition::partition_of;
pub use stream::{
    Catalog, CatalogError, Dedup, Field, FieldPath, JsonKind, Requirement, Retention, Stream, StreamId, TimeField,
    TimeUnit,
};
pub use window::{LateEvents, WindowDelta, WindowId};

/// Milliseconds since 1970-01-01T00:00:00Z, the one unit of time in the log, the store and the rules.
pub type Millis = i64;

/// The event time of a record whose sender gave none: readers take the time of its append instead.
pub const NO_TIME: Millis = i64::MIN;

/// How sure the answer to a sender is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Accepted in memory; a crash within the next milliseconds may lose it. Only on request.
    Memory,
    /// On disk (fsync) or with all in-sync replicas. The default.
    Durable,
    /// Durable, processed, and committed to the store.
    Stored,
}

/// A place in the log: the next offset to read (or the offset of one record) of one partition of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The stream, by its index in the [`Catalog`].
    pub stream: StreamId,
    /// The partition, `0..stream.partitions`.
    pub partition: u32,
    /// The offset within the partition; the first record has offset 0.
    pub offset: u64,
}
