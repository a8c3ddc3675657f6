//! Pages of windows, and single ones.

use event::WindowId;
use rusqlite::{Transaction, named_params};

use super::filters::{Filters, OF_STREAM_UNLED, STREAM, TENANT};
use super::tenants::Scope;
use super::values::{bytes_of, to_sql};
use super::{lanes, measures};
use crate::StoreError;
use crate::query::{WindowPage, WindowQuery, WindowRow};

/// Answers a [`WindowQuery`].
pub(super) fn page(tx: &Transaction<'_>, query: &WindowQuery) -> Result<WindowPage, StoreError> {
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(WindowPage::default()) };
    let mut found = match &query.key {
        Some(_) => of_group(tx, query, scope)?,
        None => lanes::merged(tx, query, scope)?,
    };
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let rows = found.into_iter().map(|n| row(tx, n)).collect::<Result<_, _>>()?;
    Ok(WindowPage { rows, more })
}

/// The row of this number.
pub(super) fn row(tx: &Transaction<'_>, n: i64) -> Result<WindowRow, StoreError> {
    let sql = format!(
        "SELECT {TENANT}, {STREAM}, window, size, start, key, end, definition, events, revision, created, updated, measures,
         (SELECT events FROM late_events AS l WHERE l.tenant = w.tenant AND l.stream = w.stream AND l.window = w.window
          AND l.size = w.size AND l.start = w.start AND l.key = w.key) FROM windows AS w WHERE n = ?1"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query([n])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(WindowRow {
        id: WindowId {
            tenant: row.get(0)?,
            stream: row.get(1)?,
            window: row.get(2)?,
            size_ms: row.get(3)?,
            start: row.get(4)?,
            key: row.get(5)?,
        },
        end: row.get(6)?,
        definition: row.get::<_, i64>(7)? as u64,
        events: row.get::<_, i64>(8)? as u64,
        revision: row.get::<_, i64>(9)? as u64,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        measures: measures::decode(bytes_of(row.get_ref(12)?))?,
        late: row.get::<_, Option<i64>>(13)?.unwrap_or(0) as u64,
    })
}

/// One group's windows, by the index on it: they are few enough to be sorted.
fn of_group(tx: &Transaction<'_>, query: &WindowQuery, scope: Scope) -> Result<Vec<i64>, StoreError> {
    let mut filters = group_filters(query, scope);
    if let Some(last) = &query.after {
        filters.add_term("start <= :last_start");
        filters.add_term(&format!(
            "(start < :last_start OR (window, size, key, {STREAM}, {TENANT})
             > (:last_window, :last_size, :last_key, :last_stream, :last_tenant))"
        ));
        filters.values.extend(named_params! {
            ":last_start": last.start, ":last_window": last.window, ":last_size": last.size_ms, ":last_key": last.key,
            ":last_stream": last.stream, ":last_tenant": last.tenant,
        });
    }
    let sql = group_sql(&filters);
    let limit = to_sql(query.limit as u64)?.saturating_add(1);
    filters.values.extend(named_params! {":limit": limit});
    let mut statement = tx.prepare_cached(&sql)?;
    let found = statement.query_map(&*filters.values, |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Named, because SQLite cannot know how much fewer the rows of a group are than those of a tenant.
pub(super) fn group_sql(filters: &Filters<'_>) -> String {
    format!(
        "SELECT n FROM windows INDEXED BY windows_key {}
         ORDER BY start DESC, window, size, key, {STREAM}, {TENANT} LIMIT :limit",
        filters.sql()
    )
}

pub(super) fn group_filters(query: &WindowQuery, scope: Scope) -> Filters<'_> {
    let mut filters = Filters::default();
    filters.add_scope(scope, true);
    filters.add(&query.key, "key = :key", ":key");
    // A definition's rows of all groups are far more than a group's of all definitions.
    filters.add(&query.stream, OF_STREAM_UNLED, ":stream");
    filters.add(&query.window, "+window = :window", ":window");
    filters.add(&query.size_ms, "+size = :size", ":size");
    filters.add(&query.from, "start >= :from", ":from");
    filters.add(&query.to, "start <= :to", ":to");
    filters
}
