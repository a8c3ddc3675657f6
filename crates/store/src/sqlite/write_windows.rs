//! Pieces of windows, merged with the rows that are there; counts of late events, added; results that are to be told.

use std::cmp::{Ordering, Reverse};

use event::{DeliveryStatus, LateEvents, Millis, WindowDelta, WindowId};
use rusqlite::{OptionalExtension, Transaction, params};

use super::measures;
use super::numbers::Numbers;
use super::values::{bytes_of, to_sql};
use super::whole::Whole;
use super::write_facts::Retracted;
use crate::StoreError;

/// A window by what makes it unique.
pub(super) const FIND: &str = "SELECT n, definition, events, end, measures FROM windows
    WHERE tenant = ?1 AND stream = ?2 AND window = ?3 AND size = ?4 AND start = ?5 AND key = ?6";

/// A window as its row names it, in the order of the index: rows that follow each other lie beside each other.
struct Place<'a> {
    tenant: i64,
    stream: i64,
    id: &'a WindowId,
}

impl<'a> Place<'a> {
    fn of(numbers: &mut Numbers<'_>, id: &'a WindowId) -> Result<Self, StoreError> {
        Ok(Self { tenant: numbers.tenant(id.tenant.as_bytes())?, stream: numbers.stream(&id.stream)?, id })
    }

    fn order(&self, other: &Self) -> Ordering {
        let rank = |place: &Self| {
            let id = place.id;
            (place.tenant, place.stream, id.window.as_str(), id.size_ms, Reverse(id.start), id.key.as_str())
        };
        rank(self).cmp(&rank(other))
    }
}

/// Takes a window's counts of late events away, and gives the number of its row. The row itself stays until it is known
/// whether the commit adds the window again, see [`merge`].
pub(super) fn retract(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    id: &WindowId,
) -> Result<Option<i64>, StoreError> {
    let (Some(stream), Some(tenant)) = (numbers.known_stream(&id.stream)?, numbers.known_tenant(id.tenant.as_bytes())?)
    else {
        return Ok(None);
    };
    let named = params![tenant, stream, id.window, id.size_ms, id.start, id.key];
    let sql = "DELETE FROM late_events WHERE tenant = ?1 AND stream = ?2 AND window = ?3 AND size = ?4 AND start = ?5
         AND key = ?6";
    tx.prepare_cached(sql)?.execute(named)?;
    Ok(tx.prepare_cached(FIND)?.query_row(named, |row| row.get(0)).optional()?)
}

/// Merges pieces with the windows that are there; all pieces of one window are one change of its row. Retracted windows
/// are replaced, and go where no piece replaces them.
pub(super) fn merge(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    retracted: &Retracted<'_>,
    pieces: &[WindowDelta],
    now: Millis,
) -> Result<(), StoreError> {
    let mut placed = Vec::with_capacity(pieces.len());
    for piece in pieces {
        placed.push((Place::of(numbers, &piece.id)?, piece));
    }
    // Stable: where definitions differ, the last one counts.
    placed.sort_by(|(a, _), (b, _)| a.order(b));
    let mut writer = Writer { tx, now, there: false, bytes: Vec::new(), json: String::new() };
    let mut gone = retracted.windows.clone();
    for group in placed.chunk_by(|(a, _), (b, _)| a.order(b) == Ordering::Equal) {
        let replaces = gone.remove(group[0].0.id).is_some();
        let n = writer.put(group, replaces)?;
        writer.publish(n, group)?;
    }
    for n in gone.values() {
        tx.prepare_cached("DELETE FROM windows WHERE n = ?1")?.execute([n])?;
        tx.prepare_cached("DELETE FROM outbox WHERE window = ?1")?.execute([n])?;
    }
    Ok(())
}

type Pieces<'a, 'p> = [(Place<'p>, &'a WindowDelta)];

/// Writes windows, with what is used again from one to the next.
struct Writer<'a> {
    tx: &'a Transaction<'a>,
    now: Millis,
    /// Whether the window before had a row: then this one is looked for, if not, it is tried to be added. The windows of a
    /// commit mostly are all alike in that, and a try in vain costs half as much again.
    there: bool,
    bytes: Vec<u8>,
    json: String,
}

impl Writer<'_> {
    /// Writes pieces of one window; gives the number of its row.
    fn put(&mut self, pieces: &Pieces<'_, '_>, replaces: bool) -> Result<i64, StoreError> {
        let (place, count) = (&pieces[0].0, pieces.len());
        let mut whole = Whole::of(pieces[0].1, pieces[1..].iter().map(|(_, piece)| *piece));
        whole.pure &= !replaces;
        if !self.there
            && !replaces
            && let Some(n) = self.insert(place, &whole, count)?
        {
            return Ok(n);
        }
        if let Some(n) = self.update(place, &mut whole, count)? {
            self.there = true;
            return Ok(n);
        }
        self.there = false;
        let lost = || StoreError::Unavailable("the file is damaged: a window is in its index only".to_owned());
        self.insert(place, &whole, count)?.ok_or_else(lost)
    }

    fn encode(&mut self, whole: &Whole<'_>) {
        self.bytes.clear();
        self.json.clear();
        measures::encode(&whole.last.names, &whole.measures, &mut self.bytes);
        measures::write_json(&whole.last.names, &whole.measures, &mut self.json);
    }

    /// Adds a row; `None` when there is one.
    fn insert(&mut self, place: &Place<'_>, whole: &Whole<'_>, pieces: usize) -> Result<Option<i64>, StoreError> {
        self.encode(whole);
        let id = place.id;
        let sql =
            "INSERT INTO windows (tenant, stream, window, size, start, end, key, definition, events, revision, created,
             updated, result, measures) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13)
             ON CONFLICT (tenant, stream, window, size, start, key) DO NOTHING";
        let added = self.tx.prepare_cached(sql)?.execute(params![
            place.tenant,
            place.stream,
            id.window,
            id.size_ms,
            id.start,
            whole.end,
            id.key,
            whole.last.definition as i64,
            to_sql(whole.events)?,
            pieces as i64,
            self.now,
            self.json,
            self.bytes,
        ])?;
        Ok((added > 0).then(|| self.tx.last_insert_rowid()))
    }

    /// Changes the row; `None` when there is none.
    fn update(&mut self, place: &Place<'_>, whole: &mut Whole<'_>, pieces: usize) -> Result<Option<i64>, StoreError> {
        let id = place.id;
        let mut statement = self.tx.prepare_cached(FIND)?;
        let mut rows = statement.query(params![place.tenant, place.stream, id.window, id.size_ms, id.start, id.key])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let n: i64 = row.get(0)?;
        let same = row.get::<_, i64>(1)? as u64 == whole.last.definition;
        if !same && whole.corrects {
            return Ok(Some(n)); // a few late events are not the result
        }
        if whole.pure && same {
            let measures = measures::decode(bytes_of(row.get_ref(4)?))?;
            whole.add(measures.iter().map(|(_, measure)| measure), row.get::<_, i64>(2)? as u64, row.get(3)?);
        }
        drop(rows);
        self.encode(whole);
        self.tx
            .prepare_cached(
                "UPDATE windows SET end = ?2, definition = ?3, events = ?4, revision = revision + ?5, updated = ?6,
                 result = ?7, measures = ?8 WHERE n = ?1",
            )?
            .execute(params![
                n,
                whole.end,
                whole.last.definition as i64,
                to_sql(whole.events)?,
                pieces as i64,
                self.now,
                self.json,
                self.bytes,
            ])?;
        Ok(Some(n))
    }

    /// Puts a window's result into the outbox, once for each stream that its pieces name. An entry that is there already
    /// is replaced by one with a new number: a delivery of the result as it was does not settle the new one. How often
    /// one that waits was tried, and when it is tried again, stays.
    fn publish(&self, n: i64, pieces: &Pieces<'_, '_>) -> Result<(), StoreError> {
        for (at, (place, piece)) in pieces.iter().enumerate() {
            let Some(to) = &piece.publish else { continue };
            if pieces[..at].iter().any(|(_, earlier)| earlier.publish.as_ref() == Some(to)) {
                continue;
            }
            let sql = "INSERT OR REPLACE INTO outbox (tenant, stream, target, window, status, attempts, error, created, next_at)
                 SELECT ?1, ?2, ?3, ?4, ?5, coalesce(max(attempts), 0), coalesce(max(error), ''),
                   coalesce(max(created), ?6), coalesce(max(next_at), ?6)
                 FROM outbox WHERE window = ?4 AND target = ?3 AND status = ?5";
            self.tx.prepare_cached(sql)?.execute(params![
                place.tenant,
                place.stream,
                to,
                n,
                DeliveryStatus::Pending.as_str(),
                self.now
            ])?;
        }
        Ok(())
    }
}

/// Adds counts of late events to those that are there.
pub(super) fn add_late(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    late: &[LateEvents],
    now: Millis,
) -> Result<(), StoreError> {
    let mut placed = Vec::with_capacity(late.len());
    for counts in late {
        placed.push((Place::of(numbers, &counts.id)?, counts));
    }
    placed.sort_by(|(a, _), (b, _)| a.order(b));
    for (place, counts) in placed {
        let id = place.id;
        tx.prepare_cached(
            "INSERT INTO late_events (tenant, stream, window, size, start, end, key, events, lateness, corrected, created,
             updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)
             ON CONFLICT (tenant, stream, window, size, start, key) DO UPDATE SET end = max(end, excluded.end),
               events = events + excluded.events, lateness = max(lateness, excluded.lateness),
               corrected = max(corrected, excluded.corrected), updated = excluded.updated",
        )?
        .execute(params![
            place.tenant,
            place.stream,
            id.window,
            id.size_ms,
            id.start,
            counts.end,
            id.key,
            to_sql(counts.events)?,
            counts.lateness_ms,
            counts.corrected,
            now,
        ])?;
    }
    Ok(())
}
