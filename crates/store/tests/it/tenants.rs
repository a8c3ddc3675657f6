//! Tenants of every back end: each sees its own, whatever is equal, and who sees all sees all in order.

use event::{Anomaly, DeadLetter};
use store::query::{AnomalyQuery, DeadLetterQuery, EventQuery, Order};
use store::{Commit, Store, StoreError};

use crate::data::*;
use crate::model::Model;
use crate::pages::{asked, put, walk};

const TENANTS: [&str; 3] = ["", "acme", "globex"];
/// Rows, anomalies and dead letters of each.
const EACH: u64 = 30;

fn whose(tenant: &str) -> Option<String> {
    Some(tenant.to_owned())
}

fn found(tenant: &str, n: u64) -> Anomaly {
    Anomaly { tenant: tenant.to_owned(), ..anomaly(n) }
}

fn refused(tenant: &str, n: u64) -> DeadLetter {
    DeadLetter { tenant: tenant.to_owned(), ..dead_letter(n) }
}

/// Puts the same into a store for every tenant, in turn: first the default one alone, then all.
fn fill_alike(store: &dyn Store, model: &mut Model) {
    let mut next = [[0; 3]; 2];
    let mut load = |tenants: &[&str], numbers: std::ops::Range<u64>| {
        for n in numbers {
            let rows = tenants.iter().map(|tenant| of(tenant, row(n as i64))).collect();
            put(store, model, &mut next, n as i64, &vec![(0, 0, rows)]);
            let anomalies: Vec<_> = tenants.iter().map(|tenant| found(tenant, n)).collect();
            let dead_letters: Vec<_> = tenants.iter().map(|tenant| refused(tenant, n)).collect();
            let commit = Commit { consumer: "engine", anomalies: &anomalies, ..Commit::default() };
            // Twice: equal ids of one tenant are the same thing.
            for _ in 0..2 {
                store.commit(&Commit { dead_letters: &dead_letters, moves: vec![], ..commit }).unwrap();
            }
        }
    };
    load(&TENANTS[..1], 0..EACH / 2);
    load(&TENANTS, EACH / 2..EACH);
    load(&TENANTS[1..], 0..EACH / 2);
}

pub(crate) fn tenants_with_equal_keys_types_and_ids_see_only_their_own(new: New) {
    for index_early in [false, true] {
        let database = new(Shape { chunk_rows: 10, index_early });
        let mut model = Model::default();
        let store = database.open();
        fill_alike(&*store, &mut model);
        check_events(&*store, &model);
        check_facts(&*store);
        // Now all that is sealed is indexed and counted.
        for _ in 0..20 {
            store.expire("signals", 0).unwrap();
        }
        check_events(&*store, &model);
        drop(store);
        let store = database.open();
        check_events(&*store, &model);
        check_facts(&*store);
    }
}

fn check_events(store: &dyn Store, model: &Model) {
    let base = || EventQuery { stream: whose("signals"), limit: 1_000, count: true, ..EventQuery::default() };
    let questions = |tenant: Option<String>| {
        let (key, kind, id) = (whose("key-1"), whose("kind-0"), whose("id-4"));
        let all = EventQuery { tenant, ..base() };
        [
            all.clone(),
            EventQuery { stream: None, order: Order::Descending, ..all.clone() },
            EventQuery { key: key.clone(), ..all.clone() },
            EventQuery { kind: kind.clone(), ..all.clone() },
            EventQuery { key: key.clone(), kind: kind.clone(), order: Order::Descending, ..all.clone() },
            EventQuery { id: id.clone(), ..all.clone() },
            EventQuery { id, key, kind, ..all.clone() },
            EventQuery { from: Some(1_003), to: Some(1_008), ..all },
        ]
    };
    for tenant in [None, whose(""), whose("acme"), whose("globex"), whose("nobody")] {
        for query in questions(tenant.clone()) {
            let page = asked(store, &query);
            assert_eq!(page, model.events(&query), "{query:?}");
            if let Some(tenant) = &tenant {
                assert!(page.rows.iter().all(|row| tenant_of(&row.headers) == tenant), "{query:?}");
            }
            let short = EventQuery { limit: 7, ..query.clone() };
            assert_eq!(walk(store, &short), model.events(&query).rows, "walking {short:?}");
        }
        for since in [0, 10, 29] {
            let mut summary = store.summary("signals", tenant.as_deref(), since).unwrap();
            let (anomalies, letters) = (summary.anomalies, summary.dead_letters);
            (summary.anomalies, summary.dead_letters) = (0, 0);
            summary.anomalies_by_rule.clear();
            summary.anomalies_by_severity.clear();
            summary.top_keys_by_anomalies.clear();
            assert_eq!(summary, model.summary("signals", tenant.as_deref(), since), "{tenant:?} since {since}");
            let times = [1, 3, 0][usize::from(tenant.is_none()) + 2 * usize::from(tenant == whose("nobody"))];
            let numbers = || since as u64..EACH;
            let meant = numbers().filter(|n| dead_letter(*n).stream == "signals").count() as u64;
            assert_eq!((anomalies, letters), (numbers().count() as u64 * times, meant * times), "{tenant:?}");
        }
    }
    assert_eq!(scanned(store, "signals").len() as u64, EACH * 3, "a scan is of all");
}

fn check_facts(store: &dyn Store) {
    type Ask = fn(AnomalyQuery) -> AnomalyQuery;
    type Is = fn(&Anomaly) -> bool;
    let base = |tenant: Option<&str>| AnomalyQuery {
        tenant: tenant.map(str::to_owned),
        limit: 1_000,
        ..AnomalyQuery::default()
    };
    let anomalies: [(Ask, Is); 5] = [
        (|q| q, |_| true),
        (|q| AnomalyQuery { stream: whose("signals"), ..q }, |_| true),
        (|q| AnomalyQuery { key: whose("key-1"), ..q }, |a| a.key == "key-1"),
        (|q| AnomalyQuery { rule: whose("rule-1"), from: Some(105), ..q }, |a| a.rule == "rule-1" && a.time >= 105),
        (|q| AnomalyQuery { to: Some(103), ..q }, |a| a.time <= 103),
    ];
    let letters = |tenant: Option<&str>| DeadLetterQuery {
        tenant: tenant.map(str::to_owned),
        limit: 1_000,
        ..DeadLetterQuery::default()
    };
    for tenant in [None, Some(""), Some("acme"), Some("globex"), Some("nobody")] {
        let owners: Vec<_> = TENANTS.into_iter().filter(|owner| tenant.is_none_or(|t| t == *owner)).collect();
        let order = |a: &Anomaly| (std::cmp::Reverse((a.time, a.offset)), a.tenant.clone());
        for (ask, is) in &anomalies {
            let query = ask(base(tenant));
            let page = store.anomalies(&query).unwrap();
            assert!(page.rows.is_sorted_by_key(|row| std::cmp::Reverse(row.anomaly.time)), "{query:?}");
            let mut rows: Vec<_> = page.rows.into_iter().map(|row| row.anomaly).collect();
            let mut expected: Vec<_> = owners.iter().flat_map(|o| (0..EACH).map(|n| found(o, n))).filter(is).collect();
            rows.sort_by_key(order);
            expected.sort_by_key(order);
            assert_eq!((page.total, rows), (expected.len() as u64, expected), "{query:?}");
        }
        let base = || letters(tenant);
        for (query, each) in [
            (base(), EACH),
            (DeadLetterQuery { id: whose("letter-4"), ..base() }, 1),
            (DeadLetterQuery { stream: whose("events"), ..base() }, EACH / 2),
            (DeadLetterQuery { code: whose("too_deep"), ..base() }, EACH / 2 - 1),
        ] {
            let page = store.dead_letters(&query).unwrap();
            assert_eq!((page.total, page.rows.len() as u64), (each * owners.len() as u64, page.total), "{query:?}");
            assert!(page.rows.iter().all(|letter| owners.contains(&letter.tenant.as_str())), "{query:?}");
        }
    }
}

pub(crate) fn more_tenants_than_are_merged_are_still_in_order_and_apart(new: New) {
    let database = new(Shape { chunk_rows: 120, index_early: true });
    let store = database.open();
    let (mut model, mut next) = (Model::default(), [[0; 3]; 2]);
    for commit in 0..8_i64 {
        let row = |n: i64| of(&format!("t{n}"), Row { time: (n * 7 + commit) % 50, ..row(n) });
        put(&*store, &mut model, &mut next, commit, &vec![(0, 0, (0..45).map(row).collect())]);
    }
    store.expire("signals", 0).unwrap();
    let base = EventQuery { limit: 37, count: true, ..EventQuery::default() };
    for order in [Order::Ascending, Order::Descending] {
        for (key, kind) in [(None, None), (whose("key-1"), None), (None, whose("kind-1"))] {
            for tenant in [None, whose("t7"), whose("")] {
                let query = EventQuery { tenant, key: key.clone(), kind: kind.clone(), order, ..base.clone() };
                let all = EventQuery { limit: usize::MAX, ..query.clone() };
                assert_eq!(walk(&*store, &query), model.events(&all).rows, "{query:?}");
                assert_eq!(asked(&*store, &query).total, model.events(&query).total, "{query:?}");
            }
        }
    }
    for (tenant, since) in [(None, 0), (None, 5), (Some("t7"), 0), (Some("t7"), 5)] {
        let expected = model.summary("signals", tenant, since);
        assert_eq!(store.summary("signals", tenant, since).unwrap(), expected, "{tenant:?} since {since}");
    }
}

pub(crate) fn a_commit_that_fails_gives_no_tenant_the_number_of_another(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let blocks = [block(SIGNALS, 0, 0, 1, &[of("gone", row(0))])];
    let snapshots = [snapshot(0, u64::MAX, b"what no database can hold")];
    let failing = Commit { consumer: "engine", blocks: &blocks, snapshots: &snapshots, ..Commit::default() };
    assert!(matches!(store.commit(&failing), Err(StoreError::Refused(_))));
    commit_blocks(&*store, &[block(SIGNALS, 0, 0, 1, &[of("kept", row(0)), of("gone", row(1))])]);
    for (tenant, offset) in [("kept", 0), ("gone", 1)] {
        let query = EventQuery { tenant: whose(tenant), limit: 10, ..EventQuery::default() };
        let offsets: Vec<_> = store.events(&query).unwrap().rows.iter().map(|row| row.offset).collect();
        assert_eq!(offsets, [offset], "{tenant}");
    }
}
