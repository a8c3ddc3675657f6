//! Pages of anomalies and dead letters, positions and snapshots: small tables, read by plain SQL.

use event::{Anomaly, DeadLetter, Severity, Stage};
use rusqlite::types::ToSql;
use rusqlite::{Row, Transaction, named_params};

use super::values::{bytes_of, string_of, to_sql};
use crate::query::{AnomalyPage, AnomalyQuery, AnomalyRow, DeadLetterPage, DeadLetterQuery};
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

/// A condition list: only filters that are given become SQL, so that each question finds its index.
#[derive(Default)]
struct Filters<'a> {
    terms: Vec<&'static str>,
    values: Vec<(&'static str, &'a dyn ToSql)>,
}

impl<'a> Filters<'a> {
    fn add<T: ToSql>(&mut self, value: &'a Option<T>, term: &'static str, name: &'static str) {
        if let Some(value) = value {
            self.terms.push(term);
            self.values.push((name, value));
        }
    }

    fn count(&self, tx: &Transaction<'_>, table: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {table} {}", self.sql());
        Ok(tx.prepare_cached(&sql)?.query_row(&*self.values, |row| row.get::<_, i64>(0))? as u64)
    }

    fn sql(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!("WHERE {}", self.terms.join(" AND ")) }
    }
}

const OF_STREAM: &str = "stream = (SELECT id FROM streams WHERE name = :stream)";

/// Answers an [`AnomalyQuery`].
pub(super) fn anomalies(tx: &Transaction<'_>, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
    let severity = query.severity.map(Severity::as_str);
    let mut filters = Filters::default();
    filters.add(&query.stream, OF_STREAM, ":stream");
    filters.add(&query.key, "key = :key", ":key");
    filters.add(&query.rule, "rule = :rule", ":rule");
    filters.add(&severity, "severity = :severity", ":severity");
    filters.add(&query.from, "time >= :from", ":from");
    filters.add(&query.to, "time <= :to", ":to");
    let total = filters.count(tx, "anomalies")?;
    let sql = format!(
        "SELECT n, stored, id, rule, severity, (SELECT name FROM streams WHERE streams.id = stream), part, off, key, time,
         received, description, metadata, event FROM anomalies {} ORDER BY time DESC, n DESC LIMIT :limit OFFSET :skip",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, anomaly)?.collect::<Result<_, _>>()?;
    Ok(AnomalyPage { rows, total })
}

fn anomaly(row: &Row<'_>) -> rusqlite::Result<AnomalyRow> {
    let anomaly = Anomaly {
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

/// Answers a [`DeadLetterQuery`].
pub(super) fn dead_letters(tx: &Transaction<'_>, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
    let mut filters = Filters::default();
    filters.add(&query.id, "id = :id", ":id");
    filters.add(&query.stream, OF_STREAM, ":stream");
    filters.add(&query.code, "code = :code", ":code");
    let total = filters.count(tx, "dead_letters")?;
    let sql = format!(
        "SELECT id, (SELECT name FROM streams WHERE streams.id = stream), part, off, stage, code, pointer, message, data,
         request_id, received FROM dead_letters {} ORDER BY n DESC LIMIT :limit OFFSET :skip",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, dead_letter)?.collect::<Result<_, _>>()?;
    Ok(DeadLetterPage { rows, total })
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let stage = string_of(row.get_ref(4)?);
    let stages = [Stage::Collect, Stage::Process, Stage::Store];
    Ok(DeadLetter {
        id: row.get(0)?,
        stream: row.get(1)?,
        partition: row.get(2)?,
        offset: row.get::<_, i64>(3)? as u64,
        stage: stages.into_iter().find(|s| s.as_str() == stage).ok_or(rusqlite::Error::InvalidQuery)?,
        code: row.get(5)?,
        pointer: row.get(6)?,
        message: row.get(7)?,
        data: bytes_of(row.get_ref(8)?).to_vec(),
        request_id: row.get(9)?,
        received_at: row.get(10)?,
    })
}
