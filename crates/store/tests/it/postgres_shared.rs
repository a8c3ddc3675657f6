//! Several processes on one PostgreSQL: they merge into the same windows and make the same tables at the same time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use event::{Anomaly, WindowDelta};
use store::postgres::{PostgresSettings, PostgresStore};
use store::query::{AnomalyQuery, Parcel};
use store::{Answers, Commit, Retract, Store};

use crate::data::*;
use crate::servers::Live;
use crate::windows::{stored, whole};

const PROCESSES: u64 = 4;
const COMMITS: u64 = 30;

/// What process `p` adds in commit `n`: to windows of all, of a few, and of its own, in an order of its own.
fn pieces(p: u64, n: u64) -> Vec<WindowDelta> {
    let amount = (p * 1_000 + n) as i64;
    let shared = (0..40).map(|key| window("shared", (n / 10) as i64 * MINUTE, &key.to_string()));
    let few = (0..3).map(|key| window("few", 0, &(key + p % 2).to_string()));
    let own = (0..5).map(|key| window("own", n as i64 * MINUTE, &format!("{p}-{key}")));
    let mut all: Vec<_> = shared.chain(few).chain(own).map(|id| piece(id, &[amount, amount * 7])).collect();
    all[0].publish = Some("results".into());
    // Any order, but the same each time.
    all.sort_by_cached_key(|piece| {
        let mut hasher = DefaultHasher::new();
        (&piece.id, p, n).hash(&mut hasher);
        hasher.finish()
    });
    all
}

#[test]
fn processes_that_merge_the_same_windows_at_once_lose_nothing() {
    let database = Live::postgres();
    let start = Barrier::new(PROCESSES as usize);
    std::thread::scope(|scope| {
        for p in 0..PROCESSES {
            let (database, start) = (&database, &start);
            scope.spawn(move || {
                let store = database.store();
                let partitions = [("signals".to_owned(), p as u32)];
                store.claim("engine", p + 1, &partitions).unwrap();
                start.wait();
                for n in 0..COMMITS {
                    let windows = pieces(p, n);
                    let commit = Commit {
                        consumer: "engine",
                        moves: vec![step(SIGNALS, p as u32, n, n + 1)],
                        blocks: &[block(SIGNALS, p as u32, n, n as i64, &[row(n as i64)])],
                        windows: &windows,
                        late: &[late(window("shared", 0, "0"), 1, n as i64), late(window("shared", 0, "0"), 1, 3)],
                        // All find the same ones: each is kept once, whoever comes first.
                        anomalies: &[anomaly(n), anomaly(n + 1)],
                        owner: p + 1,
                        ..Commit::default()
                    };
                    store.commit(&commit).unwrap();
                }
            });
        }
    });
    let store = database.store();
    let all: Vec<WindowDelta> = (0..PROCESSES).flat_map(|p| (0..COMMITS).flat_map(move |n| pieces(p, n))).collect();
    let rows = stored(&store);
    for row in &rows {
        let of: Vec<_> = all.iter().filter(|piece| piece.id == row.id).collect();
        let late = if row.id == window("shared", 0, "0") { 2 * PROCESSES * COMMITS } else { 0 };
        assert_eq!(*row, store::query::WindowRow { late, ..whole(&of) });
    }
    assert_eq!(rows.len() as u64, 3 * 40 + 4 + PROCESSES * COMMITS * 5);
    assert_eq!(scanned(&store, "signals").len() as u64, PROCESSES * COMMITS);
    let page = store.anomalies(&AnomalyQuery { limit: 100, ..AnomalyQuery::default() }).unwrap();
    let mut ids: Vec<Anomaly> = page.rows.into_iter().map(|row| row.anomaly).collect();
    ids.sort_by_key(|anomaly| anomaly.offset);
    assert_eq!(ids, (0..=COMMITS).map(anomaly).collect::<Vec<_>>());
    let told = store.outbox(i64::MAX, 1_000).unwrap();
    assert!(
        !told.is_empty() && told.iter().all(|out| matches!(&out.what, Parcel::Window { row, .. } if row.events > 0))
    );
}

#[test]
fn windows_may_go_while_others_merge_into_them() {
    let database = Live::postgres();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = database.store();
                for n in 0..60 {
                    let windows = [piece(window("w", 0, "a"), &[n]), piece(window("w", 0, "b"), &[n])];
                    store.commit(&Commit { consumer: "engine", windows: &windows, ..Commit::default() }).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let store = database.store();
            for _ in 0..30 {
                let retract = ["a", "b"].map(|key| Retract::Window(window("w", 0, key)));
                store.commit(&Commit { retract: &retract, ..Commit::default() }).unwrap();
            }
        });
    });
    let store = database.store();
    let ids: Vec<_> = stored(&store).into_iter().map(|row| row.id).collect();
    assert!(ids.len() <= 2, "{ids:?}");
    store.commit(&Commit { windows: &[piece(window("w", 0, "a"), &[1])], ..Commit::default() }).unwrap();
}

#[test]
fn processes_that_start_at_once_make_the_tables_once() {
    let database = Live::postgres();
    let schema = "made_at_once";
    let again = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    database.shell().batch_execute(&again).unwrap();
    let url = format!("{}?options=-csearch_path%3D{schema}", database.settings.url);
    let settings = PostgresSettings { url, ..database.settings.clone() };
    let start = Barrier::new(6);
    std::thread::scope(|scope| {
        for p in 0..6 {
            let (settings, start) = (&settings, &start);
            scope.spawn(move || {
                start.wait();
                let store = PostgresStore::open(catalog(), settings.clone()).unwrap();
                // And the tables of a day, too.
                let blocks = [block(SIGNALS, p, 0, 1, &[of("acme", row(1))]), block(EVENTS, p, 0, 1, &[row(1)])];
                commit_blocks(&store, &blocks);
            });
        }
    });
    let store = PostgresStore::open(catalog(), settings).unwrap();
    assert_eq!([scanned(&store, "signals").len(), scanned(&store, "events").len()], [6, 6]);
    drop(store);
    database.shell().batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test gives up when nothing happens")]
fn a_commit_of_nothing_ends_after_those_under_way() {
    let database = Live::postgres();
    let store = database.store();
    let moves = |from, to| Commit { consumer: "engine", moves: vec![step(SIGNALS, 1, from, to)], ..Commit::default() };
    store.commit(&moves(0, 1)).unwrap();
    let mut under_way = database.shell();
    under_way.batch_execute("BEGIN; UPDATE positions SET next = 9 WHERE partition = 1").unwrap();
    std::thread::scope(|scope| {
        let seen = scope.spawn(|| {
            store.commit(&Commit::default()).unwrap();
            store.positions("engine").unwrap()[0].offset
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut shell = database.shell();
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
        while shell.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 0 {
            assert!(Instant::now() < deadline && !seen.is_finished(), "it does not wait");
        }
        under_way.batch_execute("COMMIT").unwrap();
        assert_eq!(seen.join().unwrap(), 9);
    });
}
