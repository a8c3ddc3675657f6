//! `/v1/events/{id}`: found by id and by place, before and after it is stored.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::house::{House, NOW, Sent, json, minute, ok, visit};

#[tokio::test]
async fn an_event_is_found_from_the_log_on_and_gains_its_row_when_stored() {
    let house = House::open();
    let router = house.router();
    house
        .append(
            "signals",
            1,
            &[
                Sent::signal(6, "login", NOW, "{}").id("other"),
                Sent::signal(8, "purchase", NOW + 1, r#"{"amount":2000}"#).id("ev/1 ü"),
            ],
        )
        .await;
    for path in ["/v1/events/ev%2F1%20%C3%BC", "/v1/events/signals-1-1", "/v1/events/ev%2F1%20%C3%BC?stream=signals"] {
        let found = ok(&router, path).await;
        assert_eq!(found["event"]["event_id"], "ev/1 ü", "{path}");
        assert_eq!(found["event"]["data"]["payload"]["amount"], 2000);
        let expected = json!({
            "received_at": "2025-11-24T16:00:00.000Z", "validated": true, "deduplicated": true,
            "position": {"stream": "signals", "partition": 1, "offset": 1},
            "stored_at": null, "anomalies": [], "rows": [], "replay_of": null, "dead_letter": null,
            "windows": [
                {
                    "window": "by_type", "size": "1m", "start": "2025-11-24T16:00:00.000Z",
                    "end": "2025-11-24T16:01:00.000Z", "key": {"type": "purchase"},
                    "closed": false, "events": null, "revision": null, "late": null,
                },
                {
                    "window": "visits", "size": "session", "start": null, "end": null, "key": {"user_id": 8},
                    "closed": false, "events": null, "revision": null, "late": null,
                },
            ],
        });
        assert_eq!(found["lineage"], expected, "{path}");
    }
    house.store_all();
    for path in ["/v1/events/ev%2F1%20%C3%BC", "/v1/events/signals-1-1"] {
        let lineage = &ok(&router, path).await["lineage"];
        assert!(lineage["stored_at"].is_string(), "{path}: {lineage}");
        assert_eq!(lineage["anomalies"], json!([format!("8_{}_high_value_purchase", NOW + 1)]));
        assert_eq!((&lineage["rows"][0]["partition"], &lineage["rows"][0]["offset"]), (&1.into(), &1.into()));
    }
}

#[tokio::test]
async fn an_event_tells_its_windows_once_they_are_closed() {
    let house = House::open();
    let sent = [Sent::signal(8, "login", NOW + 61_000, "{}"), Sent::signal(8, "login", NOW + 200_000, "{}")];
    house.append("signals", 0, &sent).await;
    // Others' windows beside its own: another minute, another type, another tenant, another user's visit.
    house.close(&[
        minute("", NOW, "login", 1),
        minute("", NOW + 60_000, "click", 2),
        minute("acme", NOW + 60_000, "login", 3),
    ]);
    house.close(&[minute("", NOW + 60_000, "login", 4), minute("", NOW + 60_000, "login", 5)]);
    house.close(&[
        visit(8, NOW + 30_000, NOW + 90_000),
        visit(8, NOW - 500_000, NOW - 400_000),
        visit(9, NOW, NOW + 90_000),
    ]);
    let router = house.router();
    let windows = &ok(&router, "/v1/events/signals-0-0").await["lineage"]["windows"];
    let expected = json!([
        {
            "window": "by_type", "size": "1m", "start": "2025-11-24T16:01:00.000Z", "end": "2025-11-24T16:02:00.000Z",
            "key": {"type": "login"}, "closed": true, "events": 9, "revision": 2, "late": 0,
        },
        {
            "window": "visits", "size": "session", "start": "2025-11-24T16:00:30.000Z",
            "end": "2025-11-24T16:01:30.000Z", "key": {"user_id": 8}, "closed": true, "events": 2, "revision": 1, "late": 0,
        },
    ]);
    assert_eq!(*windows, expected);
    let later = &ok(&router, "/v1/events/signals-0-1").await["lineage"]["windows"];
    assert_eq!([&later[0]["closed"], &later[1]["closed"]], [false, false], "the last visit ended before it: {later}");
}

#[tokio::test]
async fn a_refused_event_tells_its_dead_letter_and_a_replay_where_it_comes_from() {
    let house = House::open();
    let plain = Sent::signal(1, "login", NOW, "{}");
    let replay = Sent { replay_of: "signals-0-0", ..Sent::signal(1, "login", NOW, "{}") };
    house.append("signals", 0, &[plain.clone(), plain, replay]).await;
    house.refuse("signals-0-0", "rule_panic");
    let router = house.router();
    let letter = json!({
        "id": "signals-0-0", "stage": "process", "code": "rule_panic", "message": "refused: rule_panic",
        "attempts": 1, "status": "open",
    });
    for (offset, dead_letter, replay_of) in
        [(0, letter.clone(), Value::Null), (1, Value::Null, Value::Null), (2, letter.clone(), "signals-0-0".into())]
    {
        let lineage = &ok(&router, &format!("/v1/events/signals-0-{offset}")).await["lineage"];
        assert_eq!((&lineage["dead_letter"], &lineage["replay_of"]), (&dead_letter, &replay_of), "{offset}");
    }
}

#[tokio::test]
async fn every_place_finds_its_own_row_also_among_equal_times_without_keys_and_ids() {
    let house = House::open();
    for partition in [0, 1] {
        let sent: Vec<Sent> = (0..3).map(|i| Sent::plain(NOW, &format!(r#"{{"at":"{partition}-{i}"}}"#))).collect();
        house.append("events", partition, &sent).await;
    }
    house.store_all();
    let router = house.router();
    for (partition, offset) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let found = ok(&router, &format!("/v1/events/events-{partition}-{offset}")).await;
        assert_eq!(found["event"]["data"]["at"], format!("{partition}-{offset}"));
        assert_eq!(found["event"]["event_id"], format!("events-{partition}-{offset}"));
        assert_eq!(found["lineage"]["deduplicated"], false);
        assert!(found["lineage"]["stored_at"].is_string(), "{found}");
        assert_eq!(found["lineage"]["rows"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn a_position_wins_over_an_event_id_that_looks_like_one() {
    let house = House::open();
    house.append("events", 0, &[Sent::plain(NOW, r#"{"n":0}"#), Sent::plain(NOW, r#"{"n":1}"#).id("events-0-0")]).await;
    house.store_all();
    let router = house.router();
    assert_eq!(ok(&router, "/v1/events/events-0-0").await["event"]["data"]["n"], 0);
    house.append("events", 0, &[Sent::plain(NOW, r#"{"n":2}"#).id("events-9-9")]).await;
    assert_eq!(ok(&router, "/v1/events/events-9-9").await["event"]["data"]["n"], 2, "no such place, so it is an id");
}

#[tokio::test]
async fn the_newest_of_equal_ids_is_shown_and_all_rows_are_listed() {
    let house = House::open();
    house.append("events", 0, &[Sent::plain(NOW, "{}").id("same"), Sent::plain(NOW + 5, "{}").id("same")]).await;
    house.append("signals", 0, &[Sent::signal(1, "login", NOW + 9, "{}").id("same")]).await;
    house.store_all();
    let router = house.router();
    assert_eq!(ok(&router, "/v1/events/same").await["event"]["stream"], "signals");
    let found = ok(&router, "/v1/events/same?stream=events").await;
    assert_eq!(found["event"]["offset"], 1);
    let offsets: Vec<&Value> = found["lineage"]["rows"].as_array().unwrap().iter().map(|row| &row["offset"]).collect();
    assert_eq!(offsets, [1, 0]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let house = House::open();
    house.append("signals", 0, &[Sent::signal(1, "login", NOW, "{}").id("here")]).await;
    house.append("events", 0, &[Sent::plain(NOW, "{}")]).await;
    let router = house.router();
    let long = "x".repeat(300);
    for id in [
        "nope",
        "signals-0-1",
        "signals-3-0",
        "signals-0--1",
        "_refused-0-0",
        "here?stream=events",
        "signals-0-0?stream=events",
        &long,
    ] {
        let (status, body) = json(&router, &format!("/v1/events/{id}")).await;
        assert_eq!((status, &body["error_code"]), (StatusCode::NOT_FOUND, &"event_not_found".into()), "{id}");
    }
}
