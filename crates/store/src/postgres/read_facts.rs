//! Pages of anomalies, positions and snapshots.

use event::{Anomaly, Severity};
use postgres::Row;

use super::fault::Fault;
use super::filters::{Filters, bound};
use super::pool::Tx;
use super::rows::Cells;
use super::text;
use crate::query::{AnomalyPage, AnomalyQuery, AnomalyRow};
use crate::{Snapshot, StoredPosition};

/// All positions of a consumer, by stream and partition. One that was claimed and never moved is none.
pub(super) fn positions(tx: &mut Tx<'_>, consumer: &str) -> Result<Vec<StoredPosition>, Fault> {
    let sql = "SELECT stream, partition, next FROM positions WHERE consumer = $1 AND next IS NOT NULL
        ORDER BY stream, partition";
    let rows = tx.query(sql, &[&text::to_text(consumer.as_bytes())])?;
    rows.iter().map(|row| position(&mut Cells::of(row))).collect()
}

/// All snapshots, by stream and partition.
pub(super) fn snapshots(tx: &mut Tx<'_>) -> Result<Vec<Snapshot>, Fault> {
    let sql = r#"SELECT stream, partition, "offset", state FROM snapshots ORDER BY stream, partition"#;
    let rows = tx.query(sql, &[])?;
    let snapshot = |row| {
        let mut cells = Cells::of(row);
        Ok(Snapshot { position: position(&mut cells)?, state: cells.bytes()? })
    };
    rows.iter().map(snapshot).collect()
}

fn position(cells: &mut Cells<'_>) -> Result<StoredPosition, Fault> {
    Ok(StoredPosition { stream: cells.text()?, partition: cells.small()?, offset: cells.count()? })
}

/// Answers an [`AnomalyQuery`].
pub(super) fn anomalies(tx: &mut Tx<'_>, query: &AnomalyQuery) -> Result<AnomalyPage, Fault> {
    let mut filters = Filters::default();
    scope(&mut filters, "anomaly", query.tenant.as_deref(), query.key.is_some() || query.rule.is_some());
    filters.add_text("stream =", query.stream.as_deref());
    filters.add_text("key =", query.key.as_deref());
    filters.add_text("rule =", query.rule.as_deref());
    filters.add_word("severity", query.severity.map(Severity::as_str));
    filters.add_number("event_time >=", query.from);
    filters.add_number("event_time <=", query.to);
    let total = count(tx, "anomaly", &filters)?;
    let (limit, skip) = (filters.bind(bound(query.limit as u64)), filters.bind(bound(query.skip)));
    let sql = format!(
        r#"SELECT n, stored_at, tenant, id, rule, severity, stream, partition, "offset", key, event_time, received_at,
        description, metadata, data, data_raw FROM anomaly WHERE {} ORDER BY event_time DESC, n DESC
        LIMIT {limit} OFFSET {skip}"#,
        filters.sql()
    );
    let rows = tx.query(&sql, &filters.values())?;
    Ok(AnomalyPage { rows: rows.iter().map(anomaly).collect::<Result<_, _>>()?, total })
}

/// A tenant, or all. Of all, an index that begins with the tenant (`led`) needs to be told which there are.
pub(super) fn scope(filters: &mut Filters, table: &str, tenant: Option<&str>, led: bool) {
    filters.add_text("tenant =", tenant);
    if tenant.is_none() && led {
        filters.add(format!("tenant IN ({})", tenants_of(table)));
    }
}

/// All tenants that a table has rows of: from one to the next through an index that begins with them, a look-up each.
pub(super) fn tenants_of(table: &str) -> String {
    format!(
        "WITH RECURSIVE found (tenant) AS (
           SELECT min(tenant) FROM {table}
           UNION ALL
           SELECT (SELECT min(t.tenant) FROM {table} AS t WHERE t.tenant > found.tenant) FROM found
           WHERE found.tenant IS NOT NULL)
         SELECT found.tenant FROM found WHERE found.tenant IS NOT NULL"
    )
}

pub(super) fn count(tx: &mut Tx<'_>, table: &str, filters: &Filters) -> Result<u64, Fault> {
    let sql = format!("SELECT count(*) FROM {table} WHERE {}", filters.sql());
    Ok(tx.query_one(&sql, &filters.values())?.try_get::<_, i64>(0)? as u64)
}

fn anomaly(row: &Row) -> Result<AnomalyRow, Fault> {
    let mut cells = Cells::of(row);
    let (row, stored_at) = (cells.number()?, cells.number()?);
    let anomaly = Anomaly {
        tenant: cells.text()?,
        id: cells.text()?,
        rule: cells.text()?,
        severity: cells.word(Severity::parse)?,
        stream: cells.text()?,
        partition: cells.small()?,
        offset: cells.count()?,
        key: cells.text()?,
        time: cells.number()?,
        received_at: cells.number()?,
        description: cells.text()?,
        metadata: cells.text()?,
        event: cells.payload()?,
    };
    Ok(AnomalyRow { row, stored_at, anomaly })
}
