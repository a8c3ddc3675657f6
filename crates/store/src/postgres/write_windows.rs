//! Pieces of windows, merged with the rows that are there; counts of late events, added; results that are to be told.
//!
//! Several processes merge into the same windows, each what its partitions saw. New rows are tried first, all of them, in
//! the order of their identity; then the rows that are there are locked, all of them, in the order of their numbers. So
//! nobody who waits for a row holds one that another waits for: there are no deadlocks, and a merge that was read is the
//! one that is written.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use event::{DeliveryStatus, LateEvents, Millis, WindowDelta, WindowId};

use super::fault::Fault;
use super::parts::{Column, parts};
use super::pool::Tx;
use super::text::{to_sql, to_text};
use super::write_facts::Retracted;
use super::write_rows::{self, Item};
use crate::sqlite::whole::Whole;

/// What makes a window unique, in the order of the index.
pub(super) fn order(a: &WindowId, b: &WindowId) -> Ordering {
    let rank = |id: &WindowId| (id.size_ms, Reverse(id.start));
    (a.tenant.as_str(), a.stream.as_str(), a.window.as_str(), rank(a), a.key.as_str()).cmp(&(
        b.tenant.as_str(),
        b.stream.as_str(),
        b.window.as_str(),
        rank(b),
        b.key.as_str(),
    ))
}

/// The identities of windows as parameters `$1` to `$6`.
pub(super) struct Identities<'a> {
    tenant: Column<'a>,
    stream: Column<'a>,
    name: Column<'a>,
    size: Vec<Millis>,
    start: Vec<Millis>,
    key: Column<'a>,
}

/// Those parameters as rows.
pub(super) const NAMED: &str = "unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
    WITH ORDINALITY AS i (tenant, stream, name, size, start_at, key, at)";
/// That a row is the named one.
pub(super) const IS_NAMED: &str = "w.tenant = i.tenant AND w.stream = i.stream AND w.name = i.name AND w.size = i.size
    AND w.start_at = i.start_at AND w.key = i.key";

impl<'a> Identities<'a> {
    pub(super) fn of(ids: &[&'a WindowId]) -> Self {
        let text = |of: fn(&'a WindowId) -> &'a str| -> Column<'a> {
            ids.iter().map(|id| to_text(of(id).as_bytes())).collect()
        };
        Self {
            tenant: text(|id| &id.tenant),
            stream: text(|id| &id.stream),
            name: text(|id| &id.window),
            size: ids.iter().map(|id| id.size_ms).collect(),
            start: ids.iter().map(|id| id.start).collect(),
            key: text(|id| &id.key),
        }
    }

    pub(super) fn params(&self) -> [&(dyn postgres::types::ToSql + Sync); 6] {
        [&self.tenant, &self.stream, &self.name, &self.size, &self.start, &self.key]
    }
}

/// Takes windows' counts of late events away, and gives the numbers of their rows, locked. The rows themselves stay until
/// it is known whether the commit adds the windows again, see [`merge`].
pub(super) fn retract<'a>(tx: &mut Tx<'_>, ids: &[&'a WindowId]) -> Result<HashMap<&'a WindowId, i64>, Fault> {
    let mut ids = ids.to_vec();
    ids.sort_by(|a, b| order(a, b));
    ids.dedup();
    let mut found = HashMap::new();
    for part in parts(&ids, |id| id.key.len()) {
        let named = Identities::of(part);
        tx.execute(&format!("DELETE FROM late_events w USING {NAMED} WHERE {IS_NAMED}"), &named.params())?;
        let sql = format!("SELECT i.at, w.n FROM {NAMED} JOIN windows w ON {IS_NAMED} ORDER BY w.n FOR UPDATE OF w");
        for row in tx.query(&sql, &named.params())? {
            let at: i64 = row.try_get(0)?;
            found.insert(part[at as usize - 1], row.try_get(1)?);
        }
    }
    Ok(found)
}

/// Merges pieces with the windows that are there; all pieces of one window are one change of its row. Retracted windows
/// are replaced, and go where no piece replaces them.
pub(super) fn merge(
    tx: &mut Tx<'_>,
    retracted: &Retracted<'_>,
    pieces: &[WindowDelta],
    now: Millis,
) -> Result<(), Fault> {
    let mut sorted: Vec<&WindowDelta> = pieces.iter().collect();
    // Stable: where definitions differ, the last one counts.
    sorted.sort_by(|a, b| order(&a.id, &b.id));
    let mut gone = retracted.windows.clone();
    let mut items = Vec::new();
    let mut publish: Vec<(usize, &str)> = Vec::new();
    for group in sorted.chunk_by(|a, b| a.id == b.id) {
        let mut whole = Whole::of(group[0], group[1..].iter().copied());
        whole.pure &= gone.remove(&group[0].id).is_none();
        for (at, piece) in group.iter().enumerate() {
            let Some(to) = piece.publish.as_deref() else { continue };
            if !group[..at].iter().any(|earlier| earlier.publish.as_deref() == Some(to)) {
                publish.push((items.len(), to));
            }
        }
        items.push(Item { id: &group[0].id, whole, pieces: group.len() as i64 });
    }
    let numbers = write_rows::put(tx, &mut items, now)?;
    tell(tx, &items, &numbers, &publish, now)?;
    if !gone.is_empty() {
        let mut gone: Vec<i64> = gone.into_values().collect();
        gone.sort_unstable();
        tx.execute("DELETE FROM windows WHERE n = ANY ($1)", &[&gone])?;
        tx.execute("DELETE FROM outbox WHERE window_n = ANY ($1)", &[&gone])?;
    }
    Ok(())
}

/// Puts windows' results into the outbox, once for each stream that their pieces name. An entry that is there already
/// gets a new number: a delivery of the result as it was does not settle the new one. How often one that waits was tried,
/// and when it is tried again, stays.
fn tell(
    tx: &mut Tx<'_>,
    items: &[Item<'_>],
    numbers: &[i64],
    publish: &[(usize, &str)],
    now: Millis,
) -> Result<(), Fault> {
    let kept = |column: &str, fresh: &str| {
        format!("{column} = CASE WHEN outbox.status = 'pending' THEN outbox.{column} ELSE {fresh} END")
    };
    let sql = format!(
        "INSERT INTO outbox (tenant, stream, target, window_n, status, attempts, error, created, next_at)
         SELECT o.tenant, o.stream, o.target, o.n, $5, 0, '', $6, $6
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY
           AS o (tenant, stream, target, n, at) ORDER BY o.at
         ON CONFLICT (window_n, target) WHERE window_n IS NOT NULL DO UPDATE SET n = excluded.n, {}, {}, {}, {},
           done_at = NULL, status = excluded.status",
        kept("attempts", "0"),
        kept("error", "''"),
        kept("created", "excluded.created"),
        kept("next_at", "excluded.next_at"),
    );
    for part in parts(publish, |_| 0) {
        let text = |of: fn(&WindowId) -> &str| -> Column<'_> {
            part.iter().map(|(at, _)| to_text(of(items[*at].id).as_bytes())).collect()
        };
        let targets: Vec<Cow<'_, str>> = part.iter().map(|(_, to)| to_text(to.as_bytes())).collect();
        let windows: Vec<i64> = part.iter().map(|(at, _)| numbers[*at]).collect();
        let pending = DeliveryStatus::Pending.as_str();
        tx.execute(&sql, &[&text(|id| &id.tenant), &text(|id| &id.stream), &targets, &windows, &pending, &now])?;
    }
    Ok(())
}

/// Adds counts of late events to those that are there.
pub(super) fn add_late(tx: &mut Tx<'_>, late: &[LateEvents], now: Millis) -> Result<(), Fault> {
    let mut sorted: Vec<&LateEvents> = late.iter().collect();
    sorted.sort_by(|a, b| order(&a.id, &b.id));
    // One statement touches a row once.
    let mut sums: Vec<LateEvents> = Vec::new();
    for counts in sorted {
        match sums.last_mut().filter(|sum| sum.id == counts.id) {
            Some(sum) => {
                sum.end = sum.end.max(counts.end);
                sum.events = sum.events.saturating_add(counts.events);
                sum.lateness_ms = sum.lateness_ms.max(counts.lateness_ms);
                sum.corrected |= counts.corrected;
            }
            None => sums.push(counts.clone()),
        }
    }
    let sql = format!(
        "INSERT INTO late_events AS l (tenant, stream, name, size, start_at, key, end_at, events, lateness, corrected,
           created, updated)
         SELECT i.tenant, i.stream, i.name, i.size, i.start_at, i.key, c.end_at, c.events, c.lateness, c.corrected, $11, $11
         FROM {NAMED} JOIN unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::boolean[]) WITH ORDINALITY
           AS c (end_at, events, lateness, corrected, at) USING (at) ORDER BY at
         ON CONFLICT (tenant, stream, name, size, start_at, key) DO UPDATE SET end_at = greatest(l.end_at, excluded.end_at),
           events = l.events + excluded.events, lateness = greatest(l.lateness, excluded.lateness),
           corrected = l.corrected OR excluded.corrected, updated = excluded.updated"
    );
    for part in parts(&sums, |counts| counts.id.key.len()) {
        let named = Identities::of(&part.iter().map(|counts| &counts.id).collect::<Vec<_>>());
        let ends: Vec<Millis> = part.iter().map(|counts| counts.end).collect();
        let events = part.iter().map(|counts| to_sql(counts.events)).collect::<Result<Vec<_>, _>>()?;
        let lateness: Vec<Millis> = part.iter().map(|counts| counts.lateness_ms).collect();
        let corrected: Vec<bool> = part.iter().map(|counts| counts.corrected).collect();
        let mut params = named.params().to_vec();
        params.extend([&ends as &(dyn postgres::types::ToSql + Sync), &events, &lateness, &corrected, &now]);
        tx.execute(&sql, &params)?;
    }
    Ok(())
}
