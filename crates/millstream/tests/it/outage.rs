//! The store is away for a while: events are taken on, nothing is lost, and what waits is worked off without anybody's
//! help.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use log::{Clock, SystemClock};
use rusqlite::Connection;
use serde_json::json;

use crate::http;
use crate::product::{Product, folder, run_json, until};
use crate::signals::{open, post_until_answered};

/// Events in a request, and the pause between two requests: some thousands a second.
const BATCH: usize = 100;
const PACE: Duration = Duration::from_millis(20);

/// How long the store is away at the least; it is away until the breaker has opened in any case.
fn outage() -> Duration {
    let asked = std::env::var("MILLSTREAM_TEST_OUTAGE_SECONDS").ok();
    Duration::from_secs(asked.map_or(8, |seconds| seconds.parse().expect("a number")))
}

/// The value of a metric at the operator's port.
fn metric(product: &Product, name: &str) -> Option<f64> {
    let text = http::get(&format!("{}/metrics", product.admin)).body;
    let text = String::from_utf8(text).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))?;
    Some(line.trim().parse().expect("a number"))
}

#[test]
fn while_the_store_is_away_events_are_taken_and_afterwards_all_are_stored() {
    const BREAKER: &str = "millstream_breaker_state{target=\"store\"}";
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("events", "{\"event_id\":\"first\"}\n");
    assert_eq!(metric(&product, BREAKER), Some(0.0));

    let (over, taken, clock) = (AtomicBool::new(false), AtomicUsize::new(0), SystemClock::default());
    let url = product.url("/v1/streams/events/events");
    let mut during = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                let start = taken.load(SeqCst);
                let line =
                    |i| format!("{}\n", json!({"event_id": format!("e{i}"), "learner_id": format!("l{}", i % 97)}));
                let lines: String = (start..start + BATCH).map(line).collect();
                post_until_answered(&url, lines.as_bytes(), BATCH);
                taken.fetch_add(BATCH, SeqCst);
                SystemClock::default().sleep(PACE);
            }
        });
        until("events come in", || taken.load(SeqCst) > 5 * BATCH);

        let holder = Connection::open(dir.path().join("data/store.sqlite")).unwrap();
        holder.busy_timeout(Duration::from_secs(30)).unwrap();
        holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let (began, before) = (clock.elapsed(), taken.load(SeqCst));
        until("the breaker opens", || metric(&product, BREAKER) == Some(2.0));
        let left = outage().saturating_sub(clock.elapsed().saturating_sub(began));
        // The outage is as long as it is: nothing else tells its end.
        clock.sleep(left);
        during = taken.load(SeqCst) - before;
        let answer = http::post(&url, "application/json", b"{\"event_id\":\"in the middle\"}");
        assert_eq!(answer.status, 202, "{answer:?}");
        holder.execute_batch("ROLLBACK").unwrap();

        until("the breaker closes", || metric(&product, BREAKER) == Some(0.0));
        over.store(true, SeqCst);
    });
    assert!(during > 10 * BATCH, "only {during} events were taken while the store was away");
    product.caught_up();

    let acknowledged = taken.load(SeqCst) + 2;
    let store = open(dir.path());
    let mut ids = store.prepare("SELECT id FROM events").unwrap();
    let ids: Vec<String> = ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (acknowledged, acknowledged));
    let said = product.said();
    for notice in ["the store is not available", "the store is back"] {
        assert_eq!(said.matches(notice).count(), 1, "`{notice}` in:\n{said}");
    }
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}
