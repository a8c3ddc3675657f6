//! What every back end must do: functions over `dyn Store`, called once for each back end.

use std::ops::ControlFlow;

use event::Severity;
use store::query::{AnomalyQuery, DeadLetterQuery, EventQuery};
use store::{Commit, Store, StoreError, StoredPosition};

use crate::data::*;

fn everything(store: &dyn Store) -> (Vec<StoredPosition>, usize, usize, u64, u64) {
    let anomalies = store.anomalies(&AnomalyQuery { limit: 10, ..AnomalyQuery::default() }).unwrap().total;
    let letters = store.dead_letters(&DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() }).unwrap().total;
    let rows = scanned(store, "signals").len();
    (store.positions("engine").unwrap(), store.snapshots().unwrap().len(), rows, anomalies, letters)
}

pub(crate) fn a_commit_is_there_whole_and_still_after_reopening(new: New) {
    let database = new(SMALL);
    let rows: Vec<Row> = (0..25).map(row).collect();
    let commit = Commit {
        consumer: "engine",
        moves: vec![step(SIGNALS, 1, 0, 25)],
        blocks: &[block(SIGNALS, 1, 0, 7, &rows)],
        anomalies: &[anomaly(1)],
        dead_letters: &[dead_letter(1)],
        snapshots: &[snapshot(1, 20, b"state")],
    };
    let store = database.open();
    store.commit(&commit).unwrap();
    let position = StoredPosition { stream: "signals".to_owned(), partition: 1, offset: 25 };
    assert_eq!(everything(&*store), (vec![position.clone()], 1, 25, 1, 1));
    drop(store);
    assert_eq!(everything(&*database.open()), (vec![position], 1, 25, 1, 1));
}

pub(crate) fn a_refused_commit_leaves_nothing(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let rows: Vec<Row> = (0..25).map(row).collect();
    // The last thing written is what no database can hold: all before it must go away again.
    let commit = Commit {
        consumer: "engine",
        moves: vec![step(SIGNALS, 0, 0, 25)],
        blocks: &[block(SIGNALS, 0, 0, 7, &rows)],
        anomalies: &[anomaly(1)],
        dead_letters: &[dead_letter(1)],
        snapshots: &[snapshot(0, u64::MAX, b"state")],
    };
    assert!(matches!(store.commit(&commit), Err(StoreError::Refused(_))));
    assert_eq!(everything(&*store), (vec![], 0, 0, 0, 0));
    store.commit(&Commit { snapshots: &[snapshot(0, 20, b"state")], ..commit }).unwrap();
    assert_eq!(everything(&*store).2, 25);
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

pub(crate) fn dead_letters_are_kept_once_and_found_by_every_filter(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let all: Vec<_> = (0..8).map(dead_letter).collect();
    for dead_letters in [&all[..5], &all[2..]] {
        store.commit(&Commit { consumer: "engine", dead_letters, ..Commit::default() }).unwrap();
    }
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

pub(crate) fn expiry_drops_whole_chunks_only(new: New) {
    let database = new(SMALL);
    let store = database.open();
    // Chunks of 10 rows out of commits of 4: received at 1 1 1 1 2 2 2 2 3 3 | 3 3 4 4 4 4 5 5 5 5 | 6 …
    fill(&*store, 24, 4);
    commit_blocks(&*store, &[block(EVENTS, 0, 0, 1, &[row(1)])]);
    let check = |before: i64, dropped: u64, first_left: u64| {
        assert_eq!(store.expire("signals", before).unwrap(), dropped, "before {before}");
        let offsets: Vec<u64> = scanned(&*store, "signals").iter().map(|row| row.1).collect();
        assert_eq!(offsets, (first_left..24).collect::<Vec<_>>());
        let query = EventQuery { stream: Some("signals".into()), limit: 100, count: true, ..EventQuery::default() };
        assert_eq!(store.events(&query).unwrap().total, Some(24 - first_left));
        assert_eq!(store.summary("signals", None, 0).unwrap().events, 24 - first_left);
    };
    check(3, 0, 0);
    check(4, 10, 10);
    check(5, 0, 10);
    check(7, 14, 24);
    assert_eq!(scanned(&*store, "events").len(), 1, "another stream is left alone");
    assert_eq!(store.expire("nowhere", 100).unwrap(), 0);
    commit_blocks(&*store, &[block(SIGNALS, 0, 24, 9, &[row(24)])]);
    assert_eq!(scanned(&*store, "signals").len(), 1, "and the stream goes on");
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
