//! Chunk tables: one holds the rows of one stream until it is full, then the next one begins. Loaded bare, prepared
//! (indexed, counted) step by step afterwards, dropped as a whole.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use event::Millis;

use super::{SqliteSettings, schema, tenants};
use crate::StoreError;

/// Steps taken at most when the store is not busy.
pub(super) const STEPS_IDLE: usize = 8;
/// Chunk tables in the view `events`, newest first: SQLite takes at most 500 in one SELECT.
const VIEW_CHUNKS: usize = 400;

/// A row of the table `chunks`.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) n: i64,
    pub(super) stream: i64,
    pub(super) created: Millis,
    pub(super) rows: u64,
    pub(super) first_time: Millis,
    pub(super) last_time: Millis,
    pub(super) first_received: Millis,
    pub(super) last_received: Millis,
    pub(super) prepared: usize,
    /// Whether it has a column for the tenant; if not, all rows are the default tenant's.
    pub(super) tenants: bool,
}

impl Chunk {
    const COLUMNS: &'static str =
        "n, stream, created, rows, first_time, last_time, first_received, last_received, prepared, tenants";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            n: row.get(0)?,
            stream: row.get(1)?,
            created: row.get(2)?,
            rows: row.get::<_, i64>(3)? as u64,
            first_time: row.get(4)?,
            last_time: row.get(5)?,
            first_received: row.get(6)?,
            last_received: row.get(7)?,
            prepared: row.get::<_, i64>(8)? as usize,
            tenants: row.get(9)?,
        })
    }

    /// Whether it can be asked by index.
    pub(super) fn is_indexed(&self) -> bool {
        self.prepared >= schema::INDEX_STEPS
    }

    /// Whether its values are counted in `chunk_counts`, unless there are too many of them.
    pub(super) fn is_counted(&self) -> bool {
        self.prepared >= schema::STEPS
    }
}

/// The chunks of one stream, or of all, oldest first.
pub(super) fn list(conn: &Connection, stream: Option<i64>) -> Result<Vec<Chunk>, StoreError> {
    let columns = Chunk::COLUMNS;
    let sql = format!("SELECT {columns} FROM chunks WHERE ?1 IS NULL OR stream = ?1 ORDER BY n");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([stream], Chunk::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The chunk of a stream that still takes rows.
pub(super) fn active(tx: &Transaction<'_>, stream: i64) -> Result<Option<Chunk>, StoreError> {
    let columns = Chunk::COLUMNS;
    let sql = format!("SELECT {columns} FROM chunks WHERE stream = ?1 AND sealed = 0");
    Ok(tx.prepare_cached(&sql)?.query_row([stream], Chunk::from_row).optional()?)
}

/// Begins a new chunk: one with tenants as soon as the file knows any but the default one.
pub(super) fn create(tx: &Transaction<'_>, stream: i64, now: Millis) -> Result<Chunk, StoreError> {
    let tenants = tenants::any(tx)?;
    tx.prepare_cached("INSERT INTO chunks VALUES (NULL, ?1, ?2, 0, ?3, ?4, ?3, ?4, 0, 0, ?5)")?.execute(params![
        stream,
        now,
        i64::MAX,
        i64::MIN,
        tenants
    ])?;
    let n = tx.last_insert_rowid();
    tx.execute_batch(&schema::chunk_table(n, tenants))?;
    refresh_view(tx)?;
    Ok(Chunk {
        n,
        stream,
        created: now,
        rows: 0,
        first_time: i64::MAX,
        last_time: i64::MIN,
        first_received: i64::MAX,
        last_received: i64::MIN,
        prepared: 0,
        tenants,
    })
}

/// Writes down what a chunk holds now, and whether it takes more.
pub(super) fn save(tx: &Transaction<'_>, chunk: &Chunk, sealed: bool) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE chunks SET rows = ?2, first_time = ?3, last_time = ?4, first_received = ?5, last_received = ?6,
         sealed = ?7 WHERE n = ?1",
    )?
    .execute(params![
        chunk.n,
        chunk.rows as i64,
        chunk.first_time,
        chunk.last_time,
        chunk.first_received,
        chunk.last_received,
        sealed,
    ])?;
    Ok(())
}

/// Takes the next step that waits, in a transaction of its own, so that a pause is as short as one index; `false` when
/// there was none. Indexes come first: of sealed chunks, and of those that fill slowly. Then, `counting` allowed, the
/// counts of sealed chunks: they only make answers faster, so they are left to calm moments.
pub(super) fn prepare_one(conn: &mut Connection, settings: &SqliteSettings, calm: bool) -> Result<bool, StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = now(&tx)?.saturating_sub(settings.index_after_ms);
    let upto = if calm { schema::STEPS } else { schema::INDEX_STEPS };
    let sql = "SELECT n, prepared, tenants FROM chunks WHERE prepared < 5
         AND ((sealed AND prepared < ?2) OR (NOT sealed AND prepared < 3 AND created <= ?1))
         ORDER BY prepared >= 2, prepared >= 3, n LIMIT 1";
    let next: Option<(i64, i64, bool)> = tx
        .prepare_cached(sql)?
        .query_row(params![before, upto as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((n, step, tenants)) = next else { return Ok(false) };
    tx.execute_batch(&schema::prepare_step(n, tenants, step as usize))?;
    tx.prepare_cached("UPDATE chunks SET prepared = prepared + 1 WHERE n = ?1")?.execute([n])?;
    tx.commit()?;
    Ok(true)
}

/// Drops the oldest chunk of a stream whose rows were all received before `before`; gives its rows, `None` when there
/// is none. Its pages go to the file's list of free pages, from which new rows take theirs.
pub(super) fn drop_one(conn: &mut Connection, stream: &str, before: Millis) -> Result<Option<u64>, StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT n, rows FROM chunks WHERE stream = (SELECT id FROM streams WHERE name = ?1)
         AND last_received < ?2 ORDER BY n LIMIT 1";
    let oldest: Option<(i64, i64)> =
        tx.prepare_cached(sql)?.query_row(params![stream, before], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((n, rows)) = oldest else { return Ok(None) };
    tx.execute("DELETE FROM chunks WHERE n = ?1", [n])?;
    tx.execute("DELETE FROM chunk_counts WHERE chunk = ?1", [n])?;
    refresh_view(&tx)?;
    tx.execute_batch(&format!("DROP TABLE events_{n}"))?;
    tx.commit()?;
    Ok(Some(rows as u64))
}

/// The database's own clock, asked once a commit: no clock has to be passed in, and PostgreSQL has one as well.
pub(super) fn now(conn: &Connection) -> Result<Millis, StoreError> {
    let sql = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
    Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Lays the view `events` over the chunk tables as they are now, for people with a SQL shell.
pub(super) fn refresh_view(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT n, name, tenants FROM chunks JOIN streams ON streams.id = chunks.stream ORDER BY n DESC LIMIT ?1",
    )?;
    let chunks = statement.query_map([VIEW_CHUNKS as i64], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
    })?;
    let mut selects = Vec::new();
    for chunk in chunks {
        let (n, name, tenants) = chunk?;
        let tenant = if tenants { "(SELECT name FROM tenants WHERE tenants.id = tenant)" } else { "''" };
        // A stream's name has no quotes: `event::Catalog` sees to that.
        selects.push(format!(
            "SELECT '{}' AS stream, {tenant} AS tenant, part, off, time, received, stored, key, type, id, data, headers
             FROM events_{n}",
            name.replace('\'', "''")
        ));
    }
    tx.execute_batch("DROP VIEW events")?;
    if selects.is_empty() {
        tx.execute_batch(schema::EMPTY_VIEW)?;
    } else {
        tx.execute_batch(&format!("CREATE VIEW events AS {}", selects.join("\nUNION ALL ")))?;
    }
    Ok(())
}
