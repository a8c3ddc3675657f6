//! Windows of several definitions merged by time: in the index a definition's rows lie as a page wants them, newest
//! start first, so each gives a short run of them at a time and the earliest in the order is next.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, VecDeque};

use event::Millis;
use rusqlite::{Row, Transaction, params};

use super::definitions::{self, Definition};
use super::tenants::Scope;
use super::values::to_sql;
use crate::StoreError;
use crate::query::WindowQuery;

/// Rows of all lanes together that are looked up at once: what is read in vain, at the most.
const HELD: usize = 4_096;
/// And the least that one lane gives at once.
const RUN_MIN: usize = 8;

/// A run that begins at a start.
pub(super) const FROM_START: &str =
    "SELECT start, key, n FROM windows WHERE tenant = ?1 AND stream = ?2 AND window = ?3
    AND size = ?4 AND start BETWEEN ?5 AND ?6 ORDER BY start DESC, key LIMIT ?7";
/// A run within a start, that begins at a group or behind it.
pub(super) const FROM_KEY: &str = "SELECT start, key, n FROM windows WHERE tenant = ?1 AND stream = ?2 AND window = ?3
    AND size = ?4 AND start = ?5 AND key >= ?6 AND (?7 OR key > ?6) ORDER BY key LIMIT ?8";

/// The rows of one definition.
struct Lane {
    definition: Definition,
    stream: String,
    tenant: String,
    run: VecDeque<(Millis, String, i64)>,
    next: Option<Next>,
}

/// Where a lane goes on: at this start, and there at this group.
struct Next {
    start: Millis,
    key: Key,
}

enum Key {
    First,
    At(String),
    After(String),
}

/// The numbers of the rows that come after `query.after`, in order: one more than the page holds, if there is.
pub(super) fn merged(tx: &Transaction<'_>, query: &WindowQuery, scope: Scope) -> Result<Vec<i64>, StoreError> {
    let mut lanes = open(tx, query, scope)?;
    let wanted = query.limit.saturating_add(1);
    let run_max = (HELD / lanes.len().max(1)).max(RUN_MIN).min(wanted);
    // By definition, then by stream and tenant: so the place of a lane tells the order of equal starts and groups.
    lanes.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let mut group = 0;
    let mut groups = vec![0; lanes.len()];
    for at in 1..lanes.len() {
        group += usize::from(lanes[at - 1].definition_rank() != lanes[at].definition_rank());
        groups[at] = group;
    }
    let mut heads = BinaryHeap::new();
    for (at, lane) in lanes.iter_mut().enumerate() {
        if let Some((start, key, n)) = lane.pop(tx, query, run_max)? {
            heads.push(Reverse((Reverse(start), groups[at], key, at, n)));
        }
    }
    let mut found = Vec::new();
    while let Some(Reverse((_, _, _, at, n))) = heads.pop() {
        found.push(n);
        if found.len() == wanted {
            break;
        }
        if let Some((start, key, n)) = lanes[at].pop(tx, query, run_max)? {
            heads.push(Reverse((Reverse(start), groups[at], key, at, n)));
        }
    }
    Ok(found)
}

/// The lanes that the filters let through, each where the page begins.
fn open(tx: &Transaction<'_>, query: &WindowQuery, scope: Scope) -> Result<Vec<Lane>, StoreError> {
    let mut lanes = Vec::new();
    let (mut streams, mut tenants) = (Names::new("streams"), Names::new("tenants"));
    definitions::each(tx, "windows", scope.tenant(), |definition| {
        let stream = streams.of(tx, definition.stream)?;
        let asked = query.window.as_ref().is_none_or(|window| *window == definition.window)
            && query.size_ms.is_none_or(|size| size == definition.size)
            && query.stream.as_ref().is_none_or(|name| *name == stream);
        if asked {
            let tenant = tenants.of(tx, definition.tenant)?;
            let mut lane = Lane { definition, stream, tenant, run: VecDeque::new(), next: None };
            lane.next = lane.begin(query);
            lanes.push(lane);
        }
        Ok(())
    })?;
    Ok(lanes)
}

impl Lane {
    fn definition_rank(&self) -> (&str, i64) {
        (&self.definition.window, self.definition.size)
    }

    fn rank(&self) -> (&str, i64, &str, &str) {
        (&self.definition.window, self.definition.size, &self.stream, &self.tenant)
    }

    /// Its first place in a page.
    fn begin(&self, query: &WindowQuery) -> Option<Next> {
        let newest = query.to.unwrap_or(Millis::MAX);
        let Some(last) = query.after.as_ref().filter(|last| last.start <= newest) else {
            return Some(Next { start: newest, key: Key::First });
        };
        match self.definition_rank().cmp(&(&last.window, last.size_ms)) {
            Ordering::Greater => Some(Next { start: last.start, key: Key::First }),
            Ordering::Less => Next::before(last.start),
            Ordering::Equal => {
                let later = (&*self.stream, &*self.tenant) > (&*last.stream, &*last.tenant);
                let key = if later { Key::At(last.key.clone()) } else { Key::After(last.key.clone()) };
                Some(Next { start: last.start, key })
            }
        }
    }

    /// Its next row: start, group, number.
    fn pop(
        &mut self,
        tx: &Transaction<'_>,
        query: &WindowQuery,
        run_max: usize,
    ) -> Result<Option<(Millis, String, i64)>, StoreError> {
        let oldest = query.from.unwrap_or(Millis::MIN);
        while self.run.is_empty() {
            let Some(next) = self.next.take().filter(|next| next.start >= oldest) else { return Ok(None) };
            self.next = self.read(tx, &next, oldest, run_max)?;
        }
        Ok(self.run.pop_front())
    }

    /// Reads a run; gives where the one after it begins.
    fn read(
        &mut self,
        tx: &Transaction<'_>,
        next: &Next,
        oldest: Millis,
        run_max: usize,
    ) -> Result<Option<Next>, StoreError> {
        let Definition { tenant, stream, window, size } = &self.definition;
        let limit = to_sql(run_max as u64)?;
        let place = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (key, same) = match &next.key {
            Key::First => {
                let mut statement = tx.prepare_cached(FROM_START)?;
                let from = params![tenant, stream, window, size, oldest, next.start, limit];
                let rows = statement.query_map(from, place)?;
                self.run = rows.collect::<Result<_, _>>()?;
                let last = self.run.back().filter(|_| self.run.len() == run_max);
                return Ok(last.map(|(start, key, _)| Next { start: *start, key: Key::After(key.clone()) }));
            }
            Key::At(key) => (key, true),
            Key::After(key) => (key, false),
        };
        let mut statement = tx.prepare_cached(FROM_KEY)?;
        let from = params![tenant, stream, window, size, next.start, key, same, limit];
        let rows = statement.query_map(from, place)?;
        self.run = rows.collect::<Result<_, _>>()?;
        let last = self.run.back().filter(|_| self.run.len() == run_max);
        let same_start = last.map(|(start, key, _)| Next { start: *start, key: Key::After(key.clone()) });
        Ok(same_start.or_else(|| Next::before(next.start)))
    }
}

impl Next {
    /// The first place of all earlier starts.
    fn before(start: Millis) -> Option<Self> {
        start.checked_sub(1).map(|start| Self { start, key: Key::First })
    }
}

/// Names by number, each looked up once.
struct Names {
    table: &'static str,
    known: HashMap<i64, String>,
}

impl Names {
    fn new(table: &'static str) -> Self {
        Self { table, known: HashMap::new() }
    }

    fn of(&mut self, tx: &Transaction<'_>, number: i64) -> Result<String, StoreError> {
        if let Some(name) = self.known.get(&number) {
            return Ok(name.clone());
        }
        let sql = format!("SELECT name FROM {} WHERE id = ?1", self.table);
        let name: String = tx.prepare_cached(&sql)?.query_row([number], |row| row.get(0))?;
        self.known.insert(number, name.clone());
        Ok(name)
    }
}
