//! PostgreSQL goes away in the middle of commits: nothing is lost, nothing counts twice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event::measure::Measure;
use postgres::{Client, NoTls};
use services::Postgres;
use store::postgres::{PostgresSettings, PostgresStore};
use store::query::{EventQuery, WindowQuery};
use store::{Answers, Commit, Store, StoreError};

use crate::data::*;

/// A commit that shows when it was made twice: a row, and a piece of a window that all share.
fn commit(store: &PostgresStore, n: u64, owner: u64) -> Result<(), StoreError> {
    store.commit(&Commit {
        consumer: "engine",
        moves: vec![step(SIGNALS, 0, n, n + 1)],
        blocks: &[block(SIGNALS, 0, n, n as i64, &[row(n as i64)])],
        windows: &[piece(window("w", 0, "a"), &[n as i64])],
        snapshots: &[snapshot(0, n + 1, b"state")],
        owner,
        ..Commit::default()
    })
}

/// Everything of `count` commits is there, once.
fn check(store: &PostgresStore, count: u64) {
    assert_eq!(store.positions("engine").unwrap()[0].offset, count);
    let offsets: Vec<u64> = scanned(store, "signals").iter().map(|row| row.1).collect();
    assert_eq!(offsets, (0..count).collect::<Vec<_>>());
    let row = store.windows(&WindowQuery { limit: 1, ..WindowQuery::default() }).unwrap().rows.remove(0);
    assert_eq!((row.events, row.revision, &row.measures[0].1), (count, count, &Measure::Count(count)));
    assert_eq!(store.snapshots().unwrap(), [snapshot(0, count, b"state")]);
}

fn open(url: String, acquire_timeout_ms: u64) -> PostgresStore {
    let settings = PostgresSettings { url, pool: 3, acquire_timeout_ms, ..PostgresSettings::default() };
    PostgresStore::open(catalog(), settings).unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test gives up when nothing happens")]
fn a_server_killed_and_stopped_in_the_middle_of_commits_loses_and_doubles_nothing() {
    let mut server = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let store = open(server.database(), 1_000);
    store.claim("engine", 7, &[("signals".to_owned(), 0)]).unwrap();
    let (done, end) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !end.load(Ordering::SeqCst) {
                match commit(&store, n, 7) {
                    Ok(()) => n += 1,
                    // As the engine: the same once more.
                    Err(StoreError::Unavailable(_)) => {}
                    Err(other) => panic!("commit {n}: {other:?}"),
                }
                done.store(n, Ordering::SeqCst);
            }
        });
        let wait_for = |n: u64| {
            let deadline = Instant::now() + Duration::from_secs(120);
            while done.load(Ordering::SeqCst) < n {
                assert!(Instant::now() < deadline, "no commit for two minutes");
                std::thread::yield_now();
            }
        };
        for round in 0..5 {
            wait_for(done.load(Ordering::SeqCst) + 20 + round);
            if round % 2 == 0 {
                server.kill();
            } else {
                server.stop();
            }
            server.restart();
        }
        wait_for(done.load(Ordering::SeqCst) + 20);
        end.store(true, Ordering::SeqCst);
    });
    check(&store, done.load(Ordering::SeqCst));
}

/// Between a store and the server: it can lose what the server says, or what it is told, from a COMMIT on.
struct Between {
    port: u16,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    /// The next COMMIT goes through, but its answer does not.
    lose_answer: AtomicBool,
    /// The next COMMIT does not go through.
    lose_commit: AtomicBool,
    /// Nobody can connect.
    is_down: AtomicBool,
}

impl Between {
    fn new(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, plan) = (listener.local_addr().unwrap().port(), Arc::new(Plan::default()));
        let shared = Arc::clone(&plan);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let plan = Arc::clone(&shared);
                std::thread::spawn(move || carry(client, server, &plan));
            }
        });
        Self { port, plan }
    }
}

fn carry(mut client: TcpStream, mut server: TcpStream, plan: &Plan) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let cut = Arc::clone(&is_cut);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = answers.read(&mut bytes) {
            if cut.load(Ordering::SeqCst) || back.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n @ 1..) = client.read(&mut bytes) {
        if bytes[..n].ends_with(b"COMMIT\0") {
            if plan.lose_commit.swap(false, Ordering::SeqCst) {
                break;
            }
            is_cut.store(plan.lose_answer.swap(false, Ordering::SeqCst), Ordering::SeqCst);
        }
        if server.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

fn behind(between: &Between, url: &str, acquire_timeout_ms: u64) -> PostgresStore {
    let (_, database) = url.rsplit_once('/').unwrap();
    open(format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", between.port), acquire_timeout_ms)
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test gives up when nothing happens")]
fn a_commit_whose_answer_is_lost_is_there_once() {
    let server = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let url = server.database();
    let between = Between::new(port_of(&url));
    let store = behind(&between, &url, 20_000);
    let mut shell = Client::connect(&url, NoTls).unwrap();
    for owner in [0, 9] {
        let from = store.positions("engine").unwrap().first().map_or(0, |position| position.offset);
        if owner > 0 {
            store.claim("engine", owner, &[("signals".to_owned(), 0)]).unwrap();
        }
        commit(&store, from, owner).unwrap();
        between.plan.lose_answer.store(true, Ordering::SeqCst);
        commit(&store, from + 1, owner).unwrap();
        check(&store, from + 2);
        // Lost on the way there: it did not happen, and may be tried again as it is.
        between.plan.lose_commit.store(true, Ordering::SeqCst);
        let told = commit(&store, from + 2, owner);
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
        // Until the server has noticed that nobody is there any more it is in doubt.
        let deadline = Instant::now() + Duration::from_secs(20);
        let under_way = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        while shell.query_one(under_way, &[]).unwrap().get::<_, i64>(0) > 0 {
            assert!(Instant::now() < deadline, "the server keeps a transaction that nobody ends");
        }
        commit(&store, from + 2, owner).unwrap();
        check(&store, from + 3);
    }
}

#[test]
fn a_commit_in_doubt_is_settled_when_the_server_can_be_asked_again() {
    let server = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let url = server.database();
    let between = Between::new(port_of(&url));
    let store = behind(&between, &url, 2_000);
    commit(&store, 0, 0).unwrap();
    // A commit without positions has nothing but this to tell that it happened.
    let windows = [piece(window("v", 0, "a"), &[1])];
    let loose = Commit { windows: &windows, ..Commit::default() };
    let revision = |store: &PostgresStore| {
        let query = WindowQuery { window: Some("v".to_owned()), limit: 1, ..WindowQuery::default() };
        store.windows(&query).unwrap().rows[0].revision
    };
    for attempt in [&|| commit(&store, 1, 0), &|| store.commit(&loose)] as [&dyn Fn() -> Result<(), StoreError>; 2] {
        // The only way to the server is cut after COMMIT went through.
        between.plan.lose_answer.store(true, Ordering::SeqCst);
        between.plan.is_down.store(true, Ordering::SeqCst);
        assert!(matches!(attempt(), Err(StoreError::Unavailable(_))));
        between.plan.is_down.store(false, Ordering::SeqCst);
        attempt().unwrap();
    }
    check_window(&store, 2);
    assert_eq!(revision(&store), 1);
    store.commit(&loose).unwrap();
    assert_eq!(revision(&store), 2, "once it is settled, an equal commit is another one");
}

fn check_window(store: &PostgresStore, count: u64) {
    let query = WindowQuery { window: Some("w".to_owned()), limit: 1, ..WindowQuery::default() };
    assert_eq!(store.windows(&query).unwrap().rows[0].revision, count);
    let query = EventQuery { limit: 1, count: true, ..EventQuery::default() };
    assert_eq!(store.events(&query).unwrap().total, Some(count));
}
