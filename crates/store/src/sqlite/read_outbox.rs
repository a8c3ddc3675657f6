//! What is to be told to others: pages of alerts, and what is due.

use event::{DeliveryStatus, Millis};
use rusqlite::{Row, Transaction, named_params, params};

use super::filters::{Filters, STREAM, TENANT};
use super::read_windows;
use super::tenants::Scope;
use super::values::{string_of, to_sql};
use crate::StoreError;
use crate::query::{AlertPage, AlertQuery, AlertRow, Outgoing, Parcel};

/// The columns of an alert, as [`alert`] reads them.
const ALERT: &str = "n, target, id, anomaly, body, status, attempts, error, created, next_at, done_at";

/// What is due for one target or stream.
pub(super) const DUE: &str = "FROM outbox WHERE status = 'pending' AND target = ?1 AND (window IS NULL) = ?2
    AND next_at <= ?3 ORDER BY next_at, n LIMIT ?4";
/// The first name behind another for which something waits.
pub(super) const WAITING: &str = "SELECT min(target) FROM outbox WHERE status = 'pending' AND target > ?1";

/// Answers an [`AlertQuery`].
pub(super) fn alerts(tx: &Transaction<'_>, query: &AlertQuery) -> Result<AlertPage, StoreError> {
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(AlertPage::default()) };
    let mut filters = alert_filters(query, scope);
    let total = filters.count(tx, "outbox")?;
    // Of all tenants, the numbers of the rows are sorted, and not the rows.
    let sql = format!(
        "SELECT {ALERT}, {TENANT}, {STREAM} FROM outbox
         WHERE n IN (SELECT n FROM outbox {} ORDER BY n DESC LIMIT :limit OFFSET :skip) ORDER BY n DESC",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, alert)?.collect::<Result<_, _>>()?;
    Ok(AlertPage { rows, total })
}

pub(super) fn alert_filters(query: &AlertQuery, scope: Scope) -> Filters<'_> {
    let mut filters = Filters::default();
    filters.add_term("window IS NULL");
    filters.add_scope(scope, true);
    filters.add(&query.target, "target = :target", ":target");
    filters.add_word("status", query.status.map(DeliveryStatus::as_str));
    filters.add(&query.before, "n < :before", ":before");
    filters
}

fn alert(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
    let status = string_of(row.get_ref(5)?);
    Ok(AlertRow {
        row: row.get(0)?,
        tenant: row.get(11)?,
        target: row.get(1)?,
        id: row.get(2)?,
        stream: row.get(12)?,
        anomaly: row.get(3)?,
        body: row.get(4)?,
        status: DeliveryStatus::parse(&status).ok_or(rusqlite::Error::InvalidQuery)?,
        attempts: row.get(6)?,
        error: row.get(7)?,
        created_at: row.get(8)?,
        next_at: row.get(9)?,
        done_at: row.get(10)?,
    })
}

/// What is due at `now`, for each target and each stream in the order in which it became due.
pub(super) fn due(tx: &Transaction<'_>, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
    let mut due = Vec::new();
    let mut target = String::new();
    // From name to name through the index: however much waits for one, it is not read.
    while let Some(next) = target_after(tx, &target)? {
        for alerts in [true, false] {
            due_for(tx, (&next, alerts), now, limit, &mut due)?;
        }
        target = next;
    }
    Ok(due)
}

fn target_after(tx: &Transaction<'_>, target: &str) -> Result<Option<String>, StoreError> {
    Ok(tx.prepare_cached(WAITING)?.query_row([target], |row| row.get(0))?)
}

fn due_for(
    tx: &Transaction<'_>,
    (target, alerts): (&str, bool),
    now: Millis,
    limit: usize,
    due: &mut Vec<Outgoing>,
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(&format!("SELECT {ALERT}, {TENANT}, {STREAM}, window {DUE}"))?;
    let mut rows = statement.query(params![target, alerts, now, to_sql(limit as u64)?])?;
    while let Some(row) = rows.next()? {
        let what = match row.get::<_, Option<i64>>(13)? {
            None => Parcel::Alert(alert(row)?),
            Some(n) => Parcel::Window { to: row.get(1)?, row: read_windows::row(tx, n)? },
        };
        due.push(Outgoing { row: row.get(0)?, attempts: row.get(6)?, what });
    }
    Ok(())
}
