//! Dead letters edited, sent again, given up: once a try, whoever asks, and whatever a crash leaves in between.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use engine::letters::{Landed, LetterError, Letters, LettersParts, NotTaken, Ready, Redeliver, Rejected, Sweep};
use event::{
    Ack, Batch, Classification, DeadLetter, Draft, LetterChange, LetterEvent, LetterStatus, Span, Stage, headers,
};
use log::disk::DiskLog;
use log::{Append, Log};
use store::query::DeadLetterQuery;
use store::sqlite::SqliteStore;
use store::{Answers, Commit, Store, StoreError};

use crate::house::{House, Moody, SIGNALS, contents};

const GOOD: &[u8] = br#"{"user_id":1,"type":"click","payload":{"amount":1}}"#;

/// A door that wants a user, and a log that sometimes takes nothing.
struct Door {
    log: Arc<DiskLog>,
    full: AtomicBool,
    /// It says that it knows every try.
    known: AtomicBool,
    appended: AtomicU64,
}

struct Rig {
    house: House,
    store: Arc<SqliteStore>,
    door: Arc<Door>,
}

impl Rig {
    /// With letters of these ids; their data is `{}`.
    fn new(ids: &[&str]) -> Self {
        let house = House::new();
        ids.iter().for_each(|id| house.refuse(id, b"{}"));
        let store = house.store("store");
        house.drain(store.clone()).unwrap();
        let (full, known, appended) = Default::default();
        let door = Arc::new(Door { log: house.log.clone(), full, known, appended });
        Self { house, store, door }
    }

    fn letters(&self) -> Arc<Letters> {
        self.letters_in(self.store.clone())
    }

    fn letters_in(&self, store: Arc<dyn Store>) -> Arc<Letters> {
        Letters::new(LettersParts {
            catalog: self.house.catalog.clone(),
            log: self.house.log.clone(),
            store,
            clock: Arc::new(self.house.clock.clone()),
            consumer: "engine".to_owned(),
            redeliver: Some(Arc::new(Again(self.door.clone()))),
        })
    }

    /// Runs an engine over what is in the log.
    fn drain(&self) {
        self.house.drain(self.store.clone()).unwrap();
    }

    fn rows(&self) -> usize {
        contents(self.store.as_ref()).rows.len()
    }

    fn change(&self, id: &str, event: LetterEvent) {
        let changes = [LetterChange { tenant: String::new(), id: id.to_owned(), event }];
        self.store.commit(&Commit { letter_changes: &changes, ..Commit::default() }).unwrap();
    }
}

struct Again(Arc<Door>);

impl Redeliver for Again {
    fn judge(&self, letter: &DeadLetter) -> Result<Ready, Rejected> {
        let data = letter.edited.clone().unwrap_or_else(|| letter.data.clone());
        if !data.windows(9).any(|part| part == b"\"user_id\"") {
            let (code, pointer) = ("missing_field".to_owned(), "/user_id".to_owned());
            return Err(Rejected { code, pointer, message: "/user_id: not there".to_owned() });
        }
        let (door, letter) = (self.0.clone(), letter.clone());
        Ok(Box::new(move || door.append(&letter, data)))
    }
}

impl Door {
    fn append(&self, letter: &DeadLetter, data: Vec<u8>) -> Result<Landed, NotTaken> {
        if self.full.load(Ordering::SeqCst) {
            return Err(NotTaken("no room".to_owned()));
        }
        if self.known.load(Ordering::SeqCst) {
            return Ok(Landed::Known);
        }
        let mut batch = Batch::new(SIGNALS, Bytes::from(data));
        let mut list = Vec::new();
        if !letter.tenant.is_empty() {
            headers::put(&mut list, headers::TENANT, letter.tenant.as_bytes());
        }
        headers::put(&mut list, headers::LETTER, letter.id.as_bytes());
        headers::put(&mut list, headers::ATTEMPT, letter.attempts.to_string().as_bytes());
        let (headers, data) = (batch.put_side(&list), Span::shared(0, batch.bytes.len()));
        let none = Span::EMPTY;
        batch.drafts.push(Draft { partition: 0, time: 1, id_hash: 0, data, key: none, kind: none, id: none, headers });
        let pending = self.log.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable }).unwrap();
        pending.wait_blocking().unwrap();
        self.appended.fetch_add(1, Ordering::SeqCst);
        Ok(Landed::Appended)
    }
}

fn sweep(limit: usize) -> Sweep {
    Sweep { dry_run: false, rate_per_s: 10, limit, time: Duration::from_secs(20) }
}

#[track_caller]
fn status(letters: &Letters, id: &str) -> (LetterStatus, u32) {
    let letter = letters.show(None, id).unwrap();
    (letter.status, letter.attempts)
}

#[test]
fn a_letter_is_edited_replayed_and_resolved_and_stored_once() {
    let rig = Rig::new(&["l-1"]);
    let letters = rig.letters();
    let refused = letters.replay(None, "l-1").unwrap_err();
    assert!(matches!(&refused, LetterError::Rejected(why) if why.pointer == "/user_id"), "{refused}");
    assert_eq!(status(&letters, "l-1"), (LetterStatus::Open, 2));
    // An edit is judged at once, and a bad one changes nothing.
    let refused = letters.edit(None, "l-1", Some(b"{\"a\":1}".to_vec())).unwrap_err();
    assert!(matches!(refused, LetterError::Rejected(_)));
    assert_eq!((letters.show(None, "l-1").unwrap().edited, status(&letters, "l-1").1), (None, 2));
    let edited = letters.edit(None, "l-1", Some(GOOD.to_vec())).unwrap();
    assert_eq!((edited.edited.as_deref(), &edited.data[..]), (Some(GOOD), &b"{}"[..]));
    assert_eq!(letters.edit(None, "l-1", None).unwrap().edited, None);
    letters.edit(None, "l-1", Some(GOOD.to_vec())).unwrap();

    assert_eq!(letters.replay(None, "l-1").unwrap().status, LetterStatus::Replaying);
    for attempt in [letters.replay(None, "l-1"), letters.discard(None, "l-1"), letters.edit(None, "l-1", None)] {
        assert!(matches!(attempt, Err(LetterError::Status { status: LetterStatus::Replaying, .. })), "{attempt:?}");
    }
    rig.drain();
    assert_eq!(status(&letters, "l-1"), (LetterStatus::Resolved, 2));
    let again = letters.replay(None, "l-1");
    assert!(matches!(again, Err(LetterError::Status { status: LetterStatus::Resolved, .. })), "{again:?}");
    assert_eq!((rig.rows(), rig.door.appended.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(rig.house.verify(rig.store.clone()).details, Vec::<String>::new());
}

#[test]
fn asked_for_twice_at_once_it_is_stored_once() {
    let rig = Rig::new(&["l-1"]);
    let letters = rig.letters();
    letters.edit(None, "l-1", Some(GOOD.to_vec())).unwrap();
    let (together, done) = (Barrier::new(8), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                match letters.replay(None, "l-1") {
                    Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                    Err(LetterError::Status { .. }) => 0,
                    Err(error) => panic!("{error}"),
                };
            });
        }
    });
    rig.drain();
    assert_eq!((done.load(Ordering::SeqCst), rig.rows()), (1, 1));
}

#[test]
fn four_failed_replays_quarantine_a_letter_for_good() {
    let rig = Rig::new(&["l-1"]);
    let letters = rig.letters();
    for attempts in 2..=5 {
        let wanted = if attempts < 5 { LetterStatus::Open } else { LetterStatus::Quarantined };
        assert!(matches!(letters.replay(None, "l-1"), Err(LetterError::Rejected(_))));
        assert_eq!(status(&letters, "l-1"), (wanted, attempts));
    }
    for attempt in [letters.replay(None, "l-1"), letters.edit(None, "l-1", Some(GOOD.to_vec()))] {
        assert!(matches!(attempt, Err(LetterError::Status { status: LetterStatus::Quarantined, .. })), "{attempt:?}");
    }
    let swept = letters.replay_all(&DeadLetterQuery::default(), sweep(10)).unwrap();
    assert_eq!((swept.matched, swept.eligible, swept.skipped, swept.done), (1, 0, 1, 0));
    assert_eq!(letters.discard(None, "l-1").unwrap().status, LetterStatus::Discarded);
    assert_eq!(letters.discard(None, "l-1").unwrap().status, LetterStatus::Discarded, "once more is no failure");
    assert_eq!(rig.rows(), 0);
}

#[test]
fn a_replay_that_a_crash_interrupted_goes_on_once_the_log_is_known() {
    let rig = Rig::new(&["written", "appended"]);
    let letters = rig.letters();
    for id in ["written", "appended"] {
        letters.edit(None, id, Some(GOOD.to_vec())).unwrap();
    }
    // One died before it was appended, the other one after; no engine has seen it.
    rig.change("written", LetterEvent::Replaying);
    letters.replay(None, "appended").unwrap();
    drop(letters);
    rig.house.refuse("another", b"{}");
    let letters = rig.letters();
    assert!(matches!(letters.retry_due(), Err(LetterError::CatchingUp)));
    assert!(matches!(letters.replay(None, "another"), Err(LetterError::CatchingUp | LetterError::NotFound(_))));
    rig.drain();
    assert_eq!(status(&letters, "appended").0, LetterStatus::Resolved);
    assert_eq!(letters.retry_due().unwrap(), 1, "the one that never came to the log");
    assert_eq!(letters.retry_due().unwrap(), 0);
    rig.drain();
    assert_eq!((status(&letters, "written").0, rig.rows()), (LetterStatus::Resolved, 2));
}

#[test]
fn what_the_log_does_not_take_is_appended_when_it_does() {
    let rig = Rig::new(&["l-1"]);
    let letters = rig.letters();
    letters.edit(None, "l-1", Some(GOOD.to_vec())).unwrap();
    rig.door.full.store(true, Ordering::SeqCst);
    assert!(matches!(letters.replay(None, "l-1"), Err(LetterError::NotTaken(_))));
    assert!(matches!(letters.retry_due(), Err(LetterError::NotTaken(_))));
    assert_eq!(status(&letters, "l-1"), (LetterStatus::Replaying, 1));
    rig.door.full.store(false, Ordering::SeqCst);
    assert_eq!(letters.retry_due().unwrap(), 1);
    rig.drain();
    assert_eq!((status(&letters, "l-1").0, rig.rows()), (LetterStatus::Resolved, 1));
}

#[test]
fn what_the_store_does_not_settle_is_settled_the_next_time() {
    let rig = Rig::new(&["l-1"]);
    let away = Arc::new(AtomicBool::new(true));
    let fails =
        |commit: &Commit<'_>| commit.letter_changes.iter().any(|c| matches!(c.event, LetterEvent::Failed { .. }));
    let switch = away.clone();
    let letters = rig.letters_in(Moody::new(rig.store.clone(), move |_: i64, commit: &Commit<'_>| {
        if fails(commit) && switch.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        Ok(())
    }));
    letters.edit(None, "l-1", Some(GOOD.to_vec())).unwrap();
    rig.door.known.store(true, Ordering::SeqCst);
    assert!(matches!(letters.replay(None, "l-1"), Err(LetterError::Store(_))));
    assert!(matches!(letters.retry_due(), Err(LetterError::Store(_))));
    assert_eq!(status(&letters, "l-1"), (LetterStatus::Replaying, 1));
    assert_eq!(format!("{letters:?}").matches("l-1").count(), 1, "it waits once");
    away.store(false, Ordering::SeqCst);
    assert_eq!(letters.retry_due().unwrap(), 0);
    assert_eq!(status(&letters, "l-1"), (LetterStatus::Open, 2));
    assert_eq!(format!("{letters:?}").matches("l-1").count(), 0);
}

#[test]
fn a_temporary_letter_is_replayed_by_itself_when_its_time_has_come() {
    let rig = Rig::new(&["l-1"]);
    let letters = rig.letters();
    let first = letters.show(None, "l-1").unwrap();
    let now = first.received_at;
    let temporary = DeadLetter {
        id: "signals-0-7".to_owned(),
        stage: Stage::Store,
        classification: Classification::Temporary,
        data: GOOD.to_vec(),
        retry_at: Some(now + 2_000),
        ..first
    };
    rig.store.commit(&Commit { dead_letters: &[temporary], ..Commit::default() }).unwrap();
    assert_eq!(letters.retry_due().unwrap(), 0, "not yet");
    rig.house.clock.advance(2_000);
    assert_eq!(letters.retry_due().unwrap(), 1);
    assert_eq!(letters.retry_due().unwrap(), 0);
    rig.drain();
    assert_eq!(status(&letters, "signals-0-7"), (LetterStatus::Resolved, 1));
    assert_eq!(status(&letters, "l-1"), (LetterStatus::Open, 1), "a permanent one waits for somebody");
}

#[test]
fn a_sweep_takes_the_open_ones_oldest_first_at_its_rate_and_none_twice() {
    let ids: Vec<String> = (0..30).map(|n| format!("l-{n}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rig = Rig::new(&names);
    let letters = rig.letters();
    for id in &names[..25] {
        letters.edit(None, id, Some(GOOD.to_vec())).unwrap();
    }
    letters.discard(None, "l-0").unwrap();
    let all = DeadLetterQuery::default();
    let counted = letters.replay_all(&all, Sweep { dry_run: true, ..sweep(10) }).unwrap();
    assert_eq!((counted.matched, counted.eligible, counted.skipped, counted.done), (30, 29, 1, 0));
    assert_eq!(rig.door.appended.load(Ordering::SeqCst), 0);

    let before = rig.house.clock.clone();
    let began = log::Clock::elapsed(&before);
    let swept = letters.replay_all(&all, sweep(20)).unwrap();
    let took = log::Clock::elapsed(&before) - began;
    assert_eq!((swept.done, swept.refused, swept.remaining), (20, 0, 9));
    assert_eq!(took, Duration::from_millis(1_900), "ten a second");
    assert_eq!(status(&letters, "l-1").0, LetterStatus::Replaying);
    assert_eq!(status(&letters, "l-21").0, LetterStatus::Open, "the oldest go first");

    // The rest: four are good, five are refused, and none of those is taken again by the same filter.
    let rest = DeadLetterQuery { to: Some(swept.until), ..all.clone() };
    let swept = letters.replay_all(&rest, sweep(100)).unwrap();
    assert_eq!((swept.done, swept.refused, swept.remaining), (4, 5, 0));
    assert_eq!((&*swept.refusals[0].id, &*swept.refusals[0].code), ("l-25", "missing_field"));
    let swept = letters.replay_all(&rest, sweep(100)).unwrap();
    assert_eq!((swept.done, swept.refused), (0, 0));
    assert_eq!(status(&letters, "l-29"), (LetterStatus::Open, 2));

    // It ends with its time.
    let short = Sweep { time: Duration::from_millis(250), ..sweep(100) };
    rig.house.clock.advance(1);
    let swept = letters.replay_all(&all, short).unwrap();
    assert_eq!((swept.refused, swept.remaining), (3, 2), "two were not come to");
    rig.drain();
    assert_eq!(rig.rows(), 24);
}

#[test]
fn discarding_by_filter_leaves_alone_what_is_on_its_way() {
    let rig = Rig::new(&["a", "b", "c", "d"]);
    let letters = rig.letters();
    letters.edit(None, "a", Some(GOOD.to_vec())).unwrap();
    letters.replay(None, "a").unwrap();
    let all = DeadLetterQuery::default();
    let counted = letters.discard_all(&all, true).unwrap();
    assert_eq!((counted.matched, counted.eligible, counted.skipped, counted.done), (4, 3, 1, 0));
    let swept = letters.discard_all(&DeadLetterQuery { id: Some("b".to_owned()), ..all.clone() }, false).unwrap();
    assert_eq!((swept.done, swept.remaining), (1, 0));
    let swept = letters.discard_all(&all, false).unwrap();
    assert_eq!((swept.done, swept.remaining), (2, 0));
    rig.drain();
    assert_eq!(status(&letters, "a").0, LetterStatus::Resolved);
}

#[test]
fn a_tenant_has_its_own_letters_and_no_others() {
    let rig = Rig::new(&["mine"]);
    rig.house.refuse_of("acme", "theirs", GOOD);
    rig.drain();
    let letters = rig.letters();
    for (tenant, id) in [(Some("acme"), "mine"), (Some(""), "theirs"), (Some("other"), "theirs")] {
        for attempt in [
            letters.show(tenant, id),
            letters.replay(tenant, id),
            letters.discard(tenant, id),
            letters.edit(tenant, id, Some(GOOD.to_vec())),
        ] {
            assert!(matches!(attempt, Err(LetterError::NotFound(_))), "{tenant:?} {id}: {attempt:?}");
        }
    }
    let of = |tenant: Option<&str>| DeadLetterQuery { tenant: tenant.map(str::to_owned), ..DeadLetterQuery::default() };
    assert_eq!(letters.replay_all(&of(Some("other")), sweep(10)).unwrap().matched, 0);
    assert_eq!(letters.replay_all(&of(Some("acme")), sweep(10)).unwrap().done, 1);
    rig.drain();
    assert_eq!(letters.show(None, "theirs").unwrap().status, LetterStatus::Resolved, "who sees all sees it too");
    let row = rig.store.events(&store::query::EventQuery { limit: 10, ..Default::default() }).unwrap().rows.remove(0);
    assert_eq!(headers::get(&row.headers, headers::TENANT), Some(&b"acme"[..]));
    assert_eq!(status(&letters, "mine"), (LetterStatus::Open, 1));
}

#[test]
fn a_sweep_of_one_tenant_is_not_in_the_way_of_another() {
    let rig = Rig::new(&["a"]);
    let (reached, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let gates = (reached.clone(), go_on.clone());
    // The sweep that discards waits in its commit.
    let letters = rig.letters_in(Moody::new(rig.store.clone(), move |_: i64, _: &Commit<'_>| {
        gates.0.wait();
        gates.1.wait();
        Ok(())
    }));
    let of = |tenant: &str| DeadLetterQuery { tenant: Some(tenant.to_owned()), ..DeadLetterQuery::default() };
    std::thread::scope(|threads| {
        let first = threads.spawn(|| letters.discard_all(&of(""), false));
        reached.wait();
        assert!(matches!(letters.discard_all(&of(""), true), Err(LetterError::Sweeping)), "one of the same");
        assert_eq!(letters.discard_all(&of("acme"), true).unwrap().matched, 0);
        go_on.wait();
        assert_eq!(first.join().unwrap().unwrap().done, 1);
    });
    assert_eq!(letters.discard_all(&of(""), true).unwrap().matched, 1, "its turn is over");
}
