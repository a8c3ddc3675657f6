//! Pages of anomalies, positions and snapshots: small tables, read by plain SQL.

use event::{Anomaly, Severity};
use rusqlite::{Row, Transaction, named_params};

use super::filters::{Filters, OF_STREAM, STREAM, TENANT};
use super::tenants::Scope;
use super::values::{bytes_of, string_of, to_sql};
use crate::query::{AnomalyPage, AnomalyQuery, AnomalyRow};
use crate::{Snapshot, StoreError, StoredPosition};

/// All positions of a consumer, by stream and partition.
pub(super) fn positions(tx: &Transaction<'_>, consumer: &str) -> Result<Vec<StoredPosition>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT name, part, next FROM positions JOIN streams ON streams.id = stream WHERE consumer = ?1
         ORDER BY name, part",
    )?;
    let rows = statement.query_map([consumer], position)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All snapshots, by stream and partition.
pub(super) fn snapshots(tx: &Transaction<'_>) -> Result<Vec<Snapshot>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT name, part, off, state FROM snapshots JOIN streams ON streams.id = stream ORDER BY name, part",
    )?;
    let rows = statement.query_map([], |row| Ok(Snapshot { position: position(row)?, state: row.get(3)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn position(row: &Row<'_>) -> rusqlite::Result<StoredPosition> {
    Ok(StoredPosition { stream: row.get(0)?, partition: row.get(1)?, offset: row.get::<_, i64>(2)? as u64 })
}

/// Answers an [`AnomalyQuery`].
pub(super) fn anomalies(tx: &Transaction<'_>, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(AnomalyPage::default()) };
    let severity = query.severity.map(Severity::as_str);
    let mut filters = anomaly_filters(query, scope, &severity);
    let total = filters.count(tx, "anomalies")?;
    let sql = format!(
        "SELECT n, stored, id, rule, severity, {STREAM}, part, off, key, time,
         received, description, metadata, event, {TENANT} FROM anomalies {} ORDER BY time DESC, n DESC LIMIT :limit OFFSET :skip",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, anomaly)?.collect::<Result<_, _>>()?;
    Ok(AnomalyPage { rows, total })
}

pub(super) fn anomaly_filters<'a>(
    query: &'a AnomalyQuery,
    scope: Scope,
    severity: &'a Option<&'static str>,
) -> Filters<'a> {
    let mut filters = Filters::default();
    filters.add_scope(scope, query.key.is_some() || query.rule.is_some());
    filters.add(&query.stream, OF_STREAM, ":stream");
    filters.add(&query.key, "key = :key", ":key");
    filters.add(&query.rule, "rule = :rule", ":rule");
    filters.add(severity, "severity = :severity", ":severity");
    filters.add(&query.from, "time >= :from", ":from");
    filters.add(&query.to, "time <= :to", ":to");
    filters
}

fn anomaly(row: &Row<'_>) -> rusqlite::Result<AnomalyRow> {
    let anomaly = Anomaly {
        tenant: row.get(14)?,
        id: row.get(2)?,
        rule: row.get(3)?,
        severity: Severity::parse(&string_of(row.get_ref(4)?)).ok_or(rusqlite::Error::InvalidQuery)?,
        stream: row.get(5)?,
        partition: row.get(6)?,
        offset: row.get::<_, i64>(7)? as u64,
        key: row.get(8)?,
        time: row.get(9)?,
        received_at: row.get(10)?,
        description: row.get(11)?,
        metadata: row.get(12)?,
        event: bytes_of(row.get_ref(13)?).to_vec(),
    };
    Ok(AnomalyRow { row: row.get(0)?, stored_at: row.get(1)?, anomaly })
}
