//! Replays of dead letters as the engine settles them: stored once, or failed once more.

use std::sync::Arc;

use engine::{Command, Settings};
use event::{DeadLetter, LetterStatus, headers};
use store::Answers;
use store::query::DeadLetterQuery;
use store::sqlite::SqliteStore;

use crate::house::{Event, House, contents, events};

const POISON: &[u8] = b"\"amount\":66666}";

/// A house with one dead letter, and its store.
fn poisoned() -> (House, Arc<SqliteStore>) {
    let house = House { trip: Some(POISON), ..House::new() };
    house.append(&events(60));
    house.append(&[(1, "login", 30, 66_666)]);
    house.append(&events(60));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    (house, store)
}

fn letter(store: &SqliteStore) -> DeadLetter {
    let page = store.dead_letters(&DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() }).unwrap();
    let [letter] = &page.rows[..] else { panic!("{:?}", page.rows) };
    letter.clone()
}

/// What the door appends when a letter is sent again.
fn replay(house: &House, letter: &DeadLetter, event: Event) {
    let attempt = letter.attempts.to_string();
    house.append_with(&[(headers::LETTER, &letter.id), (headers::ATTEMPT, &attempt)], &[event]);
}

/// As a restart does it that knows nothing but the store's rows and the log.
fn forget_states(house: &House) {
    let behind = rusqlite::Connection::open(house.dir.path().join("a")).unwrap();
    assert!(behind.execute("DELETE FROM snapshots", []).unwrap() > 0);
}

#[test]
fn a_replay_that_is_stored_resolves_its_letter_and_counts_once() {
    let (house, store) = poisoned();
    replay(&house, &letter(&store), (1, "login", 30, 5));
    house.drain(store.clone()).unwrap();
    assert_eq!((letter(&store).status, letter(&store).attempts), (LetterStatus::Resolved, 1));
    assert_eq!(contents(&*store).rows.len(), 121);
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}

#[test]
fn a_replay_that_fails_is_no_letter_of_its_own_and_has_no_effect_after_a_restart_either() {
    let (house, store) = poisoned();
    replay(&house, &letter(&store), (1, "login", 30, 66_666));
    house.drain(store.clone()).unwrap();
    let failed = letter(&store);
    assert_eq!((failed.status, failed.attempts, failed.code.as_str()), (LetterStatus::Open, 2, "rule_panic"));
    forget_states(&house);
    // Rules that would take it by now: what was passed over stays so, or the windows would not be those of the rows.
    let house = House { trip: None, ..house };
    replay(&house, &failed, (1, "login", 30, 66_666));
    house.append(&(0..6).map(|user| (user, "end", 9_000, 0)).collect::<Vec<_>>());
    house.drain(store.clone()).unwrap();
    assert_eq!((letter(&store).status, letter(&store).attempts), (LetterStatus::Resolved, 2));
    let found = contents(&*store);
    assert_eq!(found.rows.len(), 127);
    let counted: u64 = found.windows.iter().filter(|row| row.id.size_ms == 400).map(|row| row.events).sum();
    assert_eq!(counted, 121, "those at the end are in a window that is still open");
    let report = house.verify(store);
    assert_eq!(report.details, Vec::<String>::new());
}

#[test]
fn a_letter_that_fails_once_too_often_is_quarantined_and_counted() {
    let (house, store) = poisoned();
    let mut quarantined = 0;
    for attempts in 2..=5 {
        replay(&house, &letter(&store), (1, "login", 30, 66_666));
        let engine = house.start(store.clone(), Settings::default()).unwrap();
        let stats = engine.stats();
        engine.send(Command::Drain);
        engine.join().unwrap();
        quarantined += stats.quarantined();
        assert_eq!(letter(&store).attempts, attempts);
    }
    assert_eq!((letter(&store).status, quarantined), (LetterStatus::Quarantined, 1));
    assert_eq!((contents(&*store).rows.len(), letter(&store).retry_at), (120, None));
    assert_eq!(house.verify(store).details, Vec::<String>::new());
}
