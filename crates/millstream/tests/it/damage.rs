//! A damaged log through the binary: it starts by itself, says what was lost, and serves everything else.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::product::{Product, folder, read, run_json, write};

const ROUNDS: usize = 3;
const EVENTS: usize = 200;
const LEARNERS: usize = 7;

/// A data folder whose log holds three times 200 events, and whose store is gone: so that what is served comes from
/// what is left of the log.
fn data() -> tempfile::TempDir {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    for round in 0..ROUNDS {
        let line = |i| format!("{{\"event_id\":\"{round}-{i}\",\"learner_id\":\"l{}\",\"n\":{i}}}\n", i % LEARNERS);
        let answer = product.post_stored("events", &(0..EVENTS).map(line).collect::<String>());
        assert_eq!(answer["accepted_count"], EVENTS);
    }
    product.stop();
    dir
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("data/log/events/0000000000.seg")
}

fn forget_store(dir: &Path) {
    for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        #[expect(clippy::disallowed_methods, reason = "the test's own damage")]
        drop(std::fs::remove_file(dir.join("data").join(name)));
    }
}

/// Checks that `log verify` names a damage of one of these kinds, and gives the records that it says are lost.
fn check(dir: &Path, kinds: &[&str]) -> u64 {
    let (code, found) = run_json(dir, &["log", "verify", "--data-dir", "data"]);
    assert_eq!(code, 1, "{found}");
    let damaged: Vec<&Value> =
        found["damaged"].as_array().unwrap().iter().filter(|d| d["stream"] == "events").collect();
    assert!(damaged.iter().any(|d| kinds.contains(&d["kind"].as_str().unwrap())), "{found}");
    assert!(damaged.iter().all(|d| d["file"].is_string() && d["offset"].is_u64()), "{found}");
    damaged.iter().map(|d| d["records_lost"].as_u64().unwrap()).sum()
}

/// Starts on what is left; gives how many of the old events are served, after new ones went through every partition
/// that has old ones.
fn served(dir: &Path) -> u64 {
    forget_store(dir);
    let product = Product::start(dir, &[]);
    let line = |i| format!("{{\"event_id\":\"fresh{i}\",\"learner_id\":\"l{i}\"}}\n");
    product.post_stored("events", &(0..LEARNERS).map(line).collect::<String>());
    product.caught_up();
    let (mut events, mut cursor) = (0, String::new());
    loop {
        let page = product.ask(&format!("/v1/events?stream=events&limit=1000{cursor}"));
        events += page["events"].as_array().unwrap().iter().filter(|e| is_old(e)).count() as u64;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    product.stop();
    let (_, verified) = run_json(dir, &["verify", "--data-dir", "data"]);
    assert_eq!(verified["differences"], 0, "{verified}");
    events
}

fn is_old(event: &Value) -> bool {
    !event["event_id"].as_str().unwrap().starts_with("fresh")
}

const ALL: u64 = (ROUNDS * EVENTS) as u64;

#[test]
fn a_sound_log_has_no_damage() {
    let dir = data();
    let (code, found) = run_json(dir.path(), &["log", "verify", "--data-dir", "data"]);
    assert_eq!((code, &found["records"], &found["damaged"]), (0, &ALL.into(), &Value::Array(vec![])), "{found}");
    let (_, inspected) = run_json(dir.path(), &["log", "inspect", "--data-dir", "data"]);
    assert_eq!(inspected["segments"][0]["records"], ALL, "{inspected}");
    assert_eq!(served(dir.path()), ALL);
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_is_served() {
    let dir = data();
    let path = segment(dir.path());
    let bytes = read(&path);
    write(path.parent().unwrap(), "0000000000.seg", &bytes[..bytes.len() - 100]);
    let lost = check(dir.path(), &["torn_tail"]);
    let left = served(dir.path());
    assert!(left < ALL && left >= ALL - EVENTS as u64, "{left} are left, {lost} named as lost");
}

#[test]
fn a_flipped_byte_costs_its_frame_and_nothing_else() {
    let dir = data();
    let path = segment(dir.path());
    let mut bytes = read(&path);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    write(path.parent().unwrap(), "0000000000.seg", &bytes);
    let lost = check(dir.path(), &["corrupt_frame", "garbage"]);
    assert!(lost > 0 && lost <= EVENTS as u64, "{lost}");
    assert_eq!(served(dir.path()), ALL - lost);
}

#[test]
fn a_deleted_segment_is_survived_and_named() {
    let dir = data();
    #[expect(clippy::disallowed_methods, reason = "the test's own damage")]
    std::fs::remove_file(segment(dir.path())).unwrap();
    check(dir.path(), &["missing_segment"]);
    assert_eq!(served(dir.path()), 0);
    let product = Product::start(dir.path(), &[]);
    assert_eq!(product.ask("/v1/events/fresh0?stream=events")["event"]["event_id"], "fresh0");
    product.stop();
}
