//! Records that a rule panics on, or that the store refuses: no effect but their dead letters.

use std::sync::Arc;

use engine::{Command, EngineError, Settings};
use event::{Classification, Millis, Stage};
use process::Program;
use store::sqlite::SqliteStore;
use store::{Commit, StoreError};

use crate::house::{Contents, Event, House, Moody, contents, events, small_batches};

/// What a poison record has in it.
const POISON: &[u8] = b"\"amount\":66666}";

/// A record that makes rules and windows remember it, unless it is poison.
fn poison(user: u8, time: Millis) -> Event {
    (user, "login", time, 66_666)
}

/// Some events, with poison at these places.
fn with_poison(n: usize, places: &[usize]) -> Vec<Event> {
    let mut all = events(n);
    for (more, place) in places.iter().enumerate() {
        let time = all[place + more].2;
        all.insert(place + more, poison((place % 6) as u8, time));
    }
    all
}

fn poison_house(all: &[Event], panics: bool) -> House {
    let house = House { trip: panics.then_some(POISON), ..House::new() };
    all.chunks(25).for_each(|part| house.append(part));
    house
}

fn has_poison(commit: &Commit<'_>) -> bool {
    let is = |data: &[u8]| data.windows(POISON.len()).any(|part| part == POISON);
    commit.blocks.iter().any(|block| block.records().any(|record| is(record.data)))
}

/// A store that takes no row with poison.
fn picky(_: i64, commit: &Commit<'_>) -> Result<(), StoreError> {
    if has_poison(commit) { Err(StoreError::Refused("not this one".to_owned())) } else { Ok(()) }
}

/// What does not depend on offsets.
fn essence(found: &Contents) -> impl PartialEq + std::fmt::Debug + '_ {
    let mut rows: Vec<_> = found.rows.iter().map(|(_, _, time, key, kind, data)| (time, key, kind, data)).collect();
    rows.sort();
    let anomalies: Vec<_> = found.anomalies.iter().map(|a| (&a.tenant, &a.id, &a.metadata)).collect();
    (rows, anomalies, &found.windows)
}

/// What a run over the same events without poison stores.
fn clean(all: &[Event]) -> Contents {
    let good: Vec<_> = all.iter().filter(|event| event.3 != 66_666).copied().collect();
    let house = poison_house(&good, false);
    let store = house.store("clean");
    house.drain(store.clone()).unwrap();
    contents(&*store)
}

/// The store must be as without poison, but for the letters; and `verify` must agree.
fn check(house: &House, store: &Arc<SqliteStore>, all: &[Event], stage: Stage) {
    let (found, clean) = (contents(&**store), clean(all));
    assert_eq!(essence(&found), essence(&clean));
    let poisons = all.iter().filter(|event| event.3 == 66_666).count();
    assert_eq!(found.dead_letters.len(), poisons);
    for letter in &found.dead_letters {
        let class = if stage == Stage::Store { Classification::Temporary } else { Classification::Permanent };
        let code = if stage == Stage::Store { "store_refused" } else { "rule_panic" };
        assert_eq!((letter.stage, letter.code.as_str(), letter.classification), (stage, code, class));
        assert_eq!(letter.id, format!("signals-{}-{}", letter.partition, letter.offset));
        assert!(letter.data.ends_with(b"\"amount\":66666}}") && letter.attempts == 1);
        assert_eq!(letter.retry_at.is_some(), stage == Stage::Store);
    }
    let lag: u64 = found.positions.iter().filter(|p| p.stream == "signals").map(|p| p.offset).sum();
    assert_eq!(lag as usize, all.len());
    let report = house.verify(store.clone());
    assert_eq!(report.details, Vec::<String>::new());
    assert!(report.windows > 0);
}

#[test]
fn a_record_that_a_rule_panics_on_has_no_effect_but_its_dead_letter() {
    let all = with_poison(300, &[150]);
    let house = poison_house(&all, true);
    for (name, settings) in [("small", small_batches()), ("large", Settings::default())] {
        let store = house.store(name);
        let engine = house.start(store.clone(), settings).unwrap();
        let stats = engine.stats();
        engine.send(Command::Drain);
        engine.join().unwrap();
        assert_eq!((stats.dead_letters(), stats.lag_events(), stats.stored()), (1, 0, 300));
        check(&house, &store, &all, Stage::Process);
        let letter = contents(&*store).dead_letters.remove(0);
        assert_eq!((letter.message.as_str(), letter.key.as_str()), ("a rule tripped, as told", "0"));
    }
}

#[test]
fn a_record_that_the_store_refuses_has_no_effect_but_its_dead_letter() {
    let all = with_poison(300, &[150]);
    let house = poison_house(&all, false);
    for (name, settings) in [("small", small_batches()), ("large", Settings::default())] {
        let store = house.store(name);
        let engine = house.start(Moody::new(store.clone(), picky), settings).unwrap();
        let stats = engine.stats();
        engine.send(Command::Drain);
        engine.join().unwrap();
        assert_eq!((stats.dead_letters(), stats.lag_events(), stats.stored()), (1, 0, 300));
        check(&house, &store, &all, Stage::Store);
        assert_eq!(contents(&*store).dead_letters[0].message, "not this one");
    }
}

#[test]
fn several_in_one_batch_are_all_laid_down() {
    let all = with_poison(300, &[100, 101, 102, 103, 140, 141, 299]);
    for panics in [true, false] {
        let house = poison_house(&all, panics);
        let store = house.store("a");
        let picky = Moody::new(store.clone(), picky);
        let engine = house.start(if panics { store.clone() } else { picky }, Settings::default()).unwrap();
        engine.send(Command::Drain);
        engine.join().unwrap();
        check(&house, &store, &all, if panics { Stage::Process } else { Stage::Store });
    }
}

#[test]
fn panics_and_refusals_in_one_batch_are_told_apart() {
    let mut all = with_poison(300, &[100, 101, 160, 161]);
    // Some of them are refused by the store, and no trouble to the rules.
    let refused: Vec<_> = all.iter_mut().filter(|event| event.3 == 66_666).skip(1).step_by(2).collect();
    refused.into_iter().for_each(|event| event.3 = 77_777);
    let house = poison_house(&all, true);
    for (name, settings) in [("small", small_batches()), ("large", Settings::default())] {
        let store = house.store(name);
        let refuses = |_: i64, commit: &Commit<'_>| {
            let mut rows = commit.blocks.iter().flat_map(|block| block.records());
            let bad = rows.any(|record| record.data.ends_with(b"\"amount\":77777}}"));
            if bad { Err(StoreError::Refused("not this one".to_owned())) } else { Ok(()) }
        };
        let engine = house.start(Moody::new(store.clone(), refuses), settings).unwrap();
        engine.send(Command::Drain);
        engine.join().unwrap();
        let found = contents(&*store);
        let good: Vec<_> = all.iter().filter(|event| event.3 < 66_666).copied().collect();
        let clean = clean(&good);
        assert_eq!(essence(&found), essence(&clean));
        let codes: Vec<_> = found.dead_letters.iter().map(|letter| (&letter.code[..], letter.data.len())).collect();
        assert_eq!(codes.iter().filter(|(code, _)| *code == "rule_panic").count(), 2, "{codes:?}");
        assert_eq!(codes.iter().filter(|(code, _)| *code == "store_refused").count(), 2, "{codes:?}");
        assert_eq!(house.verify(store).details, Vec::<String>::new());
    }
}

#[test]
fn nothing_but_poison_is_laid_down_too() {
    let all = with_poison(0, &[]).into_iter().chain((0..40).map(|i| poison(i % 6, 10))).collect::<Vec<_>>();
    for panics in [true, false] {
        let house = poison_house(&all, panics);
        let store = house.store("a");
        let picky = Moody::new(store.clone(), picky);
        house.drain(if panics { store.clone() } else { picky }).unwrap();
        let found = contents(&*store);
        assert_eq!((found.dead_letters.len(), found.rows.len(), found.windows.len()), (40, 0, 0));
        assert_eq!(house.verify(store).details, Vec::<String>::new());
    }
}

/// Runs with a crash before the n-th commit, for every n, then to the end.
fn crash_everywhere(all: &[Event], panics: bool) {
    for crash_at in 1.. {
        let house = poison_house(all, panics);
        let store = house.store("a");
        let crashes = move |n: i64, commit: &Commit<'_>| {
            if n == crash_at {
                return Err(StoreError::Incompatible("crash".to_owned()));
            }
            if panics { Ok(()) } else { picky(n, commit) }
        };
        let settings = Settings { batch_bytes: 600, snapshot_every_records: 60, ..Settings::default() };
        let engine = house.start(Moody::new(store.clone(), crashes), settings).unwrap();
        engine.send(Command::Drain);
        let crashed = match engine.join() {
            Ok(()) => false,
            Err(EngineError::Store(StoreError::Incompatible(_))) => true,
            Err(other) => panic!("{other}"),
        };
        if crashed {
            house
                .drain(Moody::new(store.clone(), move |n, c: &Commit<'_>| if panics { Ok(()) } else { picky(n, c) }))
                .unwrap();
        }
        check(&house, &store, all, if panics { Stage::Process } else { Stage::Store });
        if !crashed {
            assert!(crash_at > 10, "there were {crash_at} commits");
            return;
        }
    }
}

#[test]
fn a_crash_at_any_commit_changes_nothing_with_panics() {
    crash_everywhere(&with_poison(120, &[40, 41, 80]), true);
}

#[test]
fn a_crash_at_any_commit_changes_nothing_with_refusals() {
    crash_everywhere(&with_poison(120, &[40, 41, 80]), false);
}

#[test]
fn rules_that_panic_on_what_is_stored_already_pass_over_it() {
    let all = with_poison(200, &[60, 130]);
    let mut house = poison_house(&all, false);
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    // The rules of today trip over two of the rows, and have no state yet.
    house.trip = Some(POISON);
    house.windows[0].name = "renamed".to_owned();
    house.append(&events(50));
    house.drain(store.clone()).unwrap();
    let found = contents(&*store);
    assert_eq!((found.rows.len(), found.dead_letters.len()), (252, 0));
    let report = house.verify(store);
    assert!(report.notes.iter().any(|note| note.contains("panics on it: a rule tripped")), "{:?}", report.notes);
}

#[test]
fn verify_finds_letters_that_are_gone_changed_or_made_up() {
    let all = with_poison(100, &[50]);
    let change = |sql: &str, words: &str| {
        let house = poison_house(&all, true);
        let store = house.store("a");
        house.drain(store.clone()).unwrap();
        let behind = rusqlite::Connection::open(house.dir.path().join("a")).unwrap();
        assert_eq!(behind.execute(sql, []).unwrap(), 1, "{sql}");
        let report = house.verify(store);
        assert!(report.details.iter().any(|detail| detail.contains(words)), "{sql}: {:?}", report.details);
    };
    change("DELETE FROM dead_letters", "in the log, but not stored");
    change("UPDATE dead_letters SET data = '{}'", "has other bytes");
    change(
        "UPDATE dead_letters SET off = off + 1000, id = 'signals-' || part || '-' || (off + 1000)",
        "not in the log",
    );
    change("UPDATE dead_letters SET off = 0, id = 'signals-' || part || '-0'", "stored, and a dead letter too");
}

#[test]
fn the_program_says_which_record_it_was_at() {
    // What the whole handling of panics stands on.
    let house = poison_house(&with_poison(3, &[1]), true);
    let program: Program = house.program();
    let mut state = process::State::default();
    let mut cursor = log::Log::read(&*house.log, crate::house::SIGNALS, &[(0, 0), (1, 0), (2, 0)]).unwrap();
    let mut tripped = Vec::new();
    for block in cursor.next(1 << 20).unwrap() {
        let run = std::panic::AssertUnwindSafe(|| program.run(&mut state, &block, &mut process::Output::default()));
        if std::panic::catch_unwind(run).is_err() {
            tripped.extend(block.at(state.at()).map(|record| record.data.to_vec()));
        }
    }
    let [data] = &tripped[..] else { panic!("{} tripped", tripped.len()) };
    assert!(data.ends_with(b"\"amount\":66666}}"));
}
