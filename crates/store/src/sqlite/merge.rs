//! Chunks merged by time: every chunk gives the places of its rows in order, by index, and the earliest one is next.
//!
//! A source asks its chunk for a bounded run of places at a time and continues after the last one. So memory does not
//! depend on how far in a page lies, and no statement stays open.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::{Transaction, params};

use super::chunks::Chunk;
use super::read_events::{Named, filters, time_bounds};
use super::tenants::Whose;
use super::values::id_hash;
use crate::StoreError;
use crate::query::{EventQuery, Order, Start};

/// Places that a source takes from an index at once.
const RUN: usize = 1_024;
/// Types, of all tenants together, up to which an unfiltered page merges the runs of each; with more, the chunk's index
/// is read and sorted.
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
    /// The names of the streams, in order: a stream's rank is its index here.
    streams: Vec<String>,
    /// Chunks that the merge has not come to yet, with the rank of their stream; the last one starts first.
    waiting: Vec<(Chunk, Whose, usize)>,
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(Rank, usize)>>,
    /// How many rows may still be asked for: no source needs to give more at once.
    wanted: usize,
}

/// The rows of one chunk, or of one tenant in it, or of one type of a tenant.
struct Lane {
    whose: Whose,
    kind: Option<String>,
    /// Whether a run is taken from an index; if not, rows are gathered and sorted for each, so it had better be long.
    by_index: bool,
}

/// A lane while it is read.
struct Source {
    chunk: i64,
    stream: usize,
    sql: String,
    kind: Option<String>,
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
            waiting.push((named.chunk, named.whose, streams.len() - 1));
        }
        let flip = flip(query.order);
        waiting.sort_by_key(|(chunk, ..)| Reverse(begin(flip, chunk)));
        let skip = if let Start::Skip(rows) = query.start { rows as usize } else { 0 };
        let wanted = skip.saturating_add(query.limit).saturating_add(1);
        let (sources, heads) = (Vec::new(), BinaryHeap::new());
        Self { tx, query, streams, waiting, sources, heads, wanted }
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
        while let Some((chunk, ..)) = self.waiting.last() {
            let head = self.heads.peek().map(|Reverse((rank, _))| rank.0);
            if head.is_some_and(|time| begin(flip, chunk) > time) {
                break;
            }
            let Some((chunk, whose, stream)) = self.waiting.pop() else { break };
            for lane in self.lanes(&chunk, whose)? {
                let source = self.source(&chunk, stream, lane);
                self.sources.push(source);
                self.push_head(self.sources.len() - 1)?;
            }
        }
        Ok(())
    }

    /// The lanes that make up a chunk. Behind tenant and key, or tenant and type, an index is in order of time: so what
    /// all tenants have under a key is merged from one lane a tenant. When nothing is filtered by column, every type of
    /// every tenant is a lane; a chunk has few. That spares an index on time alone.
    fn lanes(&self, chunk: &Chunk, whose: Whose) -> Result<Vec<Lane>, StoreError> {
        let query = self.query;
        let one = |by_index| Ok(vec![Lane { whose, kind: None, by_index }]);
        if !chunk.is_indexed() {
            return one(false);
        }
        if let Some(id) = &query.id {
            return one(!id.is_empty());
        }
        let Some(parts) = whose.split(self.tx, chunk)? else { return one(false) };
        if query.key.is_some() || query.kind.is_some() {
            return Ok(parts.into_iter().map(|whose| Lane { whose, kind: None, by_index: true }).collect());
        }
        let mut lanes = Vec::new();
        for whose in parts {
            let kinds = self.kinds(chunk, whose)?;
            lanes.extend(kinds.into_iter().map(|kind| Lane { whose, kind: Some(kind), by_index: true }));
            if lanes.len() > KINDS_MERGED {
                return one(false);
            }
        }
        Ok(lanes)
    }

    /// The types of a part of a chunk, one more than are merged at the most.
    fn kinds(&self, chunk: &Chunk, whose: Whose) -> Result<Vec<String>, StoreError> {
        // A walk over the index from one type to the next: one look-up a type.
        let sql = format!(
            "WITH RECURSIVE kinds (kind) AS (SELECT min(type) FROM events_{n} WHERE {whose}
               UNION ALL SELECT (SELECT min(type) FROM events_{n} WHERE {whose} AND type > kind) FROM kinds
               WHERE kind IS NOT NULL LIMIT {limit}) SELECT kind FROM kinds WHERE kind IS NOT NULL",
            n = chunk.n,
            whose = whose.term(true).unwrap_or_else(|| "1".to_owned()),
            limit = KINDS_MERGED + 1,
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn source(&self, chunk: &Chunk, stream: usize, lane: Lane) -> Source {
        let filters = match (&lane.kind, lane.whose.term(true)) {
            (Some(_), Some(whose)) => format!("{whose} AND type = ?2"),
            (Some(_), None) => "type = ?2".to_owned(),
            (None, _) => filters(self.query, lane.whose, chunk.is_indexed()),
        };
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
        let Lane { kind, by_index, .. } = lane;
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

    const TENANT: Option<i64> = Some(3);

    /// The plan of what a question asks of an indexed chunk: without tenants, or of one tenant.
    fn check(tenant: Option<i64>, query: &EventQuery, index: &str) {
        let folder = tempfile::tempdir().unwrap();
        let mut conn =
            open::writer(&folder.path().join("store.db"), &crate::sqlite::SqliteSettings::default()).unwrap();
        let (n, tenants) = (1, tenant.is_some());
        conn.execute_batch(&schema::chunk_table(n, tenants)).unwrap();
        (0..3).for_each(|step| conn.execute_batch(&schema::prepare_step(n, tenants, step)).unwrap());
        let tx = conn.transaction().unwrap();
        let chunk = Chunk {
            n,
            stream: 1,
            created: 0,
            rows: 1,
            first_time: 0,
            last_time: 9,
            first_received: 0,
            last_received: 0,
            prepared: 3,
            tenants,
        };
        let whose = tenant.map_or(Whose::Default, Whose::One);
        let by_id = query.id.is_some();
        let plan_of = |sql: &str, values: usize| {
            let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nothing = std::iter::repeat_n(rusqlite::types::Null, values);
            let rows = plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
            rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
        };
        for order in [Order::Ascending, Order::Descending] {
            let query = EventQuery { order, ..query.clone() };
            let named = Named { chunk: chunk.clone(), whose, stream: "events".to_owned() };
            let merge = Merge::new(&tx, &query, vec![named]);
            let mut lanes = merge.lanes(&chunk, whose).unwrap();
            // The chunk is empty, so it has no types of its own.
            let lane = lanes.pop().unwrap_or(Lane { whose, kind: Some(String::new()), by_index: true });
            let source = merge.source(&chunk, 0, lane);
            assert!(source.by_index);
            let plan = plan_of(&source.sql, 9);
            assert!(plan.contains(index) && (by_id || plan.contains("(time,part,off)")), "{plan}");
            assert!(by_id || !plan.contains("B-TREE"), "{plan}");
        }
        let filters = filters(query, whose, true);
        let plan = plan_of(&format!("SELECT count(*) FROM events_1 WHERE {filters} AND time BETWEEN ?5 AND ?6"), 6);
        assert!(plan.contains("INDEX") && (tenant.is_none() || by_id || plan.contains("tenant=?")), "{plan}");
    }

    #[test]
    fn an_indexed_chunk_is_asked_by_index_and_never_sorted() {
        let some = || Some("x".to_owned());
        let by = |key, kind, id| EventQuery { key, kind, id, ..EventQuery::default() };
        let table = [
            (by(None, None, None), "COVERING INDEX events_1_type", "type=? AND"),
            (by(None, some(), None), "COVERING INDEX events_1_type", "type=? AND"),
            (by(some(), None, None), "COVERING INDEX events_1_key", "key=? AND"),
            (by(some(), some(), None), "INDEX events_1_key", "key=? AND"),
        ];
        for (query, index, column) in table {
            check(None, &query, &format!("{index} ({column}"));
            check(TENANT, &query, &format!("{index} (tenant=? AND {column}"));
        }
        for tenant in [None, TENANT] {
            check(tenant, &by(some(), some(), some()), "INDEX events_1_id (id_hash=?)");
        }
    }

    #[test]
    fn a_key_of_all_of_many_tenants_is_gathered_by_index() {
        let query = EventQuery { key: Some("x".to_owned()), ..EventQuery::default() };
        assert_eq!(filters(&query, Whose::All, true), "tenant IN (SELECT id FROM tenants) AND key = ?1");
        assert_eq!(filters(&query, Whose::All, false), "key = ?1", "no index, so no detour");
    }
}
