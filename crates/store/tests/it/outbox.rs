//! What is to be told, of every back end: kept with what is new, told once, and told anew when it changes.

use event::{Alert, DeliveryChange, DeliveryStatus, WindowDelta};
use store::query::{AlertQuery, AlertRow, Outgoing, Parcel};
use store::{Commit, Retract, Store};

use crate::data::*;
use crate::windows::{put, stored, whole};

/// Anomalies by number, each with its tenant, and alerts of them.
fn commit(store: &dyn Store, found: &[(&str, u64)], alerts: &[Alert]) {
    let of = |(tenant, n): &(&str, u64)| event::Anomaly { tenant: (*tenant).to_owned(), ..anomaly(*n) };
    let anomalies: Vec<_> = found.iter().map(of).collect();
    store.commit(&Commit { consumer: "engine", anomalies: &anomalies, alerts, ..Commit::default() }).unwrap();
}

fn alerts(store: &dyn Store) -> Vec<AlertRow> {
    store.alerts(&AlertQuery { limit: 1_000, ..AlertQuery::default() }).unwrap().rows
}

fn due(store: &dyn Store) -> Vec<Outgoing> {
    store.outbox(i64::MAX, 1_000).unwrap()
}

fn deliver(store: &dyn Store, row: i64, status: DeliveryStatus, next_at: i64) {
    let error = if status == DeliveryStatus::Delivered { "" } else { "no answer" };
    let change = DeliveryChange { row, at: 77, status, error: error.to_owned(), next_at };
    store.commit(&Commit { consumer: "courier", deliveries: &[change], ..Commit::default() }).unwrap();
}

pub(crate) fn an_alert_is_kept_when_its_anomaly_is_new(new: New) {
    let database = new(SMALL);
    let store = database.open();
    commit(&*store, &[("", 1), ("acme", 2)], &[]);
    let of = |tenant: &str, n, target| Alert { tenant: tenant.to_owned(), ..alert(n, target) };
    let kept = [alert(3, "ops"), alert(3, "team"), of("acme", 1, "ops")];
    let others = [
        alert(1, "ops"),                                              // known before
        of("acme", 2, "ops"),                                         // known before, of this tenant
        alert(2, "ops"),                                              // known of another tenant, not found now
        alert(9, "ops"),                                              // never found
        of("nobody", 3, "ops"),                                       // of a tenant that there is not
        Alert { stream: "events".to_owned(), ..alert(3, "ops") },     // of another stream
        Alert { body: "a second one".to_owned(), ..alert(3, "ops") }, // told already
    ];
    let mut all = kept.to_vec();
    all.extend(others);
    commit(&*store, &[("", 1), ("acme", 1), ("acme", 2), ("", 3), ("", 3)], &all);
    commit(&*store, &[("", 3)], &all);
    let rows: Vec<_> = alerts(&*store).into_iter().rev().collect();
    let told = |row: &AlertRow| Alert {
        tenant: row.tenant.clone(),
        target: row.target.clone(),
        id: row.id.clone(),
        stream: row.stream.clone(),
        anomaly: row.anomaly.clone(),
        body: row.body.clone(),
    };
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), kept);
    for row in rows {
        assert!(row.created_at > 0 && row.next_at == row.created_at);
        assert_eq!((row.status, row.attempts, row.error.as_str()), (DeliveryStatus::Pending, 0, ""));
    }
    // An anomaly that a replay put in anew was told of before.
    let (tenant, stream, id) = (String::new(), "signals".to_owned(), anomaly(3).id);
    let retract = [Retract::Anomaly { tenant, stream, id }];
    let anomalies = [anomaly(3)];
    let again = Alert { id: "again".to_owned(), ..alert(3, "ops") };
    let swap = Commit { retract: &retract, anomalies: &anomalies, alerts: &[again], ..Commit::default() };
    store.commit(&swap).unwrap();
    assert_eq!(alerts(&*store).len(), kept.len());
}

pub(crate) fn alerts_are_found_by_every_filter(new: New) {
    let database = new(SMALL);
    let store = database.open();
    for n in 0..12 {
        let tenant = ["", "acme"][n as usize % 2];
        let alert = Alert { tenant: tenant.to_owned(), ..alert(n, ["ops", "team", "log"][n as usize % 3]) };
        commit(&*store, &[(tenant, n)], &[alert]);
    }
    put(&*store, &[WindowDelta { publish: Some("ops".into()), ..piece(window("w", 0, "a"), &[1]) }]);
    let rows = alerts(&*store);
    deliver(&*store, rows[0].row, DeliveryStatus::Delivered, 0);
    deliver(&*store, rows[1].row, DeliveryStatus::Failed, 0);
    let check = |query: AlertQuery, expected: &[u64], total: u64| {
        let page = store.alerts(&query).unwrap();
        let found: Vec<_> = page.rows.iter().map(|row| row.id.clone()).collect();
        let expected: Vec<_> = expected.iter().map(|n| format!("alert-{n}")).collect();
        assert_eq!((found, page.total), (expected, total), "{query:?}");
    };
    let base = || AlertQuery { limit: 100, ..AlertQuery::default() };
    let some = |text: &str| Some(text.to_owned());
    check(base(), &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 12);
    check(AlertQuery { skip: 3, limit: 2, ..base() }, &[8, 7], 12);
    check(AlertQuery { tenant: some("acme"), ..base() }, &[11, 9, 7, 5, 3, 1], 6);
    check(AlertQuery { tenant: some(""), target: some("ops"), ..base() }, &[6, 0], 2);
    check(AlertQuery { tenant: some("nobody"), ..base() }, &[], 0);
    check(AlertQuery { target: some("team"), ..base() }, &[10, 7, 4, 1], 4);
    check(AlertQuery { status: Some(DeliveryStatus::Delivered), ..base() }, &[11], 1);
    check(AlertQuery { status: Some(DeliveryStatus::Failed), ..base() }, &[10], 1);
    check(AlertQuery { status: Some(DeliveryStatus::Pending), target: some("log"), ..base() }, &[8, 5, 2], 3);
    check(AlertQuery { before: Some(rows[7].row), limit: 2, ..base() }, &[3, 2], 4);
}

pub(crate) fn what_is_due_is_told_until_it_is_done(new: New) {
    let database = new(SMALL);
    let store = database.open();
    commit(&*store, &[("", 0), ("", 1), ("", 2)], &[alert(0, "ops"), alert(1, "ops"), alert(2, "ops")]);
    let rows: Vec<_> = alerts(&*store).into_iter().rev().collect();
    let at = rows[0].created_at;
    assert!(store.outbox(at - 1, 9).unwrap().is_empty(), "nothing is due before it was stored");
    let told = due(&*store);
    assert_eq!(told.iter().map(|told| told.row).collect::<Vec<_>>(), [rows[0].row, rows[1].row, rows[2].row]);
    assert_eq!(told[0], Outgoing { row: rows[0].row, attempts: 0, what: Parcel::Alert(rows[0].clone()) });

    let later = rows[2].next_at + 60_000;
    deliver(&*store, rows[0].row, DeliveryStatus::Pending, later);
    deliver(&*store, rows[1].row, DeliveryStatus::Delivered, later);
    deliver(&*store, 1 << 40, DeliveryStatus::Delivered, later);
    let waits = |now| store.outbox(now, 9).unwrap().iter().map(|told| (told.row, told.attempts)).collect::<Vec<_>>();
    assert_eq!(waits(later - 1), [(rows[2].row, 0)]);
    assert_eq!(waits(later), [(rows[2].row, 0), (rows[0].row, 1)], "as they became due");
    let row = |n: usize| alerts(&*store).into_iter().find(|row| row.row == rows[n].row).unwrap();
    let tried = AlertRow { attempts: 1, error: "no answer".to_owned(), next_at: later, ..rows[0].clone() };
    assert_eq!(row(0), tried);
    deliver(&*store, rows[0].row, DeliveryStatus::Failed, later);
    assert_eq!(row(0), AlertRow { attempts: 2, status: DeliveryStatus::Failed, done_at: Some(77), ..tried });
    let done = row(1);
    assert_eq!((done.status, done.attempts, done.done_at), (DeliveryStatus::Delivered, 1, Some(77)));
    // What is done is done.
    deliver(&*store, rows[1].row, DeliveryStatus::Pending, 0);
    assert_eq!(row(1), done);
    assert_eq!(waits(i64::MAX), [(rows[2].row, 0)]);
}

pub(crate) fn what_waits_for_one_target_hides_nothing_for_another(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let numbers: Vec<_> = (0..30).map(|n| ("", n)).collect();
    let all: Vec<_> = (0..29).map(|n| alert(n, "slow")).chain([alert(29, "ops")]).collect();
    commit(&*store, &numbers, &all);
    put(&*store, &[WindowDelta { publish: Some("slow".into()), ..piece(window("w", 0, "a"), &[1]) }]);
    let told = store.outbox(i64::MAX, 3).unwrap();
    let name = |told: &Outgoing| match &told.what {
        Parcel::Alert(row) => format!("{} {}", row.target, row.id),
        Parcel::Window { to, row } => format!("stream {to} {}", row.id.window),
    };
    let expected = ["ops alert-29", "slow alert-0", "slow alert-1", "slow alert-2", "stream slow w"];
    assert_eq!(told.iter().map(name).collect::<Vec<_>>(), expected);
}

pub(crate) fn a_windows_result_is_told_as_it_is_and_again_when_it_changes(new: New) {
    let database = new(SMALL);
    let store = database.open();
    let to = |stream: &str, amounts: &[i64]| {
        let publish = (!stream.is_empty()).then(|| stream.into());
        WindowDelta { publish, ..piece(window("w", 0, "a"), amounts) }
    };
    let told = || due(&*store).into_iter().map(|out| (out.row, out.attempts, out.what)).collect::<Vec<_>>();
    let results = |pieces: &[&WindowDelta]| {
        let row = store::query::WindowRow { created_at: 0, updated_at: 0, ..whole(pieces) };
        told().into_iter().for_each(|(_, _, what)| {
            let Parcel::Window { row: now, .. } = what else { panic!("{what:?}") };
            assert_eq!(store::query::WindowRow { created_at: 0, updated_at: 0, ..now }, row);
        });
    };
    let (a, b, quiet) = (to("results", &[1]), to("results", &[2]), to("", &[3]));
    put(&*store, &[a.clone(), quiet.clone(), b.clone()]);
    assert_eq!(told().len(), 1, "once, however many pieces");
    results(&[&a, &quiet, &b]);
    let first = told()[0].0;
    deliver(&*store, first, DeliveryStatus::Pending, 5);
    // It changes while it is on its way: what became of that does not settle the result of now.
    put(&*store, std::slice::from_ref(&b));
    let second = told()[0].clone();
    assert!(second.0 > first && second.1 == 1 && told().len() == 1, "the tries go on counting");
    deliver(&*store, first, DeliveryStatus::Delivered, 0);
    assert_eq!(told()[0].0, second.0);
    results(&[&a, &quiet, &b, &b]);
    deliver(&*store, second.0, DeliveryStatus::Delivered, 0);
    assert!(told().is_empty());
    put(&*store, &[quiet]);
    assert!(told().is_empty(), "a piece that is not published tells nobody");
    put(&*store, &[to("results", &[4]), to("other", &[5])]);
    let streams: Vec<_> = told().into_iter().map(|(_, attempts, _)| attempts).collect();
    assert_eq!(streams, [0, 0], "to each stream, from the beginning");
    assert!(alerts(&*store).is_empty());
    // With the window its entries go; with one that is put in its place they stay.
    let retract = [Retract::Window(window("w", 0, "a"))];
    let swap = Commit { retract: &retract, windows: &[to("", &[6])], ..Commit::default() };
    store.commit(&swap).unwrap();
    assert_eq!((told().len(), stored(&*store)[0].events), (2, 1));
    store.commit(&Commit { retract: &retract, ..Commit::default() }).unwrap();
    assert!(told().is_empty());
}
