//! A store that is away, or takes nothing: the breaker opens, intake goes on, nothing is lost, nothing is laid down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use breaker::BreakerState;
use engine::{Command, EngineError, Settings};
use store::{Commit, StoreError};

use crate::house::{House, Moody, contents, events, small_batches};

/// Waits for something that another thread does.
fn until(done: impl Fn() -> bool) {
    while !done() {
        std::thread::yield_now();
    }
}

/// An answer that is an error until the switch is turned.
fn broken(
    whole: &Arc<AtomicBool>,
    error: impl Fn(&Commit<'_>) -> Option<StoreError> + Send + Sync + 'static,
) -> impl Fn(i64, &Commit<'_>) -> Result<(), StoreError> + Send + Sync + 'static {
    let whole = whole.clone();
    move |_, commit| match error(commit) {
        Some(error) if !whole.load(Ordering::SeqCst) => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn while_the_store_is_away_the_breaker_is_open_and_intake_goes_on() {
    let house = House::new();
    house.append(&events(100));
    let (store, whole) = (house.store("a"), Arc::new(AtomicBool::new(false)));
    let away = broken(&whole, |_| Some(StoreError::Unavailable("away".to_owned())));
    let moody = Moody::new(store.clone(), away);
    let engine = house.start(moody.clone(), small_batches()).unwrap();
    let stats = engine.stats();
    until(|| stats.breaker() == BreakerState::Open);
    house.append(&events(200));
    let before = house.clock.clone();
    let tries = moody.commits.load(Ordering::SeqCst);
    let began = log::Clock::now(&before);
    until(|| moody.commits.load(Ordering::SeqCst) >= tries + 3);
    assert!(log::Clock::now(&before) - began >= 5_000, "an open breaker lets one try through in five seconds");
    assert_eq!((stats.stored(), stats.lag_events(), engine.failed()), (0, 300, None));
    whole.store(true, Ordering::SeqCst);
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert_eq!((stats.stored(), stats.lag_events(), stats.breaker()), (300, 0, BreakerState::Closed));
    assert!(stats.retries() >= 5);
    assert_eq!(contents(&*store).dead_letters.len(), 0);
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn a_stop_while_the_breaker_is_open_ends_at_once() {
    let house = House::new();
    house.append(&events(100));
    let whole = Arc::new(AtomicBool::new(false));
    let away = broken(&whole, |_| Some(StoreError::Unavailable("away".to_owned())));
    let engine = house.start(Moody::new(house.store("a"), away), small_batches()).unwrap();
    let stats = engine.stats();
    until(|| stats.breaker() == BreakerState::Open);
    assert!(matches!(engine.stop(), Err(EngineError::Unfinished(cause)) if cause == "away"));
}

#[test]
fn a_store_that_refuses_everything_is_broken_and_no_record_is() {
    let house = House::new();
    house.append(&events(60));
    house.refuse("0197-a", b"[]");
    let (store, whole) = (house.store("a"), Arc::new(AtomicBool::new(false)));
    let refuses = broken(&whole, |_| Some(StoreError::Refused("no table".to_owned())));
    let engine = house.start(Moody::new(store.clone(), refuses), small_batches()).unwrap();
    let stats = engine.stats();
    until(|| stats.breaker() == BreakerState::Open);
    assert_eq!((stats.dead_letters(), stats.stored(), engine.failed()), (0, 0, None));
    whole.store(true, Ordering::SeqCst);
    engine.send(Command::Drain);
    engine.join().unwrap();
    let found = contents(&*store);
    assert_eq!((found.rows.len(), found.dead_letters.len()), (60, 1), "one that a door refused");
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn more_than_a_hundred_refused_records_in_a_row_are_the_store_s_fault() {
    let house = House::new();
    house.append(&events(400));
    let (store, whole) = (house.store("a"), Arc::new(AtomicBool::new(false)));
    let no_rows = broken(&whole, |commit: &Commit<'_>| {
        (!commit.blocks.is_empty()).then(|| StoreError::Refused("no rows".to_owned()))
    });
    let engine = house.start(Moody::new(store.clone(), no_rows), Settings::default()).unwrap();
    let stats = engine.stats();
    until(|| stats.breaker() == BreakerState::Open);
    assert_eq!((stats.dead_letters(), stats.stored()), (100, 0));
    whole.store(true, Ordering::SeqCst);
    engine.send(Command::Drain);
    engine.join().unwrap();
    let found = contents(&*store);
    assert_eq!((found.rows.len(), found.dead_letters.len()), (300, 100));
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn a_letter_whose_bytes_the_store_does_not_take_is_kept_without_them() {
    let house = House::new();
    house.append(&events(60));
    let (store, whole) = (house.store("a"), Arc::new(AtomicBool::new(false)));
    let needle = b"\"amount\":740}";
    let bad = move |data: &[u8]| data.windows(needle.len()).any(|part| part == needle);
    let refuses = broken(&whole, move |commit: &Commit<'_>| {
        let row = commit.blocks.iter().any(|block| block.records().any(|record| bad(record.data)));
        let letter = commit.dead_letters.iter().any(|letter| bad(&letter.data));
        (row || letter).then(|| StoreError::Refused("these bytes".to_owned()))
    });
    house.drain(Moody::new(store.clone(), refuses)).unwrap();
    let found = contents(&*store);
    let [letter] = &found.dead_letters[..] else { panic!("{:?}", found.dead_letters) };
    assert!(letter.data.is_empty() && letter.message.contains("they are in the log"), "{}", letter.message);
    assert_eq!(found.rows.len(), 59);
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn a_door_s_letter_that_the_store_does_not_take_is_told_by_its_place() {
    let house = House::new();
    house.refuse("0197-a", b"[]");
    house.refuse("0197-b", b"[1]");
    house.append(&events(10));
    let (store, whole) = (house.store("a"), Arc::new(AtomicBool::new(false)));
    let refuses = broken(&whole, |commit: &Commit<'_>| {
        let bad = commit.dead_letters.iter().any(|letter| letter.id == "0197-b");
        bad.then(|| StoreError::Refused("this id".to_owned()))
    });
    house.drain(Moody::new(store.clone(), refuses)).unwrap();
    let found = contents(&*store);
    let [first, second] = &found.dead_letters[..] else { panic!("{:?}", found.dead_letters) };
    assert_eq!((first.id.as_str(), second.id.as_str()), ("0197-a", "_refused-0-1"));
    assert_eq!(
        (&second.data[..], second.code.as_str(), second.stream.as_str()),
        (&b"[1]"[..], "store_refused", "signals")
    );
    assert!(second.message.contains("missing_field"), "{}", second.message);
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn alerts_are_asked_for_once_a_commit_that_has_anomalies() {
    let house = House::new();
    house.append(&events(200));
    let store = house.store("a");
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    let alerts = move |anomalies: &[event::Anomaly]| {
        assert!(!anomalies.is_empty());
        counter.fetch_add(anomalies.len() as u64, Ordering::SeqCst);
        Vec::new()
    };
    let engine =
        engine::Engine::start(engine::Parts { alerts: Arc::new(alerts), ..house.parts(store.clone()) }).unwrap();
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), contents(&*store).anomalies.len() as u64);
}
