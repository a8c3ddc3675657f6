//! Results of windows, appended to streams.

use event::measure::Measure;
use event::{DeliveryStatus, WindowId, headers};
use log::Log;
use serde_json::Value;
use store::query::WindowRow;

use crate::house::{House, until};

fn result(start: i64, tenant: &str, revision: u64) -> WindowRow {
    WindowRow {
        id: WindowId {
            tenant: tenant.to_owned(),
            stream: "signals".to_owned(),
            window: "by_type".to_owned(),
            size_ms: 60_000,
            start,
            key: r#"{"type":"login"}"#.to_owned(),
        },
        end: start + 60_000,
        definition: 0xa1,
        measures: vec![("count".to_owned(), Measure::Count(3))],
        events: 3,
        revision,
        late: 0,
        created_at: 0,
        updated_at: 0,
    }
}

/// An event of a stream: key, type, id, time, tenant, data.
type Event = (String, String, String, i64, String, Value);

fn events(house: &House, stream: &str) -> Vec<Event> {
    let id = house.catalog.find(stream).unwrap();
    let mut cursor = house.log.read(id, &[(0, 0), (1, 0)]).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = Vec::new();
    loop {
        let blocks = cursor.next(1 << 20).unwrap();
        if blocks.is_empty() {
            return found;
        }
        for record in blocks.iter().flat_map(|block| block.records()) {
            let tenant = text(headers::get(record.headers, headers::TENANT).unwrap_or_default());
            let data = serde_json::from_slice(record.data).unwrap();
            found.push((text(record.key), text(record.kind), text(record.id), record.time, tenant, data));
        }
    }
}

#[tokio::test]
async fn a_result_becomes_an_event_with_the_group_as_its_key() {
    let house = House::open();
    house.shelf.put_window("totals", result(120_000, "acme", 1));
    let courier = house.courier(Vec::new());
    until("it is appended", || house.shelf.all(DeliveryStatus::Delivered)).await;
    courier.stop().await;
    let found = events(&house, "totals");
    let (key, kind, id, time, tenant, data) = &found[0];
    assert_eq!((found.len(), key.as_str(), kind.as_str()), (1, r#"{"type":"login"}"#, "by_type"));
    assert_eq!(id, r#"signals/by_type/60000/120000/{"type":"login"}#a1.1"#);
    assert_eq!((*time, tenant.as_str()), (180_000, "acme"));
    assert_eq!((&data["values"]["count"], &data["key"]["type"]), (&3.into(), &"login".into()));
}

#[tokio::test]
async fn a_result_that_is_appended_again_is_suppressed_and_a_changed_one_is_not() {
    let house = House::open();
    for stream in ["totals", "plain"] {
        house.shelf.put_window(stream, result(0, "", 1));
    }
    house.shelf.set_away(true);
    let courier = house.courier(Vec::new());
    until("one was appended, and could not be kept", || house.shelf.refused() > 0).await;
    drop(courier);
    house.shelf.set_away(false);
    house.shelf.put_window("totals", result(0, "", 2));
    house.shelf.put_window("totals", result(0, "acme", 2));
    let courier = house.courier(Vec::new());
    until("all is appended", || house.shelf.all(DeliveryStatus::Delivered)).await;
    courier.stop().await;
    let mut found: Vec<(String, Value)> =
        events(&house, "totals").into_iter().map(|(.., tenant, data)| (tenant, data["revision"].clone())).collect();
    found.sort_by_key(|(tenant, revision)| (tenant.clone(), revision.as_u64()));
    assert_eq!(found, [(String::new(), 1.into()), (String::new(), 2.into()), ("acme".to_owned(), 2.into())]);
    // Where duplicates are not suppressed it may be there twice, never less than once.
    assert!((1..=2).contains(&events(&house, "plain").len()));
}

#[tokio::test]
async fn a_definition_that_is_computed_anew_begins_its_revisions_again_and_is_told() {
    let house = House::open();
    house.shelf.put_window("totals", result(0, "", 1));
    house.shelf.put_window("totals", WindowRow { definition: 0xa2, events: 4, ..result(0, "", 1) });
    let courier = house.courier(Vec::new());
    until("both are appended", || house.shelf.all(DeliveryStatus::Delivered)).await;
    courier.stop().await;
    let found: Vec<Value> = events(&house, "totals").into_iter().map(|(.., data)| data["events"].clone()).collect();
    assert_eq!(found, [3, 4]);
}

#[tokio::test]
async fn a_result_for_a_stream_that_is_not_there_is_given_up() {
    let house = House::open();
    house.shelf.put_window("nowhere", result(0, "", 1));
    house.shelf.put_window("totals", result(0, "", 1));
    let courier = house.courier(Vec::new());
    until("both are done", || !house.shelf.statuses().contains(&DeliveryStatus::Pending)).await;
    courier.stop().await;
    assert_eq!(house.shelf.statuses(), [DeliveryStatus::Failed, DeliveryStatus::Delivered]);
    assert_eq!(house.shelf.entries()[0].error, "its stream is not configured any more");
}

#[tokio::test]
async fn a_log_without_room_costs_no_try() {
    let house = House::open();
    house.disk.tell_free(Some(1));
    house.clock.advance(2_000);
    house.shelf.put_window("totals", result(0, "", 1));
    let courier = house.courier(Vec::new());
    // The lane is given work at a look and pauses then: after some looks the log has said no.
    until("the log was asked", || house.shelf.looks() > 5).await;
    assert_eq!(house.shelf.statuses(), [DeliveryStatus::Pending]);
    house.disk.tell_free(Some(1 << 40));
    house.clock.advance(2_000);
    until("it is appended", || house.shelf.all(DeliveryStatus::Delivered)).await;
    assert_eq!(house.shelf.entries()[0].outgoing.attempts, 1);
    courier.stop().await;
    assert_eq!(events(&house, "totals").len(), 1);
}
