//! The store on PostgreSQL 15 or newer, with TimescaleDB where it is there.
//!
//! # A commit
//!
//! One transaction, READ COMMITTED, in the order of SQLite's commit. It begins with the rows of the positions that it moves,
//! locked in a fixed order: they say where the consumer is and who claimed the partition, so whatever follows is written
//! by the one process that may. Event rows go straight into their table by binary COPY: since positions are fenced, none of
//! them can be there already. When the connection is lost in COMMIT, the database is asked by the transaction's number
//! whether it happened; until it can be asked, that commit is not made again.
//!
//! Claims end what stands in their way: a process that stands still in the middle of a commit holds its positions, so a
//! claimant waits two seconds and then ends that session.
//!
//! # Tables
//!
//! What each column means is told in docs/store-postgres.md. Names of streams and tenants stand in the rows: the table is read by
//! people and their tools, and numbers would save one byte of a row. Text is compared byte for byte; what PostgreSQL's text cannot hold is
//! escaped, see [`text`]. Event rows are divided by stream and by day of receipt, so that retention drops tables; with
//! TimescaleDB they are one hypertable, compressed after a week.

mod claim;
mod commit;
mod copy;
mod counts;
mod doubt;
mod expire;
mod fault;
mod filters;
mod migrate;
mod parts;
mod places;
mod pool;
mod positions;
mod read_events;
mod read_facts;
mod read_letters;
mod read_outbox;
mod read_windows;
mod receive;
mod rows;
mod settings;
mod stats;
mod summary;
mod text;
mod tls;
mod write_facts;
mod write_letters;
mod write_rows;
mod write_windows;

use std::sync::Arc;

use event::{Catalog, Millis};

pub use migrate::{Layout, Migrated, migrate, probe};
pub(crate) use receive::{Piece, Receiver};
pub use settings::PostgresSettings;

use crate::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};
use crate::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

/// A store in one PostgreSQL database, which other processes use as well.
pub struct PostgresStore {
    catalog: Arc<Catalog>,
    layout: Layout,
    pool: pool::Pool,
    places: places::Places,
    doubts: doubt::Doubts,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.pool.place()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the database, and makes its tables or brings them up to date. The catalog gives the names of the streams that
    /// commits speak of by index. Must not be called, nor any verb of the store, where an asynchronous task runs: it waits
    /// for the network.
    ///
    /// # Errors
    /// As [`migrate`].
    #[expect(clippy::needless_pass_by_value, reason = "a store is opened with its settings, whichever it is")]
    pub fn open(catalog: Arc<Catalog>, settings: PostgresSettings) -> Result<Self, StoreError> {
        let layout = migrate(&settings)?.layout;
        let pool = pool::Pool::new(&settings)?;
        Ok(Self { catalog, layout, pool, places: places::Places::default(), doubts: doubt::Doubts::default() })
    }

    /// How event rows are divided.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

impl Answers for PostgresStore {
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.pool.read(|tx| read_events::page(tx, query))
    }

    fn anomalies(&self, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        self.pool.read(|tx| read_facts::anomalies(tx, query))
    }

    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        self.pool.read(|tx| read_letters::dead_letters(tx, query))
    }

    fn windows(&self, query: &WindowQuery) -> Result<WindowPage, StoreError> {
        self.pool.read(|tx| read_windows::page(tx, query))
    }

    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, StoreError> {
        self.pool.read(|tx| read_outbox::alerts(tx, query))
    }

    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, StoreError> {
        self.pool.read(|tx| summary::summary(tx, stream, tenant, since))
    }
}

impl Store for PostgresStore {
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let Self { catalog, layout, pool, places, doubts } = self;
        commit::Committer { catalog, layout: *layout, places, doubts, pool }.commit(commit)
    }

    fn claim(&self, consumer: &str, owner: u64, partitions: &[(String, u32)]) -> Result<(), StoreError> {
        claim::claim(&self.pool, consumer, owner, partitions)
    }

    fn positions(&self, consumer: &str) -> Result<Vec<StoredPosition>, StoreError> {
        self.pool.read(|tx| read_facts::positions(tx, consumer))
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.pool.read(read_facts::snapshots)
    }

    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
        self.pool.read(|tx| read_outbox::due(tx, now, limit))
    }

    fn expire(&self, stream: &str, before: Millis) -> Result<u64, StoreError> {
        expire::expire(&self.pool, stream, before)
    }

    fn scan(&self, stream: &str, each: ScanFn<'_>) -> Result<(), StoreError> {
        self.pool.read(|tx| read_events::scan(tx, stream, each))
    }
}
