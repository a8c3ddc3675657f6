//! Rows of windows: added where there are none, else locked, merged and written.

use std::collections::HashMap;

use event::{Millis, WindowId};

use super::fault::Fault;
use super::parts::parts;
use super::pool::Tx;
use super::text::{to_sql, to_string};
use super::write_windows::{IS_NAMED, Identities, NAMED};
use crate::StoreError;
use crate::sqlite::measures;
use crate::sqlite::whole::Whole;

/// Turns in which every window must have found or made its row: it takes one more only when somebody else made or took
/// away the row at the same time.
const TURNS: usize = 8;
/// Bytes of a window with its measures, about.
const WEIGHT: usize = 256;

/// What a commit does to one window.
pub(super) struct Item<'a> {
    pub(super) id: &'a WindowId,
    pub(super) whole: Whole<'a>,
    pub(super) pieces: i64,
}

/// Writes windows, given in the order of their identity; gives the numbers of their rows.
pub(super) fn put(tx: &mut Tx<'_>, items: &mut [Item<'_>], now: Millis) -> Result<Vec<i64>, Fault> {
    let mut numbers = vec![0; items.len()];
    let mut open: Vec<usize> = (0..items.len()).collect();
    for _ in 0..TURNS {
        if open.is_empty() {
            return Ok(numbers);
        }
        // Found in this turn: still to be locked and merged.
        let mut there: Vec<(i64, usize)> = Vec::new();
        while !open.is_empty() {
            let mut met = Vec::new();
            for part in parts(&open, |_| WEIGHT) {
                let missing = find(tx, items, part, &mut there)?;
                met.extend(insert(tx, items, &missing, &mut numbers, now)?);
            }
            // Somebody else added these since we looked: now they are found.
            open = met;
        }
        there.sort_unstable();
        let mut changed = Vec::new();
        for part in parts(&there, |_| WEIGHT) {
            open.extend(lock(tx, items, part, &mut numbers, &mut changed)?);
        }
        for part in parts(&changed, |_| WEIGHT) {
            update(tx, items, part, &numbers, now)?;
        }
        open.sort_unstable();
    }
    if open.is_empty() { Ok(numbers) } else { Err(Fault::Again("windows come and go".to_owned())) }
}

/// Looks which of these have a row, and gives those that have none.
fn find(
    tx: &mut Tx<'_>,
    items: &[Item<'_>],
    part: &[usize],
    there: &mut Vec<(i64, usize)>,
) -> Result<Vec<usize>, Fault> {
    let named = Identities::of(&part.iter().map(|at| items[*at].id).collect::<Vec<_>>());
    let sql = format!("SELECT i.at, w.n FROM {NAMED} JOIN windows w ON {IS_NAMED}");
    let mut is_there = vec![false; part.len()];
    for row in tx.query(&sql, &named.params())? {
        let at = row.try_get::<_, i64>(0)? as usize - 1;
        is_there[at] = true;
        there.push((row.try_get(1)?, part[at]));
    }
    Ok(part.iter().zip(is_there).filter(|(_, is_there)| !is_there).map(|(at, _)| *at).collect())
}

/// The changing columns of windows.
struct Values {
    ends: Vec<Millis>,
    definitions: Vec<i64>,
    events: Vec<i64>,
    pieces: Vec<i64>,
    results: Vec<String>,
    measures: Vec<Vec<u8>>,
}

impl Values {
    fn of(items: &[Item<'_>], part: &[usize]) -> Result<Self, StoreError> {
        let of = || part.iter().map(|at| &items[*at]);
        Ok(Self {
            ends: of().map(|item| item.whole.end).collect(),
            definitions: of().map(|item| item.whole.last.definition as i64).collect(),
            events: of().map(|item| to_sql(item.whole.events)).collect::<Result<_, _>>()?,
            pieces: of().map(|item| item.pieces).collect(),
            results: of()
                .map(|item| {
                    let mut json = String::new();
                    measures::write_json(&item.whole.last.names, &item.whole.measures, &mut json);
                    json
                })
                .collect(),
            measures: of()
                .map(|item| {
                    let mut bytes = Vec::new();
                    measures::encode(&item.whole.last.names, &item.whole.measures, &mut bytes);
                    bytes
                })
                .collect(),
        })
    }
}

/// Adds rows; gives those that somebody else added meanwhile.
fn insert(
    tx: &mut Tx<'_>,
    items: &[Item<'_>],
    part: &[usize],
    numbers: &mut [i64],
    now: Millis,
) -> Result<Vec<usize>, Fault> {
    if part.is_empty() {
        return Ok(Vec::new());
    }
    let named = Identities::of(&part.iter().map(|at| items[*at].id).collect::<Vec<_>>());
    let values = Values::of(items, part)?;
    let sql = format!(
        "INSERT INTO windows (tenant, stream, name, size, start_at, key, end_at, definition, events, revision, created,
           updated, result, measures)
         SELECT i.tenant, i.stream, i.name, i.size, i.start_at, i.key, v.end_at, v.definition, v.events, v.revision, $13,
           $13, v.result::json, v.measures
         FROM {NAMED} JOIN unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::bytea[])
           WITH ORDINALITY AS v (end_at, definition, events, revision, result, measures, at) USING (at) ORDER BY at
         ON CONFLICT (tenant, stream, name, size, start_at, key) DO NOTHING
         RETURNING n, tenant, stream, name, size, start_at, key"
    );
    let mut params = named.params().to_vec();
    let Values { ends, definitions, events, pieces, results, measures } = &values;
    params.extend([ends as &(dyn postgres::types::ToSql + Sync), definitions, events, pieces, results, measures, &now]);
    let added = tx.query(&sql, &params)?;
    if added.len() == part.len() {
        // All, in the order that was asked for.
        for (at, row) in part.iter().zip(&added) {
            numbers[*at] = row.try_get(0)?;
        }
        return Ok(Vec::new());
    }
    let mut by_name = HashMap::with_capacity(added.len());
    for row in &added {
        let text = |at: usize| -> Result<String, Fault> { Ok(to_string(row.try_get(at)?)) };
        let (size_ms, start) = (row.try_get(4)?, row.try_get(5)?);
        let id = WindowId { tenant: text(1)?, stream: text(2)?, window: text(3)?, size_ms, start, key: text(6)? };
        by_name.insert(id, row.try_get(0)?);
    }
    let mut met = Vec::new();
    for at in part {
        match by_name.get(items[*at].id) {
            Some(n) => numbers[*at] = *n,
            None => met.push(*at),
        }
    }
    Ok(met)
}

/// Locks rows by number and merges what they hold into the items. `changed` takes those that are to be written; gives those
/// whose row is gone.
fn lock(
    tx: &mut Tx<'_>,
    items: &mut [Item<'_>],
    part: &[(i64, usize)],
    numbers: &mut [i64],
    changed: &mut Vec<usize>,
) -> Result<Vec<usize>, Fault> {
    let wanted: Vec<i64> = part.iter().map(|(n, _)| *n).collect();
    let mut gone: HashMap<i64, usize> = part.iter().copied().collect();
    let sql = "SELECT n, definition, events, end_at, measures FROM windows WHERE n = ANY ($1) ORDER BY n FOR UPDATE";
    for row in tx.query(sql, &[&wanted])? {
        let n: i64 = row.try_get(0)?;
        let Some(at) = gone.remove(&n) else { continue };
        numbers[at] = n;
        let whole = &mut items[at].whole;
        let same = row.try_get::<_, i64>(1)? as u64 == whole.last.definition;
        if !same && whole.corrects {
            continue; // a few late events are not the result
        }
        if whole.pure && same {
            let stored = measures::decode(row.try_get(4)?)?;
            whole.add(stored.iter().map(|(_, measure)| measure), row.try_get::<_, i64>(2)? as u64, row.try_get(3)?);
        }
        changed.push(at);
    }
    Ok(gone.into_values().collect())
}

/// Writes rows that are locked.
fn update(tx: &mut Tx<'_>, items: &[Item<'_>], part: &[usize], numbers: &[i64], now: Millis) -> Result<(), Fault> {
    let rows: Vec<i64> = part.iter().map(|at| numbers[*at]).collect();
    let Values { ends, definitions, events, pieces, results, measures } = Values::of(items, part)?;
    let sql = "UPDATE windows w SET end_at = v.end_at, definition = v.definition, events = v.events,
          revision = w.revision + v.revision, updated = $8, result = v.result::json, measures = v.measures
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[])
          AS v (n, end_at, definition, events, revision, result, measures) WHERE w.n = v.n";
    tx.execute(sql, &[&rows, &ends, &definitions, &events, &pieces, &results, &measures, &now])?;
    Ok(())
}
