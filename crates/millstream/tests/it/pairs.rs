//! Every pair of log and store gives what one machine gives: the same events, anomalies and windows, whatever is killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use log::{Clock, SystemClock};
use serde_json::Value;
use services::{Kafka, Postgres, Redis, Timescale};

use crate::product::{Product, folder, free_port, run_json, write};
use crate::signals::{Found, Load, close_windows, generate, judge, send};
use crate::stack::there;

const SIGNALS: usize = 12_000;
const SEED: u64 = 0x5eed_0006;
/// How long a third of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

static LOAD: LazyLock<Load> = LazyLock::new(|| generate(SIGNALS, SEED));

/// What the first pair gives, told once: all others are compared with it.
static ONE_MACHINE: LazyLock<Outcome> =
    LazyLock::new(|| outcome("log: { backend: disk }\nstore: { backend: sqlite }\n"));

/// What people read in the end, without what a pair may choose for itself: offsets, times of receipt, revisions.
#[derive(PartialEq)]
struct Outcome {
    /// Each event's content by its id, with how often it is there.
    events: BTreeMap<String, (Value, usize)>,
    /// Each anomaly by its id.
    anomalies: BTreeMap<String, Value>,
    /// What is in each closed window, by its definition, beginning, size and key.
    windows: BTreeMap<String, Value>,
}

/// Serves with this configuration, is killed in the middle of the load, works off the rest, and is asked.
fn outcome(backends: &str) -> Outcome {
    let dir = folder();
    write(dir.path(), "millstream.yaml", backends.as_bytes());
    let product = send_and_kill(dir.path());
    close_windows(&product, SIGNALS);
    // While its engine waits for the partitions of the one that was killed, nobody knows the lag.
    product.caught_up();
    let outcome = Outcome { events: events(&product), anomalies: anomalies(&product), windows: windows(&product) };
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
    outcome
}

fn send_and_kill(dir: &Path) -> Product {
    let listen = format!("127.0.0.1:{}", free_port());
    let product = Product::start_at(dir, &listen, &[]);
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| send(&format!("http://{listen}"), &LOAD.signals, &acknowledged));
        // Without a pause: a third is acknowledged, and the rest must not be before the blow.
        let clock = SystemClock::default();
        while acknowledged.load(Relaxed) <= SIGNALS / 3 {
            assert!(clock.elapsed() < PATIENCE, "only {acknowledged:?} are acknowledged");
            std::thread::yield_now();
        }
        product.kill();
        assert!(acknowledged.load(Relaxed) < SIGNALS, "nothing was left to send");
        Product::start_at(dir, &listen, &[])
    })
}

/// All pages of a list.
fn pages(product: &Product, list: &str, mut each: impl FnMut(&Value)) {
    let mut cursor = String::new();
    loop {
        let page = product.ask(&format!("/v1/{list}?stream=signals&limit=1000{cursor}"));
        page[list].as_array().expect("a list").iter().for_each(&mut each);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return,
        }
    }
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}")).to_owned()
}

fn events(product: &Product) -> BTreeMap<String, (Value, usize)> {
    let mut events: BTreeMap<String, (Value, usize)> = BTreeMap::new();
    pages(product, "events", |row| {
        let content = serde_json::json!([row["key"], row["type"], row["time"], row["data"]]);
        events.entry(text(row, "event_id")).or_insert((content, 0)).1 += 1;
    });
    events
}

fn anomalies(product: &Product) -> BTreeMap<String, Value> {
    let mut anomalies = BTreeMap::new();
    pages(product, "anomalies", |row| {
        let names = ["rule", "severity", "key", "time", "description", "metadata", "data"];
        let told = names.map(|name| row[name].clone());
        assert!(anomalies.insert(text(row, "id"), told.into()).is_none(), "told twice: {row}");
    });
    anomalies
}

fn windows(product: &Product) -> BTreeMap<String, Value> {
    let mut windows = BTreeMap::new();
    pages(product, "windows", |row| {
        let place = format!("{} {} {} {}", text(row, "window"), row["start_ms"], row["size_ms"], row["key"]);
        let told = serde_json::json!([row["events"], row["values"]]);
        assert!(windows.insert(place, told).is_none(), "told twice: {row}");
    });
    windows
}

/// What an oracle finds in the same load, in the form of ids.
fn expected() -> Vec<String> {
    let found: Found = judge(&LOAD.signals);
    let mut ids: Vec<String> = found.iter().map(|(user, rule, time)| format!("{user}_{time}_{rule}")).collect();
    ids.sort();
    ids
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &BTreeMap<String, T>, expected: &BTreeMap<String, T>) {
    let differs = |(key, _): &(&String, &T)| found.get(*key) != expected.get(*key);
    let some: Vec<_> = expected.iter().chain(found).filter(differs).take(3).map(|(key, _)| key).collect();
    let both: Vec<_> = some.iter().map(|key| (key, found.get(*key), expected.get(*key))).collect();
    assert!(both.is_empty(), "{what}: {} found, {} expected, as {both:#?}", found.len(), expected.len());
}

#[track_caller]
fn check(backends: &str) {
    let (found, expected) = (outcome(backends), &*ONE_MACHINE);
    same("events", &found.events, &expected.events);
    same("anomalies", &found.anomalies, &expected.anomalies);
    same("windows", &found.windows, &expected.windows);
}

#[test]
fn one_machine_stores_each_event_once_and_finds_what_the_oracle_finds() {
    let outcome = &*ONE_MACHINE;
    assert!(outcome.events.values().all(|(_, times)| *times == 1));
    let sent = LOAD.signals.iter().filter(|s| outcome.events.contains_key(&format!("signal-{:08}", s.number))).count();
    assert_eq!(sent, SIGNALS);
    assert_eq!(outcome.anomalies.keys().cloned().collect::<Vec<_>>(), expected());
    assert!(outcome.windows.len() > 1_000, "{} windows", outcome.windows.len());
}

const DISK: &str = "log: { backend: disk }\n";
const SQLITE: &str = "store: { backend: sqlite }\n";

fn on_kafka(kafka: &Kafka) -> String {
    format!("log: {{ backend: kafka, kafka: {{ brokers: \"{}\", replication: 1 }} }}\n", kafka.brokers())
}

fn on_redis(redis: &Redis) -> String {
    format!("log: {{ backend: redis, redis: {{ url: \"{}\" }} }}\n", redis.url())
}

fn in_postgres(postgres: &Postgres) -> String {
    format!("store: {{ backend: postgres, postgres: {{ url: \"{}\" }} }}\n", postgres.database())
}

fn in_timescale(timescale: &Timescale) -> String {
    format!("store: {{ backend: postgres, postgres: {{ url: \"{}\", pool: 1 }} }}\n", timescale.url())
}

#[test]
fn disk_with_postgres_gives_what_one_machine_gives() {
    let postgres = there(Postgres::start());
    check(&(DISK.to_owned() + &in_postgres(&postgres)));
}

#[test]
fn disk_with_timescale_gives_what_one_machine_gives() {
    let timescale = there(Timescale::start());
    check(&(DISK.to_owned() + &in_timescale(&timescale)));
}

#[test]
fn kafka_with_sqlite_gives_what_one_machine_gives() {
    let kafka = there(Kafka::start());
    check(&(on_kafka(&kafka) + SQLITE));
}

#[test]
fn kafka_with_postgres_gives_what_one_machine_gives() {
    let (kafka, postgres) = (there(Kafka::start()), there(Postgres::start()));
    check(&(on_kafka(&kafka) + &in_postgres(&postgres)));
}

#[test]
fn kafka_with_timescale_gives_what_one_machine_gives() {
    let (kafka, timescale) = (there(Kafka::start()), there(Timescale::start()));
    check(&(on_kafka(&kafka) + &in_timescale(&timescale)));
}

#[test]
fn redis_with_sqlite_gives_what_one_machine_gives() {
    let redis = there(Redis::start());
    check(&(on_redis(&redis) + SQLITE));
}

#[test]
fn redis_with_postgres_gives_what_one_machine_gives() {
    let (redis, postgres) = (there(Redis::start()), there(Postgres::start()));
    check(&(on_redis(&redis) + &in_postgres(&postgres)));
}

#[test]
fn redis_with_timescale_gives_what_one_machine_gives() {
    let (redis, timescale) = (there(Redis::start()), there(Timescale::start()));
    check(&(on_redis(&redis) + &in_timescale(&timescale)));
}
