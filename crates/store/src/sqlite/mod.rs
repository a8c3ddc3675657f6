//! The store on SQLite: one file, one connection that commits, a few that answer questions.
//!
//! # A commit
//!
//! Rows, anomalies, dead letters, windows, the outbox, rule state and positions go into one transaction. The file is in
//! write-ahead mode with `synchronous = NORMAL`: a killed process loses nothing, and a power cut may lose the newest
//! commits, but never a part of one, and never the file. That is enough, because the log is truth and is fsynced before
//! anybody is told so: the positions go back together with the rows, and the engine reads the log again from there.
//! `FULL` would pay an fsync a commit for nothing; `OFF` would risk the file.
//!
//! # Chunks
//!
//! Event rows go into chunk tables, one after the other for each stream. A table has no index while it is loaded:
//! keeping indexes in order row by row takes nine times as long as the load itself. When it is full it is sealed, and
//! after each of the next commits one index is built ((key, time), then (type, time)), so that a pause is as short as
//! one index. The index on the id's hash waits for a calm moment, or for housekeeping: until then a look-up by id reads
//! the chunk.
//! A chunk of a slow stream gets its indexes after ten seconds and keeps them while it fills: then a question never
//! reads more than one bare chunk, and that one only while rows pour in. How often each type and key occurs in a sealed
//! chunk is counted when the store has little to do. Retention drops tables; their pages are used again.
//!
//! The write-ahead log is copied into the file by a thread of its own, so that no commit waits for an fsync.
//!
//! # Tenants
//!
//! All tenants of a stream share its chunks. Where there are tenants, every row has its tenant's number and the indexes
//! begin with it, so that a tenant's page reads no row of another; who sees all gets the tenants of a chunk merged. But
//! the number before the key makes the sorting of an index slower, by a tenth of the whole load: a chunk that was begun
//! while there was no tenant but the default one has neither column nor longer index, and a commit of such rows pays
//! nothing. (Partial indexes, one for the default tenant and one for the rest, would read the chunk twice as often.)
//!
//! # Windows
//!
//! A piece of a window is first tried as a new row; where there is one, it is read, merged and written. Pieces are sorted
//! in the order of the table's indexes first, so that a round of many groups goes through them page after page. The
//! measures lie there twice: as bytes, which merge exactly, and as JSON for people. The outbox names a window's row and
//! holds no copy of it: what is told is the result as it is when it is told. An entry that is put in anew has a new
//! number, so that the end of an earlier delivery does not settle it.
//!
//! # Figures
//!
//! `cargo run --release -p store --example load`: 4 M events of 384 bytes with fresh ids, commits of 10 000, on 2 virtual
//! cores that others used as well, and a disk that writes 320 MB/s. The second column depends less on the others: rows
//! for each second that the committing thread was on a core.
//!
//! | | rows/s | rows per second of CPU | commit p50 | p99 | peak memory |
//! |---|---|---|---|---|---|
//! | bare | 580 000 to 740 000 | 1 200 000 | 8 ms | 160 ms | 20 MiB |
//! | with (key, time) and (type, time), as it is (2.5 M events) | 386 000 to 426 000 | 450 000 | 8 ms | 225 ms | 33 MiB |
//! | with the id's index at once too | 350 000 to 370 000 | 420 000 | 8 ms | 300 ms | 34 MiB |
//!
//! The p99 is one index build. What limits a long load is the disk: 540 bytes a row, written twice (write-ahead log,
//! then file), so 320 MB/s carry about 290 000 rows/s once the system's page cache is full of what waits for the disk.
//!
//! What was tried, where the difference was clear: pages of 4, 8, 16 and 32 KiB give 300, 325, 400 and 370 thousand rows
//! per second of CPU; sorting an index in memory rather than in temporary files lifts 320 to 420 thousand rows/s (a
//! second thread that sorts, `PRAGMA threads`, works only with files); the index on the id costs 15 %, and `part, off` in
//! the time indexes 8 % (kept: they give the order of a page without a look at the rows); chunks of 131 072 rows halve
//! the pause at the same rows/s, but double the tables; copying the write-ahead log inside of the commits cost a fifth.
//!
//! Questions over 10 M rows: the newest 50 with their total 15 ms, by type or key 20 ms, by id 13 ms, by a common key and
//! a type together 1 s (the total reads the rows of the key), summary 60 ms where chunks are counted, and about 40 ms
//! more for each chunk that is not.
//!
//! A commit of 100 000 windows with four measures, up to a million of them in the file: 0.5 to 0.7 s (0.5 s of CPU), be
//! they new or merged with rows that are there; 330 bytes a window. A page of 50 windows 0.2 ms.

mod checkpoint;
mod chunks;
mod commit;
mod definitions;
mod expiry;
mod filters;
mod lanes;
pub(crate) mod measures;
mod merge;
mod numbers;
mod open;
mod read_events;
mod read_facts;
mod read_letters;
mod read_outbox;
mod read_windows;
mod schema;
mod summary;
mod tenants;
mod upgrade;
mod values;
pub(crate) mod whole;
mod write_facts;
mod write_letters;
mod write_windows;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use event::{Catalog, Millis, limits};
use rusqlite::Connection;

use crate::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};
use crate::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

/// Bytes that a window takes with its index entries, about.
const WINDOW_BYTES: u64 = 512;

/// What can be set of a [`SqliteStore`]; the defaults are measured, see the module's page.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// Rows after which a chunk is sealed and indexed, at least 1: one index of a chunk is the longest pause of a commit.
    pub chunk_rows: u64,
    /// Age after which a chunk is sealed at the next commit, however few rows it has, in milliseconds: retention drops
    /// whole chunks.
    pub chunk_age_ms: Millis,
    /// Age after which a chunk that is still being filled gets its indexes, in milliseconds: a slow stream is searched
    /// by index, a fast one seals its chunks sooner than that.
    pub index_after_ms: Millis,
    /// Bytes of a page of a new file, a power of two from 512 to 65 536.
    pub page_bytes: u32,
    /// Cache of the connection that commits, in KiB.
    pub writer_cache_kib: u32,
    /// Cache of each connection that reads, in KiB.
    pub reader_cache_kib: u32,
    /// Connections that read, at the most; one more question waits.
    pub readers: usize,
    /// Bytes written after which the write-ahead log is copied into the file. The log of events is on the same disk, and a
    /// sync of it waits for what is being copied: 16 MiB instead of 64 take a third off the chain's p99 (62 to 75 ms became
    /// 38 to 45 ms, at the same events/s) and cost a load without any log 8 %. It may grow to several times that while the
    /// disk is behind, and beyond while a reader holds on to an old state.
    pub checkpoint_bytes: u64,
    /// How long a call waits for another process that holds the file before it gives up with
    /// [`StoreError::Unavailable`], in milliseconds.
    pub busy_timeout_ms: u64,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            chunk_rows: limits::CHUNK_ROWS,
            chunk_age_ms: 24 * 3_600 * 1_000,
            index_after_ms: 10_000,
            page_bytes: 16 << 10,
            writer_cache_kib: 8 << 10,
            reader_cache_kib: 2 << 10,
            readers: 4,
            checkpoint_bytes: 16 << 20,
            busy_timeout_ms: 2_000,
        }
    }
}

/// A store in one SQLite file (with its `-wal` and `-shm` beside it).
pub struct SqliteStore {
    catalog: Arc<Catalog>,
    settings: SqliteSettings,
    // Dropped in this order: the last connection to close tidies the write-ahead log away, which a reader cannot.
    readers: open::Readers,
    checkpointer: checkpoint::Checkpointer,
    writer: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file, and makes it when there is none. Its folder must be there. The catalog gives the names of the
    /// streams that commits speak of by index.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] when the file is of another program or of a newer version (it is left as it is),
    /// [`StoreError::Unavailable`] when it cannot be opened or another process holds it.
    pub fn open(path: &Path, catalog: Arc<Catalog>, settings: SqliteSettings) -> Result<Self, StoreError> {
        if settings.chunk_rows == 0 {
            return Err(StoreError::Refused("a chunk must hold at least one row".to_owned()));
        }
        let writer = Arc::new(Mutex::new(open::writer(path, &settings)?));
        let readers = open::Readers::new(path, &settings);
        let checkpointer = checkpoint::Checkpointer::start(path, Arc::clone(&writer), settings.checkpoint_bytes)?;
        Ok(Self { catalog, settings, readers, checkpointer, writer })
    }

    /// Runs a question over the tables themselves, all as of one commit.
    pub(crate) fn snapshot<T>(
        &self,
        question: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.readers.read(question)
    }

    /// Runs a change on the one connection that writes. A panic elsewhere leaves no half transaction (it rolls back when
    /// dropped), so a poisoned lock is taken as it is.
    fn write<T>(&self, change: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        change(&mut self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Answers for SqliteStore {
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.readers.read(|tx| read_events::page(tx, query))
    }

    fn anomalies(&self, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        self.readers.read(|tx| read_facts::anomalies(tx, query))
    }

    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        self.readers.read(|tx| read_letters::dead_letters(tx, query))
    }

    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, StoreError> {
        self.readers.read(|tx| summary::summary(tx, stream, tenant, since))
    }

    fn windows(&self, query: &WindowQuery) -> Result<WindowPage, StoreError> {
        self.readers.read(|tx| read_windows::page(tx, query))
    }

    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, StoreError> {
        self.readers.read(|tx| read_outbox::alerts(tx, query))
    }
}

impl Store for SqliteStore {
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.write(|conn| commit::commit(conn, &self.catalog, &self.settings, commit))?;
        let bytes: usize = commit.blocks.iter().map(event::Block::weight).sum();
        let states: usize = commit.snapshots.iter().map(|snapshot| snapshot.state.len()).sum();
        let windows = (commit.windows.len() + commit.late.len()) as u64 * WINDOW_BYTES;
        // The indexes are a fifth of the rows, and a commit rewrites a few pages however small it is.
        let few = 4 * u64::from(self.settings.page_bytes);
        self.checkpointer.wrote(bytes as u64 * 6 / 5 + states as u64 + windows + few);
        Ok(())
    }

    fn positions(&self, consumer: &str) -> Result<Vec<StoredPosition>, StoreError> {
        self.readers.read(|tx| read_facts::positions(tx, consumer))
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.readers.read(read_facts::snapshots)
    }

    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
        self.readers.read(|tx| read_outbox::due(tx, now, limit))
    }

    fn expire(&self, stream: &str, before: Millis) -> Result<u64, StoreError> {
        let mut dropped = 0;
        // One chunk a turn, so that a commit waits for one at the most.
        while let Some(rows) = self.write(|conn| chunks::drop_one(conn, stream, before))? {
            dropped += rows;
        }
        for old in self.readers.read(|tx| expiry::find(tx, stream, before))? {
            while self.write(|conn| expiry::drop_some(conn, &old, before))? {}
        }
        // The caller comes by from time to time: a stream that went silent is prepared here.
        for _ in 0..chunks::STEPS_IDLE {
            if !self.write(|conn| chunks::prepare_one(conn, &self.settings, true))? {
                break;
            }
        }
        Ok(dropped)
    }

    fn scan(&self, stream: &str, each: ScanFn<'_>) -> Result<(), StoreError> {
        self.readers.read(|tx| read_events::scan(tx, stream, each))
    }
}
