//! Dead letters of every back end: kept whole, found by every filter, and what can happen to them.

use event::{DeadLetter, LetterChange, LetterEvent, LetterStatus, Stage, limits};
use store::query::DeadLetterQuery;
use store::{Commit, Store};

use crate::data::*;

fn add(store: &dyn Store, dead_letters: &[DeadLetter]) {
    store.commit(&Commit { consumer: "engine", dead_letters, ..Commit::default() }).unwrap();
}

fn happen(store: &dyn Store, n: u64, event: LetterEvent) {
    let change = LetterChange { tenant: String::new(), id: dead_letter(n).id, event };
    store.commit(&Commit { consumer: "engine", letter_changes: &[change], ..Commit::default() }).unwrap();
}

fn shown(store: &dyn Store, n: u64) -> DeadLetter {
    let query = DeadLetterQuery { id: Some(dead_letter(n).id), limit: 9, ..DeadLetterQuery::default() };
    let mut page = store.dead_letters(&query).unwrap();
    assert_eq!((page.rows.len(), page.total), (1, 1));
    page.rows.remove(0)
}

fn failed(at: i64, retry_at: Option<i64>) -> LetterEvent {
    let [code, pointer, message] = ["rule_panic", "/x", "again"].map(str::to_owned);
    LetterEvent::Failed { stage: Stage::Process, code, pointer, message, at, retry_at }
}

pub(crate) fn dead_letters_are_kept_once_and_found_by_every_filter(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let all: Vec<_> = (0..8).map(dead_letter).collect();
    add(&*store, &all[..5]);
    add(&*store, &all[2..]);
    let check = |query: DeadLetterQuery, expected: Vec<u64>, total: u64| {
        let page = store.dead_letters(&query).unwrap();
        assert_eq!(page.rows, expected.into_iter().map(dead_letter).collect::<Vec<_>>(), "{query:?}");
        assert_eq!(page.total, total);
    };
    let base = || DeadLetterQuery { limit: 100, ..DeadLetterQuery::default() };
    check(base(), (0..8).rev().collect(), 8);
    check(DeadLetterQuery { skip: 2, limit: 3, ..base() }, vec![5, 4, 3], 8);
    check(DeadLetterQuery { id: Some("letter-4".into()), ..base() }, vec![4], 1);
    check(DeadLetterQuery { stream: Some("events".into()), ..base() }, vec![7, 5, 3, 1], 4);
    check(DeadLetterQuery { stream: Some("events".into()), code: Some("too_deep".into()), ..base() }, vec![7, 3], 2);
    check(DeadLetterQuery { code: Some("nothing".into()), ..base() }, vec![], 0);
    check(DeadLetterQuery { stage: Some(Stage::Store), ..base() }, vec![5, 2], 2);
    check(DeadLetterQuery { from: Some(22), to: Some(24), ..base() }, vec![4, 3, 2], 3);
    check(DeadLetterQuery { from: Some(26), stage: Some(Stage::Process), ..base() }, vec![7], 1);
    check(DeadLetterQuery { due: Some(34), ..base() }, vec![1], 1);
    check(DeadLetterQuery { due: Some(35), ..base() }, vec![5, 1], 2);
    check(DeadLetterQuery { due: Some(35), stage: Some(Stage::Store), ..base() }, vec![5], 1);
    check(DeadLetterQuery { status: Some(LetterStatus::Open), limit: 1, ..base() }, vec![7], 8);
    check(DeadLetterQuery { status: Some(LetterStatus::Discarded), ..base() }, vec![], 0);
    happen(&*store, 3, failed(99, None));
    let page = store.dead_letters(&DeadLetterQuery { attempts_over: Some(1), ..base() }).unwrap();
    assert_eq!((page.total, page.rows[0].id.as_str()), (1, "letter-3"));
    happen(&*store, 5, LetterEvent::Resolved);
    let page = store.dead_letters(&DeadLetterQuery { status: Some(LetterStatus::Resolved), ..base() }).unwrap();
    assert_eq!((page.total, page.rows[0].id.as_str()), (1, "letter-5"));
}

pub(crate) fn every_part_of_a_dead_letter_comes_back(new: New) {
    let database = new(SMALL);
    let mut headers = Vec::new();
    event::headers::put(&mut headers, "content-type", b"text/plain");
    let letter = DeadLetter {
        key: "κ\0'".to_owned(),
        headers,
        edited: Some(vec![0xff, 0, 1]),
        attempts: 3,
        status: LetterStatus::Quarantined,
        retry_at: Some(i64::MIN),
        ..dead_letter(5)
    };
    let store = database.open();
    add(&*store, std::slice::from_ref(&letter));
    assert_eq!(shown(&*store, 5), letter);
    drop(store);
    assert_eq!(shown(&*database.open(), 5), letter);
}

/// Brings a fresh letter to a status.
fn bring(store: &dyn Store, n: u64, status: LetterStatus) {
    add(store, &[dead_letter(n)]);
    match status {
        LetterStatus::Open => {}
        LetterStatus::Replaying => happen(store, n, LetterEvent::Replaying),
        LetterStatus::Resolved => happen(store, n, LetterEvent::Resolved),
        LetterStatus::Discarded => happen(store, n, LetterEvent::Discarded),
        LetterStatus::Quarantined => (0..=limits::LETTER_REPLAYS_MAX).for_each(|_| happen(store, n, failed(50, None))),
    }
    assert_eq!(shown(store, n).status, status);
}

pub(crate) fn what_happens_to_a_dead_letter_follows_from_its_status(new: New) {
    use LetterStatus::{Discarded, Open, Quarantined, Replaying, Resolved};
    let database = new(SMALL);
    let store = database.open();
    let edited = || LetterEvent::Edited(Some(b"{}".to_vec()));
    // From a status: what it is after being replayed, resolved, discarded, failed, and whether it can be edited.
    let table = [
        (Open, Replaying, Resolved, Discarded, Open, true),
        (Replaying, Replaying, Resolved, Discarded, Open, true),
        (Resolved, Resolved, Resolved, Resolved, Resolved, false),
        (Discarded, Discarded, Discarded, Discarded, Discarded, false),
        (Quarantined, Quarantined, Quarantined, Discarded, Quarantined, false),
    ];
    for (n, (from, replayed, resolved, discarded, failing, editable)) in (0_u64..).zip(table) {
        let cases = [
            (LetterEvent::Replaying, replayed),
            (LetterEvent::Resolved, resolved),
            (LetterEvent::Discarded, discarded),
            (failed(77, Some(99)), failing),
            (edited(), from),
        ];
        for (m, (event, to)) in (0_u64..).zip(cases) {
            // 1, 5, 9, …: these are due for another try by themselves.
            let n = 4 * (n * 10 + m) + 1;
            bring(&*store, n, from);
            let before = shown(&*store, n);
            happen(&*store, n, event.clone());
            let after = shown(&*store, n);
            assert_eq!(after.status, to, "{from:?}, {event:?}");
            let taken = match &event {
                LetterEvent::Edited(bytes) => {
                    assert_eq!(after.edited, bytes.clone().filter(|_| editable), "{from:?}");
                    editable
                }
                LetterEvent::Failed { .. } => matches!(from, Open | Replaying),
                _ => from != to || from == Replaying,
            };
            assert!(taken || after == before, "{from:?}, {event:?}: passed over");
            let waits = matches!(event, LetterEvent::Failed { .. } | LetterEvent::Edited(_)) && taken && from == Open;
            assert!(after.retry_at.is_none() || waits || (taken && to == Open), "{from:?}, {event:?}");
        }
    }
}

pub(crate) fn a_failed_replay_counts_and_the_fourth_quarantines(new: New) {
    let database = new(SMALL);
    let store = database.open();
    add(&*store, &[dead_letter(4)]);
    let mut expected = DeadLetter {
        stage: Stage::Process,
        code: "rule_panic".to_owned(),
        pointer: "/x".to_owned(),
        message: "again".to_owned(),
        ..dead_letter(4)
    };
    for (at, retry_at) in [(100, None), (200, Some(202)), (300, Some(304))] {
        happen(&*store, 4, LetterEvent::Replaying);
        assert_eq!(shown(&*store, 4).status, LetterStatus::Replaying);
        happen(&*store, 4, failed(at, retry_at));
        expected.attempts += 1;
        (expected.last_failed_at, expected.retry_at) = (at, retry_at);
        if retry_at.is_some() {
            expected.classification = event::Classification::Temporary;
        }
        assert_eq!(shown(&*store, 4), expected);
    }
    assert_eq!(expected.attempts, 1 + limits::LETTER_REPLAYS_MAX);
    happen(&*store, 4, failed(400, Some(408)));
    let quarantined = DeadLetter {
        attempts: 2 + limits::LETTER_REPLAYS_MAX,
        last_failed_at: 400,
        retry_at: None,
        status: LetterStatus::Quarantined,
        ..expected
    };
    assert_eq!(shown(&*store, 4), quarantined);
    for event in [LetterEvent::Replaying, LetterEvent::Resolved, failed(500, None), LetterEvent::Edited(None)] {
        happen(&*store, 4, event);
        assert_eq!(shown(&*store, 4), quarantined);
    }
    happen(&*store, 4, LetterEvent::Discarded);
    assert_eq!(shown(&*store, 4).status, LetterStatus::Discarded);
}

pub(crate) fn an_edited_letter_keeps_what_the_sender_sent(new: New) {
    let database = new(SMALL);
    let store = database.open();
    add(&*store, &[dead_letter(0)]);
    for bytes in [Some(b"{\"fixed\":true}".to_vec()), Some(vec![]), Some(vec![0xc3]), None] {
        happen(&*store, 0, LetterEvent::Edited(bytes.clone()));
        assert_eq!(shown(&*store, 0), DeadLetter { edited: bytes, ..dead_letter(0) });
    }
}

pub(crate) fn changes_are_of_one_tenants_letter_and_may_come_with_it(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let of = |tenant: &str| DeadLetter { tenant: tenant.to_owned(), ..dead_letter(0) };
    let change = |tenant: &str, event| LetterChange { tenant: tenant.to_owned(), id: dead_letter(0).id, event };
    let changes = [
        change("acme", LetterEvent::Replaying),
        change("acme", LetterEvent::Resolved),
        change("nobody", LetterEvent::Discarded),
        LetterChange { id: "unknown".to_owned(), ..change("", LetterEvent::Discarded) },
    ];
    let dead_letters = [of(""), of("acme"), of("globex")];
    let commit =
        Commit { consumer: "engine", dead_letters: &dead_letters, letter_changes: &changes, ..Commit::default() };
    store.commit(&commit).unwrap();
    for (tenant, status) in [("", LetterStatus::Open), ("acme", LetterStatus::Resolved), ("globex", LetterStatus::Open)]
    {
        let query = DeadLetterQuery { tenant: Some(tenant.to_owned()), limit: 9, ..DeadLetterQuery::default() };
        assert_eq!(store.dead_letters(&query).unwrap().rows, [DeadLetter { status, ..of(tenant) }], "{tenant}");
    }
}
