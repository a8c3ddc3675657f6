//! Counts since a time. A chunk received wholly since then answers from its counts or an index; the chunk that the time
//! cuts through, and the one being loaded, are read.
//!
//! Keys are too many to add up in a map: every chunk gives its keys in order, the chunks are merged, and only the ten
//! greatest sums are kept. Exact, with memory that depends on neither rows nor keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use event::Millis;
use rusqlite::{OptionalExtension, Transaction, params};

use super::chunks::{self, Chunk};
use super::tenants::{Scope, Whose};
use super::values::{bytes_of, string_of, text};
use crate::StoreError;
use crate::query::Summary;

/// Keys in the lists of the greatest.
const TOP: usize = 10;
/// Types that a summary tells apart; what comes beyond is not listed, but counted.
const KINDS: usize = 1_000;
/// Keys held in memory for all chunks together (eight times as many where a chunk must be read anew for each run), and
/// for one such chunk.
const KEYS_HELD: usize = 1 << 16;
const KEYS_READ: usize = 1 << 15;

/// Answers [`crate::Store::summary`].
pub(super) fn summary(
    tx: &Transaction<'_>,
    stream: &str,
    tenant: Option<&str>,
    since: Millis,
) -> Result<Summary, StoreError> {
    let Some(scope) = Scope::of(tx, tenant)? else { return Ok(Summary::default()) };
    let find = "SELECT id FROM streams WHERE name = ?1";
    let Some(stream) = tx.prepare_cached(find)?.query_row([stream], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(Summary::default());
    };
    let mut chunks = chunks::list(tx, Some(stream))?;
    chunks.retain(|chunk| chunk.last_received >= since);
    let mut summary = Summary::default();
    count_kinds(tx, &Grouped::of_all(tx, &chunks, scope, since, "type")?, &mut summary)?;
    summary.top_keys = top_keys(tx, &Grouped::of_all(tx, &chunks, scope, since, "key")?)?;
    count_facts(tx, stream, scope, since, &mut summary)?;
    Ok(summary)
}

/// Where the values of a chunk, or of one tenant in it, and their counts come from, in order of value.
struct Grouped {
    value: &'static str,
    rows: &'static str,
    from: String,
    by_index: bool,
}

impl Grouped {
    fn of_all(
        tx: &Transaction<'_>,
        chunks: &[Chunk],
        scope: Scope,
        since: Millis,
        column: &'static str,
    ) -> Result<Vec<Self>, StoreError> {
        let parts = chunks.iter().map(|chunk| Self::of(tx, chunk, scope, since, column));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn of(
        tx: &Transaction<'_>,
        chunk: &Chunk,
        scope: Scope,
        since: Millis,
        column: &'static str,
    ) -> Result<Vec<Self>, StoreError> {
        let n = chunk.n;
        let Some(whose) = scope.within(chunk) else { return Ok(Vec::new()) };
        let and = |whose: Whose| whose.term(false).map_or_else(String::new, |term| format!(" AND {term}"));
        if chunk.first_received < since || !chunk.is_indexed() {
            // Not by index: the time of receipt is in the row, and looking up each row costs more than reading all.
            let from = format!("events_{n} NOT INDEXED WHERE received >= {since}{}", and(whose));
            return Ok(vec![Self { value: column, rows: "count(*)", from, by_index: false }]);
        }
        let any = "SELECT 1 FROM chunk_counts WHERE chunk = ?1 AND what = ?2";
        let counted = chunk.is_counted() && tx.prepare_cached(any)?.exists(params![n, column])?;
        let part = |whose: Whose| {
            let by_index = whose != Whose::All;
            if counted {
                let whose = whose.counts_term();
                let from = format!("chunk_counts WHERE chunk = {n} AND what = '{column}' AND {whose}");
                Self { value: "value", rows: "sum(rows)", from, by_index }
            } else {
                Self { value: column, rows: "count(*)", from: format!("events_{n} WHERE 1{}", and(whose)), by_index }
            }
        };
        // One tenant's values are in order, those of all are not: they are merged, unless there are too many.
        Ok(whose.split(tx, chunk)?.unwrap_or_else(|| vec![whose]).into_iter().map(part).collect())
    }

    /// All values.
    fn all(&self) -> String {
        let Self { value, rows, from, .. } = self;
        format!("SELECT {value}, {rows} FROM {from} GROUP BY {value}")
    }

    /// At most `?2` values after `?1`.
    fn run(&self) -> String {
        let Self { value, rows, from, .. } = self;
        format!("SELECT {value}, {rows} FROM {from} AND {value} > ?1 GROUP BY {value} ORDER BY {value} LIMIT ?2")
    }
}

/// Counts rows, in all and by type; rows without a type count under the empty name.
fn count_kinds(tx: &Transaction<'_>, parts: &[Grouped], summary: &mut Summary) -> Result<(), StoreError> {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for part in parts {
        let mut statement = tx.prepare_cached(&part.all())?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, count) = (string_of(row.get_ref(0)?), row.get::<_, i64>(1)? as u64);
            summary.events += count;
            if kinds.len() < KINDS || kinds.contains_key(&kind) {
                *kinds.entry(kind).or_default() += count;
            }
        }
    }
    summary.events_by_kind = kinds.into_iter().collect();
    summary.events_by_kind.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(())
}

/// The keys of one chunk, or of one tenant in it, in order, with their counts.
struct Keys {
    sql: String,
    run: VecDeque<(Vec<u8>, u64)>,
    run_max: usize,
    /// The key behind which the next run starts. Rows without a key have the empty one, so the first run leaves them out.
    after: Option<Vec<u8>>,
}

impl Keys {
    fn front(&mut self, tx: &Transaction<'_>) -> Result<Option<&[u8]>, StoreError> {
        if let Some(after) = self.after.take_if(|_| self.run.is_empty()) {
            let mut statement = tx.prepare_cached(&self.sql)?;
            let mut rows = statement.query(params![text(&after), self.run_max as i64])?;
            while let Some(row) = rows.next()? {
                self.run.push_back((bytes_of(row.get_ref(0)?).to_vec(), row.get::<_, i64>(1)? as u64));
            }
            self.after = self.run.back().filter(|_| self.run.len() == self.run_max).map(|(key, _)| key.clone());
        }
        Ok(self.run.front().map(|(key, _)| &**key))
    }
}

fn top_keys(tx: &Transaction<'_>, parts: &[Grouped]) -> Result<Vec<(String, u64)>, StoreError> {
    let mut sources = Vec::new();
    let mut heads = BinaryHeap::new();
    let read = parts.iter().filter(|part| !part.by_index).count().max(1);
    for part in parts {
        let run_max = if part.by_index {
            (KEYS_HELD / parts.len()).clamp(16, 1_024)
        } else {
            (8 * KEYS_HELD / read).clamp(1_024, KEYS_READ)
        };
        let mut keys = Keys { sql: part.run(), run: VecDeque::new(), run_max, after: Some(Vec::new()) };
        if let Some(key) = keys.front(tx)? {
            heads.push(Reverse((key.to_vec(), sources.len())));
        }
        sources.push(keys);
    }
    let mut top = BinaryHeap::new();
    let mut sum: Option<(Vec<u8>, u64)> = None;
    while let Some(Reverse((key, at))) = heads.pop() {
        let count = sources[at].run.pop_front().map_or(0, |(_, count)| count);
        if let Some(next) = sources[at].front(tx)? {
            heads.push(Reverse((next.to_vec(), at)));
        }
        match &mut sum {
            Some((same, total)) if *same == key => *total += count,
            _ => keep(&mut top, sum.replace((key, count))),
        }
    }
    keep(&mut top, sum);
    // Ascending by `Reverse`: the greatest count first, equal ones by key.
    let top = top.into_sorted_vec();
    Ok(top.into_iter().map(|(Reverse(count), key)| (String::from_utf8_lossy(&key).into_owned(), count)).collect())
}

/// Keeps the [`TOP`] greatest: the heap's top is the least of them.
fn keep(top: &mut BinaryHeap<(Reverse<u64>, Vec<u8>)>, sum: Option<(Vec<u8>, u64)>) {
    if let Some((key, count)) = sum {
        top.push((Reverse(count), key));
        if top.len() > TOP {
            top.pop();
        }
    }
}

fn count_facts(
    tx: &Transaction<'_>,
    stream: i64,
    scope: Scope,
    since: Millis,
    summary: &mut Summary,
) -> Result<(), StoreError> {
    let whose = scope.lead();
    let by = |column: &str, limit: usize| -> Result<Vec<(String, u64)>, StoreError> {
        let sql = format!(
            "SELECT {column}, count(*) FROM anomalies WHERE stream = ?1 AND {whose} AND received >= ?2
             GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT {limit}"
        );
        let mut statement = tx.prepare_cached(&sql)?;
        let rows = statement
            .query_map([stream, since], |row| Ok((string_of(row.get_ref(0)?), row.get::<_, i64>(1)? as u64)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    summary.anomalies_by_rule = by("rule", KINDS)?;
    summary.anomalies_by_severity = by("severity", KINDS)?;
    summary.top_keys_by_anomalies = by("key", TOP)?;
    summary.anomalies = summary.anomalies_by_severity.iter().map(|(_, count)| count).sum();
    let letters = format!("SELECT count(*) FROM dead_letters WHERE stream = ?1 AND {whose} AND received >= ?2");
    let letters: i64 = tx.prepare_cached(&letters)?.query_row([stream, since], |row| row.get(0))?;
    summary.dead_letters = letters as u64;
    Ok(())
}
