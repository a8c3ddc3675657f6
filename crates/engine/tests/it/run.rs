//! From log to store: everything once, whatever the stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Command, Settings};
use event::{Position, Stage};
use log::Log;
use proptest::prelude::*;
use store::Commit;

use crate::house::{Event, House, Moody, PARTITIONS, SIGNALS, contents, events, small_batches};

#[test]
fn everything_in_the_log_is_stored_once_with_its_anomalies() {
    let house = House::new();
    let all = events(500);
    all.chunks(70).for_each(|part| house.append(part));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let stored = contents(&*store);
    assert_eq!(stored.rows.len(), 500);
    let mut times: Vec<_> = stored.rows.iter().map(|row| row.2).collect();
    times.sort_unstable();
    assert_eq!(times, all.iter().map(|event| event.2).collect::<Vec<_>>());
    let dear = all.iter().filter(|(_, kind, _, amount)| *kind == "purchase" && *amount > 1_000).count();
    assert_eq!(stored.anomalies.iter().filter(|a| a.rule == "dear").count(), dear);
    assert!(stored.anomalies.iter().any(|a| a.rule == "often"));
    let ends: u64 = stored.positions.iter().map(|position| position.offset).sum();
    assert_eq!(ends, 500);
}

#[test]
fn a_refused_event_becomes_a_dead_letter_and_no_row() {
    let house = House::new();
    house.append(&events(3));
    house.refuse("0197-a", b"{\"type\":\"login\"}");
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let stored = contents(&*store);
    let [letter] = &stored.dead_letters[..] else { panic!("{:?}", stored.dead_letters) };
    assert_eq!((letter.id.as_str(), letter.stream.as_str(), letter.stage), ("0197-a", "signals", Stage::Collect));
    assert_eq!((letter.code.as_str(), letter.pointer.as_str()), ("missing_field", "/user_id"));
    assert_eq!((letter.message.as_str(), letter.request_id.as_str()), ("not there", "r-1"));
    assert_eq!((&letter.data[..], letter.partition, letter.offset), (&b"{\"type\":\"login\"}"[..], 0, 0));
    assert_eq!(stored.rows.len(), 3);
}

#[test]
fn a_running_engine_takes_what_comes_and_tells_the_log() {
    let house = House::new();
    let store = house.store("a");
    let engine = house.start(store.clone(), Settings::default()).unwrap();
    let stats = engine.stats();
    for _ in 0..3 {
        house.append(&events(20));
        house.refuse("x", b"1");
    }
    let ends: Vec<_> = house.log.extents(SIGNALS).iter().map(|extent| extent.next).collect();
    let positions: Vec<_> =
        (0_u32..).zip(ends).map(|(partition, offset)| Position { stream: SIGNALS, partition, offset }).collect();
    let refused = Position { stream: house.catalog.refused(), partition: 0, offset: 3 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(house.log.committed("engine", &positions)).unwrap();
    runtime.block_on(house.log.committed("engine", &[refused])).unwrap();
    assert_eq!((stats.stored(), stats.dead_letters(), stats.lag_events(), stats.skipped()), (60, 3, 0, 0));
    assert!(stats.commits() > 0 && stats.last_commit_at().is_some());
    assert_eq!(stats.lag_by_partition().len(), PARTITIONS as usize + 2);
    assert_eq!(stats.anomalies().iter().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(), ["dear", "often"]);
    assert_eq!((engine.failed(), engine.finished()), (None, false));
    engine.stop().unwrap();
    assert_eq!(contents(&*store).dead_letters.len(), 1, "one id is one dead letter");
}

#[test]
fn lag_counts_what_is_not_committed() {
    let house = House::new();
    house.append(&events(50));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    house.append(&events(30));
    let stats = {
        let engine = house.start(store, Settings::default()).unwrap();
        let stats = engine.stats();
        engine.send(Command::Drain);
        engine.join().unwrap();
        stats
    };
    assert_eq!((stats.stored(), stats.lag_events()), (30, 0), "figures are since the start of the engine");
    house.append(&events(7));
    assert_eq!(stats.lag_events(), 7);
}

#[test]
fn snapshots_that_take_long_are_rare() {
    let house = House::new();
    let (store, snapshots, clock) = (house.store("a"), Arc::new(AtomicU64::new(0)), house.clock.clone());
    let counter = snapshots.clone();
    let slow = move |_: i64, commit: &Commit<'_>| {
        if !commit.snapshots.is_empty() {
            counter.fetch_add(1, Ordering::SeqCst);
            clock.advance(4_000);
        }
        Ok(())
    };
    let settings = Settings { snapshot_every_ms: 100, ..Settings::default() };
    let engine = house.start(Moody::new(store, slow), settings).unwrap();
    for turn in 1..=30 {
        house.append(&events(20));
        while engine.stats().stored() < turn * 20 {
            std::thread::yield_now();
        }
        house.clock.advance(1_000);
    }
    // With four seconds each, of which a part was the rows', every second would have had one.
    let before = snapshots.load(Ordering::SeqCst);
    assert!((1..=4).contains(&before), "{before} snapshots");
    engine.stop().unwrap();
}

#[test]
fn the_time_from_append_to_commit_is_measured() {
    let house = House::new();
    house.append(&events(50));
    house.clock.advance(250);
    let engine = house.start(house.store("a"), Settings::default()).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    let (p50, p99) = stats.end_to_end_ms();
    assert!((250.0..=252.0).contains(&p50) && (250.0..=252.0).contains(&p99), "{p50} {p99}");
}

/// Appends with their tenants, and what the engine does after each.
fn plan() -> impl Strategy<Value = Vec<(&'static str, Vec<Event>, u8, usize)>> {
    let kinds = prop_oneof![Just("login"), Just("click"), Just("purchase")];
    // Now and then one that a rule panics on.
    let amount = prop_oneof![30 => 0_u32..2_000, 1 => Just(66_666)];
    let event = (0_u8..5, kinds, 0_i64..400, amount);
    let tenant = prop_oneof![Just(""), Just("a"), Just("b")];
    prop::collection::vec((tenant, prop::collection::vec(event, 1..60), 0_u8..3, 200_usize..6_000), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_stops_and_starts_give_the_store_of_one_run(plan in plan()) {
        let house = House { trip: Some(b"\"amount\":66666}"), ..House::new() };
        let store = house.store("stops");
        for (tenant, events, deed, batch_bytes) in plan {
            house.append_of(tenant, &events);
            if deed == 0 {
                continue; // no engine this time
            }
            let engine = house.start(store.clone(), Settings { batch_bytes, ..small_batches() }).unwrap();
            if deed == 1 {
                engine.send(Command::Drain);
                engine.join().unwrap();
            } else {
                engine.stop().unwrap(); // wherever it is by now
            }
        }
        house.drain(store.clone()).unwrap();
        let once = house.store("once");
        house.drain(once.clone()).unwrap();
        prop_assert_eq!(contents(&*store), contents(&*once));
        let report = house.verify(store);
        prop_assert_eq!(report.differences, 0, "{:?}", report.details);
    }
}
