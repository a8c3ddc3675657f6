//! Conditions of questions to the small tables.

use rusqlite::Transaction;
use rusqlite::types::ToSql;

use super::tenants::Scope;
use crate::StoreError;

/// The name of a row's tenant.
pub(super) const TENANT: &str = "(SELECT name FROM tenants WHERE tenants.id = tenant)";
/// The name of a row's stream.
pub(super) const STREAM: &str = "(SELECT name FROM streams WHERE streams.id = stream)";
/// The condition on a stream's name.
pub(super) const OF_STREAM: &str = "stream = (SELECT id FROM streams WHERE name = :stream)";

/// The same without an index that begins with the stream: where another one finds fewer rows.
pub(super) const OF_STREAM_UNLED: &str = "+stream = (SELECT id FROM streams WHERE name = :stream)";

/// A condition list: only filters that are given become SQL, so that each question finds its index.
#[derive(Default)]
pub(super) struct Filters<'a> {
    terms: Vec<String>,
    pub(super) values: Vec<(&'static str, &'a dyn ToSql)>,
}

impl<'a> Filters<'a> {
    pub(super) fn add<T: ToSql>(&mut self, value: &'a Option<T>, term: &'static str, name: &'static str) {
        if let Some(value) = value {
            self.terms.push(term.to_owned());
            self.values.push((name, value));
        }
    }

    /// A condition without a value.
    pub(super) fn add_term(&mut self, term: &str) {
        self.terms.push(term.to_owned());
    }

    /// That a column has a word of a closed set: it stands in the SQL itself.
    pub(super) fn add_word(&mut self, column: &str, word: Option<&'static str>) {
        self.terms.extend(word.map(|word| format!("{column} = '{word}'")));
    }

    /// The tenant. Of all tenants, a column that leads to an index with them before it (`by_column`) needs a term too.
    pub(super) fn add_scope(&mut self, scope: Scope, by_column: bool) {
        self.terms.extend(scope.term(by_column));
    }

    pub(super) fn count(&self, tx: &Transaction<'_>, table: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {table} {}", self.sql());
        Ok(tx.prepare_cached(&sql)?.query_row(&*self.values, |row| row.get::<_, i64>(0))? as u64)
    }

    pub(super) fn sql(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!("WHERE {}", self.terms.join(" AND ")) }
    }
}

#[cfg(test)]
mod tests {
    use event::{DeliveryStatus, LetterStatus, Stage};
    use rusqlite::Connection;

    use super::*;
    use crate::query::{AlertQuery, AnomalyQuery, DeadLetterQuery, WindowQuery};
    use crate::sqlite::{
        SqliteSettings, lanes, open, read_facts, read_letters, read_outbox, read_windows, write_windows,
    };

    fn store() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let conn = open::writer(&folder.path().join("store.db"), &SqliteSettings::default()).unwrap();
        conn.execute("INSERT INTO tenants VALUES (3, 'acme')", []).unwrap();
        (folder, conn)
    }

    /// How SQLite would answer; values do not matter for it.
    fn plan(tx: &Transaction<'_>, sql: &str) -> String {
        let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = plan.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get::<_, String>(3).unwrap());
        }
        lines.join("; ")
    }

    #[test]
    fn a_tenants_facts_are_asked_by_an_index_with_the_tenant() {
        let (_folder, mut conn) = store();
        let tx = conn.transaction().unwrap();
        let check = |table: &str, order: &str, filters: &Filters<'_>, scan: bool, index: &str| {
            for what in ["count(*)", "*"] {
                let sql = format!("SELECT {what} FROM {table} {} ORDER BY {order}", filters.sql());
                let plan = plan(&tx, &sql);
                assert!(scan || plan.contains("tenant=?"), "{sql}: {plan}");
                assert!(plan.contains(index), "{sql}: {plan}");
            }
        };
        for tenant in [Some("acme"), Some(""), None] {
            let scope = Scope::of(&tx, tenant).unwrap().unwrap();
            let some = |given: bool| given.then(|| "x".to_owned());
            for bits in 0..512 {
                let bit = |n: u32| bits & 1 << n != 0;
                let time = |n: u32| bit(n).then_some(5);
                let (stream, key, rule) = (some(bit(0)), some(bit(1)), some(bit(2)));
                let query = AnomalyQuery { stream, key, rule, from: time(3), ..AnomalyQuery::default() };
                let all = tenant.is_none() && !bit(1) && !bit(2);
                let filters = read_facts::anomaly_filters(&query, scope, &None);
                check("anomalies", "time DESC, n DESC", &filters, all, "");

                let (stage, status) = (bit(4).then_some(Stage::Store), bit(5).then_some(LetterStatus::Open));
                let (stream, code, id) = (some(bit(0)), some(bit(1)), some(bit(2)));
                let (from, to, due) = (time(3), time(6), time(7));
                let all = tenant.is_none() && bits & 0b1111_1010 == 0 || bit(2);
                let index = if bit(7) && !bit(2) { "dead_letters_due" } else { "" };
                let query =
                    DeadLetterQuery { stream, code, id, stage, status, from, to, due, ..DeadLetterQuery::default() };
                check("dead_letters", "n DESC", &read_letters::letter_filters(&query, scope), all, index);

                let (target, status) = (some(bit(0)), bit(1).then_some(DeliveryStatus::Failed));
                let query = AlertQuery { target, status, ..AlertQuery::default() };
                check("outbox", "n DESC", &read_outbox::alert_filters(&query, scope), false, "INDEX outbox_");

                let (stream, window, key, size_ms) = (some(bit(0)), some(bit(1)), some(true), time(2));
                let query = WindowQuery { stream, window, key, size_ms, from: time(3), ..WindowQuery::default() };
                let sql = read_windows::group_sql(&read_windows::group_filters(&query, scope));
                let plan = plan(&tx, &sql);
                assert!(plan.contains("windows_key (tenant=? AND key=?"), "{sql}: {plan}");
            }
        }
    }

    #[test]
    fn what_is_asked_all_the_time_is_asked_by_index_and_in_its_order() {
        let (_folder, mut conn) = store();
        let tx = conn.transaction().unwrap();
        for (sql, index) in [
            (
                lanes::FROM_START.to_owned(),
                "windows_identity (tenant=? AND stream=? AND window=? AND size=? AND start>",
            ),
            (lanes::FROM_KEY.to_owned(), "(tenant=? AND stream=? AND window=? AND size=? AND start=? AND key>?)"),
            (format!("SELECT * {}", read_outbox::DUE), "outbox_due (target=? AND <expr>=? AND next_at<?)"),
            (read_outbox::WAITING.to_owned(), "outbox_due (target>?)"),
            (write_windows::FIND.to_owned(), "(tenant=? AND stream=? AND window=? AND size=? AND start=? AND key=?)"),
        ] {
            let plan = plan(&tx, &sql);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
