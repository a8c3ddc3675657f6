//! A page of events: the places of its rows come from [`Merge`], then the payloads of these rows alone are fetched.

use std::collections::HashMap;

use event::Millis;
use rusqlite::{OptionalExtension, Transaction, params};

use super::chunks::{self, Chunk};
use super::merge::Merge;
use super::tenants::{Scope, Whose};
use super::values::{bytes_of, id_hash, string_of};
use crate::query::{EventPage, EventQuery, EventRow, Start};
use crate::{Scanned, StoreError};

/// Payload bytes after which a page ends early, so that a page of the largest events does not fill the memory.
const PAGE_BYTES: usize = 32 << 20;

/// A chunk with its stream's name, and which of its rows are asked for.
pub(super) struct Named {
    pub(super) chunk: Chunk,
    pub(super) whose: Whose,
    pub(super) stream: String,
}

/// Answers an [`EventQuery`].
pub(super) fn page(tx: &Transaction<'_>, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut page = EventPage { total: query.count.then_some(0), ..EventPage::default() };
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(page) };
    let chunks = matching_chunks(tx, query, scope)?;
    if query.count {
        let counts = chunks.iter().map(|named| count(tx, query, named));
        page.total = Some(counts.sum::<Result<u64, _>>()?);
    }
    let mut merge = Merge::new(tx, query, chunks);
    if let Start::Skip(rows) = query.start {
        for _ in 0..rows {
            if merge.next_place()?.is_none() {
                return Ok(page);
            }
        }
    }
    let mut bytes = 0;
    while let Some(place) = merge.next_place()? {
        if page.rows.len() >= query.limit || bytes > PAGE_BYTES {
            page.more = true;
            break;
        }
        let row = fetch(tx, place.chunk, merge.stream_of(place), place.row)?;
        bytes += row.data.len() + row.headers.len();
        page.rows.push(row);
    }
    Ok(page)
}

/// The chunks that may hold rows of the query, by stream name, then oldest first.
fn matching_chunks(tx: &Transaction<'_>, query: &EventQuery, scope: Scope) -> Result<Vec<Named>, StoreError> {
    let (from, to) = time_bounds(query);
    let mut streams = tx.prepare_cached("SELECT id, name FROM streams WHERE ?1 IS NULL OR name = ?1 ORDER BY name")?;
    let streams = streams.query_map([&query.stream], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for stream in streams {
        let (id, name) = stream?;
        let chunks = chunks::list(tx, Some(id))?.into_iter();
        let inside = chunks.filter(|c| c.last_time >= from && c.first_time <= to);
        found.extend(inside.filter_map(|chunk| {
            let whose = scope.within(&chunk)?;
            Some(Named { chunk, whose, stream: name.clone() })
        }));
    }
    Ok(found)
}

/// The first and the last event time of the query.
pub(super) fn time_bounds(query: &EventQuery) -> (Millis, Millis) {
    (query.from.unwrap_or(Millis::MIN), query.to.unwrap_or(Millis::MAX))
}

/// The filters but time as SQL over the parameters `?1` key, `?2` type, `?3` hash of the id, `?4` id. Tenant and one more
/// column lead to the index; the `+` keeps SQLite from taking another one, as it has no statistics to choose by.
pub(super) fn filters(query: &EventQuery, whose: Whose, is_indexed: bool) -> String {
    let mut terms: Vec<String> = Vec::new();
    let by_id = query.id.as_ref().is_some_and(|id| !id.is_empty());
    if query.id.is_some() {
        // Rows without an id have no hash either: nobody asks for them, but the answer must be right.
        terms.push(if by_id { "id_hash = ?3 AND id = ?4" } else { "+id = ?4" }.to_owned());
    }
    let by_column = !by_id && (query.key.is_some() || query.kind.is_some());
    if let Some(term) = whose.term(by_column && is_indexed) {
        terms.push(format!("{}{term}", if by_id { "+" } else { "" }));
    }
    if query.key.is_some() {
        terms.push(if by_id { "+key = ?1" } else { "key = ?1" }.to_owned());
    }
    if query.kind.is_some() {
        terms.push(if by_id || query.key.is_some() { "+type = ?2" } else { "type = ?2" }.to_owned());
    }
    if terms.is_empty() { "1".to_owned() } else { terms.join(" AND ") }
}

fn count(tx: &Transaction<'_>, query: &EventQuery, named: &Named) -> Result<u64, StoreError> {
    let (chunk, whose) = (&named.chunk, named.whose);
    let (from, to) = time_bounds(query);
    let whole = from <= chunk.first_time && chunk.last_time <= to;
    if whole {
        let known = match (&query.id, &query.key, &query.kind) {
            (None, None, None) if !matches!(whose, Whose::One(_)) => Some(chunk.rows),
            (None, None, None) => counted(tx, named, "type", None)?,
            (None, Some(key), None) => counted(tx, named, "key", Some(key))?,
            (None, None, Some(kind)) => counted(tx, named, "type", Some(kind))?,
            _ => None,
        };
        if let Some(rows) = known {
            return Ok(rows);
        }
    }
    let (n, filters) = (chunk.n, filters(query, whose, chunk.is_indexed()));
    let sql = format!("SELECT count(*) FROM events_{n} WHERE {filters} AND time BETWEEN ?5 AND ?6");
    let hash = query.id.as_ref().and_then(|id| id_hash(id.as_bytes()));
    let rows: i64 = tx
        .prepare_cached(&sql)?
        .query_row(params![query.key, query.kind, hash, query.id, from, to], |row| row.get(0))?;
    Ok(rows as u64)
}

/// How many rows of a chunk have this value, or any, when its values were counted at sealing.
fn counted(tx: &Transaction<'_>, named: &Named, what: &str, value: Option<&str>) -> Result<Option<u64>, StoreError> {
    let chunk = &named.chunk;
    let any = "SELECT 1 FROM chunk_counts WHERE chunk = ?1 AND what = ?2";
    if !chunk.is_counted() || !tx.prepare_cached(any)?.exists(params![chunk.n, what])? {
        return Ok(None);
    }
    let one = if value.is_some() { "AND value = ?3" } else { "AND ?3 IS NULL" };
    let whose = named.whose.counts_term();
    let sql =
        format!("SELECT coalesce(sum(rows), 0) FROM chunk_counts WHERE chunk = ?1 AND what = ?2 AND {whose} {one}");
    let rows: i64 = tx.prepare_cached(&sql)?.query_row(params![chunk.n, what, value], |row| row.get(0))?;
    Ok(Some(rows as u64))
}

fn fetch(tx: &Transaction<'_>, n: i64, stream: &str, row_id: i64) -> Result<EventRow, StoreError> {
    let sql = format!(
        "SELECT part, off, time, received, stored, key, type, id, data, headers FROM events_{n} WHERE rowid = ?1"
    );
    let row = tx.prepare_cached(&sql)?.query_row([row_id], |row| {
        Ok(EventRow {
            stream: stream.to_owned(),
            partition: row.get(0)?,
            offset: row.get::<_, i64>(1)? as u64,
            time: row.get(2)?,
            received_at: row.get(3)?,
            stored_at: row.get(4)?,
            key: string_of(row.get_ref(5)?),
            kind: string_of(row.get_ref(6)?),
            id: string_of(row.get_ref(7)?),
            data: bytes_of(row.get_ref(8)?).to_vec(),
            headers: bytes_of(row.get_ref(9)?).to_vec(),
        })
    })?;
    Ok(row)
}

/// Calls `each` for every row of a stream, chunk by chunk in the order of load: one pass over each table.
pub(super) fn scan(tx: &Transaction<'_>, stream: &str, each: crate::ScanFn<'_>) -> Result<(), StoreError> {
    let find = "SELECT id FROM streams WHERE name = ?1";
    let Some(id) = tx.prepare_cached(find)?.query_row([stream], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(());
    };
    let mut names = tx.prepare_cached("SELECT id, name FROM tenants")?;
    let name = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, bytes_of(row.get_ref(1)?).to_vec()));
    let names: HashMap<i64, Vec<u8>> = names.query_map([], name)?.collect::<Result<_, _>>()?;
    for chunk in chunks::list(tx, Some(id))? {
        let sql = format!(
            "SELECT part, off, time, received, key, type, id, data, headers, {} FROM events_{} ORDER BY rowid",
            if chunk.tenants { "tenant" } else { "0" },
            chunk.n
        );
        let mut statement = tx.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record = event::Record {
                offset: row.get::<_, i64>(1)? as u64,
                time: row.get(2)?,
                received_at: row.get(3)?,
                key: bytes_of(row.get_ref(4)?),
                kind: bytes_of(row.get_ref(5)?),
                id: bytes_of(row.get_ref(6)?),
                data: bytes_of(row.get_ref(7)?),
                headers: bytes_of(row.get_ref(8)?),
            };
            let number: i64 = row.get(9)?;
            let unknown = || StoreError::Refused(format!("tenant {number} of events_{} has no name", chunk.n));
            let tenant = names.get(&number).ok_or_else(unknown)?;
            if each(&Scanned { partition: row.get(0)?, tenant, record }).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
