//! The signals pack against an independent judge: a million signals, with the product killed over and over.

mod generate;
mod handed_over;
mod incidents;
mod lessons;
mod oracle;
mod sending;
mod vectors;
mod windows;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rusqlite::{Connection, OpenFlags};

use crate::product::{Product, folder, free_port, run_json, until, write};
use generate::{Act, BASE, Dice, HOUR, signal};
pub(crate) use generate::{Load, Signal, generate};
pub(crate) use oracle::{Found, frequent_logins, judge};
pub(crate) use sending::{post_until_answered, send};

/// How many signals there are, and what they and the kills are drawn from; others by `MILLSTREAM_TEST_SIGNALS` and
/// `MILLSTREAM_TEST_SEED`.
const SIGNALS: u64 = 1_000_000;
const SEED: u64 = 0x5eed_0005;
/// How often the product is killed while they are sent, and then while it works off what it has.
const KILLS: usize = 17;
const KILLS_AFTER: usize = 3;

#[test]
fn of_a_million_signals_every_incident_is_found_and_nothing_else_whatever_is_killed() {
    let asked = |name: &str, or: u64| std::env::var(name).map_or(or, |n| n.parse().expect("a number"));
    let (total, seed) = (asked("MILLSTREAM_TEST_SIGNALS", SIGNALS) as usize, asked("MILLSTREAM_TEST_SEED", SEED));
    println!("MILLSTREAM_TEST_SEED={seed}");
    let load = generate(total, seed);
    let dir = folder();
    write(dir.path(), "millstream.yaml", windows::CONFIGURATION.as_bytes());
    let product = send_and_kill(dir.path(), &load.signals, seed);
    close_windows(&product, total);
    product.caught_up();
    let told = windows::DEFINITIONS.map(|definition| (definition, windows::read(&product, definition)));
    product.stop();

    let expected = judge(&load.signals);
    check_script(&expected, &load.script);
    let store = open(dir.path());
    let count = |what: &str| -> i64 {
        store.query_row(&format!("SELECT count({what}) FROM events"), [], |row| row.get(0)).unwrap()
    };
    let all = (total + CLOSERS) as i64;
    assert_eq!((count("DISTINCT id"), count("*")), (all, all), "signals lost, or stored twice");
    same("anomalies", &found(&store), &expected);
    windows::gather(&store);
    for (definition, told) in &told {
        windows::check(&store, *definition, told);
    }

    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}

/// Sends everything, and kills and restarts the product at places drawn by lot.
fn send_and_kill(dir: &Path, signals: &[Signal], seed: u64) -> Product {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut product = Product::start_at(dir, &listen, &[]);
    let (acknowledged, mut dice) = (AtomicUsize::new(0), Dice::new(seed));
    let mut places: Vec<_> = (0..KILLS).map(|_| dice.below(signals.len() as u64) as usize).collect();
    places.sort_unstable();
    product = std::thread::scope(|scope| {
        scope.spawn(|| send(&format!("http://{listen}"), signals, &acknowledged));
        for place in places {
            until("the clients get on", || acknowledged.load(Relaxed) > place);
            product.kill();
            product = Product::start_at(dir, &listen, &[]);
        }
        product
    });
    for _ in 0..KILLS_AFTER {
        product.kill();
        product = Product::start_at(dir, &listen, &[]);
    }
    product
}

/// Signals of other users, days later, some in every partition: they close the windows of all before.
const CLOSERS: usize = 100;

pub(crate) fn close_windows(product: &Product, total: usize) {
    let mut lines = String::new();
    for i in 0..CLOSERS as u32 {
        let closer = Signal { number: total as u32 + i, ..signal(900_000 + i, BASE + 72 * HOUR, Act::Click) };
        closer.write(&mut lines);
    }
    let url = product.url("/v1/streams/signals/events");
    post_until_answered(&url, lines.as_bytes(), CLOSERS);
}

/// The oracle itself must see every scripted incident and no scripted miss: else both could be wrong alike.
fn check_script(expected: &Found, script: &incidents::Script) {
    for (user, rule, time) in &script.incidents {
        assert!(expected.contains(&(*user, (*rule).to_owned(), *time)), "{rule} of user {user} at {time}");
    }
    for (user, rule) in &script.misses {
        assert!(!expected.iter().any(|(who, what, _)| who == user && what == rule), "{rule} of user {user}");
    }
    for rule in incidents::RULES {
        assert!(expected.iter().any(|(_, what, _)| what == rule), "{rule} never fires");
    }
}

/// The store's file, to be read beside the product.
pub(crate) fn open(dir: &Path) -> Connection {
    Connection::open_with_flags(dir.join("data/store.sqlite"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a store")
}

/// Every anomaly in the store that a rule of the pack found.
pub(crate) fn found(store: &Connection) -> Found {
    let mut statement = store.prepare("SELECT CAST(key AS INTEGER), rule, time FROM anomalies").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let found: Found = rows.map(Result::unwrap).collect();
    found.into_iter().filter(|(_, rule, _)| incidents::RULES.contains(&&**rule)).collect()
}

/// Fails with what is missing and what is too much.
fn same<T: Ord + std::fmt::Debug>(what: &str, found: &BTreeSet<T>, expected: &BTreeSet<T>) {
    let some = |a: &BTreeSet<T>, b: &BTreeSet<T>| -> (usize, String) {
        let left: Vec<_> = a.difference(b).collect();
        (left.len(), format!("{:#?}", &left[..left.len().min(5)]))
    };
    let (missed, invented) = (some(expected, found), some(found, expected));
    assert!(
        missed.0 + invented.0 == 0,
        "{what}: {} expected, {} found; {} missed, as {}; {} too many, as {}",
        expected.len(),
        found.len(),
        missed.0,
        missed.1,
        invented.0,
        invented.1
    );
}
