//! Pages of anomalies and dead letters, positions and snapshots: small tables, read by plain SQL.

use event::{Anomaly, DeadLetter, Severity, Stage};
use rusqlite::types::ToSql;
use rusqlite::{Row, Transaction, named_params};

use super::tenants::Scope;
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
    terms: Vec<String>,
    values: Vec<(&'static str, &'a dyn ToSql)>,
}

impl<'a> Filters<'a> {
    fn add<T: ToSql>(&mut self, value: &'a Option<T>, term: &'static str, name: &'static str) {
        if let Some(value) = value {
            self.terms.push(term.to_owned());
            self.values.push((name, value));
        }
    }

    /// The tenant. Of all tenants, a column that leads to an index with them before it (`by_column`) needs a term too.
    fn add_scope(&mut self, scope: Scope, by_column: bool) {
        self.terms.extend(scope.term(by_column));
    }

    fn count(&self, tx: &Transaction<'_>, table: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {table} {}", self.sql());
        Ok(tx.prepare_cached(&sql)?.query_row(&*self.values, |row| row.get::<_, i64>(0))? as u64)
    }

    fn sql(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!("WHERE {}", self.terms.join(" AND ")) }
    }
}

const TENANT: &str = "(SELECT name FROM tenants WHERE tenants.id = tenant)";
const OF_STREAM: &str = "stream = (SELECT id FROM streams WHERE name = :stream)";

/// Answers an [`AnomalyQuery`].
pub(super) fn anomalies(tx: &Transaction<'_>, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(AnomalyPage::default()) };
    let severity = query.severity.map(Severity::as_str);
    let mut filters = anomaly_filters(query, scope, &severity);
    let total = filters.count(tx, "anomalies")?;
    let sql = format!(
        "SELECT n, stored, id, rule, severity, (SELECT name FROM streams WHERE streams.id = stream), part, off, key, time,
         received, description, metadata, event, {TENANT} FROM anomalies {} ORDER BY time DESC, n DESC LIMIT :limit OFFSET :skip",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, anomaly)?.collect::<Result<_, _>>()?;
    Ok(AnomalyPage { rows, total })
}

fn anomaly_filters<'a>(query: &'a AnomalyQuery, scope: Scope, severity: &'a Option<&'static str>) -> Filters<'a> {
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

/// Answers a [`DeadLetterQuery`].
pub(super) fn dead_letters(tx: &Transaction<'_>, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(DeadLetterPage::default()) };
    let mut filters = dead_letter_filters(query, scope);
    let total = filters.count(tx, "dead_letters")?;
    let sql = format!(
        "SELECT id, (SELECT name FROM streams WHERE streams.id = stream), part, off, stage, code, pointer, message, data,
         request_id, received, {TENANT} FROM dead_letters {} ORDER BY n DESC LIMIT :limit OFFSET :skip",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, dead_letter)?.collect::<Result<_, _>>()?;
    Ok(DeadLetterPage { rows, total })
}

fn dead_letter_filters(query: &DeadLetterQuery, scope: Scope) -> Filters<'_> {
    let mut filters = Filters::default();
    filters.add_scope(scope, query.code.is_some());
    filters.add(&query.id, "id = :id", ":id");
    filters.add(&query.stream, OF_STREAM, ":stream");
    filters.add(&query.code, "code = :code", ":code");
    filters
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let stage = string_of(row.get_ref(4)?);
    let stages = [Stage::Collect, Stage::Process, Stage::Store];
    Ok(DeadLetter {
        tenant: row.get(11)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{SqliteSettings, open};

    #[test]
    fn a_tenants_facts_are_asked_by_an_index_with_the_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = open::writer(&folder.path().join("store.db"), &SqliteSettings::default()).unwrap();
        conn.execute("INSERT INTO tenants VALUES (3, 'acme')", []).unwrap();
        let tx = conn.transaction().unwrap();
        let check = |table: &str, order: &str, filters: &Filters<'_>, scan: bool| {
            for what in ["count(*)", "*"] {
                let sql = format!("EXPLAIN QUERY PLAN SELECT {what} FROM {table} {} ORDER BY {order}", filters.sql());
                let mut plan = tx.prepare(&sql).unwrap();
                let rows = plan.query_map(&*filters.values, |row| row.get::<_, String>(3)).unwrap();
                let plan = rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
                assert!(scan || plan.contains("tenant=?"), "{sql}: {plan}");
            }
        };
        for tenant in [Some("acme"), Some(""), None] {
            let scope = Scope::of(&tx, tenant).unwrap().unwrap();
            let some = |given: bool| given.then(|| "x".to_owned());
            for bits in 0..16 {
                let bit = |n: u32| bits & 1 << n != 0;
                let (stream, key, rule) = (some(bit(0)), some(bit(1)), some(bit(2)));
                let (from, all) = (bit(3).then_some(5), tenant.is_none() && !bit(1) && !bit(2));
                let query = AnomalyQuery { stream, key, rule, from, ..AnomalyQuery::default() };
                check("anomalies", "time DESC, n DESC", &anomaly_filters(&query, scope, &None), all);
                let (stream, code, id) = (some(bit(0)), some(bit(1)), some(bit(2)));
                let all = tenant.is_none() && !bit(1);
                let query = DeadLetterQuery { stream, code, id, ..DeadLetterQuery::default() };
                check("dead_letters", "n DESC", &dead_letter_filters(&query, scope), all);
            }
        }
    }
}
