//! The verdict on one event: every refusal with its code, field and words, and what is taken all the same.

use crate::house::{ACCEPTED, House, NOW};

fn signal(changes: &[(&str, &str)]) -> String {
    let mut members = vec![("user_id", "7"), ("type", "\"click\""), ("timestamp", "1795176000000"), ("payload", "{}")];
    for (name, value) in changes {
        members.retain(|(n, _)| n != name);
        members.push((name, value));
    }
    let members: Vec<_> = members.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| format!("\"{n}\":{v}")).collect();
    format!("{{{}}}", members.join(","))
}

async fn refused(house: &House, stream: &str, event: &str, code: &str, pointer: &str, words: &str) {
    let answer = house.post_with(stream, &[("content-type", "application/x-ndjson")], event.to_owned()).await;
    let rejected = &answer.body["rejected"][0];
    let got = (answer.status, rejected["code"].as_str(), rejected["pointer"].as_str());
    let shown: String = event.chars().take(100).collect();
    assert_eq!(got, (422, Some(code), Some(pointer)), "{shown}: {}", answer.body);
    let message = rejected["message"].as_str().unwrap();
    assert!(message.contains(words), "{shown}: {message:?} does not say {words:?}");
    assert!(message.starts_with(pointer), "the message names the field: {message:?}");
    assert_eq!(answer.count("accepted_count"), 0);
}

#[tokio::test]
async fn what_a_stream_asks_for_is_checked() {
    let house = House::new();
    let long = format!("\"{}\"", "k".repeat(257));
    let long_escaped = format!("\"{}\"", "\\u006b".repeat(257));
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (&[("user_id", "")], "missing_field", "/user_id", "expected a string, a number or a boolean, found nothing"),
        (&[("user_id", "null")], "missing_field", "/user_id", "found null"),
        (&[("user_id", "\"\"")], "missing_field", "/user_id", "found an empty string"),
        (&[("user_id", "[7]")], "wrong_type", "/user_id", "found array"),
        (&[("user_id", "{}")], "wrong_type", "/user_id", "found object"),
        (&[("user_id", "\"seven\"")], "wrong_type", "/user_id", "expected an integer of 64 bits, found string"),
        (&[("user_id", "1.5")], "wrong_type", "/user_id", "expected an integer of 64 bits, found 1.5"),
        (&[("user_id", "1e3")], "wrong_type", "/user_id", "found 1e3"),
        (&[("user_id", "9223372036854775808")], "wrong_type", "/user_id", "found 9223372036854775808"),
        (&[("event_id", &long)], "too_large", "/event_id", "expected at most 256 bytes, found 257"),
        (&[("event_id", &long_escaped)], "too_large", "/event_id", "expected at most 256 bytes"),
        (&[("event_id", "[]")], "wrong_type", "/event_id", "found array"),
        (
            &[("type", "\"dance\"")],
            "invalid_value",
            "/type",
            "expected one of login, purchase, click, api_call, file_access, found dance",
        ),
        (&[("type", "3")], "wrong_type", "/type", "expected a string, found number"),
        (&[("type", "")], "missing_field", "/type", "found nothing"),
        (
            &[("timestamp", "")],
            "missing_field",
            "/timestamp",
            "expected milliseconds since the epoch (number), found nothing",
        ),
        (
            &[("timestamp", "\"2026-11-20T10:00:00Z\"")],
            "wrong_type",
            "/timestamp",
            "expected milliseconds since the epoch (number), found string",
        ),
        (&[("timestamp", "true")], "wrong_type", "/timestamp", "found boolean"),
        (&[("timestamp", "32503680000000")], "time_in_future", "/timestamp", "found 3000-01-01T00:00:00.000Z"),
        (
            &[("timestamp", "1795176300001")],
            "time_in_future",
            "/timestamp",
            "at most 300000 ms after the server's 2026-11-20T12:00:00.000Z",
        ),
        (&[("timestamp", "1795176000000000")], "invalid_time", "/timestamp", "years 1 to 9999, found 1795176000000000"),
        (&[("timestamp", "-62135596800001")], "invalid_time", "/timestamp", "years 1 to 9999"),
        (&[("timestamp", "1e999")], "invalid_time", "/timestamp", "found 1e999"),
        (&[("payload", "")], "missing_field", "/payload", "expected an object, found nothing"),
        (&[("payload", "[]")], "wrong_type", "/payload", "expected an object, found array"),
        (&[("user_id", "7,\"user_id\":8")], "duplicate_field", "/user_id", "expected once, found twice"),
        (&[("user_id", "7,\"user\\u005fid\":7")], "duplicate_field", "/user_id", "found twice"),
    ];
    for (changes, code, pointer, words) in cases {
        refused(&house, "signals", &signal(changes), code, pointer, words).await;
    }
    assert_eq!(house.count("_refused"), cases.len());
    assert_eq!(house.count("signals"), 0);
}

#[tokio::test]
async fn nested_fields_are_checked_where_they_are() {
    let house = House::new();
    let good = r#"{"customer":{"id":"c1"},"meta":{"at":"2026-11-20T10:00:00+02:00","id":"o1"},"lines":[],"total":1.5,"paid":true}"#;
    assert_eq!(house.post("orders", good).await.status, ACCEPTED);
    for (from, to, code, pointer, words) in [
        (r#""customer":{"id":"c1"}"#, r#""customer":{}"#, "missing_field", "/customer/id", "found nothing"),
        (r#""customer":{"id":"c1"}"#, r#""customer":"c1""#, "missing_field", "/customer/id", "found nothing"),
        (r#""customer":{"id":"c1"}"#, r#""customer":[{"id":"c1"}]"#, "missing_field", "/customer/id", "found nothing"),
        (
            r#""customer":{"id":"c1"}"#,
            r#""x":{"customer":{"id":"c1"}}"#,
            "missing_field",
            "/customer/id",
            "found nothing",
        ),
        (r#""lines""#, r#""meta":{},"lines""#, "duplicate_field", "/meta", "found twice"),
        (
            "2026-11-20T10:00:00+02:00",
            "yesterday",
            "invalid_time",
            "/meta/at",
            "RFC 3339 writes it (string) in the years 1 to 9999, found yesterday",
        ),
        ("2026-11-20T10:00:00+02:00", "3000-01-01T00:00:00Z", "time_in_future", "/meta/at", "found 3000-01-01"),
        (r#""2026-11-20T10:00:00+02:00""#, "1795176000000", "wrong_type", "/meta/at", "found number"),
        (r#""lines":[]"#, r#""lines":{}"#, "wrong_type", "/lines", "expected an array, found object"),
        ("1.5", "\"1.5\"", "wrong_type", "/total", "expected a number, found string"),
        ("true", "0", "wrong_type", "/paid", "expected true or false, found number"),
    ] {
        let event = good.replacen(from, to, 1);
        assert_ne!(event, good);
        refused(&house, "orders", &event, code, pointer, words).await;
    }
}

#[tokio::test]
async fn a_line_that_is_no_event_is_refused_as_a_whole() {
    let house = House::new();
    let deep = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    for (event, code, words) in [
        ("nonsense", "invalid_json", "byte 1 of the line: expected null, found `o`"),
        ("nul", "invalid_json", "expected null, found the end"),
        ("?", "invalid_json", "expected a JSON value, found `?`"),
        (r#"{"a":1} {"a":2}"#, "invalid_json", "byte 8 of the line: expected the end of the line, found `{`"),
        (r#"{"a":"\ud800"}"#, "invalid_json", "lone surrogate"),
        (r#"{"a":01}"#, "invalid_json", "expected no digit after a leading zero"),
        ("[]", "not_an_object", "expected an object, found array"),
        ("42", "not_an_object", "found number"),
        ("null", "not_an_object", "found null"),
        (&deep(65), "too_deep", "at most 64"),
        (&"[".repeat(500_000), "invalid_json", "expected a JSON value, found the end"),
        (&format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)), "too_deep", "at most 64"),
        (&large, "too_large", "expected at most 1048576 bytes in one event, found 1048584"),
    ] {
        refused(&house, "events", event, code, "", words).await;
    }
    assert_eq!(house.post("events", deep(64)).await.status, ACCEPTED);
}

#[tokio::test]
async fn good_events_go_on_beside_refused_ones() {
    let house = House::new();
    let (good, bad, future) = (signal(&[]), signal(&[("user_id", "")]), signal(&[("timestamp", "32503680000000")]));
    let array = format!("[{good},{bad},{good},7,{future}]");
    let lines = format!("{good}\n\n{bad}\n{good}\n7\n{future}");
    let lines_with_broken = format!("{good}\n{{\"broken\n{good}\n\n{{\"user_id\":\"\u{1}\"}}\n7\n");
    for (content_type, body, indices) in [
        ("application/json", array, vec![1, 3, 4]),
        ("application/x-ndjson", lines, vec![1, 3, 4]),
        ("application/x-ndjson", lines_with_broken, vec![1, 3, 4]),
    ] {
        let answer = house.post_with("signals", &[("content-type", content_type)], body).await;
        assert_eq!(answer.status, 207, "{}", answer.body);
        assert_eq!((answer.count("accepted_count"), answer.count("rejected_count")), (2, 3));
        let rejected = answer.body["rejected"].as_array().unwrap();
        assert_eq!(rejected.iter().map(|r| r["index"].as_u64().unwrap()).collect::<Vec<_>>(), indices);
        let partition = u64::from(event::partition_of(b"7", 6));
        assert_eq!(answer.body["positions"][0]["partition"].as_u64(), Some(partition), "the key's");
    }
    assert_eq!((house.count("signals"), house.count("_refused")), (6, 9));
    let stats = house.intake.stats();
    assert_eq!((stats.requests(), stats.accepted(), stats.rejected()), (3, 6, 9));
}

#[tokio::test]
async fn optional_fields_may_be_absent_or_null_but_not_wrong() {
    let house = House::new();
    for event in [
        r#"{}"#,
        r#"{"learner_id":null,"event_id":null,"timestamp":null,"event_type":null}"#,
        r#"{"learner_id":"","event_id":"","event_type":""}"#,
        r#"{"learner_id":true,"event_id":-1.5e3,"timestamp":"2026-11-20T10:00:00.5Z"}"#,
        r#"{"timestamp":1795176300000}"#,
    ] {
        assert_eq!(house.post("events", event).await.status, ACCEPTED, "{event}");
    }
    refused(&house, "events", r#"{"timestamp":""}"#, "invalid_time", "/timestamp", "RFC 3339").await;
    refused(&house, "events", r#"{"learner_id":{}}"#, "wrong_type", "/learner_id", "found object").await;
    let times = house.records("events", |_, record| record.time);
    assert!(times.contains(&(NOW - 7_199_500)) && times.contains(&(NOW + 300_000)), "{times:?}");
}

#[tokio::test]
async fn the_list_of_refusals_is_bounded_and_their_count_exact() {
    let house = House::new();
    let answer = house.post("events", format!("[{}7]", "7,".repeat(1_499))).await;
    assert_eq!((answer.status, answer.count("rejected_count")), (422, 1_500));
    let rejected = answer.body["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), rejected[999]["index"].as_u64()), (1_000, Some(999)));
    assert_eq!(house.count("_refused"), 1_500, "each is a dead letter, listed or not");
}
