//! Everything of a SQLite store, moved: every answer of the one is the other's answer.

use event::{DeliveryChange, DeliveryStatus, LetterChange, LetterEvent, WindowDelta};
use proptest::prelude::*;
use proptest::sample::select;
use store::query::{
    AlertQuery, AnomalyQuery, DeadLetterQuery, EventPage, EventQuery, Order, Start, Summary, WindowPage, WindowQuery,
};
use store::sqlite::SqliteStore;
use store::{Answers, Commit, Moved, Store, StoreError, move_all};

use crate::data::*;
use crate::servers::Live;
use crate::{sqlite, windows};

const TENANTS: [&str; 3] = ["", "acme", "globex"];
const KEYS: [&str; 4] = ["", "a", "κ🔑", "a\0\u{1}b"];

/// A commit with something of everything, by a few numbers.
#[derive(Clone, Debug)]
struct Turn {
    rows: Vec<(i64, usize, usize, Vec<u8>)>,
    facts: u64,
    pieces: Vec<(i64, usize)>,
    settle: bool,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let payload = prop_oneof![
        select(&["{\"n\":1}", "", "a\0b", "é"][..]).prop_map(|t| t.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..9)
    ];
    let row = (any::<i64>(), 0..KEYS.len(), 0..TENANTS.len(), payload);
    let pieces = prop::collection::vec((0..4_i64, 0..TENANTS.len()), 0..5);
    let turn = (prop::collection::vec(row, 0..30), 0..6_u64, pieces, any::<bool>());
    prop::collection::vec(turn.prop_map(|(rows, facts, pieces, settle)| Turn { rows, facts, pieces, settle }), 0..7)
}

fn fill(store: &SqliteStore, turns: &[Turn]) {
    let mut next = 0;
    for (n, turn) in (0_i64..).zip(turns) {
        let row = |(time, key, tenant, data): &(i64, usize, usize, Vec<u8>)| {
            let key = KEYS[*key].as_bytes().to_vec();
            of(
                TENANTS[*tenant],
                Row { time: *time, kind: key.clone(), id: key.clone(), key, data: data.clone(), headers: vec![] },
            )
        };
        let rows: Vec<Row> = turn.rows.iter().map(row).collect();
        let blocks = [block(SIGNALS, 1, next, n * 40_000_000, &rows), block(EVENTS, 0, next, n, &rows)];
        let step_of = |stream, partition| step(stream, partition, next, next + rows.len() as u64);
        let (moves, from) = (vec![step_of(SIGNALS, 1), step_of(EVENTS, 0)], n as u64 * 10);
        next += rows.len() as u64;
        let anomalies: Vec<_> = (from..from + turn.facts).map(anomaly).collect();
        let alerts: Vec<_> = (from..from + turn.facts).map(|n| alert(n, ["ops", "team"][n as usize % 2])).collect();
        let dead_letters: Vec<_> = (from..from + turn.facts).map(dead_letter).collect();
        let piece = |(start, tenant): &(i64, usize)| {
            let id = event::WindowId { tenant: TENANTS[*tenant].to_owned(), ..window("w", start * MINUTE, "é") };
            WindowDelta { publish: (start % 2 == 0).then(|| "results".into()), ..piece(id, &[*start, n]) }
        };
        let windows: Vec<_> = turn.pieces.iter().map(piece).collect();
        let counts: Vec<_> = windows.iter().map(|piece| late(piece.id.clone(), 2, 7)).collect();
        let commit = Commit { consumer: "engine", moves, blocks: &blocks, anomalies: &anomalies, ..Commit::default() };
        let commit =
            Commit { alerts: &alerts, dead_letters: &dead_letters, windows: &windows, late: &counts, ..commit };
        let snapshots = [snapshot(1, next, &n.to_le_bytes())];
        store.commit(&Commit { snapshots: &snapshots, ..commit }).unwrap();
        if turn.settle {
            settle(store, from);
        }
    }
}

/// Something is delivered, something fails, and a letter is edited and resolved.
fn settle(store: &SqliteStore, n: u64) {
    let what = [DeliveryStatus::Delivered, DeliveryStatus::Failed, DeliveryStatus::Pending];
    let due = store.outbox(i64::MAX, 3).unwrap();
    let done = |(told, status): (&store::query::Outgoing, &DeliveryStatus)| DeliveryChange {
        row: told.row,
        at: 77,
        status: *status,
        error: "no\0".to_owned(),
        next_at: 99,
    };
    let deliveries: Vec<_> = due.iter().zip(&what).map(done).collect();
    let change = |event| LetterChange { tenant: String::new(), id: dead_letter(n).id, event };
    let changes = [change(LetterEvent::Edited(Some(vec![0, 255]))), change(LetterEvent::Resolved)];
    store.commit(&Commit { deliveries: &deliveries, letter_changes: &changes, ..Commit::default() }).unwrap();
}

/// All that can be asked, every page of it.
fn answers(store: &dyn Store) -> Vec<String> {
    let mut told = Vec::new();
    let maybe = |tenant: &str| Some(tenant.to_owned());
    for tenant in [None, maybe(""), maybe("acme"), maybe("nobody")] {
        for (key, order) in [(None, Order::Ascending), (None, Order::Descending), (maybe(KEYS[3]), Order::Descending)] {
            let query =
                EventQuery { tenant: tenant.clone(), key, order, limit: 7, count: true, ..EventQuery::default() };
            told.extend(pages(|skip| {
                let EventPage { rows, more, total } =
                    store.events(&EventQuery { start: Start::Skip(skip), ..query.clone() }).unwrap();
                (format!("{rows:?} {total:?}"), more)
            }));
        }
        told.extend(pages(|skip| {
            let query = AnomalyQuery { tenant: tenant.clone(), skip, limit: 7, ..AnomalyQuery::default() };
            let page = store.anomalies(&query).unwrap();
            (format!("{page:?}"), skip + 7 < page.total)
        }));
        told.extend(pages(|skip| {
            let query = DeadLetterQuery { tenant: tenant.clone(), skip, limit: 7, ..DeadLetterQuery::default() };
            let page = store.dead_letters(&query).unwrap();
            (format!("{page:?}"), skip + 7 < page.total)
        }));
        told.extend(pages(|skip| {
            let query = AlertQuery { tenant: tenant.clone(), skip, limit: 7, ..AlertQuery::default() };
            let page = store.alerts(&query).unwrap();
            (format!("{page:?}"), skip + 7 < page.total)
        }));
        let WindowPage { rows, more } =
            store.windows(&WindowQuery { tenant: tenant.clone(), limit: 1_000, ..WindowQuery::default() }).unwrap();
        told.push(format!("{rows:?} {more}"));
        for stream in NAMES {
            let summary: Summary = store.summary(stream, tenant.as_deref(), 2).unwrap();
            told.push(format!("{summary:?}"));
        }
    }
    told.push(format!("{:?} {:?}", store.positions("engine").unwrap(), store.snapshots().unwrap()));
    told.push(format!("{:?}", store.outbox(i64::MAX, 1_000).unwrap()));
    for stream in NAMES {
        let mut rows = scanned(store, stream);
        rows.sort();
        told.push(format!("{rows:?}"));
    }
    told
}

fn pages(mut page: impl FnMut(u64) -> (String, bool)) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let (text, more) = page(told.len() as u64 * 7);
        told.push(text);
        if !more {
            return told;
        }
    }
}

fn everything_is_moved(cases: u32, new: fn() -> Live) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(turns in turns())| {
        let file = sqlite::file(SMALL);
        let from = file.store().unwrap();
        fill(&from, &turns);
        let database = new();
        let to = database.store();
        let mut last = 0;
        let moved = move_all(&from, &to, |moving| last = moving.rows.max(last)).unwrap();
        let rows: u64 = turns.iter().map(|turn| turn.rows.len() as u64 * 2).sum();
        prop_assert_eq!(moved.tables[0], ("events", rows));
        prop_assert!(last >= rows);
        for (theirs, ours) in answers(&to).iter().zip(answers(&from)) {
            prop_assert_eq!(theirs, &ours);
        }
        // It goes on where the other one stood: positions fence, numbers of rows grow, windows merge.
        let before = to.alerts(&AlertQuery { limit: 1, ..AlertQuery::default() }).unwrap().rows.first().map_or(0, |row| row.row);
        let (anomalies, alerts) = ([anomaly(999)], [alert(999, "ops")]);
        let pieces = [piece(window("w", 0, "é"), &[5])];
        let next = to.positions("engine").unwrap().iter().find(|p| p.stream == "signals").map_or(0, |p| p.offset);
        let moves = vec![step(SIGNALS, 1, next, next)];
        let commit = Commit { consumer: "engine", moves, anomalies: &anomalies, alerts: &alerts, windows: &pieces, ..Commit::default() };
        to.commit(&commit).unwrap();
        from.commit(&commit).unwrap();
        prop_assert_eq!(windows::stored(&to), windows::stored(&from));
        let row = to.alerts(&AlertQuery { limit: 1, ..AlertQuery::default() }).unwrap().rows[0].row;
        prop_assert!(row > before);
        // What is there is never overwritten.
        let refused = move_all(&from, &to, |_| ());
        prop_assert!(matches!(refused, Err(StoreError::Incompatible(why)) if why.contains("not empty")));
    });
}

#[test]
fn postgres_has_everything_that_sqlite_had() {
    everything_is_moved(24, Live::postgres);
}

#[test]
fn timescale_has_everything_that_sqlite_had() {
    everything_is_moved(4, Live::timescale);
}

#[test]
fn postgres_stays_empty_when_a_move_fails() {
    let file = sqlite::file(SMALL);
    let from = file.store().unwrap();
    crate::data::fill(&from, 40, 8);
    // A row that is noted and not there: somebody was at the file.
    file.shell().execute("DELETE FROM events_2 WHERE off = 13", []).unwrap();
    let database = Live::postgres();
    let to = database.store();
    let refused = move_all(&from, &to, |_| ());
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("39 are there")), "{refused:?}");
    assert!(scanned(&to, "signals").is_empty());
    file.shell().execute("UPDATE chunks SET rows = rows - 1 WHERE n = 2", []).unwrap();
    let moved: Moved = move_all(&from, &to, |_| ()).unwrap();
    assert_eq!((moved.tables[0], moved.tables[1]), (("events", 39), ("positions", 1)));
    assert_eq!(scanned(&to, "signals").len(), 39);
}
