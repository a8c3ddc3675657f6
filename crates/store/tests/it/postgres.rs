//! What is PostgreSQL's own: claims, the tables and their versions, what it refuses, the pool.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use postgres::Client;
use store::postgres::{Layout, PostgresSettings, PostgresStore, migrate, probe};
use store::query::{EventQuery, WindowQuery};
use store::{Answers, Commit, Store, StoreError, StoredPosition};

use crate::data::*;
use crate::servers::Live;

/// A commit of partition 1 by a claimant, with a row when it moves.
fn commit_as(store: &dyn Store, owner: u64, from: u64, to: u64) -> Result<(), StoreError> {
    let rows: Vec<Row> = (from..to).map(|n| row(n as i64)).collect();
    let blocks = [block(SIGNALS, 1, from, 1, &rows)];
    let moves = vec![step(SIGNALS, 1, from, to)];
    store.commit(&Commit { consumer: "engine", moves, blocks: &blocks, owner, ..Commit::default() })
}

fn is_claimed(told: &Result<(), StoreError>) -> bool {
    matches!(told, Err(StoreError::Claimed { stream, partition: 1 }) if stream == "signals")
}

#[test]
fn an_older_claimants_commit_is_refused_even_if_it_moves_nowhere() {
    let database = Live::postgres();
    let (one, two) = (database.store(), database.store());
    let partitions: Vec<_> = (0..3).map(|n| ("signals".to_owned(), n)).collect();
    assert!(is_claimed(&commit_as(&one, 7, 0, 1)), "nobody claimed it, so 7 did not");
    one.claim("engine", 7, &partitions).unwrap();
    assert_eq!(one.positions("engine").unwrap(), [], "to claim is not to move");
    commit_as(&one, 7, 5, 8).unwrap();
    commit_as(&one, 7, 8, 8).unwrap();
    two.claim("engine", 9, &partitions[1..2]).unwrap();
    for (owner, to) in [(7, 8), (7, 9), (0, 8), (0, 9)] {
        let told = commit_as(&one, owner, 8, to);
        assert!(is_claimed(&told), "{owner} to {to}: {told:?}");
    }
    commit_as(&two, 9, 8, 9).unwrap();
    let position = StoredPosition { stream: "signals".to_owned(), partition: 1, offset: 9 };
    assert_eq!(two.positions("engine").unwrap(), [position]);
    assert_eq!(scanned(&two, "signals").len(), 4);
    // State of a partition is its claimant's, too; and a claim is of one consumer.
    let snapshots = [snapshot(1, 3, b"old")];
    let told = one.commit(&Commit { consumer: "engine", snapshots: &snapshots, owner: 7, ..Commit::default() });
    assert!(is_claimed(&told), "{told:?}");
    let moves = vec![step(SIGNALS, 1, 0, 1)];
    one.commit(&Commit { consumer: "other", moves, ..Commit::default() }).unwrap();
    let moves = vec![step(SIGNALS, 0, 0, 1), step(SIGNALS, 2, 0, 1)];
    one.commit(&Commit { consumer: "engine", moves, owner: 7, ..Commit::default() }).unwrap();
}

#[test]
fn a_claim_waits_for_a_commit_and_ends_a_session_that_stands_still() {
    let database = Live::postgres();
    let store = database.store();
    let partitions = [("signals".to_owned(), 1)];
    store.claim("engine", 7, &partitions).unwrap();
    let mut still = database.shell();
    let hold = "BEGIN; SELECT 1 FROM positions FOR UPDATE; UPDATE positions SET next = 5 WHERE owner = 7";
    still.batch_execute(hold).unwrap();
    store.claim("engine", 8, &partitions).unwrap();
    assert!(still.batch_execute("COMMIT").is_err(), "it was sent away");
    assert_eq!(store.positions("engine").unwrap(), [], "and left nothing behind");
    commit_as(&store, 8, 0, 1).unwrap();
}

/// Makes every row with this id impossible.
fn refuse(shell: &mut Client, id: &str) {
    shell
        .batch_execute(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.id = '{id}')
               EXECUTE FUNCTION refuse()"
        ))
        .unwrap();
}

#[test]
fn a_row_that_a_trigger_refuses_is_refused_and_the_rest_can_be_found() {
    let database = Live::postgres();
    let store = database.store();
    fill(&store, 1, 1);
    refuse(&mut database.shell(), "id-37");
    let rows: Vec<Row> = (0..64).map(row).collect();
    let windows = [piece(window("w", 0, "a"), &[1])];
    let attempt = |from: usize, to: usize| {
        let blocks = [block(SIGNALS, 2, from as u64, 1, &rows[from..to])];
        let moves = vec![step(SIGNALS, 2, from as u64, to as u64)];
        store.commit(&Commit { consumer: "engine", moves, blocks: &blocks, windows: &windows, ..Commit::default() })
    };
    // In halves, as the engine does it.
    let (mut from, mut len) = (0, 64);
    while from < 64 {
        match attempt(from, (from + len).min(64)) {
            Ok(()) => from += len,
            Err(StoreError::Refused(why)) if len > 1 => {
                assert!(why.contains("not this one"), "{why}");
                len /= 2;
            }
            Err(StoreError::Refused(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((from, len), (37, 1));
    let commits = store.windows(&WindowQuery { limit: 1, ..WindowQuery::default() }).unwrap().rows[0].revision;
    let found: Vec<u64> = scanned(&store, "signals").iter().filter(|row| row.0 == 2).map(|row| row.1).collect();
    assert_eq!(found, (0..37).collect::<Vec<_>>());
    assert_eq!(commits, 3, "32, 4 and 1 rows, each with its window");
    database.shell().batch_execute("DROP TRIGGER refuse ON events").unwrap();
    attempt(37, 64).unwrap();
}

#[test]
fn trouble_with_the_tables_makes_no_record_a_bad_one() {
    let database = Live::postgres();
    let store = database.store();
    let mut at = 0;
    let mut commit = || {
        let told = commit_as(&store, 0, at, at + 1);
        at += u64::from(told.is_ok());
        told
    };
    commit().unwrap();
    for (spoil, mend) in [
        ("ALTER TABLE positions RENAME TO gone", "ALTER TABLE gone RENAME TO positions"),
        ("ALTER TABLE events RENAME COLUMN data TO gone", "ALTER TABLE events RENAME COLUMN gone TO data"),
    ] {
        database.shell().batch_execute(spoil).unwrap();
        let told = commit();
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{spoil}: {told:?}");
        database.shell().batch_execute(mend).unwrap();
        commit().unwrap();
    }
}

#[test]
fn a_day_that_somebody_dropped_is_made_again() {
    let database = Live::postgres();
    let store = database.store();
    let day = 24 * 3_600 * 1_000;
    let put =
        |first: u64, received: i64| commit_blocks(&store, &[block(EVENTS, 0, first, received, &[row(1), row(2)])]);
    // Neighbours, far away, and at the ends of time.
    for (first, received) in
        [(0, 0), (2, day - 1), (4, day), (6, -1), (8, i64::MIN), (10, i64::MAX), (12, 400 * 365 * day)]
    {
        put(first, received);
    }
    let mut shell = database.shell();
    let mut leaves = || -> Vec<String> {
        let sql = "SELECT relid::regclass::text FROM pg_partition_tree('\"events$events\"') WHERE isleaf";
        shell.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    let before = leaves();
    assert!(before.len() >= 6, "{before:?}");
    for leaf in &before {
        database.shell().batch_execute(&format!("DROP TABLE {leaf}")).unwrap();
    }
    put(14, 0);
    put(16, day + 5);
    assert_eq!(scanned(&store, "events").iter().map(|row| row.1).collect::<Vec<_>>(), [14, 15, 16, 17]);
    assert!(leaves().contains(&"\"events$events$19700102\"".to_owned()));
}

#[test]
fn tables_of_somebody_else_or_of_a_newer_version_are_refused_and_left_alone() {
    let check = |spoil: &str, mend: &str, why: &str| {
        let database = Live::postgres();
        drop(database.store());
        database.shell().batch_execute(spoil).unwrap();
        match PostgresStore::open(catalog(), database.settings.clone()) {
            Err(StoreError::Incompatible(text)) if text.contains(why) => {}
            other => panic!("{spoil}: {other:?}"),
        }
        database.shell().batch_execute(mend).unwrap();
        fill(&database.store(), 3, 3);
    };
    let newer = "INSERT INTO millstream_versions VALUES (99, 'later', 'x', now())";
    check(newer, "DELETE FROM millstream_versions WHERE version = 99", "newer");
    let changed = "UPDATE millstream_versions SET checksum = 'x' || checksum WHERE version = 1";
    check(changed, "UPDATE millstream_versions SET checksum = substr(checksum, 2)  WHERE version = 1", "not the one");

    let theirs = Live::postgres();
    theirs.shell().batch_execute("CREATE SCHEMA theirs; CREATE TABLE theirs.positions (a int)").unwrap();
    let url = format!("{}?options=-csearch_path%3Dtheirs", theirs.settings.url);
    let settings = PostgresSettings { url, ..theirs.settings.clone() };
    let told = migrate(&settings);
    assert!(matches!(&told, Err(StoreError::Incompatible(why)) if why.contains("`positions`")), "{told:?}");
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'theirs'::regnamespace";
    assert_eq!(theirs.shell().query_one(left, &[]).unwrap().get::<_, i64>(0), 1, "nothing was made");
    // In a schema of its own it has nothing to do with what else there is.
    theirs.shell().batch_execute("DROP TABLE theirs.positions").unwrap();
    let done = migrate(&settings).unwrap();
    assert_eq!((done.from, done.layout), (0, Layout::Native));
    assert_eq!(migrate(&settings).unwrap().from, done.to);
    let sentence = probe(&settings).unwrap();
    assert!(sentence.contains("PostgreSQL 1") && sentence.contains(&format!("version {}", done.to)), "{sentence}");
    fill(&PostgresStore::open(catalog(), settings).unwrap(), 3, 3);
    theirs.shell().batch_execute("DROP SCHEMA theirs CASCADE").unwrap();
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let url = "postgres://nobody:secret@127.0.0.1:1/nothing".to_owned();
    let settings = PostgresSettings { url, acquire_timeout_ms: 300, ..PostgresSettings::default() };
    for told in [migrate(&settings).map(drop), probe(&settings).map(drop)] {
        assert!(
            matches!(&told, Err(StoreError::Unavailable(why)) if why.contains("127.0.0.1:1") && !why.contains("secret")),
            "{told:?}"
        );
    }
}

#[test]
fn a_call_that_gets_no_connection_in_time_is_unavailable() {
    let mut database = Live::postgres();
    database.settings.pool = 1;
    database.settings.acquire_timeout_ms = 200;
    let store = database.store();
    fill(&store, 10, 10);
    let (begun, wait) = (mpsc::channel(), mpsc::channel::<()>());
    std::thread::scope(|scope| {
        let store = &store;
        let told = begun.0;
        scope.spawn(move || {
            // A reader that takes its time has the only connection.
            let mut each = |_: &store::Scanned<'_>| {
                told.send(()).unwrap();
                wait.1.recv().unwrap_or_default();
                std::ops::ControlFlow::Break(())
            };
            store.scan("signals", &mut each).unwrap();
        });
        begun.1.recv().unwrap();
        assert!(matches!(store.positions("engine"), Err(StoreError::Unavailable(_))));
        assert!(matches!(commit_as(store, 0, 0, 1), Err(StoreError::Unavailable(_))));
        drop(wait.0);
    });
    commit_as(&store, 0, 0, 1).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test gives up when nothing happens")]
fn a_commit_that_met_a_lock_goes_on_when_it_is_free() {
    let database = Live::postgres();
    let store = database.store();
    commit_as(&store, 0, 0, 1).unwrap();
    let mut holder = database.shell();
    holder.batch_execute("BEGIN; SELECT 1 FROM positions FOR UPDATE").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| commit_as(&store, 0, 1, 3));
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut shell = database.shell();
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
        while shell.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 0 {
            assert!(Instant::now() < deadline, "nobody waits");
        }
        let query = EventQuery { limit: 10, ..EventQuery::default() };
        assert_eq!(store.events(&query).unwrap().rows.len(), 1, "reading goes on meanwhile");
        holder.batch_execute("ROLLBACK").unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(scanned(&store, "signals").len(), 3);
}

#[test]
fn the_page_about_the_tables_names_every_table_and_column() {
    let pages = concat!(include_str!("../../../../docs/store-postgres.md"), include_str!("../../../../docs/store.md"));
    let database = Live::postgres();
    drop(database.store());
    let sql = "SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND pg_table_is_visible(c.oid) AND a.attnum > 0
          AND c.relnamespace = 'public'::regnamespace";
    let rows = database.shell().query(sql, &[]).unwrap();
    assert!(rows.len() > 100, "{} columns", rows.len());
    for row in rows {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        assert!(pages.contains(&format!("`{table}`")), "{table}");
        let is_ours = !["batch_stats", "event_counts"].contains(&&*table);
        assert!(!is_ours || pages.contains(&format!("`{column}`")), "{table}.{column}");
    }
}
