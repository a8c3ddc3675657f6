//! `verify` finds what was planted, and nothing else.

use std::sync::Arc;

use engine::{Command, Settings};
use rusqlite::Connection;
use store::sqlite::SqliteStore;

use crate::house::{House, events, small_batches};

/// A house with a drained store.
fn house() -> (House, Arc<SqliteStore>) {
    let house = House::new();
    house.append(&events(250));
    house.refuse("letter-1", b"not json");
    house.refuse("letter-2", b"[]");
    let store = house.store("a");
    // One lane: so the tables of two houses have the same names.
    let engine = house.start(store.clone(), Settings { lanes: 1, ..small_batches() }).unwrap();
    engine.send(Command::Drain);
    engine.join().unwrap();
    (house, store)
}

/// Changes the store behind its back, then verifies: one difference, and it is told with these words.
fn check(sql: &str, words: &[&str]) {
    let (house, store) = house();
    let behind = Connection::open(house.dir.path().join("a")).unwrap();
    assert_eq!(behind.execute(sql, []).unwrap(), 1, "{sql}");
    let report = house.verify(store);
    assert_eq!(report.differences, 1, "{sql}: {:?}", report.details);
    for word in words {
        assert!(report.details[0].contains(word), "{sql}: {:?}", report.details);
    }
}

/// A chunk table of the stream with rules, and one of its rows: partition and offset.
fn somewhere() -> (String, u32, u64) {
    let (house, _store) = house();
    let behind = Connection::open(house.dir.path().join("a")).unwrap();
    let sql = "SELECT n FROM chunks JOIN streams ON streams.id = stream WHERE name = 'signals' ORDER BY n LIMIT 1";
    let n: i64 = behind.query_row(sql, [], |row| row.get(0)).unwrap();
    let sql = format!("SELECT part, off FROM events_{n} ORDER BY part, off LIMIT 1 OFFSET 5");
    let (partition, offset) = behind.query_row(&sql, [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).unwrap();
    (format!("events_{n}"), partition, offset as u64)
}

#[test]
fn a_store_that_an_engine_made_has_no_difference() {
    let (house, store) = house();
    let report = house.verify(store);
    assert_eq!((report.differences, report.events, report.dead_letters), (0, 252, 2), "{:?}", report.details);
    assert!(report.anomalies > 0 && report.notes.is_empty());
}

#[test]
fn a_row_that_is_gone_or_changed_is_found() {
    let (chunk, partition, offset) = somewhere();
    let (row, place) =
        (format!("WHERE part = {partition} AND off = {offset}"), format!("signals/{partition}/{offset}: "));
    check(&format!("DELETE FROM {chunk} {row}"), &[&place, "not stored"]);
    check(&format!("UPDATE {chunk} SET data = '{{}}' {row}"), &[&place, "data"]);
    check(&format!("UPDATE {chunk} SET time = time + 1 {row}"), &[&place, "time"]);
    check(&format!("UPDATE {chunk} SET key = 'x' {row}"), &[&place, "key"]);
    check(&format!("UPDATE {chunk} SET type = 'x' {row}"), &[&place, "type"]);
}

#[test]
fn a_row_too_many_is_found() {
    let (chunk, partition, offset) = somewhere();
    let columns = "part, received, stored, time, key, type, id, id_hash, headers, data";
    let copy = |to: u64| {
        format!(
            "INSERT INTO {chunk} ({columns}, off) SELECT {columns}, {to} FROM {chunk}
             WHERE part = {partition} AND off = {offset}"
        )
    };
    let next = offset + 1;
    check(&copy(next), &[&format!("signals/{partition}/{next}: "), "not (once more) in the log"]);
    check(&copy(100_000), &[&format!("signals/{partition}/100000: "), "past the position"]);
}

#[test]
fn findings_that_are_gone_or_made_up_are_found() {
    let first = "WHERE n = (SELECT min(n) FROM anomalies";
    check(&format!("DELETE FROM anomalies {first} WHERE rule = 'often')"), &["_often is not stored"]);
    check(&format!("DELETE FROM anomalies {first} WHERE rule = 'dear')"), &["_dear is not stored"]);
    let columns =
        "stream, tenant, severity, part, off, key, time, received, stored, description, metadata, event, rule";
    let copy = format!("INSERT INTO anomalies ({columns}, id) SELECT {columns}, 'made up' FROM anomalies {first})");
    check(&copy, &["anomaly made up is stored"]);
    check("DELETE FROM dead_letters WHERE id = 'letter-2'", &["dead letter letter-2 is not stored"]);
    let columns =
        "stream, tenant, home, part, off, stage, code, pointer, message, key, data, request_id, correlation_id,
         received, stored, first_failed, last_failed, attempts, classification, status, changed";
    let copy = format!("INSERT INTO dead_letters ({columns}, id) SELECT {columns}, 'x' FROM dead_letters LIMIT 1");
    check(&copy, &["dead letter x is stored"]);
}

#[test]
fn findings_of_rules_that_are_not_configured_are_noted_and_not_judged() {
    let (house, store) = house();
    let behind = Connection::open(house.dir.path().join("a")).unwrap();
    let columns = "stream, tenant, severity, part, off, key, time, received, stored, description, metadata, event";
    let copy =
        format!("INSERT INTO anomalies ({columns}, id, rule) SELECT {columns}, 'old', 'gone' FROM anomalies LIMIT 1");
    assert_eq!(behind.execute(&copy, []).unwrap(), 1);
    let report = house.verify(store);
    assert_eq!(report.differences, 0, "{:?}", report.details);
    assert!(report.notes[0].contains("1 anomalies of rules that are not configured"), "{:?}", report.notes);
}
