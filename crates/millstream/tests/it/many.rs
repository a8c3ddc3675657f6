//! Many processes over one Kafka, one PostgreSQL and one Redis: partitions go from one to the other, and nothing is lost or
//! counted twice by it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use log::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::http::{self, get, post};
use crate::product::{Product, command, folder, read, signal, until};
use crate::stack::{Stack, acknowledged, asked, stored, stored_once};

/// Within this the others work on the partitions of one that is gone.
const RECOVERS: Duration = Duration::from_secs(10);
/// Events that are acknowledged between two blows, at the least.
const BETWEEN: usize = 5_000;

/// Sends a signal to each of many users, in all partitions, and waits until all of them are stored. Gives how long that took.
fn round_trip(collect: &Product, round: &str) -> Duration {
    let (clock, url) = (SystemClock::default(), collect.url("/v1/streams/signals/events?ack=stored"));
    let line = |user: u32| {
        let id = format!("round-{round}-{user}");
        let event = json!({ "event_id": id, "user_id": 800_000 + user, "type": "click", "timestamp": clock.now(), "payload": {} });
        format!("{event}\n")
    };
    let lines: String = (0..60).map(line).collect();
    let began = clock.elapsed();
    loop {
        let answer = post(&url, "application/x-ndjson", lines.as_bytes());
        if answer.status == 200 && answer.json()["ack"] == "stored" {
            return clock.elapsed().saturating_sub(began);
        }
        assert!(matches!(answer.status, 200 | 202 | 429 | 503), "{answer:?}");
        let waited = clock.elapsed().saturating_sub(began);
        assert!(waited < RECOVERS * 6, "round {round}: not stored within {waited:?}");
    }
}

/// The first frame of the live stream that fits.
fn live(query: &Product, fits: impl Fn(&Value) -> bool) -> Value {
    let stream = http::begin(&query.url("/v1/live?topics=rates,lag,anomalies"), "GET", &[], 0).unwrap();
    let frames = BufReader::new(stream).lines().map_while(Result::ok);
    let mut frames = frames.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    frames.find(fits).expect("a frame before the stream ends")
}

#[test]
fn over_kafka_postgres_and_redis_processes_that_are_killed_and_stopped_lose_nothing() {
    let stack = Stack::start();
    let (collect, query) = (stack.process("collect"), stack.process("query"));
    let mut workers = [stack.process("process"), stack.process("process"), stack.process("process")];
    round_trip(&collect, "begin");
    until("each of the three has something to do", || {
        workers.iter().all(|worker| worker.said().contains("partitions are this process's"))
    });
    // One of them answers for all five.
    live(&query, |frame| frame["processes"] == 5 && frame["totals"]["stored"].as_u64().unwrap() >= 60);

    let dir = folder();
    let mut emitter = command(dir.path())
        .args(["emit", "--url", &collect.address(), "--rate", "2000", "--duplicates", "1", "--acks", "acks"])
        .args(["--output", "json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the emitter starts");
    let load = |what: &str| {
        let before = acknowledged(dir.path());
        until(what, || acknowledged(dir.path()) > before + BETWEEN);
    };
    load("the emitter is at work");

    workers[0].kill();
    let took = round_trip(&collect, "killed");
    assert!(took <= RECOVERS, "the others took over after {took:?}");
    load("the emitter is at work after the kill");

    let stopped = workers[1].id();
    signal(stopped, "STOP");
    let took = round_trip(&collect, "stopped");
    let left = Duration::from_secs(asked("MILLSTREAM_TEST_STOP_SECONDS", 8)).saturating_sub(took);
    // It stands still for as long as it does: nothing else tells the end of that.
    SystemClock::default().sleep(left);
    signal(stopped, "CONT");
    assert!(took <= RECOVERS, "the last one took over after {took:?}");
    load("the emitter is at work after the pause");
    workers[0].again();
    load("the emitter is at work with all of them");
    assert!(round_trip(&collect, "again") <= RECOVERS);

    signal(emitter.id(), "INT");
    assert!(emitter.wait().expect("it ends").success());
    query.caught_up();
    let acks = String::from_utf8(read(&dir.path().join("acks"))).expect("text");
    let rows = stored(&query, "signals");
    stored_once(&rows, acks.lines());
    for worker in workers {
        worker.stop();
    }
    query.stop();
    collect.stop();
    stack.verify();
}

#[test]
fn over_kafka_postgres_and_redis_letters_are_sent_again_where_questions_are_answered() {
    let stack = Stack::start();
    let (collect, query) = (stack.process("collect"), stack.process("query"));
    let worker = stack.process("process");
    let refused = br#"{"event_id":"letter","user_id":1,"type":"click","timestamp":"soon","payload":{}}"#;
    let answer = post(&collect.url("/v1/streams/signals/events"), "application/json", refused).expect(422).json();
    let id = answer["rejected"][0]["dlq_id"].as_str().unwrap().to_owned();
    until("the letter is there", || get(&query.url(&format!("/v1/dlq/{id}"))).status == 200);
    let mended = br#"{"event_id":"letter","user_id":1,"type":"click","timestamp":1700000000000,"payload":{}}"#;
    let letter = query.url(&format!("/v1/dlq/{id}"));
    http::exchange(&letter, "PATCH", &[("content-type", "application/json")], mended).unwrap().expect(200);
    until("nothing is in the way of the replay", || {
        matches!(post(&format!("{letter}/replay"), "application/json", b"").status, 200 | 202)
    });
    until("the letter is resolved", || get(&letter).json()["status"] == "resolved");
    assert_eq!(query.ask("/v1/events?stream=signals")["events"].as_array().unwrap().len(), 1);

    // What a process cannot do, it says.
    let replay = br#"{"stream":"signals","from":0}"#;
    let answer = post(&query.url("/v1/replays"), "application/json", replay).expect(503).json();
    assert_eq!(answer["error_code"], "no_processor", "{answer}");
    let begun = post(&worker.url("/v1/replays"), "application/json", replay).expect(202).json();
    let url = worker.url(&format!("/v1/replays/{}", begun["id"].as_str().unwrap()));
    until("the replay is done", || get(&url).json()["status"] == "done");
    assert_eq!(get(&url).json()["difference"]["total"], 0);
    get(&collect.url("/v1/dlq")).expect(404);
    let health = get(&collect.url("/health")).expect(200).json();
    assert_eq!((&health["status"], &health["database"]), (&"healthy".into(), &"none".into()), "{health}");
    worker.stop();
    query.stop();
    collect.stop();
    stack.verify();
}
