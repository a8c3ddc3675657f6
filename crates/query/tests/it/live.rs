//! `/v1/live`: history, frames, topics, seats, the end.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::house::{House, NOW, Sent, minute, send};

/// Reads one server-sent event: its name (`message` when it has none) and its data.
pub(crate) async fn next(body: &mut Body) -> Option<(String, Value)> {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let frame = body.frame().await?.unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref()?).unwrap());
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
    Some((field("event:").unwrap_or("message".to_owned()), serde_json::from_str(&field("data:")?).unwrap()))
}

async fn open(router: &axum::Router, path: &str) -> Response {
    let response = send(router, path, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

#[tokio::test]
async fn a_subscriber_gets_the_history_then_frames_with_figures_and_the_latest_anomalies() {
    let house = House::open();
    house.append("signals", 0, &[Sent::signal(8, "purchase", NOW, r#"{"amount":2000}"#)]).await;
    house.store_all();
    {
        let mut figures = house.figures.lock().unwrap();
        figures.accepted = 5;
        figures.lag_events = 3;
        figures.anomalies = vec![("high_value_purchase".to_owned(), 1)];
        figures.ack_ms = (0.5, 2.5);
    }
    let router = house.router();
    let mut body = open(&router, "/v1/live").await.into_body();
    let (name, history) = next(&mut body).await.unwrap();
    assert_eq!((name.as_str(), &history["columns"][0]), ("history", &"time".into()));
    let frame = loop {
        let (name, frame) = next(&mut body).await.unwrap();
        assert_eq!(name, "message");
        if frame["anomalies"]["latest"].is_array() {
            break frame;
        }
    };
    assert_eq!(
        (&frame["time"], &frame["totals"]["accepted"], &frame["lag"]["events"]),
        (&NOW.into(), &5.into(), &3.into())
    );
    assert_eq!(frame["latency"]["ack_ms"], serde_json::json!({"p50": 0.5, "p99": 2.5}));
    assert_eq!(frame["anomalies"]["by_rule"]["high_value_purchase"], 1);
    let latest = &frame["anomalies"]["latest"][0];
    assert_eq!((&latest["key"], &latest["severity"], latest.get("data")), (&"8".into(), &"high".into(), None));
}

#[tokio::test]
async fn windows_that_close_late_events_and_breakers_are_shown() {
    let house = House::open();
    let router = house.router();
    let mut body = open(&router, "/v1/live?topics=windows,breakers,rates").await.into_body();
    assert_eq!(next(&mut body).await.unwrap().1["breakers"], serde_json::json!({}));
    house.close(&[minute("", NOW - 60_000, "login", 7), minute("", NOW, "login", 8)]);
    {
        let mut figures = house.figures.lock().unwrap();
        (figures.windows, figures.late, figures.quarantined) = (2, 5, 1);
        figures.breakers = vec![("store".to_owned(), "closed"), ("pager".to_owned(), "open")];
    }
    let frame = loop {
        let (_, frame) = next(&mut body).await.unwrap();
        if frame["windows"]["closed"] == 2 {
            break frame;
        }
    };
    assert_eq!(frame["breakers"], serde_json::json!({"store": "closed", "pager": "open"}));
    assert_eq!((&frame["totals"]["late"], &frame["totals"]["quarantined"]), (&5.into(), &1.into()));
    let counts: Vec<&Value> =
        frame["windows"]["latest"].as_array().unwrap().iter().map(|row| &row["values"]["count"]).collect();
    assert_eq!(counts, [8, 7], "newest first");
}

#[tokio::test]
async fn rates_are_differences_over_the_clock() {
    let house = House::open();
    let router = house.router();
    let mut body = open(&router, "/v1/live?topics=rates").await.into_body();
    next(&mut body).await.unwrap();
    house.clock.advance(2000);
    house.figures.lock().unwrap().accepted = 5000;
    let (_, frame) = next(&mut body).await.unwrap();
    assert_eq!(frame["rates"]["accepted"], 2500.0);
    let (_, frame) = next(&mut body).await.unwrap();
    assert_eq!((&frame["rates"]["accepted"], &frame["totals"]["accepted"]), (&0.0.into(), &5000.into()));
}

#[tokio::test]
async fn what_a_process_brings_that_is_heard_of_for_the_first_time_is_no_rate() {
    let house = House::open();
    let router = house.router();
    let mut body = open(&router, "/v1/live?topics=rates").await.into_body();
    next(&mut body).await.unwrap();
    let figures = |processes, accepted| {
        house.clock.advance(1000);
        let mut live = house.figures.lock().unwrap();
        (live.processes, live.accepted) = (processes, accepted);
    };
    figures(2, 1_000_000);
    let (_, frame) = next(&mut body).await.unwrap();
    assert_eq!((&frame["processes"], &frame["totals"]["accepted"]), (&2.into(), &1_000_000.into()));
    assert_eq!(frame["rates"]["accepted"], 0.0);
    figures(2, 1_000_500);
    assert_eq!(next(&mut body).await.unwrap().1["rates"]["accepted"], 500.0);
    figures(1, 1_000_700);
    assert_eq!(next(&mut body).await.unwrap().1["rates"]["accepted"], 200.0);
}

#[tokio::test]
async fn topics_choose_the_parts_of_a_frame() {
    let house = House::open();
    let router = house.router();
    let mut body = open(&router, "/v1/live?topics=lag,%20pressure").await.into_body();
    let (name, frame) = next(&mut body).await.unwrap();
    let parts: Vec<&str> = frame.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((name.as_str(), parts), ("message", vec!["time", "uptime_seconds", "processes", "lag", "pressure"]));
}

#[tokio::test]
async fn seats_are_bounded_and_a_seat_left_is_free_again() {
    let house = House::open();
    let router = house.router();
    let mut open_streams = Vec::new();
    for _ in 0..256 {
        open_streams.push(open(&router, "/v1/live").await);
    }
    let refused = send(&router, "/v1/live", None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    // Subscribers that never read hold up nobody: the ticker goes on behind them.
    let before = house.frames.load(Ordering::SeqCst);
    let mut body = open_streams.pop().unwrap().into_body();
    for _ in 0..3 {
        next(&mut body).await.unwrap();
    }
    assert!(house.frames.load(Ordering::SeqCst) > before);
    drop(body);
    open(&router, "/v1/live").await;
}

#[tokio::test]
async fn streams_end_when_the_process_drains() {
    let house = House::open();
    let router = house.router();
    let mut body = open(&router, "/v1/live?topics=rates").await.into_body();
    next(&mut body).await.unwrap();
    house.figures.lock().unwrap().draining = true;
    while next(&mut body).await.is_some() {}
}
