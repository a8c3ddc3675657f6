//! Chunks merged by time: every chunk gives the places of its rows in order, by index, and the earliest one is next.
//!
//! A source asks its chunk for a bounded run of places at a time and continues after the last one. So memory does not
//! depend on how far in a page lies, and no statement stays open.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::{Transaction, params};

use super::chunks::Chunk;
use super::read_events::{Named, filters, time_bounds};
use super::values::id_hash;
use crate::StoreError;
use crate::query::{EventQuery, Order, Start};

/// Places that a source takes from an index at once.
const RUN: usize = 1_024;
/// Types up to which an unfiltered page merges the runs of each type; with more, the chunk is read and sorted.
const KINDS_MERGED: usize = 32;

/// Where a row stands in the order: time, rank of its stream's name, partition, offset. When the order is descending,
/// every part is turned around (`!`), so that less comes first either way.
type Rank = (i64, i64, i64, i64);

/// Where a row is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) chunk: i64,
    pub(super) row: i64,
    stream: usize,
}

/// The rows that the filters let through, of all chunks, in order.
pub(super) struct Merge<'a> {
    tx: &'a Transaction<'a>,
    query: &'a EventQuery,
    filters: String,
    /// The names of the streams, in order: a stream's rank is its index here.
    streams: Vec<String>,
    /// Chunks that the merge has not come to yet, with the rank of their stream; the last one starts first.
    waiting: Vec<(Chunk, usize)>,
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(Rank, usize)>>,
    /// How many rows may still be asked for: no source needs to give more at once.
    wanted: usize,
}

/// The rows of one chunk, or of one type in it.
struct Source {
    chunk: i64,
    stream: usize,
    sql: String,
    kind: Option<String>,
    /// Whether a run is taken from an index; if not, the chunk is read and sorted for each, so it had better be long.
    by_index: bool,
    run: VecDeque<(Rank, i64)>,
    /// The time, partition and offset behind which the next run starts; `None` when there is none.
    after: Option<(i64, i64, i64)>,
}

impl<'a> Merge<'a> {
    /// Begins at the query's cursor. The chunks come by stream name.
    pub(super) fn new(tx: &'a Transaction<'a>, query: &'a EventQuery, chunks: Vec<Named>) -> Self {
        let mut streams: Vec<String> = Vec::new();
        let mut waiting = Vec::with_capacity(chunks.len());
        for named in chunks {
            if streams.last() != Some(&named.stream) {
                streams.push(named.stream);
            }
            waiting.push((named.chunk, streams.len() - 1));
        }
        let flip = flip(query.order);
        waiting.sort_by_key(|(chunk, _)| Reverse(begin(flip, chunk)));
        let skip = if let Start::Skip(rows) = query.start { rows as usize } else { 0 };
        let wanted = skip.saturating_add(query.limit).saturating_add(1);
        let (sources, heads) = (Vec::new(), BinaryHeap::new());
        Self { tx, query, filters: filters(query), streams, waiting, sources, heads, wanted }
    }

    /// The name of the stream of a place.
    pub(super) fn stream_of(&self, place: Place) -> &str {
        &self.streams[place.stream]
    }

    /// The next row's place.
    pub(super) fn next_place(&mut self) -> Result<Option<Place>, StoreError> {
        self.open_chunks()?;
        let Some(Reverse((_, at))) = self.heads.pop() else { return Ok(None) };
        self.wanted = self.wanted.saturating_sub(1).max(1);
        let source = &mut self.sources[at];
        let Some((_, row)) = source.run.pop_front() else { return Ok(None) };
        let place = Place { chunk: source.chunk, row, stream: source.stream };
        self.push_head(at)?;
        Ok(Some(place))
    }

    /// Opens every waiting chunk that may hold a row before the head, and the next ones while there is no head.
    fn open_chunks(&mut self) -> Result<(), StoreError> {
        let flip = flip(self.query.order);
        while let Some((chunk, _)) = self.waiting.last() {
            let head = self.heads.peek().map(|Reverse((rank, _))| rank.0);
            if head.is_some_and(|time| begin(flip, chunk) > time) {
                break;
            }
            let Some((chunk, stream)) = self.waiting.pop() else { break };
            for kind in self.kinds(&chunk)? {
                let source = self.source(&chunk, stream, kind);
                self.sources.push(source);
                self.push_head(self.sources.len() - 1)?;
            }
        }
        Ok(())
    }

    /// The types whose runs make up a chunk: when nothing is filtered by column, the index on type still gives every
    /// type's rows by time, and a chunk has few types. That spares an index on time alone.
    fn kinds(&self, chunk: &Chunk) -> Result<Vec<Option<String>>, StoreError> {
        let query = self.query;
        if query.id.is_some() || query.key.is_some() || query.kind.is_some() || !chunk.is_indexed() {
            return Ok(vec![None]);
        }
        // A walk over the index from one type to the next: one look-up a type.
        let sql = format!(
            "WITH RECURSIVE kinds (kind) AS (SELECT min(type) FROM events_{n}
               UNION ALL SELECT (SELECT min(type) FROM events_{n} WHERE type > kind) FROM kinds WHERE kind IS NOT NULL
               LIMIT {limit}) SELECT kind FROM kinds WHERE kind IS NOT NULL",
            n = chunk.n,
            limit = KINDS_MERGED + 1,
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        let kinds: Vec<_> = statement.query_map([], |row| row.get(0).map(Some))?.collect::<Result<_, _>>()?;
        Ok(if kinds.len() > KINDS_MERGED { vec![None] } else { kinds })
    }

    fn source(&self, chunk: &Chunk, stream: usize, kind: Option<String>) -> Source {
        let filters = if kind.is_some() { "type = ?2" } else { &self.filters };
        let by_index = chunk.is_indexed() && filters != "1" && filters != "+id = ?4";
        let (compare, end, direction) = match self.query.order {
            Order::Ascending => (">", "<=", ""),
            Order::Descending => ("<", ">=", "DESC"),
        };
        let sql = format!(
            "SELECT rowid, time, part, off FROM events_{n} WHERE {filters}
             AND (time, part, off) {compare} (?5, ?6, ?7) AND time {end} ?8
             ORDER BY time {direction}, part {direction}, off {direction} LIMIT ?9",
            n = chunk.n
        );
        let after = Some(self.first_bound(&self.streams[stream]));
        Source { chunk: chunk.n, stream, sql, kind, by_index, run: VecDeque::new(), after }
    }

    /// Where the rows of a stream begin (exclusive), by the query's bounds and its cursor.
    fn first_bound(&self, stream: &str) -> (i64, i64, i64) {
        let (from, to) = time_bounds(self.query);
        // At the cursor's time, streams of a lesser name lie before the cursor as a whole, those of a greater one after.
        let cursor = match &self.query.start {
            Start::Skip(_) => None,
            Start::After(after) => Some(match stream.cmp(&after.stream) {
                Ordering::Less => (after.time, i64::MAX, i64::MAX),
                Ordering::Equal => (after.time, i64::from(after.partition), after.offset as i64),
                Ordering::Greater => (after.time, -1, -1),
            }),
        };
        match self.query.order {
            Order::Ascending => cursor.map_or((from, -1, -1), |c| c.max((from, -1, -1))),
            Order::Descending => cursor.map_or((to, i64::MAX, i64::MAX), |c| c.min((to, i64::MAX, i64::MAX))),
        }
    }

    /// Puts the head of a source in line, after getting its next run when it has none.
    fn push_head(&mut self, at: usize) -> Result<(), StoreError> {
        let source = &mut self.sources[at];
        if source.run.is_empty() {
            source.refill(self.tx, self.query, self.wanted)?;
        }
        if let Some((rank, _)) = source.run.front() {
            self.heads.push(Reverse((*rank, at)));
        }
        Ok(())
    }
}

impl Source {
    fn refill(&mut self, tx: &Transaction<'_>, query: &EventQuery, wanted: usize) -> Result<(), StoreError> {
        let Some((time, part, off)) = self.after.take() else { return Ok(()) };
        let limit = if self.by_index { wanted.min(RUN) } else { wanted };
        let (flip, stream) = (flip(query.order), self.stream as i64);
        let (from, to) = time_bounds(query);
        let end = if query.order == Order::Ascending { to } else { from };
        let kind = self.kind.as_ref().or(query.kind.as_ref());
        let hash = query.id.as_ref().and_then(|id| id_hash(id.as_bytes()));
        let mut statement = tx.prepare_cached(&self.sql)?;
        let limit_sql = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![query.key, kind, hash, query.id, time, part, off, end, limit_sql])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let (time, part, off) = (row.get(1)?, row.get(2)?, row.get(3)?);
            last = Some((time, part, off));
            self.run.push_back(((flip(time), flip(stream), flip(part), flip(off)), row.get(0)?));
        }
        self.after = last.filter(|_| self.run.len() == limit);
        Ok(())
    }
}

/// Turns a number around when the order is descending; `!` (unlike `-`) does so for every number.
fn flip(order: Order) -> fn(i64) -> i64 {
    match order {
        Order::Ascending => |n| n,
        Order::Descending => |n| !n,
    }
}

/// The first time that a chunk can give, in terms of [`Rank`].
fn begin(flip: fn(i64) -> i64, chunk: &Chunk) -> i64 {
    flip(chunk.first_time).min(flip(chunk.last_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{open, schema};

    #[test]
    fn an_indexed_chunk_is_asked_by_index_and_never_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn =
            open::writer(&folder.path().join("store.db"), &crate::sqlite::SqliteSettings::default()).unwrap();
        conn.execute_batch(&schema::chunk_table(1)).unwrap();
        (0..3).for_each(|step| conn.execute_batch(&schema::prepare_step(1, step)).unwrap());
        let tx = conn.transaction().unwrap();
        let chunk = Chunk {
            n: 1,
            stream: 1,
            created: 0,
            rows: 1,
            first_time: 0,
            last_time: 9,
            first_received: 0,
            last_received: 0,
            prepared: 3,
        };
        let check = |key: bool, kind: bool, id: bool, index: &str| {
            for order in [Order::Ascending, Order::Descending] {
                let some = |given: bool| given.then(|| "x".to_owned());
                let query =
                    EventQuery { key: some(key), kind: some(kind), id: some(id), order, ..EventQuery::default() };
                let named = Named { chunk: chunk.clone(), stream: "events".to_owned() };
                let merge = Merge::new(&tx, &query, vec![named]);
                let source = merge.source(&chunk, 0, (!key && !kind && !id).then(String::new));
                assert!(source.by_index);
                let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {}", source.sql)).unwrap();
                let nothing = std::iter::repeat_n(rusqlite::types::Null, 9);
                let rows = plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
                let plan = rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
                assert!(plan.contains(index) && (id || plan.contains("(time,part,off)")), "{plan}");
                assert!(id || !plan.contains("B-TREE"), "{plan}");
            }
        };
        check(false, false, false, "COVERING INDEX events_1_type (type=? AND");
        check(false, true, false, "COVERING INDEX events_1_type (type=? AND");
        check(true, false, false, "COVERING INDEX events_1_key (key=? AND");
        check(true, true, false, "INDEX events_1_key (key=? AND");
        check(true, true, true, "INDEX events_1_id (id_hash=?)");
    }
}
