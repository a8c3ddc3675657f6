//! Segment's door: its calls, its batches, its answers.

use axum::body::Body;
use axum::http::Request;

use crate::house::{Answer, House, NOW, gzip};

async fn call(house: &House, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(format!("/v1/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house.send(request.body(body.into()).unwrap()).await
}

/// Key, type, id, time, data of every record.
fn kept(house: &House) -> Vec<(String, String, String, i64, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut all = house.records("segment", |_, r| (text(r.key), text(r.kind), text(r.id), r.time, text(r.data)));
    all.sort();
    all
}

#[tokio::test]
async fn each_call_takes_one_event_and_gives_it_its_type() {
    let house = House::new();
    for name in ["alias", "group", "identify", "page", "screen", "track"] {
        let body = format!(r#"{{"userId":"{name}","writeKey":"k"}}"#);
        let answer =
            call(&house, name, &[("authorization", "Basic azo="), ("content-type", "application/json")], body).await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &true.into()), "{}", answer.body);
        assert_eq!(answer.count("accepted_count"), 1);
    }
    let records = kept(&house);
    assert!(records.iter().all(|(key, kind, ..)| key == kind), "{records:?}");
    assert_eq!(records[0].4, r#"{"userId":"alias","writeKey":"k"}"#, "as it was sent");
    // What the event says counts.
    call(&house, "track", &[], r#"{"userId":"z","type":"identify"}"#).await;
    assert_eq!(kept(&house)[6].1, "identify");
}

#[tokio::test]
async fn a_batch_is_taken_event_by_event() {
    let house = House::new();
    let first = r#"{"type":"track", "userId":"u","messageId":"m1","timestamp":"2026-11-20T10:00:00.000Z"}"#;
    let second = r#"{"type":"page","anonymousId":"a","messageId":"m2"}"#;
    let third = r#"{"type":"page","userId":"","anonymousId":"a","messageId":"m3"}"#;
    let nobody = r#"{"type":"track","messageId":"m4"}"#;
    let untyped = r#"{"userId":"u","messageId":"m5"}"#;
    let body =
        format!(r#"{{"sentAt":"x","batch":[{first},{second} ,{nobody},{untyped},{first},{third}],"context":{{}}}}"#);
    let answer = call(&house, "batch", &[("content-encoding", "gzip")], gzip(body.as_bytes())).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &true.into()), "{}", answer.body);
    let counts = ["accepted_count", "duplicate_count", "rejected_count"].map(|name| answer.count(name));
    assert_eq!(counts, [3, 1, 2]);
    for (at, index, pointer, words) in [(0, 2, "/userId", "userId or anonymousId"), (1, 3, "/type", "track, identify")]
    {
        let rejected = &answer.body["rejected"][at];
        assert_eq!((rejected["index"].as_u64(), rejected["pointer"].as_str()), (Some(index), Some(pointer)));
        assert!(rejected["message"].as_str().unwrap().contains(words), "{rejected}");
    }
    let row =
        |key: &str, kind: &str, id: &str, time, data: &str| (key.into(), kind.into(), id.into(), time, data.into());
    let expected = [
        row("a", "page", "m2", NOW, second),
        row("a", "page", "m3", NOW, third),
        row("u", "track", "m1", NOW - 7_200_000, first),
    ];
    assert_eq!(kept(&house), expected);
    assert_eq!(house.count("_refused"), 2);
    let again = call(&house, "import", &[], body).await;
    assert_eq!((again.status, again.count("duplicate_count")), (200, 4), "known ones are a success");
}

#[tokio::test]
async fn a_request_of_which_nothing_is_taken_is_a_400() {
    let house = House::new();
    let cases: [(&str, &str, &str, &str); 9] = [
        ("batch", "", "empty_body", "empty"),
        ("batch", "{", "invalid_json", "byte 1"),
        ("batch", "[]", "invalid_json", "expected a JSON object, found `[`"),
        ("batch", "{}", "invalid_json", "/batch: expected an array of events, once, found nothing"),
        ("batch", r#"{"batch":{}}"#, "invalid_json", "found object"),
        ("batch", r#"{"batch":[]} x"#, "invalid_json", "expected the end of the body"),
        ("batch", r#"{"batch":[]}"#, "no_events", "at least one"),
        ("batch", r#"{"batch":[7,{"userId":"u"}]}"#, "all_rejected", "the first: expected an object, found number"),
        ("track", r#"{"event":"x"}"#, "all_rejected", "the first: /userId: expected userId or anonymousId"),
    ];
    for (path, body, code, words) in cases {
        let answer = call(&house, path, &[], body).await;
        assert_eq!((answer.status, answer.body["error_code"].as_str()), (400, Some(code)), "{body}: {}", answer.body);
        assert!(answer.body["error_message"].as_str().unwrap().contains(words), "{}", answer.body);
        let rejected = answer.body["details"]["rejected_count"].as_u64();
        assert_eq!(rejected.is_some(), code == "all_rejected", "{}", answer.body);
    }
    let other = call(&house, "track", &[("content-type", "text/plain")], "{}").await;
    assert_eq!((other.status, other.body["error_code"].as_str()), (415, Some("unsupported_media_type")));
    assert_eq!((house.count("segment"), house.count("_refused")), (0, 3));
}
