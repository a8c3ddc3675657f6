//! Files of earlier versions open as files of this one, with everything in them.

use event::{Catalog, DeadLetter, LetterChange, LetterEvent, Stage, WindowId};
use rusqlite::Connection;
use store::query::{AnomalyQuery, DeadLetterQuery, EventQuery};
use store::{Answers, Commit, Store, StoreError};

use crate::data::*;
use crate::sqlite::{File, file};
use crate::version_2::VERSION_2;

/// What version 1 made of an empty file, and two chunks: a sealed one with all that belongs to it, and one that fills.
const VERSION_1: &str = "
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE chunks (n INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, created INTEGER NOT NULL,
  rows INTEGER NOT NULL, first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, first_received INTEGER NOT NULL,
  last_received INTEGER NOT NULL, sealed INTEGER NOT NULL, prepared INTEGER NOT NULL) STRICT;
CREATE INDEX chunks_active ON chunks (stream) WHERE sealed = 0;
CREATE INDEX chunks_unprepared ON chunks (n) WHERE prepared < 5;
CREATE TABLE chunk_counts (chunk INTEGER NOT NULL, what TEXT NOT NULL, value TEXT NOT NULL, rows INTEGER NOT NULL,
  PRIMARY KEY (chunk, what, value)) STRICT, WITHOUT ROWID;
CREATE TABLE positions (consumer TEXT NOT NULL, stream INTEGER NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY (consumer, stream, part)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (stream INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (stream, part)) STRICT;
CREATE TABLE anomalies (n INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, id TEXT NOT NULL,
  rule TEXT NOT NULL, severity TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, key TEXT NOT NULL,
  time INTEGER NOT NULL, received INTEGER NOT NULL, stored INTEGER NOT NULL, description TEXT NOT NULL,
  metadata TEXT NOT NULL, event ANY NOT NULL, UNIQUE (stream, id)) STRICT;
CREATE INDEX anomalies_time ON anomalies (time);
CREATE INDEX anomalies_key ON anomalies (key, time);
CREATE INDEX anomalies_rule ON anomalies (rule, time);
CREATE INDEX anomalies_received ON anomalies (stream, received);
CREATE TABLE dead_letters (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, stream INTEGER NOT NULL,
  part INTEGER NOT NULL, off INTEGER NOT NULL, stage TEXT NOT NULL, code TEXT NOT NULL, pointer TEXT NOT NULL,
  message TEXT NOT NULL, data ANY NOT NULL, request_id TEXT NOT NULL, received INTEGER NOT NULL,
  stored INTEGER NOT NULL) STRICT;
CREATE INDEX dead_letters_stream ON dead_letters (stream, received);
CREATE INDEX dead_letters_code ON dead_letters (code);
CREATE TABLE events_1 (part INTEGER NOT NULL, off INTEGER NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL,
  stored INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, id_hash INTEGER, headers BLOB,
  data ANY NOT NULL) STRICT;
CREATE INDEX events_1_key ON events_1 (key, time, part, off);
CREATE INDEX events_1_type ON events_1 (type, time, part, off);
CREATE INDEX events_1_id ON events_1 (id_hash) WHERE id_hash IS NOT NULL;
CREATE TABLE events_2 (part INTEGER NOT NULL, off INTEGER NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL,
  stored INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, id_hash INTEGER, headers BLOB,
  data ANY NOT NULL) STRICT;
CREATE VIEW events AS
  SELECT 'signals' AS stream, part, off, time, received, stored, key, type, id, data, headers FROM events_2 UNION ALL
  SELECT 'signals' AS stream, part, off, time, received, stored, key, type, id, data, headers FROM events_1;

INSERT INTO streams VALUES (1, 'signals');
INSERT INTO chunks VALUES (1, 1, 5, 10, 1000, 1009, 1, 2, 1, 5), (2, 1, 9000000000000, 3, 1010, 1012, 3, 3, 0, 0);
WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9)
INSERT INTO events_1 SELECT 0, n, 1000 + n, 1 + n / 5, 7, 'key-' || (n % 3), 'kind-' || (n % 2), 'id-' || n,
  0, NULL, '{\"n\":' || n || '}' FROM n;
WITH RECURSIVE n (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM n WHERE n < 12)
INSERT INTO events_2 SELECT 0, n, 1000 + n, 3, 7, 'key-' || (n % 3), 'kind-' || (n % 2), 'id-' || n,
  0, NULL, '{\"n\":' || n || '}' FROM n;
INSERT INTO chunk_counts SELECT 1, 'type', type, count(*) FROM events_1 GROUP BY type;
INSERT INTO chunk_counts SELECT 1, 'key', key, count(*) FROM events_1 GROUP BY key;
INSERT INTO positions VALUES ('engine', 1, 0, 13);
INSERT INTO snapshots VALUES (1, 0, 9, x'7374617465');
INSERT INTO anomalies VALUES
  (4, 1, 'anomaly-6', 'rule-0', 'low', 0, 6, 'key-2', 103, 6, 7, 'too much', '{\"count\":11}', x'ff0006'),
  (9, 1, 'anomaly-7', 'rule-1', 'medium', 0, 7, 'key-3', 103, 7, 7, 'too much', '{\"count\":11}', x'ff0007');
INSERT INTO dead_letters VALUES
  (2, 'letter-4', 1, 0, 4, 'process', 'invalid_json', '/a/b', 'why', x'c32804', 'request', 4, 7);
PRAGMA application_id = 0x4D6C5374;
PRAGMA user_version = 1;
";

fn old(made: &str) -> File {
    let file = file(Shape { chunk_rows: 20, index_early: false });
    let shell = file.shell();
    shell.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    shell.execute_batch(made).unwrap();
    for n in 0..13 {
        let hash = i64::from(xxhash_rust::xxh3::xxh3_64(format!("id-{n}").as_bytes()) as i32);
        let chunk = if n < 10 { 1 } else { 2 };
        shell.execute(&format!("UPDATE events_{chunk} SET id_hash = {hash} WHERE off = {n}"), []).unwrap();
    }
    file
}

/// A letter of a version that knew no replays.
fn old_letter(n: u64) -> DeadLetter {
    DeadLetter {
        stream: "signals".to_owned(),
        key: String::new(),
        headers: Vec::new(),
        correlation_id: "request".to_owned(),
        first_failed_at: n as i64,
        last_failed_at: n as i64,
        classification: event::Classification::Permanent,
        retry_at: None,
        ..dead_letter(n)
    }
}

fn number(shell: &Connection, sql: &str) -> i64 {
    shell.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_file_of_version_1_opens_with_all_its_rows() {
    let file = old(VERSION_1);
    let store = file.store().unwrap();
    assert_eq!(number(&file.shell(), "PRAGMA user_version"), 3);
    let rows: Vec<_> = (0..13).map(|n| (0, n, row(n as i64).data)).collect();
    assert_eq!(scanned(&store, "signals"), rows);
    let base = EventQuery { limit: 100, count: true, ..EventQuery::default() };
    let some = |text: &str| Some(text.to_owned());
    for (tenant, there) in [(None, 1), (some(""), 1), (some("a"), 0)] {
        for (query, found) in [
            (base.clone(), 13),
            (EventQuery { key: some("key-1"), ..base.clone() }, 4),
            (EventQuery { kind: some("kind-1"), ..base.clone() }, 6),
            (EventQuery { id: some("id-4"), ..base.clone() }, 1),
        ] {
            let query = EventQuery { tenant: tenant.clone(), ..query };
            let page = store.events(&query).unwrap();
            assert_eq!((page.rows.len(), page.total), (found * there, Some((found * there) as u64)), "{query:?}");
        }
        let anomalies = AnomalyQuery { tenant: tenant.clone(), limit: 9, ..AnomalyQuery::default() };
        let rows = store.anomalies(&anomalies).unwrap().rows;
        let rows: Vec<_> = rows.into_iter().map(|row| (row.row, row.anomaly)).collect();
        assert_eq!(rows, [(9, anomaly(7)), (4, anomaly(6))][..2 * there]);
        let letters = DeadLetterQuery { tenant: tenant.clone(), limit: 9, ..DeadLetterQuery::default() };
        assert_eq!(store.dead_letters(&letters).unwrap().rows, [old_letter(4)][..there]);
        let summary = store.summary("signals", tenant.as_deref(), 0).unwrap();
        assert_eq!(
            (summary.events, summary.anomalies, summary.dead_letters),
            (13 * there as u64, 2 * there as u64, there as u64)
        );
    }
    assert_eq!(store.snapshots().unwrap(), [snapshot(0, 9, b"state")]);
    assert_eq!(number(&file.shell(), "SELECT count(*) FROM events WHERE tenant = ''"), 13);
}

#[test]
fn an_upgraded_file_goes_on_where_it_was_and_takes_tenants() {
    let file = old(VERSION_1);
    let store = file.store().unwrap();
    let rows = [row(13), of("a", row(4)), row(14)];
    let findings = [anomaly(6), event::Anomaly { tenant: "a".to_owned(), ..anomaly(6) }];
    let blocks = [block(SIGNALS, 0, 13, 4, &rows)];
    let moves = vec![step(SIGNALS, 0, 13, 16)];
    let commit = Commit { consumer: "engine", moves, blocks: &blocks, anomalies: &findings, ..Commit::default() };
    store.commit(&commit).unwrap();
    let shell = file.shell();
    let sizes: Vec<_> = (1..=3)
        .map(|n| number(&shell, &format!("SELECT rows FROM chunks WHERE n = {n} AND tenants = {}", n == 3)))
        .collect();
    assert_eq!(sizes, [10, 4, 2]);
    assert!(number(&shell, "SELECT max(n) FROM anomalies") > 9, "numbers of rows are never given again");
    let count = |tenant: Option<&str>, id: &str| {
        let (tenant, id) = (tenant.map(str::to_owned), Some(id.to_owned()));
        store.events(&EventQuery { tenant, id, limit: 9, ..EventQuery::default() }).unwrap().rows.len()
    };
    let counts = [None, Some(""), Some("a")].map(|tenant| (count(tenant, "id-4"), count(tenant, "id-14")));
    assert_eq!(counts, [(2, 1), (1, 1), (1, 0)]);
    drop(store);
    assert_eq!(scanned(&file.store().unwrap(), "signals").len(), 16, "and opens again");
}

#[test]
fn a_file_of_version_2_opens_with_all_its_rows_and_letters_that_can_be_replayed() {
    let file = old(VERSION_2);
    let store = file.store().unwrap();
    assert_eq!(number(&file.shell(), "PRAGMA user_version"), 3);
    assert_eq!(scanned(&store, "signals").len(), 11);
    let acme = || Some("acme".to_owned());
    let events = EventQuery { tenant: acme(), limit: 9, ..EventQuery::default() };
    assert_eq!(store.events(&events).unwrap().rows[0].offset, 10);
    let theirs = |mut letter: DeadLetter| {
        (letter.tenant, letter.stage, letter.data) = ("acme".to_owned(), Stage::Collect, b"{}".to_vec());
        DeadLetter { code: "too_deep".to_owned(), ..letter }
    };
    let all = DeadLetterQuery { limit: 9, ..DeadLetterQuery::default() };
    let letters = || store.dead_letters(&all).unwrap().rows;
    assert_eq!(letters(), [theirs(old_letter(6)), old_letter(4)]);
    let anomalies = store.anomalies(&AnomalyQuery { limit: 9, ..AnomalyQuery::default() }).unwrap().rows;
    assert_eq!(anomalies.iter().map(|row| row.row).collect::<Vec<_>>(), [9, 4]);
    assert_eq!(store.snapshots().unwrap(), [snapshot(0, 9, b"state")]);

    let change = |event| LetterChange { tenant: "acme".to_owned(), id: "letter-6".to_owned(), event };
    let changes = [change(LetterEvent::Replaying), change(LetterEvent::Resolved)];
    let windows = [piece(WindowId { tenant: "acme".to_owned(), ..window("w", 0, "a") }, &[1])];
    let dead_letters = [dead_letter(8)];
    let commit =
        Commit { letter_changes: &changes, windows: &windows, dead_letters: &dead_letters, ..Commit::default() };
    store.commit(&commit).unwrap();
    assert_eq!(letters()[1].status, event::LetterStatus::Resolved);
    assert!(number(&file.shell(), "SELECT max(n) FROM dead_letters") > 5, "numbers of rows are never given again");
    // What a door refused goes with the internal stream, also when that had no number before.
    store.expire("signals", i64::MAX).unwrap();
    assert_eq!(letters().len(), 3);
    store.expire(Catalog::REFUSED, i64::MAX).unwrap();
    assert_eq!(letters(), [dead_letter(8), old_letter(4)]);
    drop(store);
    assert_eq!(number(&file.shell(), "SELECT count(*) FROM windows"), 0);
    file.store().unwrap();
}

#[test]
fn an_upgraded_file_is_made_of_the_same_tables_as_a_new_one() {
    let made = |file: &File| {
        file.store().unwrap();
        let shell = file.shell();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'events%'
             AND name <> 'chunks' ORDER BY name";
        let mut statement = shell.prepare(sql).unwrap();
        let tables = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).unwrap();
        // Renamed tables keep quotes around their names, and spaces are the tests' own.
        let plain = |sql: String| sql.replace('"', "").split_whitespace().collect::<String>().replace("(", " (");
        tables.map(Result::unwrap).map(|(name, sql)| (name, plain(sql))).collect::<Vec<_>>()
    };
    let new = made(&file(SMALL));
    assert!(new.len() > 30);
    for old in [old(VERSION_1), old(VERSION_2)] {
        assert_eq!(made(&old), new);
    }
}

#[test]
fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
    for (made, version) in [(VERSION_1, 1), (VERSION_2, 2)] {
        let file = old(made);
        let shell = file.shell();
        shell.execute_batch("DROP INDEX dead_letters_code").unwrap();
        let before = number(&shell, "SELECT count(*) FROM sqlite_schema");
        assert!(matches!(file.store(), Err(StoreError::Unavailable(why)) if why.contains("dead_letters_code")));
        assert_eq!(number(&shell, "PRAGMA user_version"), version);
        assert_eq!(number(&shell, "SELECT count(*) FROM sqlite_schema"), before);
        shell.execute_batch("CREATE INDEX dead_letters_code ON dead_letters (code)").unwrap();
        assert!(scanned(&file.store().unwrap(), "signals").len() > 10);
    }
}

#[test]
fn an_upgrade_goes_step_by_step() {
    let file = old(VERSION_1);
    let shell = file.shell();
    // In the way of the second step only.
    shell.execute_batch("CREATE TABLE windows (a)").unwrap();
    assert!(matches!(file.store(), Err(StoreError::Unavailable(why)) if why.contains("windows")));
    assert_eq!(number(&shell, "PRAGMA user_version"), 2, "the first step stands");
    shell.execute_batch("DROP TABLE windows").unwrap();
    assert_eq!(scanned(&file.store().unwrap(), "signals").len(), 13);
    assert_eq!(number(&shell, "PRAGMA user_version"), 3);
}
