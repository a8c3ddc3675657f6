//! What is to be told to others: pages of alerts, and what is due.

use event::{DeliveryStatus, Millis};

use super::fault::Fault;
use super::filters::{Filters, bound};
use super::pool::Tx;
use super::read_facts::{count, scope};
use super::read_windows::{self, window};
use super::rows::Cells;
use crate::query::{AlertPage, AlertQuery, AlertRow, Outgoing, Parcel};

/// The columns of an alert, as [`alert`] reads them.
const ALERT: &str =
    "o.n, o.tenant, o.target, o.id, o.stream, o.anomaly, o.body, o.status, o.attempts, o.error, o.created,
    o.next_at, o.done_at";

/// The names of all for which something waits, from one to the next through the index: however much waits for one, it is not
/// read. And what is due of alerts (or windows) for each.
fn due_sql(columns: &str, kind: &str) -> String {
    format!(
        "WITH RECURSIVE waiting (target) AS (
           SELECT min(target) FROM outbox WHERE status = 'pending' AND target > ''
           UNION ALL
           SELECT (SELECT min(target) FROM outbox AS o WHERE o.status = 'pending' AND o.target > waiting.target) FROM waiting
           WHERE waiting.target IS NOT NULL)
         SELECT {columns} FROM waiting CROSS JOIN LATERAL (
           SELECT * FROM outbox WHERE status = 'pending' AND target = waiting.target AND {kind} AND next_at <= $1
           ORDER BY next_at, n LIMIT $2) AS o"
    )
}

/// Answers an [`AlertQuery`].
pub(super) fn alerts(tx: &mut Tx<'_>, query: &AlertQuery) -> Result<AlertPage, Fault> {
    let mut filters = Filters::default();
    filters.add("window_n IS NULL");
    scope(&mut filters, "outbox", query.tenant.as_deref(), query.target.is_some() || query.status.is_some());
    filters.add_text("target =", query.target.as_deref());
    filters.add_word("status", query.status.map(DeliveryStatus::as_str));
    filters.add_number("n <", query.before);
    let total = count(tx, "outbox", &filters)?;
    let (limit, skip) = (filters.bind(bound(query.limit as u64)), filters.bind(bound(query.skip)));
    let sql =
        format!("SELECT {ALERT} FROM outbox AS o WHERE {} ORDER BY n DESC LIMIT {limit} OFFSET {skip}", filters.sql());
    let rows = tx.query(&sql, &filters.values())?;
    Ok(AlertPage { rows: rows.iter().map(|row| alert(&mut Cells::of(row))).collect::<Result<_, _>>()?, total })
}

fn alert(cells: &mut Cells<'_>) -> Result<AlertRow, Fault> {
    Ok(AlertRow {
        row: cells.number()?,
        tenant: cells.text()?,
        target: cells.text()?,
        id: cells.text()?,
        stream: cells.text()?,
        anomaly: cells.text()?,
        body: cells.text()?,
        status: cells.word(DeliveryStatus::parse)?,
        attempts: cells.tries()?,
        error: cells.text()?,
        created_at: cells.number()?,
        next_at: cells.number()?,
        done_at: cells.raw()?,
    })
}

/// What is due at `now`, for each target and each stream in the order in which it became due.
pub(super) fn due(tx: &mut Tx<'_>, now: Millis, limit: usize) -> Result<Vec<Outgoing>, Fault> {
    let limit = bound(limit as u64);
    let mut due = Vec::new();
    for row in tx.query(&due_sql(ALERT, "(window_n IS NULL) = true"), &[&now, &limit])? {
        let alert = alert(&mut Cells::of(&row))?;
        let place = (alert.target.clone(), false, alert.next_at, alert.row);
        due.push((place, Outgoing { row: alert.row, attempts: alert.attempts, what: Parcel::Alert(alert) }));
    }
    let columns = format!("o.target, o.next_at, o.n, o.attempts, {}", read_windows::COLUMNS);
    let sql = format!(
        "{} JOIN windows AS w ON w.n = o.window_n {}",
        due_sql(&columns, "(window_n IS NULL) = false"),
        read_windows::WITH_LATE
    );
    for row in tx.query(&sql, &[&now, &limit])? {
        let mut cells = Cells::of(&row);
        let (to, next_at, row) = (cells.text()?, cells.number()?, cells.number()?);
        let (place, attempts) = ((to.clone(), true, next_at, row), cells.tries()?);
        due.push((place, Outgoing { row, attempts, what: Parcel::Window { to, row: window(&mut cells)? } }));
    }
    due.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(due.into_iter().map(|(_, outgoing)| outgoing).collect())
}
