//! Totals that PostgreSQL tells from counts of its commits: those that counting gives, whatever the hours and however many
//! tenants and types there are.

use event::Millis;
use proptest::prelude::*;
use proptest::sample::select;
use store::query::{EventQuery, Order};
use store::{Answers, Store};

use crate::data::*;
use crate::model::Model;
use crate::pages::{asked, put};
use crate::servers::Live;

const HOUR: Millis = 3_600_000;

fn a_row(time: Millis, n: usize, kinds: usize, tenants: usize) -> Row {
    let tenant = if n.is_multiple_of(2) { String::new() } else { format!("t{}", n % tenants) };
    of(&tenant, Row { time, kind: format!("kind-{}", n % kinds).into_bytes(), ..row(n as i64) })
}

fn totals_are_right(store: &dyn Store, model: &Model, times: &[Option<Millis>]) {
    let some = |text: &str| Some(text.to_owned());
    for tenant in [None, some(""), some("t1"), some("nobody")] {
        for kind in [None, some("kind-0"), some("kind-3"), some("none")] {
            for (stream, from, to) in times.iter().flat_map(|from| {
                times.iter().flat_map(move |to| [(None, *from, *to), (Some("signals".to_owned()), *from, *to)])
            }) {
                let query = EventQuery {
                    tenant: tenant.clone(),
                    stream,
                    kind: kind.clone(),
                    from,
                    to,
                    ..EventQuery::default()
                };
                let query = EventQuery { order: Order::Descending, limit: 3, count: true, ..query };
                assert_eq!(asked(store, &query), model.events(&query), "{query:?}");
            }
        }
        for since in times.iter().map(|time| time.unwrap_or(0)) {
            let found = store.summary("signals", tenant.as_deref(), since).unwrap();
            assert_eq!(found, model.summary("signals", tenant.as_deref(), since), "{tenant:?} since {since}");
        }
    }
}

#[test]
fn postgres_adds_totals_up_as_counting_does() {
    let sizes = (select(&[1_usize, 5, 400][..]), select(&[1_usize, 3, 300][..]));
    let commits = prop::collection::vec((0..60 * HOUR, -2 * HOUR..2 * HOUR, 1..500_usize), 1..8);
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((kinds, tenants) in sizes, commits in commits, cut in 0..60 * HOUR)| {
        let database = Live::postgres();
        let store = database.store();
        let (mut model, mut next) = (Model::default(), [[0; 3]; 2]);
        for (at, (received, ahead, rows)) in commits.iter().enumerate() {
            let rows = (0..*rows).map(|n| a_row(received + ahead + n as i64, n, kinds, tenants)).collect();
            put(&store, &mut model, &mut next, *received, &vec![(at % 2, at as u32 % 3, rows)]);
        }
        totals_are_right(&store, &model, &[None, Some(cut), Some(20 * HOUR), Some(30 * HOUR - 1)]);
        // With a day its counts go.
        store.expire("signals", 24 * HOUR).unwrap();
        model.rows.retain(|row| row.stream != "signals" || row.received_at >= 24 * HOUR);
        totals_are_right(&store, &model, &[None, Some(cut)]);
    });
}

#[test]
fn postgres_counts_what_a_clean_up_leaves() {
    let database = Live::postgres();
    let store = database.store();
    let mut shell = database.shell();
    let now: Millis = shell.query_one("SELECT (extract(epoch FROM now()) * 1000)::bigint", &[]).unwrap().get(0);
    let (mut model, mut next) = (Model::default(), [[0; 3]; 2]);
    let cut = now - 24 * HOUR;
    for (n, received) in (0..).zip([cut - 30 * HOUR, cut - 1_000, cut + 60_000, cut + 50 * 60_000, now]) {
        let rows = (0..40 + n).map(|n| a_row(received, n, 4, 3)).collect();
        put(&store, &mut model, &mut next, received, &vec![(0, 1, rows)]);
    }
    shell.query("SELECT * FROM cleanup_old_data(1)", &[]).unwrap();
    model.rows.retain(|row| row.received_at >= cut);
    totals_are_right(&store, &model, &[None, Some(cut + 60_000), Some(now - HOUR)]);
}

#[test]
fn timescale_forgets_counts_with_the_rows() {
    let database = Live::timescale();
    let store = database.store();
    let (mut model, mut next) = (Model::default(), [[0; 3]; 2]);
    for day in 0..3_i64 {
        for stream in 0..2 {
            let rows = (0..30).map(|n| a_row(day * 24 * HOUR, n, 4, 3)).collect();
            put(&store, &mut model, &mut next, day * 24 * HOUR + 5, &vec![(stream, 1, rows)]);
        }
    }
    for (stream, days) in [("signals", 1), ("events", 1), ("events", 2)] {
        store.expire(stream, days * 24 * HOUR).unwrap();
        model.rows.retain(|row| row.stream != stream || row.received_at >= days * 24 * HOUR);
        totals_are_right(&store, &model, &[None, Some(24 * HOUR)]);
    }
    assert_eq!(store.summary("events", None, 0).unwrap().events, 30);
}
