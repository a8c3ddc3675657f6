//! `/v1/events` and `/v1/anomalies`: bytes, cursors, order.

use axum::http::StatusCode;
use serde_json::Value;

use crate::house::{House, NOW, Sent, json, ok, text};

#[tokio::test]
async fn data_comes_back_byte_for_byte() {
    let bodies = [
        r#"{"u":"\u00e4\ud83d\ude00\/","n":1.0e+05}"#,
        r#"{"big":123456789012345678901234567890.10,"neg":-0}"#,
        "{ \"white\" :\t[ 1 ,\r\n2 ]\n}",
        r#"{"twice":1,"twice":2,"":null}"#,
        r#""just a string""#,
        "{\"utf8\":\"日本語 ü 😀\"}",
    ];
    let house = House::open();
    let events: Vec<Sent> = bodies.iter().zip(NOW..).map(|(body, time)| Sent::plain(time, body)).collect();
    house.append("events", 1, &events).await;
    house.store_all();
    let (_, answer) = text(&house.router(), "/v1/events?stream=events").await;
    let mut rest = answer.as_str();
    for body in bodies {
        let data = format!(r#""data":{body}}}"#);
        let at = rest.find(&data).unwrap_or_else(|| panic!("{body} is not in {rest}"));
        rest = &rest[at + data.len()..];
    }
}

#[tokio::test]
async fn what_is_not_json_comes_as_base64_with_its_type() {
    let house = House::open();
    let png = Sent { content_type: Some("image/png"), data: vec![0x89, b'P', 0, 0xff], time: NOW, ..Sent::default() };
    let cloud = Sent { content_type: Some("application/cloudevents+json"), ..Sent::plain(NOW + 1, "{}") };
    house.append("events", 0, &[png, cloud]).await;
    house.store_all();
    let page = ok(&house.router(), "/v1/events").await;
    let (png, cloud) = (&page["events"][0], &page["events"][1]);
    assert_eq!((&png["data_base64"], &png["content_type"]), (&"iVAA/w==".into(), &"image/png".into()));
    assert!(png.get("data").is_none());
    assert!(cloud["data"].is_object() && cloud.get("data_base64").is_none());
}

/// Forty events of two streams and five partitions with many equal times: the hard case for a cursor.
async fn many() -> House {
    let house = House::open();
    for (stream, partition) in [("signals", 0), ("signals", 1), ("signals", 2), ("events", 0), ("events", 1)] {
        let sent = |i: i64| {
            let key = format!("k{}", i % 2);
            let id = if stream == "signals" { format!("{partition}-{i}") } else { String::new() };
            Sent { key, kind: "t", id, ..Sent::plain(NOW + i / 3, "{}") }
        };
        house.append(stream, partition, &(0..8).map(sent).collect::<Vec<_>>()).await;
    }
    house.store_all();
    house
}

type Place = (String, String, u64, u64);

fn places(page: &Value) -> Vec<Place> {
    let rows = page["events"].as_array().unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let place = |r: &Value| {
        (text(&r["time"]), text(&r["stream"]), r["partition"].as_u64().unwrap(), r["offset"].as_u64().unwrap())
    };
    rows.iter().map(place).collect()
}

#[tokio::test]
async fn cursor_pages_cover_every_row_once_in_order() {
    let router = many().await.router();
    for (filters, rows) in [("", 40), ("&stream=signals", 24), ("&stream=events&key=k1", 8), ("&key=k0&type=t", 20)] {
        let whole = places(&ok(&router, &format!("/v1/events?limit=1000{filters}")).await);
        let mut sorted = whole.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((whole.len(), &whole), (rows, &sorted), "{filters}");
        for limit in [1, 2, 3, 7, rows - 1, rows, rows + 1] {
            for order in ["asc", "desc"] {
                let base = format!("/v1/events?order={order}&limit={limit}{filters}");
                let mut seen = walk(&router, &base, limit).await;
                if order == "desc" {
                    seen.reverse();
                }
                assert_eq!(seen, whole, "{base}");
            }
        }
    }
}

async fn walk(router: &axum::Router, base: &str, limit: usize) -> Vec<Place> {
    let mut seen = Vec::new();
    let mut page = ok(router, base).await;
    loop {
        let rows = places(&page);
        assert!(rows.len() <= limit, "{base}");
        seen.extend(rows);
        let Some(cursor) = page["next_cursor"].as_str().map(str::to_owned) else { return seen };
        assert_eq!(page["events"].as_array().unwrap().len(), limit, "only the last page is short");
        page = ok(router, &format!("{base}&cursor={cursor}")).await;
    }
}

#[tokio::test]
async fn a_cursor_keeps_its_place_while_events_arrive() {
    let house = many().await;
    let router = house.router();
    let first = ok(&router, "/v1/events?stream=events&limit=10").await;
    house.append("events", 0, &[Sent::plain(NOW - 5, "{}"), Sent::plain(NOW + 50, "{}")]).await;
    house.store_all();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = ok(&router, &format!("/v1/events?stream=events&limit=10&cursor={cursor}")).await;
    assert_eq!(second["events"].as_array().unwrap().len(), 7, "six that were left, and the new one behind them");
    assert_eq!(second["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_cursor_is_refused_with_other_filters_but_takes_another_limit() {
    let router = many().await.router();
    let page = ok(&router, "/v1/events?stream=signals&limit=2").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in ["stream=events", "stream=signals&order=desc", "stream=signals&key=k1", "stream=signals&from=1"] {
        let (status, body) = json(&router, &format!("/v1/events?{other}&cursor={cursor}")).await;
        assert_eq!(
            (status, &body["details"]["parameter"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &"cursor".into()),
            "{other}"
        );
    }
    let (status, _) = json(&router, &format!("/v1/anomalies?stream=signals&cursor={cursor}")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let next = ok(&router, &format!("/v1/events?stream=signals&limit=5&order=asc&cursor={cursor}")).await;
    assert_eq!(next["events"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn times_may_be_rfc_3339_or_milliseconds() {
    let router = many().await.router();
    for (from, to) in
        [(NOW.to_string(), NOW.to_string()), ("2025-11-24T16:00:00Z".to_owned(), "2025-11-24T16:00:00.000Z".to_owned())]
    {
        let page = ok(&router, &format!("/v1/events?from={from}&to={to}")).await;
        assert_eq!(places(&page).len(), 15, "{from}");
    }
}

#[tokio::test]
async fn anomaly_pages_cover_every_row_once_also_when_times_are_equal_and_new_ones_arrive() {
    let house = House::open();
    let buy = |user: i64, time: i64| Sent::signal(user, "purchase", time, r#"{"amount":5000}"#).id(&format!("{user}"));
    house.append("signals", 0, &(0..11).map(|i| buy(i, NOW + i / 5)).collect::<Vec<_>>()).await;
    house.store_all();
    let router = house.router();
    let whole = ok(&router, "/v1/anomalies").await;
    assert_eq!((whole["anomalies"].as_array().unwrap().len(), &whole["next_cursor"]), (11, &Value::Null));
    for limit in [1, 2, 3, 5, 10, 11] {
        let base = format!("/v1/anomalies?stream=signals&severity=high&limit={limit}");
        let mut seen = Vec::new();
        let mut page = ok(&router, &base).await;
        loop {
            seen.extend(page["anomalies"].as_array().unwrap().clone());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            page = ok(&router, &format!("{base}&cursor={cursor}")).await;
        }
        assert_eq!(&seen, whole["anomalies"].as_array().unwrap(), "limit {limit}");
    }
    let first = ok(&router, "/v1/anomalies?limit=4").await;
    house.append("signals", 0, &[buy(99, NOW + 100)]).await;
    house.store_all();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = ok(&router, &format!("/v1/anomalies?limit=7&cursor={cursor}")).await;
    assert_eq!(second["anomalies"].as_array().unwrap()[..], whole["anomalies"].as_array().unwrap()[4..]);
}
