//! Windows through the engine: exact whatever the stops, replaced when their definition changes, verified.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use engine::{Command, Settings};
use event::measure::Measure;
use store::sqlite::SqliteStore;
use store::{Commit, StoreError};

use crate::house::{Event, House, Moody, PARTITIONS, contents, events, small_batches, windows};

/// All open windows of the house are closed by these.
fn closing(time: i64) -> Vec<Event> {
    (0..6).map(|user| (user, "end", time, 0)).collect()
}

fn counts(store: &SqliteStore) -> BTreeMap<(i64, i64, String), u64> {
    windows(store).into_iter().map(|row| ((row.id.size_ms, row.id.start, row.id.key), row.events)).collect()
}

#[test]
fn rows_equal_a_recount_of_the_events() {
    let house = House::new();
    let all = events(400);
    house.append(&all);
    house.append(&closing(10_000));
    let store = house.store("a");
    let engine = house.start(store.clone(), small_batches()).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    let mut expected = BTreeMap::new();
    for (_, kind, time, _) in &all {
        for size in [100, 400] {
            let start = time.div_euclid(size) * size;
            *expected.entry((size, start, format!("{{\"type\":\"{kind}\"}}"))).or_default() += 1;
        }
    }
    assert_eq!(counts(&store), expected);
    assert_eq!((stats.windows_closed(), stats.late()), (expected.len() as u64, 0));
    let report = house.verify(store);
    assert_eq!((report.details, report.windows), (Vec::new(), expected.len() as u64));
}

#[test]
fn late_events_are_counted_and_correct_their_window() {
    let house = House::new();
    house.append(&events(100));
    house.append(&closing(5_000));
    let late: Vec<_> = (0..6).map(|user| (user, "login", 50, 7)).collect();
    house.append(&late);
    let store = house.store("a");
    let engine = house.start(store.clone(), small_batches()).unwrap();
    let stats = engine.stats();
    engine.send(Command::Drain);
    engine.join().unwrap();
    assert_eq!(stats.late(), 12, "six events, for two windows each");
    let row = windows(&*store)
        .into_iter()
        .find(|row| row.id.start == 0 && row.id.size_ms == 100 && row.id.key.contains("login"));
    let on_time = events(100).iter().filter(|event| event.1 == "login" && event.2 < 100).count() as u64;
    assert_eq!(row.map(|row| (row.events, row.late)), Some((on_time + 6, 6)));
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn a_definition_that_changes_is_computed_anew_from_the_log() {
    let mut house = House::new();
    house.append(&events(100));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let old = windows(&*store);
    house.windows[0].measures.remove(1);
    house.append(&closing(5_000));
    house.drain(store.clone()).unwrap();
    let new = windows(&*store);
    assert!(!old.is_empty() && new.len() > old.len());
    for row in &new {
        let [(_, Measure::Count(n))] = &row.measures[..] else { panic!("{row:?}") };
        let here = |event: &&Event| event.2.div_euclid(row.id.size_ms) * row.id.size_ms == row.id.start;
        let same = |event: &&Event| row.id.key == format!("{{\"type\":\"{}\"}}", event.1);
        let all = events(100).iter().filter(here).filter(same).count() as u64;
        assert_eq!((*n, row.events), (all, all), "{row:?}");
    }
    assert_eq!(house.verify(store.clone()).details, Vec::<String>::new());
    // The same again: nothing is counted twice.
    house.drain(store.clone()).unwrap();
    assert_eq!(windows(&*store), new);
}

#[test]
fn a_change_of_a_definition_that_fails_on_the_way_can_be_taken_back() {
    for commits in 0.. {
        let mut house = House::new();
        house.append(&events(100));
        house.append(&closing(5_000));
        let store = house.store("a");
        house.drain(store.clone()).unwrap();
        let old = counts(&store);
        let removed = house.windows[0].measures.remove(1);
        let away = move |n: i64, _: &Commit<'_>| match n > commits {
            true => Err(StoreError::Unavailable("away".to_owned())),
            false => Ok(()),
        };
        // Its end is waited for: while it waits for its store it lets the clock run, and partitions look idle.
        let ended = house.start(Moody::new(store.clone(), away), small_batches()).map(engine::Engine::stop);
        house.windows[0].measures.insert(1, removed);
        house.drain(store.clone()).unwrap();
        assert_eq!(counts(&store), old, "after {commits} commits");
        assert_eq!(house.verify(store).details, Vec::<String>::new(), "after {commits} commits");
        if let Ok(ended) = ended {
            assert!(commits > 2 && ended.is_err());
            return;
        }
    }
}

#[test]
fn the_states_of_all_partitions_with_a_changed_window_are_one_transaction() {
    let mut house = House::new();
    house.append(&events(100));
    house.append(&closing(5_000));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    house.windows[0].measures.remove(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = told.clone();
    let moody = Moody::new(store, move |_, commit: &Commit<'_>| {
        note.lock().unwrap().push(commit.snapshots.len());
        Ok(())
    });
    assert!(small_batches().lanes > 1, "else it is no question");
    house.drain(moody).unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.iter().find(|snapshots| **snapshots > 0), Some(&(PARTITIONS as usize)), "{told:?}");
}

#[test]
fn a_new_definition_sees_what_was_there_before_it_and_is_still_open() {
    let mut house = House::new();
    house.append(&events(30));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let mut second = crate::house::by_type();
    (second.name, second.by) = ("all".to_owned(), Vec::new());
    second.kind = process::WindowKind::Tumbling(vec![1_000]);
    house.windows.push(second);
    house.append(&closing(5_000));
    house.drain(store.clone()).unwrap();
    let row = windows(&*store).into_iter().find(|row| row.id.window == "all").unwrap();
    assert_eq!((row.events, row.id.start, row.end, row.id.key.as_str()), (30, 0, 1_000, "{}"));
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

/// A drained store, changed behind its back: `verify` tells so with these words.
fn tampered(sql: &str, differences: u64, words: &str) {
    let house = House::new();
    house.append(&events(200));
    house.append(&closing(5_000));
    let store: Arc<SqliteStore> = house.store("a");
    house.drain(store.clone()).unwrap();
    let behind = rusqlite::Connection::open(house.dir.path().join("a")).unwrap();
    assert_eq!(behind.execute(sql, []).unwrap(), 1, "{sql}");
    let report = house.verify(store);
    assert_eq!(report.differences, differences, "{sql}: {:?}", report.details);
    assert!(report.details.iter().any(|detail| detail.contains(words)), "{sql}: {:?}", report.details);
}

#[test]
fn verify_finds_a_window_that_is_gone_or_changed() {
    let one = "WHERE n = (SELECT n FROM windows WHERE size = 100 ORDER BY n LIMIT 1 OFFSET 3)";
    tampered(&format!("DELETE FROM windows {one}"), 1, "is not stored");
    tampered(&format!("UPDATE windows SET events = events + 1 {one}"), 1, "the number of events of window by_type");
    tampered(&format!("UPDATE windows SET end = end + 1 {one}"), 1, "the end of window by_type");
    tampered(&format!("UPDATE windows SET start = start + 1000000 {one}"), 2, "a fresh run does not find it");
    let other = "(SELECT measures FROM windows WHERE size = 400 ORDER BY n LIMIT 1 OFFSET 1)";
    tampered(&format!("UPDATE windows SET measures = {other} {one}"), 1, "a measure of window by_type");
}

#[test]
fn sessions_that_differ_are_one_note_and_no_difference() {
    let mut house = House::new();
    let mut sessions = crate::house::by_type();
    (sessions.name, sessions.by, sessions.correct) = ("visits".to_owned(), vec!["user_id".to_owned()], false);
    sessions.kind = process::WindowKind::Session { gap_ms: 50 };
    house.windows.push(sessions);
    house.append(&events(200));
    house.append(&closing(5_000));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    let report = house.verify(store.clone());
    let told = |report: &engine::VerifyReport| report.notes.iter().filter(|note| note.contains("sessions")).count();
    assert_eq!((report.differences, told(&report)), (0, 0), "{:?} {:?}", report.details, report.notes);
    let behind = rusqlite::Connection::open(house.dir.path().join("a")).unwrap();
    let rows = behind.execute("UPDATE windows SET start = start + 1000000 WHERE size = 0", []).unwrap();
    assert!(rows > 1);
    let report = house.verify(store);
    assert_eq!((report.differences, told(&report)), (0, 1), "{:?} {:?}", report.details, report.notes);
}

#[test]
fn a_log_that_does_not_begin_at_the_beginning_leaves_old_windows_unjudged() {
    let retention = event::Retention { age_ms: None, size_bytes: Some(1) };
    let settings = log::disk::DiskSettings { segment_bytes: 4_096, ..log::disk::DiskSettings::default() };
    let house = House::with(retention, settings);
    let store = house.store("a");
    for _ in 0..10 {
        house.append(&events(100));
    }
    house.drain(store.clone()).unwrap();
    assert!(log::Log::trim(&*house.log).unwrap() > 0);
    let report = house.verify(store.clone());
    assert_eq!(report.details, Vec::<String>::new());
    assert!(report.notes.iter().any(|note| note.contains("windows may have had events")), "{:?}", report.notes);
    // Later ones are judged: no event that is gone can be in them.
    let now = log::Clock::now(&house.clock);
    let later: Vec<_> = events(60).into_iter().map(|e| (e.0, e.1, now + 100_000 + e.2, e.3)).collect();
    house.clock.advance(100_000);
    house.append(&later);
    house.clock.advance(100_000);
    house.append(&closing(log::Clock::now(&house.clock)));
    house.drain(store.clone()).unwrap();
    let behind = rusqlite::Connection::open(house.dir.path().join("a")).unwrap();
    let newest = "WHERE n = (SELECT n FROM windows WHERE size = 100 ORDER BY start DESC LIMIT 1)";
    assert_eq!(behind.execute(&format!("DELETE FROM windows {newest}"), []).unwrap(), 1);
    let report = house.verify(store);
    assert_eq!(report.differences, 1, "{:?}", report.details);
    assert!(contents(&*house.store("a")).windows.len() > 1);
    let _ = Settings::default();
}
