//! What goes with age: tables of a stream's old days as a whole, and what was derived from it, a thousand rows a turn, so
//! that no commit waits long.
//!
//! On a stock PostgreSQL a table holds one day of one stream. A chunk of TimescaleDB holds a day of all streams: when no
//! other stream has rows in it, it goes as a whole; else the stream's rows are deleted, once the whole day is old. Rows are
//! not deleted minute by minute as they grow old: that would write each one twice.

use event::Millis;

use super::counts;
use super::fault::Fault;
use super::pool::{Pool, Tx};
use super::read_facts::tenants_of;
use super::read_windows::definitions;
use super::text;
use crate::StoreError;

/// Rows that one turn drops at the most.
const TURN: i64 = 1_000;

/// How long a drop waits for those who read the table; meanwhile whoever comes after waits too.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// A table with rows of some time of receipt.
struct Leaf {
    name: String,
    first: Millis,
    behind: Millis,
}

/// Drops what is older; gives the event rows dropped.
pub(super) fn expire(pool: &Pool, stream: &str, before: Millis) -> Result<u64, StoreError> {
    let stream = text::to_text(stream.as_bytes());
    let mut dropped = 0;
    if pool.read(is_hypertable)? {
        for chunk in pool.read(|tx| chunks(tx, before))? {
            dropped += expire_chunk(pool, &stream, &chunk)?;
        }
    } else {
        for leaf in pool.read(|tx| leaves(tx, &stream, before))? {
            dropped += pool.write(|tx| drop_leaf(tx, &stream, &leaf))?;
        }
    }
    for sql in facts() {
        while pool.write(|tx| tx.execute(&sql, &[&stream, &before, &TURN]))? == TURN as u64 {}
    }
    for table in ["windows", "late_events"] {
        while pool.write(|tx| drop_windows(tx, table, &stream, before))? {}
    }
    Ok(dropped)
}

fn is_hypertable(tx: &mut Tx<'_>) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM millstream_settings WHERE name = 'layout' AND value = 'timescale')";
    Ok(tx.query_one(sql, &[])?.try_get(0)?)
}

/// The tables of a stream whose days ended before.
fn leaves(tx: &mut Tx<'_>, stream: &str, before: Millis) -> Result<Vec<Leaf>, Fault> {
    let sql = r"SELECT * FROM (
           SELECT leaf.oid::regclass::text AS name,
             (regexp_match(pg_get_expr(leaf.relpartbound, leaf.oid), 'TO \(''?(-?\d+)''?\)'))[1]::bigint AS behind
           FROM pg_inherits AS b JOIN pg_class AS branch ON branch.oid = b.inhrelid
           JOIN pg_inherits AS l ON l.inhparent = branch.oid JOIN pg_class AS leaf ON leaf.oid = l.inhrelid
           WHERE b.inhparent = 'events'::regclass
             AND pg_get_expr(branch.relpartbound, branch.oid) = format('FOR VALUES IN (%L)', $1::text)) AS leaves
         WHERE behind <= $2 ORDER BY behind";
    let leaf = |row: &postgres::Row| {
        let behind = row.try_get(1)?;
        Ok(Leaf { name: row.try_get(0)?, first: Millis::MIN, behind })
    };
    tx.query(sql, &[&stream, &before])?.iter().map(leaf).collect()
}

fn drop_leaf(tx: &mut Tx<'_>, stream: &str, leaf: &Leaf) -> Result<u64, Fault> {
    let rows: i64 = tx.query_one(&format!("SELECT count(*) FROM {}", leaf.name), &[])?.try_get(0)?;
    tx.batch(&format!("{PATIENCE}; DROP TABLE {}", leaf.name))?;
    counts::forget(tx, stream, leaf.first, leaf.behind)?;
    Ok(rows as u64)
}

/// The chunks of all streams whose days ended before.
fn chunks(tx: &mut Tx<'_>, before: Millis) -> Result<Vec<Leaf>, Fault> {
    let sql = "SELECT format('%I.%I', chunk_schema, chunk_name), range_start_integer, range_end_integer
         FROM timescaledb_information.chunks
         WHERE hypertable_schema = current_schema() AND hypertable_name = 'events' AND range_end_integer <= $1
         ORDER BY range_end_integer";
    let chunk =
        |row: &postgres::Row| Ok(Leaf { name: row.try_get(0)?, first: row.try_get(1)?, behind: row.try_get(2)? });
    tx.query(sql, &[&before])?.iter().map(chunk).collect()
}

fn expire_chunk(pool: &Pool, stream: &str, chunk: &Leaf) -> Result<u64, StoreError> {
    let (own, others) = pool.read(|tx| {
        let any = |tx: &mut Tx<'_>, compare: &str| -> Result<bool, Fault> {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE stream {compare} $1)", chunk.name);
            Ok(tx.query_one(&sql, &[&stream])?.try_get(0)?)
        };
        Ok((any(tx, "=")?, any(tx, "<")? || any(tx, ">")?))
    })?;
    if !own {
        return Ok(0);
    }
    pool.write(|tx| {
        let rows = if others { delete_from(tx, stream, chunk)? } else { drop_chunk(tx, chunk)? };
        counts::forget(tx, stream, chunk.first, chunk.behind)?;
        Ok(rows)
    })
}

/// Deletes a stream's rows of a chunk: one day of one stream is one step.
fn delete_from(tx: &mut Tx<'_>, stream: &str, chunk: &Leaf) -> Result<u64, Fault> {
    tx.batch("SET LOCAL statement_timeout = 0")?;
    let sql = "DELETE FROM events WHERE stream = $1 AND received_at >= $2 AND received_at < $3";
    tx.execute(sql, &[&stream, &chunk.first, &chunk.behind])
}

fn drop_chunk(tx: &mut Tx<'_>, chunk: &Leaf) -> Result<u64, Fault> {
    let rows: i64 = tx.query_one(&format!("SELECT count(*) FROM {}", chunk.name), &[])?.try_get(0)?;
    let (first, behind) = (chunk.first, chunk.behind);
    tx.batch(&format!(
        "{PATIENCE}; SELECT drop_chunks('events', older_than => {behind}::bigint, newer_than => ({first})::bigint)"
    ))?;
    Ok(rows as u64)
}

/// Drops a turn of what is neither a window nor its count of late events, by stream, time and rows. A letter belongs to
/// the stream whose log holds its record.
fn facts() -> [String; 4] {
    let turn =
        |table: &str, of: &str| format!("DELETE FROM {table} WHERE n IN (SELECT n FROM {table} WHERE {of} LIMIT $3)");
    let tenants = |table: &str| format!("tenant IN ({})", tenants_of(table));
    [
        turn("anomaly", &format!("stream = $1 AND {} AND received_at < $2", tenants("anomaly"))),
        turn("outbox", "stream = $1 AND done_at < $2"),
        "DELETE FROM batch_stats WHERE (minute, stream, partition) IN (SELECT minute, stream, partition FROM batch_stats
           WHERE stream = $1 AND minute < $2::bigint / 60000 LIMIT $3)"
            .to_owned(),
        turn(
            "dead_letter",
            &format!(
                "{} AND status IN ('resolved', 'discarded') AND home = $1 AND changed < $2",
                tenants("dead_letter")
            ),
        ),
    ]
}

/// Drops a turn of windows (or counts of late events) that ended before, and have not changed since: one whose events are
/// old, but came today, stays as long as they do. With a window goes what waits to be told of it. `false` when that was the
/// last turn.
fn drop_windows(tx: &mut Tx<'_>, table: &str, stream: &str, before: Millis) -> Result<bool, Fault> {
    // Asked once more where it is deleted: a commit may have changed the row while this waited for it.
    let sql = format!(
        "{}, old AS (
           SELECT o.n FROM (SELECT * FROM d WHERE stream = $1) AS d CROSS JOIN LATERAL (
             SELECT t.n FROM {table} AS t WHERE t.tenant = d.tenant AND t.stream = d.stream AND t.name = d.name
               AND t.size = d.size AND t.start_at < $2 AND t.end_at < $2 AND t.updated < $2
             ORDER BY t.start_at LIMIT $3) AS o LIMIT $3)
         DELETE FROM {table} AS t USING old WHERE t.n = old.n AND t.end_at < $2 AND t.updated < $2 RETURNING t.n",
        definitions(table, "true")
    );
    let rows = tx.query(&sql, &[&stream, &before, &TURN])?;
    if table == "windows" && !rows.is_empty() {
        let gone = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        tx.execute("DELETE FROM outbox WHERE window_n = ANY ($1)", &[&gone])?;
    }
    Ok(rows.len() as i64 == TURN)
}
