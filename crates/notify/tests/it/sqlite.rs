//! The whole way over a real store: anomalies and windows committed, told, and known to be told.

use std::sync::Arc;

use event::measure::Measure;
use event::{Alert, Anomaly, DeliveryStatus, WindowDelta, WindowId};
use log::Log;
use notify::{Target, Targets};
use store::query::{AlertQuery, AlertRow};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Commit, Store};

use crate::house::{House, anomaly, target, until};
use crate::receiver::Receiver;

/// A store beside the house's log. It stamps rows with the system's time: the house's clock goes ahead of it, so that they
/// are due at once.
fn open(house: &House) -> Arc<SqliteStore> {
    house.clock.advance(3_600_000);
    let path = house.folder.path().join("store.db");
    Arc::new(SqliteStore::open(&path, house.catalog.clone(), SqliteSettings::default()).unwrap())
}

fn commit(store: &SqliteStore, targets: &[Target], anomalies: &[Anomaly]) {
    let alerts: Vec<Alert> = Targets::new(targets.to_vec()).alerts_for(anomalies);
    store.commit(&Commit { consumer: "engine", anomalies, alerts: &alerts, ..Commit::default() }).unwrap();
}

fn alerts(store: &SqliteStore, status: DeliveryStatus) -> Vec<AlertRow> {
    let query = AlertQuery { status: Some(status), limit: 1_000, ..AlertQuery::default() };
    store.alerts(&query).unwrap().rows
}

#[tokio::test]
async fn an_anomaly_is_told_once_to_each_target_however_often_it_is_committed() {
    let (house, receiver) = (House::open(), Receiver::open().await);
    let (store, targets) = (open(&house), vec![target("a", &receiver.url), target("b", &receiver.url)]);
    let found = [anomaly(0), Anomaly { tenant: "acme".to_owned(), ..anomaly(0) }];
    commit(&store, &targets, &found);
    let courier = house.courier_over(store.clone(), targets.clone(), |_| {});
    until("all are told", || alerts(&store, DeliveryStatus::Delivered).len() == 4).await;
    // As after a restart that re-runs a batch.
    commit(&store, &targets, &found);
    commit(&store, &targets, &[anomaly(1)]);
    until("the new one is told", || alerts(&store, DeliveryStatus::Delivered).len() == 6).await;
    courier.stop().await;
    let mut ids: Vec<String> = receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((receiver.count(), ids.len()), (6, 6));
    assert!(alerts(&store, DeliveryStatus::Delivered).iter().all(|row| row.attempts == 1 && row.done_at.is_some()));
}

#[tokio::test]
async fn what_waits_for_a_dead_target_hides_nothing_from_the_others() {
    let (house, dead, well) = (House::open(), Receiver::open().await, Receiver::open().await);
    dead.answers([500; 5]);
    let (store, to_dead, to_well) = (open(&house), target("dead", &dead.url), target("well", &well.url));
    let many: Vec<Anomaly> = (0..500).map(anomaly).collect();
    commit(&store, std::slice::from_ref(&to_dead), &many);
    let courier = house.courier_over(store.clone(), vec![to_dead, to_well.clone()], |_| {});
    until("the dead one is left alone", || dead.count() == 5).await;
    commit(&store, &[to_well], &[anomaly(1_000)]);
    until("the other is told", || well.count() == 1).await;
    assert_eq!(dead.count(), 5);
    assert_eq!(alerts(&store, DeliveryStatus::Pending).iter().filter(|row| row.target == "dead").count(), 500);
    courier.stop().await;
}

fn piece(count: u64) -> WindowDelta {
    WindowDelta {
        id: WindowId {
            tenant: String::new(),
            stream: "signals".to_owned(),
            window: "by_type".to_owned(),
            size_ms: 60_000,
            start: 0,
            key: "{}".to_owned(),
        },
        end: 60_000,
        definition: 1,
        partition: 0,
        offset: count,
        names: vec!["count".to_owned()].into(),
        measures: vec![Measure::Count(count)],
        events: count,
        correction: false,
        publish: Some("totals".into()),
    }
}

/// How many events a stream has.
fn appended(house: &House, stream: &str) -> u64 {
    let id = house.catalog.find(stream).unwrap();
    house.log.extents(id).iter().map(|extent| extent.next).sum()
}

#[tokio::test]
async fn each_change_of_a_window_is_appended_as_it_is_then() {
    let house = House::open();
    let store = open(&house);
    let courier = house.courier_over(store.clone(), Vec::new(), |_| {});
    for round in 1..=3 {
        store.commit(&Commit { consumer: "engine", windows: &[piece(round)], ..Commit::default() }).unwrap();
        until("it is appended", || appended(&house, "totals") == round).await;
    }
    courier.stop().await;
    let id = house.catalog.find("totals").unwrap();
    let mut cursor = house.log.read(id, &[(0, 0), (1, 0)]).unwrap();
    let mut seen = Vec::new();
    loop {
        let blocks = cursor.next(1 << 20).unwrap();
        if blocks.is_empty() {
            break;
        }
        for record in blocks.iter().flat_map(|block| block.records()) {
            let data: serde_json::Value = serde_json::from_slice(record.data).unwrap();
            seen.push((data["revision"].as_u64().unwrap(), data["values"]["count"].as_u64().unwrap()));
        }
    }
    assert_eq!(seen, [(1, 1), (2, 3), (3, 6)]);
}
