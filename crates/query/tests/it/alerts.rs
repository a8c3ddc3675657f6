//! `/v1/alerts`: shape, filters, pages.

use event::{DeliveryChange, DeliveryStatus};
use serde_json::{Value, json};
use store::{Commit, Store};

use crate::house::{House, NOW, ok};

fn house() -> House {
    let house = House::open();
    for number in 1..=3 {
        house.alert("", number, &["pager", "chat"]);
    }
    let change =
        |row, status, error: &str| DeliveryChange { row, at: NOW, status, error: error.to_owned(), next_at: NOW };
    let deliveries = [
        change(1, DeliveryStatus::Delivered, ""),
        change(2, DeliveryStatus::Failed, "it answered 404"),
        change(3, DeliveryStatus::Pending, "it answered 500"),
    ];
    house.store.commit(&Commit { consumer: "courier", deliveries: &deliveries, ..Commit::default() }).unwrap();
    house
}

#[tokio::test]
async fn an_alert_tells_what_became_of_it() {
    let body = ok(&house().router(), "/v1/alerts").await;
    let mut rows = body["alerts"].as_array().unwrap().clone();
    rows.reverse();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        assert!(row.remove("created_at").unwrap().is_string());
        // When it is tried first is when it was stored, by the store's own clock.
        if row["attempts"] == 0 {
            assert!(row.remove("next_at").unwrap().is_string());
        }
    }
    let at = "2025-11-24T16:00:00.000Z";
    let alert = |target: &str, number: u32| {
        json!({
            "id": format!("{target}/events//{number}"), "target": target, "stream": "events",
            "anomaly": number.to_string(), "body": {"type": "anomaly.detected", "of": number},
            "status": "pending", "attempts": 0, "error": null, "done_at": null,
        })
    };
    let with = |mut alert: Value, more: Value| {
        alert.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        alert
    };
    let tried = |status: &str, error: Value, next_at: Value, done_at: Value| json!({"status": status, "attempts": 1, "error": error, "next_at": next_at, "done_at": done_at});
    let expected = [
        with(alert("pager", 1), tried("delivered", Value::Null, Value::Null, at.into())),
        with(alert("chat", 1), tried("failed", "it answered 404".into(), Value::Null, at.into())),
        with(alert("pager", 2), tried("pending", "it answered 500".into(), at.into(), Value::Null)),
        alert("chat", 2),
        alert("pager", 3),
        alert("chat", 3),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let router = house().router();
    for (filters, expected) in [
        ("", 6),
        ("target=pager", 3),
        ("target=nobody", 0),
        ("status=pending", 4),
        ("status=delivered", 1),
        ("status=failed&target=chat", 1),
        ("status=failed&target=pager", 0),
    ] {
        let body = ok(&router, &format!("/v1/alerts?{filters}")).await;
        assert_eq!(body["alerts"].as_array().unwrap().len(), expected, "{filters}: {body}");
    }
}

#[tokio::test]
async fn pages_go_through_all_of_them_whatever_is_raised_meanwhile() {
    let house = house();
    let router = house.router();
    let (mut path, mut seen) = ("/v1/alerts?target=pager&limit=1".to_owned(), Vec::new());
    loop {
        let body = ok(&router, &path).await;
        seen.extend(body["alerts"].as_array().unwrap().iter().map(|row| row["anomaly"].clone()));
        house.alert("", 10 + seen.len() as u64, &["pager"]);
        let Some(cursor) = body["next_cursor"].as_str() else { break };
        path = format!("/v1/alerts?target=pager&limit=1&cursor={cursor}");
    }
    assert_eq!(seen, ["3", "2", "1"]);
}
