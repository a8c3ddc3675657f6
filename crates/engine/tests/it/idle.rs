//! Partitions that nothing comes for: their windows close by the clock, once, whatever crashes.

use std::sync::Arc;

use engine::{Command, EngineError, Settings};
use event::Millis;
use log::Clock;
use store::{Commit, Store, StoreError};

use crate::house::{Event, House, Moody, contents, events, rule, small_batches, windows};

const IDLE: Millis = 30_000;

/// Events whose times are near the clock's.
fn recent(house: &House, n: usize) -> Vec<Event> {
    let now = house.clock.now();
    events(n).into_iter().map(|(user, kind, time, amount)| (user, kind, now + time, amount)).collect()
}

/// Runs an engine on an idle stream until its windows have `events` events of each length.
fn until_closed(house: &House, store: &Arc<store::sqlite::SqliteStore>, events: u64) {
    let engine = house.start(store.clone(), small_batches()).unwrap();
    // Again and again: what is idle is seen once a second, by the clock.
    while total(&**store) < events {
        house.clock.advance(IDLE + 1_000);
        std::thread::yield_now();
    }
    engine.stop().unwrap();
}

/// Runs an engine over an idle stream until it has surely looked for idle partitions.
fn look_again(house: &House, store: &Arc<store::sqlite::SqliteStore>) {
    let engine = house.start(store.clone(), small_batches()).unwrap();
    house.clock.advance(IDLE + 1_000);
    // It looks once a turn: when the second of these is stored, the turn of the first is over.
    for turn in 1..=2 {
        house.refuse("a mark", b"[]");
        while engine.stats().dead_letters() < turn {
            std::thread::yield_now();
        }
    }
    engine.stop().unwrap();
}

fn total(store: &dyn Store) -> u64 {
    windows(store).iter().filter(|row| row.id.size_ms == 100).map(|row| row.events).sum()
}

#[test]
fn windows_of_an_idle_partition_are_closed_by_the_clock() {
    let house = House::new();
    house.append(&recent(&house, 100));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let before = total(&*store);
    assert!(before < 100, "by their own clocks the newest are open");
    until_closed(&house, &store, 100);
    let report = house.verify(store.clone());
    assert_eq!(report.details, Vec::<String>::new());
    assert!(report.notes.iter().any(|note| note.contains("not closed by all partitions yet")), "{:?}", report.notes);
    // What comes now may still be in time by the partition's own clock: it is one more piece.
    house.append(
        &recent(&house, 30).into_iter().map(|event| (event.0, event.1, event.2 - IDLE, event.3)).collect::<Vec<_>>(),
    );
    until_closed(&house, &store, 130);
    let plain: u64 = contents(&*store).rows.len() as u64;
    assert_eq!((total(&*store), plain), (130, 130), "each event counts once");
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn an_idle_stream_that_crashes_at_any_commit_counts_nothing_twice() {
    let mut crashes = 0;
    for crash_at in 1.. {
        let house = House::new();
        house.append(&recent(&house, 60));
        let store = house.store("a");
        house.drain(store.clone()).unwrap();
        let crash = move |n: i64, _: &Commit<'_>| match n == crash_at {
            true => Err(StoreError::Incompatible("crash".to_owned())),
            false => Ok(()),
        };
        let moody = Moody::new(store.clone(), crash);
        let engine = house.start(moody, small_batches()).unwrap();
        while total(&*store) < 60 && !engine.finished() && engine.failed().is_none() {
            house.clock.advance(IDLE + 1_000);
            std::thread::yield_now();
        }
        let crashed = match engine.stop() {
            Ok(()) => false,
            Err(EngineError::Store(StoreError::Incompatible(_))) => true,
            Err(other) => panic!("{other}"),
        };
        crashes += u32::from(crashed);
        until_closed(&house, &store, 60);
        look_again(&house, &store);
        assert_eq!(total(&*store), 60, "crash at {crash_at}");
        assert_eq!(house.verify(store).details, Vec::<String>::new());
        if !crashed {
            break;
        }
    }
    assert!(crashes > 0);
}

#[test]
fn an_absence_that_the_clock_tells_is_told_once_and_verify_allows_it() {
    let absent = rule("gone", "type == 'login'", process::RuleKind::Absence { after_ms: 200 }, 60_000);
    let house = House { rules: vec![absent], ..House::new() };
    let begin = house.clock.now();
    let after = |ms: Millis| events(60).into_iter().map(move |(u, k, time, a)| (u, k, begin + ms + time, a));
    house.append(&after(0).collect::<Vec<_>>());
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let gone = |store: &dyn Store| contents(store).anomalies.iter().filter(|a| a.rule == "gone").count();
    assert_eq!(gone(&*store), 0, "by their own clocks nobody is gone yet");
    until_closed(&house, &store, 60);
    assert!(gone(&*store) > 0);
    // In time by the partitions' own clocks, though the wall clock was first: a run over the log never tells of those. It
    // tells of the next ones, for which the rule is silent here.
    house.append(&after(10).chain(after(2_000)).collect::<Vec<_>>());
    house.drain(store.clone()).unwrap();
    look_again(&house, &store);
    let report = house.verify(store);
    assert_eq!(report.details, Vec::<String>::new());
    assert!(report.notes.iter().any(|note| note.contains("absences were told by the clock")), "{:?}", report.notes);
}

#[test]
fn what_the_store_refuses_of_an_idle_partition_waits_for_its_next_record() {
    let house = House::new();
    house.append(&recent(&house, 60));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let before = total(&*store);
    let refuses = |_: i64, commit: &Commit<'_>| match commit.blocks.is_empty() && !commit.windows.is_empty() {
        true => Err(StoreError::Refused("no windows".to_owned())),
        false => Ok(()),
    };
    let moody = Moody::new(store.clone(), refuses);
    let engine = house.start(moody.clone(), Settings::default()).unwrap();
    while moody.commits.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        house.clock.advance(IDLE + 1_000);
        std::thread::yield_now();
    }
    // Everybody's next record closes all that was open, by its own clock.
    house.append(
        &recent(&house, 60).into_iter().map(|event| (event.0, event.1, event.2 + 1_000, event.3)).collect::<Vec<_>>(),
    );
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert!(before < 60 && total(&*store) >= 60, "nothing is lost");
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}
