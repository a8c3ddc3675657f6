//! A store that is away, refuses, panics, or belongs to another engine.

use std::sync::atomic::Ordering;

use engine::{Command, Engine, EngineError, Parts, Settings};
use event::{Position, Retention};
use log::Log;
use log::disk::DiskSettings;
use process::{Program, RuleSpec};
use store::{Commit, Move, Store, StoreError};

use crate::house::{House, Moody, SIGNALS, contents, events, small_batches};

fn unavailable() -> Result<(), StoreError> {
    Err(StoreError::Unavailable("away".to_owned()))
}

#[test]
fn a_store_that_is_away_for_a_while_loses_and_doubles_nothing() {
    let house = House::new();
    house.append(&events(300));
    let store = house.store("a");
    let away = |n: i64, _: &Commit<'_>| if n <= 5 || n % 3 == 0 { unavailable() } else { Ok(()) };
    house.drain(Moody::new(store.clone(), away)).unwrap();
    let once = house.store("once");
    house.drain(once.clone()).unwrap();
    assert_eq!(contents(&*store), contents(&*once));
    assert_eq!(house.verify(store).differences, 0);
}

#[test]
fn an_engine_whose_store_is_away_still_obeys_a_stop() {
    let house = House::new();
    house.append(&events(300));
    let store = house.store("a");
    let away = Moody::new(store.clone(), |_, _: &Commit<'_>| unavailable());
    let engine = house.start(away.clone(), small_batches()).unwrap();
    while away.commits.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert!(matches!(engine.stop(), Err(EngineError::Unfinished(_))));
    assert!(contents(&*store).rows.is_empty());
    house.drain(store.clone()).unwrap();
    assert_eq!(contents(&*store).rows.len(), 300);
}

#[test]
fn another_engine_on_the_same_store_stops_this_one() {
    let house = House::new();
    house.append(&events(50));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let engine = house.start(store.clone(), Settings::default()).unwrap();
    // The other engine: it moves a position that ours believes to hold.
    for position in store.positions("engine").unwrap().iter().filter(|p| p.stream == "signals") {
        let from = Position { stream: SIGNALS, partition: position.partition, offset: position.offset };
        let moves = vec![Move { from, to: position.offset + 5 }];
        store.commit(&Commit { consumer: "engine", moves, ..Commit::default() }).unwrap();
    }
    house.append(&events(50));
    engine.send(Command::Drain);
    let shared = engine.stats();
    assert!(matches!(engine.join(), Err(EngineError::Taken(StoreError::Fenced { .. }))));
    assert_eq!(shared.stored(), 0);
}

#[test]
fn a_panic_makes_the_engine_failed_with_its_message() {
    let house = House::new();
    house.append(&events(50));
    let panics = |_: i64, _: &Commit<'_>| -> Result<(), StoreError> { panic!("a mistake in the store") };
    let engine = house.start(Moody::new(house.store("a"), panics), Settings::default()).unwrap();
    engine.send(Command::Drain);
    let error = engine.join().unwrap_err();
    assert!(matches!(error, EngineError::Panicked { thread: "commit", .. }), "{error}");
    assert!(error.to_string().contains("a mistake in the store"), "{error}");
}

#[test]
fn a_failure_is_seen_while_the_handle_lives() {
    let house = House::new();
    house.append(&events(50));
    let fails = |_: i64, _: &Commit<'_>| Err(StoreError::Incompatible("of another version".to_owned()));
    let engine = house.start(Moody::new(house.store("a"), fails), Settings::default()).unwrap();
    engine.send(Command::Drain);
    while !engine.finished() {
        std::thread::yield_now();
    }
    assert!(engine.failed().unwrap().contains("of another version"));
}

#[test]
fn a_snapshot_older_than_its_position_is_brought_up_to_date_with_outputs_off() {
    let house = House::new();
    let store = house.store("a");
    let all = events(400);
    house.append(&all[..150]);
    house.drain(store.clone()).unwrap();
    house.append(&all[150..300]);
    // Commits with snapshots and without moves do not get through. That alone is no reason to stop.
    let no_snapshots = |_: i64, commit: &Commit<'_>| match commit.moves.is_empty() {
        true => Err(StoreError::Refused("no".to_owned())),
        false => Ok(()),
    };
    let settings = Settings { snapshot_every_records: u64::MAX, ..small_batches() };
    let engine = house.start(Moody::new(store.clone(), no_snapshots), settings).unwrap();
    engine.send(Command::Drain);
    engine.join().unwrap();
    let snapshot: u64 = store.snapshots().unwrap().iter().map(|snapshot| snapshot.position.offset).sum();
    assert_eq!((snapshot, contents(&*store).rows.len()), (150, 300));
    house.append(&all[300..]);
    house.drain(store.clone()).unwrap();
    let once = house.store("once");
    house.drain(once.clone()).unwrap();
    assert_eq!(contents(&*store), contents(&*once));
}

#[test]
fn other_rules_rebuild_their_state_from_the_log_and_find_nothing_twice() {
    let house = House::new();
    house.append(&events(200));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let before = contents(&*store).anomalies;
    let rule = RuleSpec {
        name: "third_click".to_owned(),
        stream: "signals".to_owned(),
        when: "type == 'click'".to_owned(),
        kind: process::RuleKind::Count { at_least: 3, within_ms: 1_000_000, sum: String::new() },
        severity: event::Severity::Low,
        cooldown_ms: 0,
        description: String::new(),
        metadata: vec![("n".to_owned(), "count".to_owned())],
    };
    let program = Program::compile(house.catalog.get(SIGNALS), &[rule], &[]).unwrap();
    let (programs, settings) = (vec![(SIGNALS, program)], Settings::default());
    let engine = Engine::start(Parts { programs, settings, ..house.parts(store.clone()) }).unwrap();
    house.append(&[(1, "click", 2_000, 0)]);
    engine.send(Command::Drain);
    engine.join().unwrap();
    let new: Vec<_> = contents(&*store).anomalies.into_iter().filter(|a| !before.contains(a)).collect();
    let [anomaly] = &new[..] else { panic!("{new:?}") };
    let clicks = events(200).iter().filter(|(user, kind, ..)| *user == 1 && *kind == "click").count();
    assert_eq!(anomaly.metadata, format!("{{\"n\":{}}}", clicks + 1), "earlier clicks count, and raised nothing");
}

#[test]
fn a_log_that_was_trimmed_is_taken_from_where_it_begins() {
    let retention = Retention { age_ms: None, size_bytes: Some(1) };
    let house = House::with(retention, DiskSettings { segment_bytes: 4_096, ..DiskSettings::default() });
    let store = house.store("a");
    for _ in 0..20 {
        house.append(&events(100));
    }
    house.drain(store.clone()).unwrap();
    assert!(house.log.trim().unwrap() > 0, "nothing needs the old segments any more");
    let first: u64 = house.log.extents(SIGNALS).iter().map(|extent| extent.first).sum();
    let report = house.verify(store);
    assert_eq!(report.differences, 0, "{:?}", report.details);
    assert!(report.notes.iter().any(|note| note.contains("not whole from offset 0")), "{:?}", report.notes);
    // A fresh store begins where the log does, and says what it did not see.
    let late = house.store("late");
    let engine = house.start(late.clone(), Settings::default()).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert_eq!((stats.skipped(), stats.stored()), (first, 2_000 - first));
    assert!(first > 0 && house.verify(late).differences == 0);
}

#[test]
fn a_hole_in_the_log_is_passed_over_and_told() {
    let mut house = House::new();
    let all = events(400);
    all.chunks(20).for_each(|part| house.append(part));
    house.damage();
    let store = house.store("a");
    let engine = house.start(store.clone(), small_batches()).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert!(stats.skipped() > 0 && stats.skipped() < 40, "{}", stats.skipped());
    assert_eq!((stats.stored() + stats.skipped(), stats.lag_events()), (400, 0));
    let report = house.verify(store);
    assert_eq!(report.differences, 0, "{:?}", report.details);
    assert_eq!((report.notes.len(), report.events), (2, stats.stored()), "{:?}", report.notes);
}

#[test]
fn offsets_at_the_end_that_the_log_has_lost_are_passed_over_and_the_lag_ends() {
    let house = House::new();
    house.append(&events(100));
    let before = house.log.extents(SIGNALS)[0].next;
    // Somebody has seen more than is left, as after the loss of the newest segment.
    house.log.commit("somebody", &[Position { stream: SIGNALS, partition: 0, offset: before + 7 }]).unwrap();
    let store = house.store("a");
    let engine = house.start(store.clone(), small_batches()).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert_eq!((stats.stored(), stats.skipped(), stats.lag_events()), (100, 7, 0));
    house.append(&events(10));
    house.drain(store.clone()).unwrap();
    assert_eq!(contents(store.as_ref()).rows.len(), 110);
    assert_eq!(house.verify(store).differences, 0);
}
