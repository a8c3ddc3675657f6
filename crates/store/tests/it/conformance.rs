//! What every back end must do: functions over `dyn Store`, called once for each back end.

use std::ops::ControlFlow;

use event::{
    DeadLetter, DeliveryChange, DeliveryStatus, LetterChange, LetterEvent, LetterStatus, Severity, WindowDelta,
};
use store::query::{AlertQuery, AnomalyQuery, DeadLetterQuery, EventQuery, WindowQuery};
use store::{Commit, Retract, Snapshot, Store, StoreError, StoredPosition};

use crate::data::*;

/// How much there is of everything.
#[derive(Debug, Default, PartialEq)]
struct Everything {
    positions: Vec<StoredPosition>,
    snapshots: usize,
    rows: usize,
    anomalies: u64,
    letters: Vec<DeadLetter>,
    windows: usize,
    late: u64,
    alerts: Vec<DeliveryStatus>,
    due: usize,
}

fn everything(store: &dyn Store) -> Everything {
    let letters = store.dead_letters(&DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() }).unwrap();
    let windows = store.windows(&WindowQuery { limit: 10, ..WindowQuery::default() }).unwrap().rows;
    let alerts = store.alerts(&AlertQuery { limit: 10, ..AlertQuery::default() }).unwrap().rows;
    Everything {
        positions: store.positions("engine").unwrap(),
        snapshots: store.snapshots().unwrap().len(),
        rows: scanned(store, "signals").len(),
        anomalies: store.anomalies(&AnomalyQuery { limit: 10, ..AnomalyQuery::default() }).unwrap().total,
        letters: letters.rows,
        windows: windows.len(),
        late: windows.iter().map(|row| row.late).sum(),
        alerts: alerts.iter().map(|row| row.status).collect(),
        due: store.outbox(i64::MAX, 10).unwrap().len(),
    }
}

/// The parts of a commit that has something of everything.
struct Parts {
    rows: Vec<Row>,
    windows: Vec<WindowDelta>,
    changes: Vec<LetterChange>,
    retract: Vec<Retract>,
    deliveries: Vec<DeliveryChange>,
}

/// Puts into the store what the commit of these parts changes.
fn before(store: &dyn Store) -> Parts {
    let anomalies = [anomaly(0), anomaly(1)];
    let (alerts, dead_letters) = ([alert(0, "ops")], [dead_letter(1)]);
    let windows = [piece(window("w", 0, "old"), &[1])];
    let commit = Commit { consumer: "engine", anomalies: &anomalies, alerts: &alerts, ..Commit::default() };
    store.commit(&Commit { windows: &windows, dead_letters: &dead_letters, ..commit }).unwrap();
    let told = store.outbox(i64::MAX, 1).unwrap()[0].row;
    let [tenant, stream, id] = [String::new(), "signals".to_owned(), anomaly(1).id];
    let change = LetterChange { tenant: String::new(), id: dead_letter(1).id, event: LetterEvent::Discarded };
    Parts {
        rows: (0..25).map(row).collect(),
        windows: vec![WindowDelta { publish: Some("events".into()), ..piece(window("w", 0, "new"), &[1]) }],
        changes: vec![change],
        retract: vec![Retract::Window(window("w", 0, "old")), Retract::Anomaly { tenant, stream, id }],
        deliveries: vec![DeliveryChange {
            row: told,
            at: 5,
            status: DeliveryStatus::Delivered,
            error: String::new(),
            next_at: 0,
        }],
    }
}

/// What is there after [`before`] and the commit of its parts.
fn after() -> Everything {
    let position = StoredPosition { stream: "signals".to_owned(), partition: 1, offset: 25 };
    Everything {
        positions: vec![position],
        snapshots: 1,
        rows: 25,
        anomalies: 2,
        letters: vec![dead_letter(2), DeadLetter { status: LetterStatus::Discarded, retry_at: None, ..dead_letter(1) }],
        windows: 1,
        late: 3,
        alerts: vec![DeliveryStatus::Pending, DeliveryStatus::Delivered],
        due: 2,
    }
}

pub(crate) fn a_commit_is_there_whole_and_still_after_reopening(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let parts = before(&*store);
    with(&parts, &snapshot(1, 20, b"state"), |commit| store.commit(commit).unwrap());
    assert_eq!(everything(&*store), after());
    drop(store);
    assert_eq!(everything(&*database.open()), after());
}

fn with<T>(parts: &Parts, snapshot: &Snapshot, then: impl FnOnce(&Commit<'_>) -> T) -> T {
    then(&Commit {
        consumer: "engine",
        moves: vec![step(SIGNALS, 1, 0, 25)],
        blocks: &[block(SIGNALS, 1, 0, 7, &parts.rows)],
        anomalies: &[anomaly(2)],
        dead_letters: &[dead_letter(2)],
        snapshots: std::slice::from_ref(snapshot),
        windows: &parts.windows,
        late: &[late(window("w", 0, "new"), 3, 1_000)],
        alerts: &[alert(2, "ops")],
        letter_changes: &parts.changes,
        deliveries: &parts.deliveries,
        retract: &parts.retract,
        owner: 0,
    })
}

pub(crate) fn a_refused_commit_leaves_nothing(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let parts = before(&*store);
    let untouched = everything(&*store);
    // Near the end comes what no database can hold: all before it must go away again.
    let refused = with(&parts, &snapshot(0, u64::MAX, b"state"), |commit| store.commit(commit));
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert_eq!(everything(&*store), untouched);
    with(&parts, &snapshot(0, 20, b"state"), |commit| store.commit(commit)).unwrap();
    assert_eq!(everything(&*store), after());
}

pub(crate) fn a_position_that_is_elsewhere_fences(new: New) {
    let database = new(SMALL);
    let store = database.open();
    fill(&*store, 5, 5);
    for (from, to) in [(4, 6), (6, 7), (0, 5)] {
        let blocks = [block(SIGNALS, 0, from, 9, &[row(1)])];
        let moves = vec![step(SIGNALS, 1, 0, 3), step(SIGNALS, 0, from, to)];
        let refused = store.commit(&Commit { consumer: "engine", moves, blocks: &blocks, ..Commit::default() });
        match refused {
            Err(StoreError::Fenced { stream, partition: 0, found: 5, expected }) => {
                assert_eq!((stream.as_str(), expected), ("signals", from));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(scanned(&*store, "signals").len(), 5);
        assert_eq!(store.positions("engine").unwrap().len(), 1, "the other partition did not move either");
    }
    let back = store.commit(&Commit { consumer: "engine", moves: vec![step(SIGNALS, 0, 5, 4)], ..Commit::default() });
    assert!(matches!(back, Err(StoreError::Refused(_))));
}

pub(crate) fn positions_are_of_one_consumer_and_may_begin_anywhere(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let commit = |consumer, moves| store.commit(&Commit { consumer, moves, ..Commit::default() }).unwrap();
    commit("engine", vec![step(SIGNALS, 0, 500, 700), step(EVENTS, 3, 0, 2)]);
    commit("other", vec![step(SIGNALS, 0, 1, 1)]);
    commit("engine", vec![step(SIGNALS, 0, 700, 701)]);
    let position = |stream: &str, partition, offset| StoredPosition { stream: stream.to_owned(), partition, offset };
    assert_eq!(store.positions("engine").unwrap(), [position("events", 3, 2), position("signals", 0, 701)]);
    assert_eq!(store.positions("other").unwrap(), [position("signals", 0, 1)]);
    assert_eq!(store.positions("nobody").unwrap(), []);
}

pub(crate) fn a_snapshot_replaces_the_one_before(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let large = vec![7; 3 << 20];
    for snapshots in
        [vec![snapshot(0, 1, b"old"), snapshot(1, 1, b"kept")], vec![snapshot(0, 2, &large)], vec![snapshot(2, 9, b"")]]
    {
        store.commit(&Commit { consumer: "engine", snapshots: &snapshots, ..Commit::default() }).unwrap();
    }
    assert_eq!(store.snapshots().unwrap(), [snapshot(0, 2, &large), snapshot(1, 1, b"kept"), snapshot(2, 9, b"")]);
}

pub(crate) fn anomalies_are_kept_once_and_found_by_every_filter(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let all: Vec<_> = (0..20).map(anomaly).collect();
    let commit = |anomalies| store.commit(&Commit { consumer: "engine", anomalies, ..Commit::default() }).unwrap();
    commit(&all[..12]);
    commit(&all[5..]);
    let mut other = anomaly(3);
    other.stream = "events".to_owned();
    commit(std::slice::from_ref(&other));
    let mut changed = anomaly(3);
    changed.description = "a second one of this id".to_owned();
    commit(&[changed]);

    let check = |query: AnomalyQuery, expected: Vec<u64>| {
        let page = store.anomalies(&AnomalyQuery { limit: 100, ..query.clone() }).unwrap();
        let found: Vec<_> = page.rows.iter().map(|r| r.anomaly.clone()).collect();
        let expected: Vec<_> = expected.into_iter().map(anomaly).collect();
        assert_eq!(found, expected, "{query:?}");
        assert_eq!(page.total, expected.len() as u64);
    };
    let signals = || AnomalyQuery { stream: Some("signals".into()), ..AnomalyQuery::default() };
    check(signals(), (0..20).rev().collect());
    check(AnomalyQuery { key: Some("key-1".into()), ..signals() }, vec![17, 13, 9, 5, 1]);
    check(AnomalyQuery { rule: Some("rule-1".into()), from: Some(108), ..signals() }, vec![19, 17]);
    check(AnomalyQuery { severity: Some(Severity::High), ..signals() }, vec![17, 14, 11, 8, 5, 2]);
    check(AnomalyQuery { from: Some(102), to: Some(103), ..signals() }, vec![7, 6, 5, 4]);
    check(AnomalyQuery { stream: Some("nowhere".into()), ..AnomalyQuery::default() }, vec![]);
    let page = store.anomalies(&AnomalyQuery { skip: 18, limit: 2, ..AnomalyQuery::default() }).unwrap();
    assert_eq!((page.rows.len(), page.total), (2, 21));
    assert_eq!(page.rows[1].anomaly, anomaly(1));
}

pub(crate) fn every_byte_comes_back(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let mut headers = Vec::new();
    event::headers::put(&mut headers, "content-type", b"image/png");
    let parts: [(&[u8], &[u8], &[u8]); 7] = [
        ("κλειδί-🔑".as_bytes(), b"\xff\xfe\x00\xff", b""),
        (b"with\0nul", b"with\0nul", &headers),
        (b"it's \"quoted\"; --", b"", b""),
        (b"", b"{}", &headers),
        (b"%_*?", "\u{feff}{\"a\":\"\\u0000\"}".as_bytes(), b""),
        (b"\xc3\x28", b"\xc3\x28", b""),
        (b"123", b"123", b""),
    ];
    let rows: Vec<Row> = parts
        .iter()
        .map(|(key, data, headers)| {
            let [key, data, headers] = [key, data, headers].map(|bytes| bytes.to_vec());
            Row { time: i64::MIN + 1, kind: key.clone(), id: key.clone(), key, data, headers }
        })
        .collect();
    commit_blocks(&*store, &[block(SIGNALS, 0, 0, 7, &rows)]);
    let mut at = 0;
    let mut each = |scanned: &store::Scanned<'_>| {
        let (row, record, partition) = (&rows[at], scanned.record, scanned.partition);
        assert_eq!((partition, record.offset, record.time, record.received_at), (0, at as u64, row.time, 7));
        assert_eq!((record.key, record.kind, record.id), (&*row.key, &*row.kind, &*row.id));
        assert_eq!((record.data, record.headers), (&*row.data, &*row.headers));
        at += 1;
        ControlFlow::Continue(())
    };
    store.scan("signals", &mut each).unwrap();
    assert_eq!(at, rows.len());
    for row in &rows {
        let Ok(key) = String::from_utf8(row.key.clone()) else { continue };
        let query = EventQuery { key: Some(key.clone()), kind: Some(key), limit: 10, ..EventQuery::default() };
        let page = store.events(&query).unwrap();
        assert_eq!(page.rows.len(), 1, "{query:?}");
        assert_eq!((&page.rows[0].data, &page.rows[0].headers), (&row.data, &row.headers));
        assert!(page.rows[0].stored_at > 0);
    }
}

pub(crate) fn a_scan_goes_up_in_every_partition_and_stops_when_told(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let mut next = [0; 3];
    for n in 0..40_u64 {
        let (partition, count) = ((n % 3) as u32, n % 4 + 1);
        let rows: Vec<Row> = (0..count as i64).map(row).collect();
        let first = next[partition as usize];
        commit_blocks(&*store, &[block(SIGNALS, partition, first, 1, &rows)]);
        next[partition as usize] += count;
    }
    let rows = scanned(&*store, "signals");
    for partition in 0..3 {
        let offsets: Vec<u64> = rows.iter().filter(|r| r.0 == partition).map(|r| r.1).collect();
        assert_eq!(offsets, (0..next[partition as usize]).collect::<Vec<_>>());
    }
    let mut seen = 0;
    let mut each = |_: &store::Scanned<'_>| {
        seen += 1;
        if seen == 13 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan("signals", &mut each).unwrap();
    assert_eq!(seen, 13);
    assert!(scanned(&*store, "nowhere").is_empty());
}

pub(crate) fn questions_may_be_asked_while_rows_are_committed(new: New) {
    let database = new(Shape { chunk_rows: 50, index_early: false });
    let store = database.open();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut seen = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let query = EventQuery { limit: 1_000, count: true, ..EventQuery::default() };
                let page = store.events(&query).unwrap();
                // One state of the store: commits are of 7 rows, and count and rows agree.
                assert_eq!((page.rows.len() as u64, page.rows.len() % 7), (page.total.unwrap(), 0));
                assert!(page.rows.len() >= seen, "rows went away");
                seen = page.rows.len();
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        fill(&*store, 700, 7);
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        readers.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(scanned(&*store, "signals").len(), 700);
}
