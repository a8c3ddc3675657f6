//! What goes with old rows, of every back end.

use event::{
    Catalog, DeadLetter, DeliveryChange, DeliveryStatus, LetterChange, LetterEvent, LetterStatus, Millis, Stage,
};
use event::{WindowDelta, WindowId};
use store::query::{AlertQuery, AnomalyQuery, DeadLetterQuery, EventQuery};
use store::{Commit, Store};

use crate::data::*;
use crate::windows::stored;

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

pub(crate) fn days_go_as_a_whole_when_they_are_old(new: New) {
    const DAY: Millis = 24 * 3_600_000;
    let database = new(SMALL);
    let store = database.open();
    for day in 0..4_u64 {
        let rows: Vec<Row> = (0..10).map(|n| row(day as i64 * 10 + n)).collect();
        commit_blocks(&*store, &[block(SIGNALS, 0, day * 10, day as i64 * DAY + 5, &rows)]);
    }
    let rows: Vec<Row> = (0..10).map(row).collect();
    commit_blocks(&*store, &[block(EVENTS, 0, 0, DAY + 5, &rows)]);
    let check = |before: i64, dropped: u64, first_left: u64, others: usize| {
        assert_eq!(store.expire("signals", before).unwrap(), dropped, "before {before}");
        let offsets: Vec<u64> = scanned(&*store, "signals").iter().map(|row| row.1).collect();
        assert_eq!(offsets, (first_left..40).collect::<Vec<_>>());
        let query = EventQuery { stream: Some("signals".into()), limit: 100, count: true, ..EventQuery::default() };
        assert_eq!(store.events(&query).unwrap().total, Some(40 - first_left));
        assert_eq!(store.summary("signals", None, 0).unwrap().events, 40 - first_left);
        assert_eq!(scanned(&*store, "events").len(), others, "another stream is left alone");
    };
    check(0, 0, 0, 10);
    check(5, 0, 0, 10);
    check(DAY, 10, 10, 10);
    check(2 * DAY + 5, 10, 20, 10);
    assert_eq!(store.expire("events", 2 * DAY).unwrap(), 10);
    check(4 * DAY, 20, 40, 0);
    assert_eq!(store.expire("nowhere", 9 * DAY).unwrap(), 0);
    commit_blocks(&*store, &[block(SIGNALS, 0, 40, 5, &[row(40)])]);
    assert_eq!(scanned(&*store, "signals").len(), 1, "and the stream goes on");
}

/// The time by the store's own clock.
fn now(store: &dyn Store) -> Millis {
    let windows = [piece(WindowId { stream: "clock".to_owned(), ..window("w", 0, "") }, &[1])];
    store.commit(&Commit { windows: &windows, ..Commit::default() }).unwrap();
    let clock = Some("clock".to_owned());
    let query = store::query::WindowQuery { stream: clock, limit: 1, ..store::query::WindowQuery::default() };
    store.windows(&query).unwrap().rows[0].updated_at
}

pub(crate) fn anomalies_go_with_their_stream(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let mut anomalies: Vec<_> = (0..2_500).map(anomaly).collect();
    anomalies.push(event::Anomaly { stream: "events".to_owned(), ..anomaly(1) });
    anomalies.push(event::Anomaly { tenant: "acme".to_owned(), ..anomaly(2) });
    store.commit(&Commit { anomalies: &anomalies, ..Commit::default() }).unwrap();
    let total = || store.anomalies(&AnomalyQuery { limit: 1, ..AnomalyQuery::default() }).unwrap().total;
    for (before, left) in [(0, 2_502), (2_000, 501), (2_001, 500), (9_999, 1)] {
        store.expire("signals", before).unwrap();
        assert_eq!(total(), left, "received before {before}");
    }
}

pub(crate) fn windows_go_when_they_ended_before_and_have_not_changed_since(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let now = now(&*store);
    let day = 24 * 3_600_000;
    let (soon, of_now) = (now + day, now - 10 * MINUTE);
    // Some ended long ago, some end later than the rest has changed; a session, and windows of others.
    let ids = [
        window("w", 0, "long ago"),
        window("w", of_now, "a while ago"),
        WindowId { size_ms: 0, ..window("w", of_now, "session") },
        WindowId { tenant: "acme".to_owned(), ..window("w", 0, "theirs") },
        window("w", soon, "ahead"),
        WindowId { size_ms: 7 * day, ..window("w", of_now, "long") },
        WindowId { stream: "events".to_owned(), ..window("w", 0, "other stream") },
    ];
    let publish = |id: &WindowId| WindowDelta { publish: Some("results".into()), ..piece(id.clone(), &[1]) };
    let windows: Vec<_> = ids.iter().map(publish).collect();
    let counts: Vec<_> = ids.iter().map(|id| late(id.clone(), 3, 1)).collect();
    store.commit(&Commit { windows: &windows, late: &counts, ..Commit::default() }).unwrap();
    let left = || {
        let mut rows = stored(&*store);
        rows.retain(|row| row.id.stream != "clock");
        assert!(rows.iter().all(|row| row.late == 3));
        assert_eq!(store.outbox(i64::MAX, 99).unwrap().len(), rows.len(), "what waits goes with its window");
        rows.into_iter().map(|row| row.id.key).collect::<Vec<_>>()
    };
    store.expire("signals", of_now).unwrap();
    assert_eq!(left().len(), ids.len(), "they ended long ago, but were stored a moment ago");
    store.expire("signals", soon).unwrap();
    let key = |name: &str| window("", 0, name).key;
    assert_eq!(left(), [key("ahead"), key("long"), key("other stream")]);
    // The counts are gone too: the window that comes again has none.
    store.commit(&Commit { windows: &windows[..1], ..Commit::default() }).unwrap();
    assert_eq!(stored(&*store).iter().find(|row| row.id == ids[0]).unwrap().late, 0);
    // More than one turn of them.
    let windows: Vec<_> = (0..2_345).map(|n| piece(window("w", n, "many"), &[1])).collect();
    store.commit(&Commit { windows: &windows, late: &counts[..1], ..Commit::default() }).unwrap();
    store.expire("signals", soon).unwrap();
    assert_eq!(left(), [key("ahead"), key("long"), key("other stream")]);
}

pub(crate) fn what_was_told_goes_and_what_waits_stays(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let anomalies: Vec<_> = (0..3).map(|n| event::Anomaly { received_at: i64::MAX, ..anomaly(n) }).collect();
    let alerts: Vec<_> = (0..3).map(|n| alert(n, "ops")).collect();
    store.commit(&Commit { anomalies: &anomalies, alerts: &alerts, ..Commit::default() }).unwrap();
    let page = || store.alerts(&AlertQuery { limit: 9, ..AlertQuery::default() }).unwrap().rows;
    let done = [(0, DeliveryStatus::Delivered), (1, DeliveryStatus::Failed)].map(|(n, status)| DeliveryChange {
        row: page()[n].row,
        at: 100 + n as i64,
        status,
        error: String::new(),
        next_at: 0,
    });
    store.commit(&Commit { deliveries: &done, ..Commit::default() }).unwrap();
    for (stream, before, left) in
        [("signals", 100, 3), ("events", 999, 3), ("signals", 101, 2), ("signals", 1 << 60, 1)]
    {
        store.expire(stream, before).unwrap();
        assert_eq!(page().len(), left, "{stream} before {before}");
    }
}

pub(crate) fn settled_dead_letters_go_with_the_log_that_holds_them(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let soon = now(&*store) + 3_600_000;
    let mut dead_letters = Vec::new();
    let mut letter_changes = Vec::new();
    for stage in Stage::ALL {
        for status in LetterStatus::ALL {
            let id = format!("{} {}", stage.as_str(), status.as_str());
            let stream = "signals".to_owned();
            letter_changes.extend((status == LetterStatus::Discarded).then(|| LetterChange {
                tenant: String::new(),
                id: id.clone(),
                event: LetterEvent::Discarded,
            }));
            let status = if status == LetterStatus::Discarded { LetterStatus::Open } else { status };
            dead_letters.push(DeadLetter { id, stream, stage, status, ..dead_letter(0) });
        }
    }
    let commit = Commit { dead_letters: &dead_letters, letter_changes: &letter_changes, ..Commit::default() };
    store.commit(&commit).unwrap();
    let left = || {
        let page = store.dead_letters(&DeadLetterQuery { limit: 99, ..DeadLetterQuery::default() }).unwrap();
        let gone = dead_letters.iter().filter(|letter| page.rows.iter().all(|row| row.id != letter.id));
        gone.map(|letter| letter.id.clone()).collect::<Vec<_>>()
    };
    store.expire("signals", 1_000).unwrap();
    assert_eq!(left(), [""; 0], "they were settled a moment ago");
    store.expire("events", soon).unwrap();
    assert_eq!(left(), [""; 0]);
    store.expire("signals", soon).unwrap();
    let own = ["process resolved", "process discarded", "store resolved", "store discarded"];
    assert_eq!(left(), own);
    store.expire(Catalog::REFUSED, soon).unwrap();
    assert_eq!(left()[..2], ["collect resolved", "collect discarded"]);
    assert_eq!(left()[2..], own);
}
