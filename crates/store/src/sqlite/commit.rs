//! One commit: begin, check and move the positions, add the rows, add what processing found, commit; then a step of
//! preparing chunks.

use event::{Block, Catalog, Millis};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::chunks::{self, Chunk};
use super::numbers::Numbers;
use super::values::{id_hash, payload, text, to_sql};
use super::{SqliteSettings, schema, tenants, write_facts, write_letters, write_windows};
use crate::{Commit, StoreError};

/// Writes everything of a commit, or nothing.
pub(super) fn commit(
    conn: &mut Connection,
    catalog: &Catalog,
    settings: &SqliteSettings,
    commit: &Commit<'_>,
) -> Result<(), StoreError> {
    // A transaction that is dropped rolls back: every `?` below leaves nothing behind.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let now = chunks::now(&tx)?;
    let mut numbers = Numbers::new(&tx, catalog);
    move_positions(&tx, &mut numbers, commit)?;
    let retracted = write_facts::retract(&tx, &mut numbers, commit.retract)?;
    let rows = add_rows(&tx, &mut numbers, settings, commit.blocks, now)?;
    let new = write_facts::add_anomalies(&tx, &mut numbers, &retracted, commit.anomalies, now)?;
    write_facts::add_alerts(&tx, &mut numbers, &new, commit.alerts, now)?;
    write_letters::add(&tx, &mut numbers, commit.dead_letters, now)?;
    write_letters::change(&tx, &mut numbers, commit.letter_changes, now)?;
    write_windows::merge(&tx, &mut numbers, &retracted, commit.windows, now)?;
    write_windows::add_late(&tx, &mut numbers, commit.late, now)?;
    replace_snapshots(&tx, &mut numbers, commit)?;
    write_facts::note_deliveries(&tx, commit.deliveries)?;
    tx.commit()?;

    // The commit stands, so trouble here must not look like its failure: the step is tried again after the next one.
    if let Err(error) = prepare(conn, settings, rows) {
        tracing::warn!(%error, "indexing a chunk failed; it will be tried again");
    }
    Ok(())
}

/// One step after a commit of usual size. After a large one as many as its rows will cause, twice over, so that no
/// backlog of indexes grows.
fn prepare(conn: &mut Connection, settings: &SqliteSettings, rows: u64) -> Result<(), StoreError> {
    let steps = 1 + rows * 2 * schema::INDEX_STEPS as u64 / settings.chunk_rows;
    let calm = rows < settings.chunk_rows / 64;
    for _ in 0..steps {
        if !chunks::prepare_one(conn, settings, calm)? {
            break;
        }
    }
    Ok(())
}

fn move_positions(tx: &Transaction<'_>, numbers: &mut Numbers<'_>, commit: &Commit<'_>) -> Result<(), StoreError> {
    for step in &commit.moves {
        let (from, stream) = (step.from, numbers.stream_of(step.from.stream)?);
        if step.to < from.offset {
            return Err(StoreError::Refused(format!("a position moves back from {} to {}", from.offset, step.to)));
        }
        let found: Option<i64> = tx
            .prepare_cached("SELECT next FROM positions WHERE consumer = ?1 AND stream = ?2 AND part = ?3")?
            .query_row(params![commit.consumer, stream, from.partition], |row| row.get(0))
            .optional()?;
        // No position yet: the log may begin anywhere, its oldest records may be gone already.
        if let Some(found) = found.map(|n| n as u64).filter(|n| *n != from.offset) {
            return Err(StoreError::Fenced {
                stream: numbers.catalog.get(from.stream).name.clone(),
                partition: from.partition,
                found,
                expected: from.offset,
            });
        }
        tx.prepare_cached("INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            commit.consumer,
            stream,
            from.partition,
            to_sql(step.to)?
        ])?;
    }
    Ok(())
}

/// Adds the records of all blocks to the active chunks of their streams; gives how many there were.
fn add_rows(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    settings: &SqliteSettings,
    blocks: &[Block],
    now: Millis,
) -> Result<u64, StoreError> {
    let mut filling: Vec<Chunk> = Vec::new();
    let mut rows = 0;
    for block in blocks {
        let stream = numbers.stream_of(block.stream)?;
        to_sql(block.next_offset())?;
        let mut rest = block.clone();
        while !rest.is_empty() {
            let mut chunk = match filling.iter().position(|c| c.stream == stream) {
                Some(at) => filling.swap_remove(at),
                None => chunk_with_room(tx, numbers, settings, stream, &rest, now)?,
            };
            let room = settings.chunk_rows.saturating_sub(chunk.rows);
            let fits = rest.clone().until_offset(rest.first_offset() + room);
            let taken = insert_rows(tx, numbers, &mut chunk, &fits, now)?;
            rows += taken;
            rest = rest.from_offset(fits.first_offset() + taken);
            if chunk.rows >= settings.chunk_rows || taken < fits.len() as u64 {
                chunks::save(tx, &chunk, true)?;
            } else {
                filling.push(chunk);
            }
        }
    }
    filling.iter().try_for_each(|chunk| chunks::save(tx, chunk, false))?;
    Ok(rows)
}

/// The active chunk of a stream. One that is too old is sealed as it is: retention drops whole chunks, so none may span
/// more time than that, however slow its stream. A new one is such that it takes the first row of `rows`.
fn chunk_with_room(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    settings: &SqliteSettings,
    stream: i64,
    rows: &Block,
    now: Millis,
) -> Result<Chunk, StoreError> {
    if let Some(first) = rows.records().next() {
        numbers.tenant(first.tenant())?;
    }
    let Some(chunk) = chunks::active(tx, stream)? else { return chunks::create(tx, stream, now) };
    let too_old = chunk.created < now.saturating_sub(settings.chunk_age_ms);
    if !too_old && chunk.rows < settings.chunk_rows {
        return Ok(chunk);
    }
    chunks::save(tx, &chunk, true)?;
    chunks::create(tx, stream, now)
}

/// The hot loop: one row, eight bindings, no allocation of ours. What a block shares is bound once. Gives how many rows
/// the chunk took: one without tenants stops before the first row of any but the default one.
fn insert_rows(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    chunk: &mut Chunk,
    block: &Block,
    now: Millis,
) -> Result<u64, StoreError> {
    let mut insert = tx.prepare_cached(&schema::insert_row(chunk.n, chunk.tenants))?;
    insert.raw_bind_parameter(1, block.partition)?;
    insert.raw_bind_parameter(2, block.appended_at)?;
    insert.raw_bind_parameter(3, now)?;
    insert.raw_bind_parameter(10, None::<&[u8]>)?;
    let (mut headers_bound, mut tenant_bound, mut taken) = (false, &b""[..], 0);
    if chunk.tenants {
        insert.raw_bind_parameter(12, tenants::DEFAULT)?;
    }
    for record in block.records() {
        if headers_bound || !record.headers.is_empty() {
            // A tenant is told by a header. The rows of a request follow each other, so it seldom changes.
            if record.tenant() != tenant_bound {
                if !chunk.tenants {
                    break;
                }
                tenant_bound = record.tenant();
                insert.raw_bind_parameter(12, numbers.tenant(tenant_bound)?)?;
            }
            headers_bound = !record.headers.is_empty();
            insert.raw_bind_parameter(10, headers_bound.then_some(record.headers))?;
        }
        insert.raw_bind_parameter(4, record.offset as i64)?;
        insert.raw_bind_parameter(5, record.time)?;
        insert.raw_bind_parameter(6, text(record.key))?;
        insert.raw_bind_parameter(7, text(record.kind))?;
        insert.raw_bind_parameter(8, text(record.id))?;
        insert.raw_bind_parameter(9, id_hash(record.id))?;
        insert.raw_bind_parameter(11, payload(record.data))?;
        insert.raw_execute()?;
        chunk.first_time = chunk.first_time.min(record.time);
        chunk.last_time = chunk.last_time.max(record.time);
        taken += 1;
    }
    if taken > 0 {
        chunk.rows += taken;
        chunk.first_received = chunk.first_received.min(block.appended_at);
        chunk.last_received = chunk.last_received.max(block.appended_at);
    }
    Ok(taken)
}

fn replace_snapshots(tx: &Transaction<'_>, numbers: &mut Numbers<'_>, commit: &Commit<'_>) -> Result<(), StoreError> {
    for snapshot in commit.snapshots {
        let position = &snapshot.position;
        let stream = numbers.stream(&position.stream)?;
        tx.prepare_cached("INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            stream,
            position.partition,
            to_sql(position.offset)?,
            snapshot.state
        ])?;
    }
    Ok(())
}
