//! Opening: is the file ours, which version, the settings of each connection, and the pool of readers.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};

use super::values::to_sql;
use super::{SqliteSettings, schema, upgrade};
use crate::StoreError;

/// Prepared statements that a connection keeps: about twenty-five for a commit, the rest for queries over chunks.
const STATEMENTS: usize = 128;

/// Opens the connection that commits; creates the file and its tables when there are none.
pub(super) fn writer(path: &Path, settings: &SqliteSettings) -> Result<Connection, StoreError> {
    let mut conn = Connection::open(path).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    conn.busy_timeout(Duration::from_millis(settings.busy_timeout_ms))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before anything is written: a file of somebody else stays as it is.
    let version = check_ours(&conn, path)?;
    if version == 0 {
        conn.pragma_update(None, "page_size", settings.page_bytes)?;
    }
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let path = path.display();
        return Err(StoreError::Unavailable(format!(
            "{path}: SQLite cannot use write-ahead logging here (got `{mode}`)"
        )));
    }
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    // Building an index sorts in memory (12 MiB for a chunk): temporary files would compete for the disk.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -(settings.writer_cache_kib as i64))?;
    // The checkpointer's work; this is the net below it.
    let pages = settings.checkpoint_bytes / u64::from(settings.page_bytes.max(1));
    conn.pragma_update(None, "wal_autocheckpoint", to_sql((pages * 16).max(1))?)?;
    conn.pragma_update(None, "journal_size_limit", to_sql(settings.checkpoint_bytes * 4)?)?;
    if version == 0 {
        let tx = conn.transaction()?;
        for part in schema::ALL {
            tx.execute_batch(part)?;
        }
        tx.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", schema::VERSION)?;
        tx.commit()?;
    } else if version < schema::VERSION {
        tracing::info!(path = %path.display(), from = version, to = schema::VERSION, "the store's tables are upgraded");
        upgrade::upgrade(&mut conn, version)?;
    }
    Ok(conn)
}

/// The version of its tables, 0 when the file is empty. An error when it is of another program or of a newer version.
fn check_ours(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let read = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let foreign = || StoreError::Incompatible(format!("{} is not a store of Millstream", path.display()));
    let tables = read("SELECT count(*) FROM sqlite_schema").map_err(|e| match e.into() {
        StoreError::Incompatible(_) => foreign(),
        other => other,
    })?;
    let (application, version) = (read("PRAGMA application_id")?, read("PRAGMA user_version")?);
    match (application, version) {
        (0, 0) if tables == 0 => Ok(0),
        (schema::APPLICATION_ID, known @ 1..=schema::VERSION) => Ok(known),
        (schema::APPLICATION_ID, newer) => Err(StoreError::Incompatible(format!(
            "{} was made by a newer version: its tables are of version {newer}, this program knows {}",
            path.display(),
            schema::VERSION
        ))),
        _ => Err(foreign()),
    }
}

/// Read-only connections, opened when first needed, at most `max` at a time: one more caller waits.
pub(super) struct Readers {
    path: PathBuf,
    max: usize,
    cache_kib: u32,
    busy_timeout: Duration,
    state: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    lent: usize,
}

impl Readers {
    pub(super) fn new(path: &Path, settings: &SqliteSettings) -> Self {
        Self {
            path: path.to_owned(),
            max: settings.readers.max(1),
            cache_kib: settings.reader_cache_kib,
            busy_timeout: Duration::from_millis(settings.busy_timeout_ms),
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Runs a question in a read transaction: all its statements see the store as of one commit.
    pub(super) fn read<T>(
        &self,
        question: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut lent = self.lend()?;
        let Some(conn) = lent.conn.as_mut() else {
            return Err(StoreError::Unavailable("no connection".to_owned()));
        };
        question(&conn.transaction()?)
    }

    fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let mut pool = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while pool.lent >= self.max {
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.lent += 1;
        let idle = pool.idle.pop();
        drop(pool);
        // From here on the guard gives the place back, whatever happens.
        let mut lent = Lent { readers: self, conn: idle };
        if lent.conn.is_none() {
            lent.conn = Some(self.open()?);
        }
        Ok(lent)
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let conn = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        conn.busy_timeout(self.busy_timeout)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        conn.pragma_update(None, "cache_size", -i64::from(self.cache_kib))?;
        Ok(conn)
    }
}

/// A connection on loan; goes back when dropped.
struct Lent<'a> {
    readers: &'a Readers,
    conn: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.state.lock().unwrap_or_else(PoisonError::into_inner);
        pool.lent -= 1;
        pool.idle.extend(self.conn.take());
        drop(pool);
        self.readers.returned.notify_one();
    }
}
