//! The event model: what an event may be, and what is kept of it.

use collect::CollectorSettings;
use serde_json::Value;

use super::{Collector, event, event_with, events};
use crate::house::NOW;

/// The README's event with one member replaced or taken out; `None` takes it out.
fn changed(name: &str, value: Option<&str>) -> String {
    let mut event: Value = serde_json::from_str(&event(7)).unwrap();
    let members = event.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), serde_json::from_str(value).unwrap()),
        None => members.remove(name),
    };
    event.to_string()
}

#[tokio::test]
async fn good_values_are_taken() {
    let at = |ms: i64| format!("{:?}", api::time::to_rfc3339(NOW + ms));
    let long = format!("\"{}\"", "é".repeat(100));
    let mut cases = vec![
        ("event_id", Some("\"550E8400-E29B-41D4-A716-446655440000\"")),
        ("event_id", Some("\"550e8400e29b41d4a716446655440000\"")),
        ("learner_id", Some("\"1\"")),
        ("timestamp", Some("\"1999-01-01T00:00:00+02:00\"")),
        ("timestamp", Some("\"2024-01-15T10:30:00\"")),
        ("source_service", Some(long.as_str())),
        ("priority", None),
        ("event_data", None),
        ("metadata", None),
        ("session_id", Some("null")),
        ("session_id", Some("\"sess-1\"")),
        ("game_id", Some("\"chess\"")),
        ("interaction_type", Some("\"click\"")),
        ("coordinates", Some("{\"x\":1,\"y\":-2.5e3}")),
        ("coordinates", Some("{}")),
        ("completion_percentage", Some("100")),
        ("completion_percentage", Some("0.0")),
        ("score", Some("1e9")),
        ("level", Some("1")),
        ("error_message", Some("\"it broke\"")),
        ("anything_else", Some("[[]]")),
    ];
    let future = at(300_000);
    cases.push(("timestamp", Some(&future)));
    let words = ["low", "medium", "high", "critical", "normal"].map(|word| ("priority", format!("{word:?}")));
    let types = [
        "interaction",
        "progress",
        "assessment",
        "error",
        "system",
        "game_started",
        "game_completed",
        "game_paused",
        "game_resumed",
        "session_start",
        "session_end",
        "achievement_unlocked",
        "progress_update",
        "error_occurred",
    ];
    let types = types.map(|word| ("event_type", format!("{word:?}")));
    let words: Vec<(&str, String)> = words.into_iter().chain(types).collect();
    cases.extend(words.iter().map(|(name, value)| (*name, Some(value.as_str()))));
    for (name, value) in cases {
        let collector = Collector::new();
        let answer = collector.collect(&[], format!("[{}]", changed(name, value))).await;
        assert_eq!((answer.status, answer.count("accepted_count")), (200, 1), "{name} {value:?}: {}", answer.body);
    }
}

/// Sends the README's event with one member changed, and expects it to be refused with these words.
async fn check_refused(settings: CollectorSettings, name: &str, value: Option<&str>, code: &str, words: &str) {
    let collector = Collector::with(settings);
    let answer = collector.collect(&[], format!("[{}]", changed(name, value))).await;
    assert_eq!(answer.status, 422, "{name} {value:?}: {}", answer.body);
    let warning = answer.body["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with(&format!("event 0: /{name}: ")), "{name} {value:?}: {warning}");
    assert!(warning.contains(words), "{name} {value:?}: {warning:?} does not say {words:?}");
    let kept = collector.house.records("_refused", |_, record| {
        let header = |name| String::from_utf8_lossy(event::headers::get(record.headers, name).unwrap()).into_owned();
        (header("code"), header("dlq-id"), header("stream"), record.data.to_vec())
    });
    let letter = answer.body["dlq_events"][0].as_str().unwrap().to_owned();
    let data = changed(name, value).into_bytes();
    assert_eq!(kept, [(code.to_owned(), letter, "events".to_owned(), data)], "{name} {value:?}");
}

#[tokio::test]
async fn bad_values_are_refused_with_the_field_and_what_was_expected() {
    let late = format!("{:?}", api::time::to_rfc3339(NOW + 300_001));
    let (long, longer) = (format!("\"{}\"", "é".repeat(101)), format!("\"{}\"", "x".repeat(129)));
    let cases = [
        ("event_id", None, "missing_field", "expected a UUID (string), found nothing"),
        ("event_id", Some("\"event-1\""), "invalid_value", "expected a UUID (string), found event-1"),
        ("event_id", Some("7"), "wrong_type", "expected a UUID (string), found number"),
        ("learner_id", Some("null"), "missing_field", "1 to 128 characters, found null"),
        ("learner_id", Some("\"\""), "invalid_value", "found an empty string"),
        ("learner_id", Some(&longer), "invalid_value", "1 to 128"),
        ("learner_id", Some("7"), "wrong_type", "found number"),
        ("tenant_id", None, "missing_field", "found nothing"),
        ("event_type", Some("\"login\""), "invalid_value", "one of interaction, progress, assessment"),
        ("event_type", None, "missing_field", "one of interaction"),
        ("priority", Some("\"urgent\""), "invalid_value", "one of low, medium, high, critical, normal, found urgent"),
        ("priority", Some("null"), "wrong_type", "found null"),
        ("timestamp", None, "missing_field", "RFC 3339"),
        ("timestamp", Some("\"yesterday\""), "invalid_time", "RFC 3339"),
        ("timestamp", Some("1705314600000"), "wrong_type", "RFC 3339"),
        ("timestamp", Some(&late), "time_in_future", "at most 300000 ms after"),
        ("source_service", Some(&long), "invalid_value", "1 to 100 characters"),
        ("source_service", None, "missing_field", "1 to 100 characters"),
        ("event_data", Some("\"text\""), "wrong_type", "expected an object, found string"),
        ("event_data", Some("null"), "wrong_type", "expected an object, found null"),
        ("metadata", Some("[]"), "wrong_type", "expected an object, found array"),
        ("session_id", Some("1"), "wrong_type", "found number"),
        ("interaction_type", Some("\"\""), "invalid_value", "a string that is not empty"),
        ("coordinates", Some("{\"x\":\"1\"}"), "invalid_value", "an object whose values are numbers"),
        ("coordinates", Some("[1,2]"), "wrong_type", "an object whose values are numbers"),
        ("completion_percentage", Some("100.1"), "invalid_value", "a number from 0 to 100, found 100.1"),
        ("completion_percentage", Some("-1"), "invalid_value", "a number from 0 to 100"),
        ("score", Some("-0.5"), "invalid_value", "a number of at least 0"),
        ("level", Some("0"), "invalid_value", "a whole number of at least 1"),
        ("level", Some("1.5"), "invalid_value", "a whole number of at least 1"),
        ("error_code", Some("404"), "wrong_type", "found number"),
    ];
    for (name, value, code, words) in cases {
        check_refused(CollectorSettings::default(), name, value, code, words).await;
    }
    let strict = CollectorSettings { strict_uuids: true, ..CollectorSettings::default() };
    check_refused(strict, "learner_id", Some("\"learner_001\""), "invalid_value", "expected a UUID").await;
    let window = CollectorSettings { time_window_ms: Some(86_400_000), ..CollectorSettings::default() };
    check_refused(window, "tenant_id", None, "missing_field", "found nothing").await;
    check_refused(window, "timestamp", Some("\"2024-01-15T10:30:00Z\""), "invalid_time", "at most 86400000 ms before")
        .await;
}

#[tokio::test]
async fn strict_settings_take_what_keeps_to_them() {
    let settings = CollectorSettings { strict_uuids: true, time_window_ms: Some(86_400_000) };
    let collector = Collector::with(settings);
    let id = "\"550e8400-e29b-41d4-a716-446655440000\"";
    let time = format!("{:?}", api::time::to_rfc3339(NOW - 86_400_000));
    let event = event(1)
        .replace("\"learner_001\"", id)
        .replace("\"tenant_alpha\"", id)
        .replace("\"2024-01-15T10:30:00Z\"", &time);
    let answer = collector.collect(&[], format!("[{event}]")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_field_that_stands_twice_is_refused() {
    let collector = Collector::new();
    let twice = event_with(1, "\"tenant_id\":\"tenant_beta\"");
    let answer = collector.collect(&[], format!("[{twice}]")).await;
    assert_eq!((answer.status, answer.count("rejected_count")), (422, 1));
    assert!(answer.body["warnings"][0].as_str().unwrap().contains("/tenant_id: expected once, found twice"));
}

#[tokio::test]
async fn the_senders_bytes_are_kept_and_words_are_understood() {
    let collector = Collector::new();
    let id = "550e8400-e29b-41d4-a716-446655440000";
    let sent = event(1).replace(&uuid::Uuid::from_u128(1).to_string(), &id.to_uppercase());
    let sent = sent.replace("\"interaction\"", "\"progress_update\"").replace("\"medium\"", "\"normal\"");
    let answer = collector.collect(&[], format!("[ {sent} ]")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kept = collector
        .house
        .records("events", |partition, r| (partition, text(r.data), text(r.key), text(r.kind), text(r.id), r.time));
    let time = api::time::from_rfc3339("2024-01-15T10:30:00Z").unwrap();
    let partition = event::partition_of(b"learner_001", 4);
    let key = "learner_001".to_owned();
    assert_eq!(kept, [(partition, sent.clone(), key, "progress".to_owned(), id.to_owned(), time)]);
    assert_eq!(answer.count("kafka_partition"), u64::from(partition), "the real one");

    let again = collector.collect(&[], format!("[{}]", sent.replace(&id.to_uppercase(), id))).await;
    assert_eq!((again.status, again.count("duplicate_count")), (200, 1), "the same id, written otherwise");
    assert_eq!(again.body["kafka_partition"], Value::Null, "nothing was appended");
    assert!(again.body["warnings"][0].as_str().unwrap().contains("known already"));
}

#[tokio::test]
async fn the_answer_says_what_the_batch_was() {
    let collector = Collector::new();
    let id = "5b0f3a9e-9d0c-4c5e-8a53-0a6f4c1d2e3f";
    let body = format!("{{\"batch_id\":\"{id}\",\"metadata\":{{}},\"events\":{}}}", events(1, 1));
    let answer = collector.collect(&[("x-request-id", "req-7")], body).await;
    assert_eq!(
        (answer.body["batch_id"].as_str(), &answer.headers["x-request-id"]),
        (Some(id), &"req-7".parse().unwrap())
    );
    assert!(answer.body["warnings"][0].as_str().unwrap().contains("metadata is not kept"));

    let learners = (2..40).map(|n| event(n).replace("learner_001", &format!("learner_{n}")));
    let answer = collector.collect(&[], format!("[{}]", learners.collect::<Vec<_>>().join(","))).await;
    assert_eq!(answer.body["kafka_partition"], Value::Null, "several partitions");
    assert!(uuid::Uuid::parse_str(answer.body["batch_id"].as_str().unwrap()).is_ok(), "one is made");
    assert!(answer.body["processing_time_ms"].is_number());

    let answer = collector.collect(&[("x-request-id", "req-8")], format!("[{}null]", "{},".repeat(149))).await;
    assert_eq!((answer.status, answer.body["warnings"].as_array().unwrap().len()), (422, 101));
    assert_eq!(answer.body["warnings"][100], "50 more were refused; their dead letters say why");
    let ids = collector.house.records("_refused", |_, r| {
        String::from_utf8_lossy(event::headers::get(r.headers, "request-id").unwrap()).into_owned()
    });
    assert_eq!(ids, vec!["req-8"; 150]);
}
