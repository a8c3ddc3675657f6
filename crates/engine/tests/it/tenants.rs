//! Tenants from log to store: the same events for each, and each has its own rows, findings and refusals.

use std::sync::Arc;

use rusqlite::Connection;
use store::Answers;
use store::query::{AnomalyQuery, DeadLetterQuery, EventQuery};
use store::sqlite::SqliteStore;

use crate::house::{House, contents, events};

const TENANTS: [&str; 3] = ["", "acme", "globex"];
const EACH: usize = 240;

/// A log with the same events for every tenant, in turn, and a store made of it by engines that stop on the way.
fn house() -> (House, Arc<SqliteStore>) {
    let house = House::new();
    let store = house.store("a");
    for part in events(EACH).chunks(60) {
        TENANTS.iter().for_each(|tenant| house.append_of(tenant, part));
        house.drain(store.clone()).unwrap();
    }
    TENANTS.iter().for_each(|tenant| house.refuse_of(tenant, "0197-a", b"[]"));
    house.drain(store.clone()).unwrap();
    (house, store)
}

#[test]
fn every_tenant_has_what_it_would_have_alone() {
    let alone = House::new();
    alone.append(&events(EACH));
    let store = alone.store("alone");
    alone.drain(store.clone()).unwrap();
    let expected: Vec<_> = contents(&*store).anomalies.into_iter().map(|a| (a.id, a.metadata)).collect();
    assert!(expected.iter().any(|(id, _)| id.ends_with("_often")));

    let (house, store) = house();
    for tenant in TENANTS {
        let whose = || Some(tenant.to_owned());
        let events = EventQuery { tenant: whose(), limit: 1_000, count: true, ..EventQuery::default() };
        let page = store.events(&events).unwrap();
        assert_eq!((page.rows.len(), page.total), (EACH, Some(EACH as u64)), "{tenant:?}");
        let anomalies = AnomalyQuery { tenant: whose(), limit: 1_000, ..AnomalyQuery::default() };
        let rows = store.anomalies(&anomalies).unwrap().rows;
        let mut found: Vec<_> = rows.into_iter().map(|row| (row.anomaly.id, row.anomaly.metadata)).collect();
        found.sort();
        assert_eq!(found, expected, "{tenant:?}");
        let letters = DeadLetterQuery { tenant: whose(), limit: 10, ..DeadLetterQuery::default() };
        let letters = store.dead_letters(&letters).unwrap().rows;
        assert_eq!(
            letters.iter().map(|l| (l.tenant.as_str(), l.id.as_str())).collect::<Vec<_>>(),
            [(tenant, "0197-a")]
        );
        let summary = store.summary("signals", Some(tenant), 0).unwrap();
        assert_eq!(
            (summary.events, summary.anomalies as usize, summary.dead_letters),
            (EACH as u64, expected.len(), 1)
        );
    }
    let report = house.verify(store);
    assert_eq!((report.differences, report.dead_letters), (0, 3), "{:?}", report.details);
    assert_eq!(report.anomalies as usize, expected.len() * 3);
}

#[test]
fn what_is_kept_for_another_tenant_is_found() {
    let (house, store) = house();
    let behind = Connection::open(house.dir.path().join("a")).unwrap();
    behind.execute("INSERT INTO tenants VALUES (77, 'stranger')", []).unwrap();
    let newest = "SELECT max(n) FROM chunks WHERE tenants";
    let n: i64 = behind.query_row(newest, [], |row| row.get(0)).unwrap();
    let globex = "tenant = (SELECT id FROM tenants WHERE name = 'globex')";
    let check = |table: &str, words: &[&str]| {
        let first = format!("rowid = (SELECT min(rowid) FROM {table} WHERE {globex})");
        assert_eq!(behind.execute(&format!("UPDATE {table} SET tenant = 77 WHERE {first}"), []).unwrap(), 1);
        let report = house.verify(store.clone());
        assert_eq!(report.differences, words.len() as u64, "{table}: {:?}", report.details);
        for word in words {
            assert!(report.details.iter().any(|detail| detail.contains(word)), "{word}: {:?}", report.details);
        }
        let back = format!("UPDATE {table} SET {globex} WHERE tenant = 77");
        assert_eq!(behind.execute(&back, []).unwrap(), 1);
    };
    check(&format!("events_{n}"), &["tenant is not the log's"]);
    check("anomalies", &["of tenant stranger is stored, but", "of tenant globex is not stored"]);
    check(
        "dead_letters",
        &["dead letter 0197-a of tenant stranger is stored, but", "dead letter 0197-a of tenant globex is not stored"],
    );
    assert_eq!(house.verify(store).differences, 0);
}
