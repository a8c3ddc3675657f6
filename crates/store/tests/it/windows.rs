//! Windows of every back end: merged exactly whatever the order, replaced, retracted, and found page by page.

use std::collections::BTreeMap;

use event::measure::Measure;
use event::{WindowDelta, WindowId};
use proptest::prelude::*;
use proptest::sample::select;
use store::query::{WindowQuery, WindowRow};
use store::{Commit, Retract, Store};

use crate::data::*;

pub(crate) fn put(store: &dyn Store, windows: &[WindowDelta]) {
    store.commit(&Commit { consumer: "engine", windows, ..Commit::default() }).unwrap();
}

/// All windows, without the times at which they were stored.
pub(crate) fn stored(store: &dyn Store) -> Vec<WindowRow> {
    let mut rows = store.windows(&WindowQuery { limit: 10_000, ..WindowQuery::default() }).unwrap().rows;
    rows.iter_mut().for_each(|row| {
        assert!(0 < row.created_at && row.created_at <= row.updated_at);
        (row.created_at, row.updated_at) = (0, 0);
    });
    rows
}

/// The row that a window's pieces should be.
pub(crate) fn whole(pieces: &[&WindowDelta]) -> WindowRow {
    let mut measures = pieces[0].measures.clone();
    for piece in &pieces[1..] {
        measures.iter_mut().zip(&piece.measures).for_each(|(mine, more)| mine.merge(more));
    }
    WindowRow {
        id: pieces[0].id.clone(),
        end: pieces.iter().map(|piece| piece.end).max().unwrap(),
        definition: pieces[0].definition,
        measures: pieces[0].names.iter().cloned().zip(measures).collect(),
        events: pieces.iter().map(|piece| piece.events).sum(),
        revision: pieces.len() as u64,
        late: 0,
        created_at: 0,
        updated_at: 0,
    }
}

/// The order of a page.
fn order(id: &WindowId) -> impl Ord + use<> {
    let WindowId { tenant, stream, window, size_ms, start, key } = id.clone();
    (std::cmp::Reverse(start), window, size_ms, key, stream, tenant)
}

fn any_id() -> impl Strategy<Value = WindowId> {
    let tenant = select(&["", "", "acme", "globex"][..]);
    let (name, key) = (select(&["by_user", "by_type"][..]), select(&["a", "b", "B", "κ"][..]));
    let sizes = select(&[0_i64, 60_000, 300_000][..]);
    (tenant, select(&NAMES[..]), name, sizes, 0..4_i64, key).prop_map(|(tenant, stream, name, size_ms, n, key)| {
        let id = window(name, n * 60_000, key);
        WindowId { tenant: tenant.to_owned(), stream: stream.to_owned(), size_ms, ..id }
    })
}

fn any_piece() -> impl Strategy<Value = WindowDelta> {
    (any_id(), prop::collection::vec(-1_000..1_000_i64, 1..5), 0..3_i64).prop_map(|(id, amounts, longer)| {
        let piece = piece(id, &amounts);
        // A session grows with its pieces.
        WindowDelta { end: piece.end + if piece.id.size_ms == 0 { longer } else { 0 }, ..piece }
    })
}

pub(crate) fn pieces_in_any_order_and_any_commits_give_equal_rows(new: New) {
    let pieces = prop::collection::vec(any_piece(), 1..60);
    let pieces = pieces.prop_flat_map(|pieces| (Just(pieces.clone()), Just(pieces).prop_shuffle()));
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let any = (pieces, 1..9_usize, any::<bool>());
    proptest!(config, |(((pieces, shuffled), commits, reopen) in any)| {
        let mut windows: BTreeMap<_, Vec<&WindowDelta>> = BTreeMap::new();
        pieces.iter().for_each(|piece| windows.entry(order(&piece.id)).or_default().push(piece));
        let expected: Vec<_> = windows.values().map(|pieces| whole(pieces)).collect();
        let database = new(SMALL);
        let mut store = database.open();
        for some in shuffled.chunks(pieces.len().div_ceil(commits)) {
            put(&*store, some);
            if reopen {
                drop(store);
                store = database.open();
            }
        }
        prop_assert_eq!(stored(&*store), expected);
    });
}

fn any_question() -> impl Strategy<Value = WindowQuery> {
    let maybe = |values: &'static [&'static str]| prop::option::weighted(0.3, select(values).prop_map(str::to_owned));
    let key = prop::option::weighted(0.3, select(&["a", "B", "none"][..]).prop_map(|key| window("", 0, key).key));
    let time = || prop::option::weighted(0.3, (-1..5_i64).prop_map(|n| n * 60_000));
    let size = prop::option::weighted(0.3, select(&[0_i64, 60_000, 7][..]));
    let filters = (maybe(&["", "acme", "nobody"]), maybe(&NAMES), maybe(&["by_user", "nothing"]), size, key);
    (filters, time(), time(), 1..8_usize).prop_map(|((tenant, stream, window, size_ms, key), from, to, limit)| {
        WindowQuery { tenant, stream, window, size_ms, key, from, to, after: None, limit }
    })
}

fn asked(rows: &[WindowRow], query: &WindowQuery) -> Vec<WindowId> {
    let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
    let ids = rows.iter().map(|row| row.id.clone());
    ids.filter(|id| is(&query.tenant, &id.tenant) && is(&query.stream, &id.stream) && is(&query.window, &id.window))
        .filter(|id| is(&query.key, &id.key) && query.size_ms.is_none_or(|size| size == id.size_ms))
        .filter(|id| query.from.is_none_or(|t| id.start >= t) && query.to.is_none_or(|t| id.start <= t))
        .collect()
}

pub(crate) fn any_page_of_windows_is_answered_as_by_the_model(new: New) {
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let ids = prop::collection::btree_set(any_id(), 0..60);
    let questions = prop::collection::vec((any_question(), any_id()), 1..12);
    proptest!(config, |(ids in ids, questions in questions)| {
        let database = new(SMALL);
        let store = database.open();
        put(&*store, &ids.into_iter().map(|id| piece(id, &[1])).collect::<Vec<_>>());
        let rows = stored(&*store);
        prop_assert!(rows.is_sorted_by_key(|row| order(&row.id)));
        for (mut query, place) in questions {
            let expected = asked(&rows, &query);
            // From any place, be it there or not: what the order has behind it.
            query.after = Some(place.clone());
            let page = store.windows(&query).unwrap();
            let behind: Vec<_> = expected.iter().filter(|id| order(id) > order(&place)).cloned().collect();
            prop_assert_eq!(page.more, behind.len() > query.limit);
            prop_assert_eq!(ids_of(&page.rows), &behind[..query.limit.min(behind.len())], "{:?}", query);
            // And page by page from the beginning.
            query.after = None;
            let mut walked = Vec::new();
            loop {
                let page = store.windows(&query).unwrap();
                walked.extend(ids_of(&page.rows));
                query.after = walked.last().cloned();
                if !page.more {
                    break;
                }
                prop_assert_eq!(page.rows.len(), query.limit);
            }
            prop_assert_eq!(walked, expected, "{:?}", query);
        }
    });
}

fn ids_of(rows: &[WindowRow]) -> Vec<WindowId> {
    rows.iter().map(|row| row.id.clone()).collect()
}

pub(crate) fn a_page_goes_through_a_start_with_many_groups(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let id = |n: i64| window(["a", "b"][n as usize % 2], n / 4_000 * MINUTE, &format!("{:04}", n % 4_000));
    put(&*store, &(0..12_000).map(|n| piece(id(n), &[n])).collect::<Vec<_>>());
    let mut expected: Vec<_> = (0..12_000).map(id).collect();
    expected.sort_by_cached_key(order);
    let mut query = WindowQuery { limit: 700, ..WindowQuery::default() };
    let mut walked = Vec::new();
    loop {
        let page = store.windows(&query).unwrap();
        walked.extend(ids_of(&page.rows));
        query.after = walked.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(walked, expected);
}

pub(crate) fn a_piece_of_another_definition_replaces_the_row(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let old = |amounts: &[i64]| piece(window("w", 0, "a"), amounts);
    let other = |count: u64, definition| WindowDelta {
        definition,
        names: ["n".to_owned()].into(),
        measures: vec![Measure::Count(count)],
        events: count,
        ..old(&[])
    };
    let check = |pieces: &[WindowDelta], counted: u64, revision: u64| {
        put(&*store, pieces);
        let row = stored(&*store).remove(0);
        let last = pieces.last().unwrap();
        assert_eq!((row.definition, row.events, row.revision), (last.definition, counted, revision));
        assert_eq!(row.measures.len(), last.names.len());
        assert_eq!(row.measures[0], (last.names[0].clone(), Measure::Count(counted)));
    };
    check(&[old(&[1, 2])], 2, 1);
    check(&[other(5, 1)], 5, 2);
    check(&[other(6, 1)], 11, 3);
    check(&[other(1, 2), other(2, 2), other(3, 2)], 6, 6);
    // The last one of a commit counts, also when the row is of the same definition as the first.
    check(&[other(1, 2), other(7, 3), other(8, 3)], 15, 9);
    check(&[other(1, 4), other(7, 3)], 7, 11);
    // Late events of a definition that the row is not of are no result that could take its place.
    put(&*store, &[WindowDelta { correction: true, ..other(1, 9) }]);
    let row = stored(&*store).remove(0);
    assert_eq!((row.definition, row.events, row.revision), (3, 7, 11));
}

pub(crate) fn a_retracted_window_goes_and_one_that_comes_again_goes_on(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let ids = ["a", "b", "c"].map(|key| window("w", 0, key));
    let pieces = ids.clone().map(|id| piece(id, &[1, 2]));
    put(&*store, &pieces);
    put(&*store, &pieces);
    let counts = ids.clone().map(|id| late(id, 5, 1_000));
    let late = |late| store.commit(&Commit { consumer: "engine", late, ..Commit::default() }).unwrap();
    late(&counts);
    let retract = [
        Retract::Window(ids[0].clone()),
        Retract::Window(ids[1].clone()),
        Retract::Window(window("w", 0, "unknown")),
        Retract::Window(WindowId { tenant: "nobody".to_owned(), ..ids[2].clone() }),
        Retract::Window(WindowId { stream: "nowhere".to_owned(), ..ids[2].clone() }),
    ];
    let again_of = |id: &WindowId| piece(id.clone(), &[9]);
    let again = [again_of(&ids[1])];
    store.commit(&Commit { consumer: "replay", retract: &retract, windows: &again, ..Commit::default() }).unwrap();
    let rows = stored(&*store);
    assert_eq!(ids_of(&rows), ids[1..]);
    assert_eq!(rows[0], WindowRow { revision: 3, ..whole(&[&again[0]]) }, "what it had is not counted again");
    assert_eq!(rows[1], WindowRow { late: 5, ..whole(&[&pieces[2], &pieces[2]]) });
    // The newest row, replaced together with a new window that comes before it.
    let (retract, both) = ([Retract::Window(ids[2].clone())], [piece(window("v", 0, "n"), &[1]), again_of(&ids[2])]);
    store.commit(&Commit { retract: &retract, windows: &both, ..Commit::default() }).unwrap();
    assert_eq!(stored(&*store)[2], WindowRow { revision: 3, ..whole(&[&both[1]]) });
    assert_eq!(stored(&*store)[0], whole(&[&both[0]]));
    store.commit(&Commit { retract: &[Retract::Window(both[0].id.clone())], ..Commit::default() }).unwrap();
    assert_eq!(ids_of(&stored(&*store)), ids[1..]);
    // What is added in a later commit is a new window, with new counts.
    put(&*store, &pieces[..1]);
    late(&counts[..1]);
    assert_eq!(stored(&*store)[0], WindowRow { late: 5, ..whole(&[&pieces[0]]) });
}

pub(crate) fn late_events_are_counted_with_and_without_their_window(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let ids = ["a", "b"].map(|key| window("w", 0, key));
    let of_acme = WindowId { tenant: "acme".to_owned(), ..ids[0].clone() };
    let counts = [late(ids[0].clone(), 2, 70), late(ids[1].clone(), 1, 5), late(ids[0].clone(), 4, 50)];
    let commit =
        |late, windows| store.commit(&Commit { consumer: "engine", late, windows, ..Commit::default() }).unwrap();
    // The counts come first: nobody has seen the windows yet.
    commit(&counts, &[]);
    assert_eq!(stored(&*store), []);
    let windows = [ids[0].clone(), ids[1].clone(), of_acme].map(|id| piece(id, &[1]));
    commit(&counts[..1], &windows);
    let late: Vec<_> = stored(&*store).iter().map(|row| (row.id.tenant.clone(), row.late)).collect();
    assert_eq!(late, [(String::new(), 8), ("acme".to_owned(), 0), (String::new(), 1)]);
}
