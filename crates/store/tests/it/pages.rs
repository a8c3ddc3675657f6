//! Pages and counts of every back end against the model: any rows, any chunks, any question.

use event::StreamId;
use proptest::prelude::*;
use proptest::sample::select;
use store::Store;
use store::query::{After, EventPage, EventQuery, EventRow, Order, Start};

use crate::data::*;
use crate::model::Model;

const KEYS: [&str; 6] = ["", "a", "b", "B", "κ🔑", "a\0b"];
const KINDS: [&str; 4] = ["", "login", "click", "Login"];
const IDS: [&str; 4] = ["", "1", "01", "x"];
const TENANTS: [&str; 4] = ["", "", "a", "b"];

/// One commit: for some stream and partition some rows.
type Load = Vec<(usize, u32, Vec<Row>)>;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..12_i64, select(&KEYS[..]), select(&KINDS[..]), select(&IDS[..]), any::<u8>(), select(&TENANTS[..]));
    let row = row.prop_map(|(time, key, kind, id, byte, tenant)| {
        let row = Row {
            time,
            key: key.into(),
            kind: kind.into(),
            id: id.into(),
            data: vec![b'"', byte, b'"'],
            headers: if byte % 4 == 0 { vec![byte] } else { vec![] },
        };
        (tenant, row)
    });
    // Some requests are of the default tenant alone, so that every store begins without tenants, or stays so.
    (prop::collection::vec(row, 1..20), any::<bool>()).prop_map(|(rows, mixed)| {
        rows.into_iter().map(|(tenant, row)| of(if mixed { tenant } else { "" }, row)).collect()
    })
}

fn load() -> impl Strategy<Value = Load> {
    prop::collection::vec((0..2_usize, 0..3_u32, rows()), 1..4)
}

fn question() -> impl Strategy<Value = EventQuery> {
    let maybe = |values: &'static [&'static str]| prop::option::weighted(0.3, select(values).prop_map(str::to_owned));
    let time = || prop::option::weighted(0.4, -1..14_i64);
    let tenant = prop::option::weighted(0.6, select(&["", "a", "b", "nobody"][..]).prop_map(str::to_owned));
    let filters = (maybe(&NAMES), maybe(&KEYS), maybe(&KINDS), maybe(&IDS), time(), time(), tenant);
    (filters, any::<bool>(), 0..30_u64, 1..40_usize).prop_map(|(f, up, skip, limit)| EventQuery {
        tenant: f.6,
        stream: f.0,
        key: f.1,
        kind: f.2,
        id: f.3,
        from: f.4,
        to: f.5,
        order: if up { Order::Ascending } else { Order::Descending },
        start: Start::Skip(skip),
        limit,
        count: true,
    })
}

/// Commits a load, each part as its own block.
pub(crate) fn put(store: &dyn Store, model: &mut Model, next: &mut [[u64; 3]; 2], received: i64, load: &Load) {
    for (stream, partition, rows) in load {
        let first = &mut next[*stream][*partition as usize];
        let block = block(StreamId(*stream as u16), *partition, *first, received, rows);
        *first += rows.len() as u64;
        model.add(&block);
        commit_blocks(store, &[block]);
    }
}

/// The store's page as the model would give it: when it was stored is the store's own affair.
pub(crate) fn asked(store: &dyn Store, query: &EventQuery) -> EventPage {
    let mut page = store.events(query).unwrap();
    page.rows.iter_mut().for_each(|row| row.stored_at = 0);
    page
}

/// Walks all pages from the start on, each after the last row of the one before.
pub(crate) fn walk(store: &dyn Store, query: &EventQuery) -> Vec<EventRow> {
    let mut query = EventQuery { start: Start::Skip(0), ..query.clone() };
    let mut rows: Vec<EventRow> = Vec::new();
    loop {
        let page = asked(store, &query);
        rows.extend(page.rows);
        let Some(last) = rows.last().filter(|_| page.more) else { return rows };
        let (stream, partition) = (last.stream.clone(), last.partition);
        query.start = Start::After(After { time: last.time, stream, partition, offset: last.offset });
    }
}

pub(crate) fn any_question_is_answered_as_by_the_model(new: New) {
    let shape = (1..30_u64, any::<bool>()).prop_map(|(chunk_rows, index_early)| Shape { chunk_rows, index_early });
    let loads = prop::collection::vec(load(), 1..6);
    let questions = prop::collection::vec(question(), 1..12);
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(shape in shape, loads in loads, questions in questions, since in 0..7_i64)| {
        let database = new(shape);
        let (mut model, mut next) = (Model::default(), [[0; 3]; 2]);
        let mut store = database.open();
        for (received, load) in loads.iter().enumerate() {
            put(&*store, &mut model, &mut next, received as i64, load);
            if received == 2 {
                drop(store);
                store = database.open();
            }
        }
        for query in &questions {
            prop_assert_eq!(asked(&*store, query), model.events(query), "{:?}", query);
            let all = EventQuery { start: Start::Skip(0), limit: usize::MAX, ..query.clone() };
            prop_assert_eq!(walk(&*store, query), model.events(&all).rows, "walking {:?}", query);
        }
        for (stream, tenant) in NAMES.iter().flat_map(|s| [None, Some(""), Some("a"), Some("nobody")].map(|t| (s, t))) {
            let expected = model.summary(stream, tenant, since);
            prop_assert_eq!(store.summary(stream, tenant, since).unwrap(), expected, "{:?} since {}", tenant, since);
        }
    });
}

pub(crate) fn a_stream_of_many_types_is_still_in_order(new: New) {
    // More types in a chunk than are merged one by one, in chunks that overlap in time.
    let database = new(Shape { chunk_rows: 60, index_early: true });
    let store = database.open();
    let (mut model, mut next) = (Model::default(), [[0; 3]; 2]);
    for commit in 0..20_i64 {
        let row = |n: i64| Row { time: (n * 7 + commit) % 50, kind: format!("kind-{n}").into(), ..row(n) };
        put(&*store, &mut model, &mut next, commit, &vec![(0, 0, (0..45).map(row).collect())]);
    }
    for order in [Order::Ascending, Order::Descending] {
        let query = EventQuery { order, limit: 37, ..EventQuery::default() };
        let all = EventQuery { limit: usize::MAX, ..query.clone() };
        assert_eq!(walk(&*store, &query), model.events(&all).rows);
    }
    assert_eq!(store.summary("signals", None, 0).unwrap(), model.summary("signals", None, 0));
}

pub(crate) fn runs_longer_than_one_reading_are_whole(new: New) {
    // One key, one type, one time: far more rows than a source reads at once.
    let database = new(Shape { chunk_rows: 5_000, index_early: true });
    let store = database.open();
    for n in 0..6 {
        let rows = vec![Row { time: 5, ..row(0) }; 2_000];
        commit_blocks(&*store, &[block(SIGNALS, n % 2, u64::from(n / 2) * 2_000, 1, &rows)]);
    }
    for key in [None, Some("key-0".to_owned())] {
        let query = EventQuery { key, limit: 700, ..EventQuery::default() };
        let places: Vec<_> = walk(&*store, &query).iter().map(|r| (r.partition, r.offset)).collect();
        let expected: Vec<_> = (0..2).flat_map(|p| (0..6_000).map(move |offset| (p, offset))).collect();
        assert_eq!(places, expected);
    }
}
