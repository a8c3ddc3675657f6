//! The servers that the product leans on go away and come back, under load: nothing is lost, nothing is there twice, and the
//! events of a key stay in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use log::{Clock, SystemClock};
use serde_json::json;

use crate::http::get;
use crate::product::{Product, until};
use crate::signals::post_until_answered;
use crate::stack::{Row, Stack, asked, metric, stored, stored_once};

/// Senders; the events of a key come from one of them.
const SENDERS: u64 = 4;
const KEYS: u64 = 25;
const BATCH: u64 = 500;
/// Events a second, of all senders.
const RATE: u64 = 20_000;

/// Load that goes on until it is told to end. What is acknowledged is counted by sender: it sends in order.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    acknowledged: [AtomicU64; SENDERS as usize],
}

impl Load {
    fn send(&self, sender: u64, address: &str) {
        let (clock, url) = (SystemClock::default(), format!("{address}/v1/streams/events/events"));
        let (began, every) = (clock.elapsed(), Duration::from_micros(1_000_000 * BATCH * SENDERS / RATE));
        let mut from = 0;
        while !self.over.load(SeqCst) {
            let line = |n: u64| {
                let key = format!("k{sender}-{}", n % KEYS);
                format!("{}\n", json!({ "event_id": format!("{sender}-{n}"), "learner_id": key, "n": n }))
            };
            let lines: String = (from..from + BATCH).map(line).collect();
            post_until_answered(&url, lines.as_bytes(), BATCH as usize);
            from += BATCH;
            self.acknowledged[sender as usize].store(from, SeqCst);
            let due = every * (from / BATCH) as u32;
            clock.sleep((began + due).saturating_sub(clock.elapsed()).min(every));
        }
    }

    fn total(&self) -> u64 {
        self.acknowledged.iter().map(|sent| sent.load(SeqCst)).sum()
    }

    fn more(&self, what: &str) {
        let before = self.total();
        until(what, || self.total() > before + 10 * BATCH);
    }

    /// Every acknowledged event is there once, and those of each key in the order in which they were sent.
    fn check(&self, query: &Product) {
        let rows = stored(query, "events");
        let sent =
            |sender: u64| (0..self.acknowledged[sender as usize].load(SeqCst)).map(move |n| format!("{sender}-{n}"));
        let ids: Vec<String> = (0..SENDERS).flat_map(sent).collect();
        stored_once(&rows, ids.iter().map(String::as_str));
        let mut keys: HashMap<&str, Vec<&Row>> = HashMap::new();
        rows.values().flatten().for_each(|row| keys.entry(&row.key).or_default().push(row));
        assert_eq!(keys.len() as u64, SENDERS * KEYS);
        for (key, mut rows) in keys {
            assert!(rows.iter().all(|row| row.partition == rows[0].partition), "{key} is in several partitions");
            rows.sort_by_key(|row| row.offset);
            let numbers: Vec<u64> = rows.iter().map(|row| row.data["n"].as_u64().unwrap()).collect();
            assert!(numbers.is_sorted(), "{key} is out of order");
        }
    }
}

/// Runs `deeds` under load, and says how much that was.
#[expect(clippy::print_stderr, reason = "the figure of a long run")]
fn under_load(address: &str, deeds: impl FnOnce(&Load)) -> Load {
    let (load, clock) = (Load::default(), SystemClock::default());
    let began = clock.elapsed();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let load = &load;
            scope.spawn(move || load.send(sender, address));
        }
        // Whatever comes of it, the senders end.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| deeds(&load)));
        load.over.store(true, SeqCst);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let took = clock.elapsed().saturating_sub(began);
    eprintln!("{} events in {took:?}, {:.0}/s", load.total(), load.total() as f64 / took.as_secs_f64());
    load
}

#[test]
fn kafka_away_and_the_collector_killed_while_it_drains_lose_nothing_in_postgres_beside_redis() {
    let mut stack = Stack::start();
    let mut collect = stack.process("collect");
    let (worker, query) = (stack.process("process"), stack.process("query"));
    let address = collect.address();
    let load = under_load(&address, |load| {
        load.more("events come in");
        stack.kafka.stop(0);
        let (clock, before) = (SystemClock::default(), load.total());
        until("the spool takes events", || metric(&collect, "millstream_spool_records") > 0.0);
        get(&format!("{}/readyz", collect.admin)).expect(200);
        let health = get(&collect.url("/health")).expect(200).json();
        assert_eq!(health["status"], "degraded", "{health}");
        assert!(health["log"].as_str().unwrap().contains("wait in the spool"), "{health}");
        // It is away for as long as it is: nothing else tells the end of that.
        clock.sleep(Duration::from_secs(asked("MILLSTREAM_TEST_AWAY_SECONDS", 8)));
        let during = load.total() - before;
        assert!(during > 20 * BATCH, "only {during} events were taken while Kafka was away");
        let waiting = metric(&collect, "millstream_spool_records");
        stack.kafka.restart(0);
        until("some of what waits is with Kafka", || {
            metric(&collect, "millstream_spool_drained_total") > waiting / 5.0
        });
        collect.kill();
        collect.again();
        load.more("events come in after the kill");
        until("nothing waits any more", || metric(&collect, "millstream_spool_records") == 0.0);
        load.more("events come in when all is over");
    });
    until("nothing waits any more", || metric(&collect, "millstream_spool_records") == 0.0);
    query.caught_up();
    load.check(&query);
    assert_eq!(get(&collect.url("/health")).expect(200).json()["log"], "ok");
    worker.stop();
    query.stop();
    collect.stop();
    stack.verify();
}

#[test]
fn postgres_and_redis_restarted_under_load_on_kafka_lose_nothing() {
    let mut stack = Stack::start();
    let collect = stack.process("collect");
    let (workers, query) = ([stack.process("process"), stack.process("process")], stack.process("query"));
    let address = collect.address();
    let load = under_load(&address, |load| {
        load.more("events come in");
        let pause = Duration::from_secs(asked("MILLSTREAM_TEST_AWAY_SECONDS", 8) / 2);
        stack.postgres.stop();
        load.more("events come in without PostgreSQL");
        SystemClock::default().sleep(pause);
        stack.postgres.restart();
        load.more("events come in");
        until("the store is there again", || get(&query.url("/health")).json()["status"] == "healthy");
        stack.redis.stop();
        load.more("events come in without Redis");
        let health = get(&query.url("/health")).expect(200).json();
        assert_eq!(health["status"], "healthy", "Redis is for live figures alone: {health}");
        stack.redis.restart();
        stack.postgres.kill();
        stack.postgres.restart();
        load.more("events come in when all is over");
    });
    query.caught_up();
    load.check(&query);
    for worker in workers {
        worker.stop();
    }
    query.stop();
    collect.stop();
    stack.verify();
}
