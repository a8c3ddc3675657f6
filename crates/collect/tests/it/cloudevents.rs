//! CloudEvents in their three modes: what is kept, under which key, type, id and time, and what is refused.

use event::headers;
use serde_json::Value;

use crate::house::{ACCEPTED, Answer, House, NOW, gzip};

/// A header's name and value.
type Header<'a> = (&'a str, &'a str);
/// Headers and body as sent; subject and headers as kept.
type Taken<'a> = (Vec<Header<'a>>, Vec<u8>, &'a str, &'a [Header<'a>]);
/// Headers and body as sent; code, pointer and a part of the message as answered.
type Refusal<'a> = (&'a [Header<'a>], &'a [u8], &'a str, &'a str, &'a str);

const STRUCTURED: &[(&str, &str)] = &[("content-type", "application/cloudevents+json; charset=UTF-8")];
const BATCHED: &[(&str, &str)] = &[("content-type", "application/cloudevents-batch+json")];
/// The four that must be there, in binary mode.
const REQUIRED: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "a"), ("ce-source", "/s"), ("ce-type", "com.example.t")];

/// One event in JSON with these members besides; one of an empty value is left out, a later one replaces an earlier one.
fn event(members: &[(&str, &str)]) -> String {
    let base = [("specversion", r#""1.0""#), ("id", r#""a""#), ("source", r#""/s""#), ("type", r#""com.example.t""#)];
    let fixed = base.iter().filter(|(name, _)| members.iter().all(|(other, _)| other != name));
    let all = fixed.chain(members).filter(|(_, value)| !value.is_empty());
    let members: Vec<String> = all.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(", "))
}

/// What a record has, as text: key, type, id, time, data, headers.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    key: String,
    kind: String,
    id: String,
    time: i64,
    data: Vec<u8>,
    headers: Vec<(String, String)>,
}

fn kept(house: &House, stream: &str) -> Vec<Kept> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    house.records(stream, |_, record| Kept {
        key: text(record.key),
        kind: text(record.kind),
        id: text(record.id),
        time: record.time,
        data: record.data.to_vec(),
        headers: headers::iter(record.headers).map(|(name, value)| (name.to_owned(), text(value))).collect(),
    })
}

fn binary<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let required = REQUIRED.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    required.chain(more).filter(|(_, value)| *value != "-").copied().collect()
}

#[track_caller]
fn refused(answer: &Answer, what: &str, code: &str, pointer: &str, words: &str) {
    let rejected = &answer.body["rejected"][0];
    let got = (answer.status, rejected["code"].as_str(), rejected["pointer"].as_str());
    assert_eq!(got, (422, Some(code), Some(pointer)), "{what}: {}", answer.body);
    let message = rejected["message"].as_str().unwrap();
    assert!(message.starts_with(pointer) && message.contains(words), "{what}: {message:?} does not say {words:?}");
}

#[tokio::test]
async fn an_event_in_json_is_kept_whole_under_its_attributes() {
    let house = House::new();
    let time = r#""2026-11-20T10:00:00.5Z""#;
    for (i, (members, key, id, time)) in [
        (&[("id", r#""1""#), ("subject", r#""s""#), ("time", time)][..], "s", "1", NOW - 7_199_500),
        (&[("id", r#""2""#), ("subject", r#""s""#), ("partitionkey", r#""p""#)], "p", "2", NOW),
        (&[("id", r#""3""#), ("subject", "null"), ("time", "null"), ("data", r#"{"learner_id":7}"#)], "7", "3", NOW),
        (&[("id", r#""4\u00e4""#), ("subject", r#""\"s\"""#), ("data", "\"text\"")], "\"s\"", "4ä", NOW),
        (&[("id", r#""5""#), ("data_base64", r#""AAH\/""#), ("datacontenttype", r#""x/y""#)], "", "5", NOW),
        (
            &[("id", r#""6""#), ("extension", "[1]"), ("data", r#"{"timestamp":1795168800000}"#)],
            "",
            "6",
            NOW - 7_200_000,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = event(members);
        let answer = house.post_with("events", STRUCTURED, sent.clone()).await;
        assert_eq!((answer.status, answer.count("accepted_count")), (ACCEPTED, 1), "{sent}: {}", answer.body);
        let records = kept(&house, "events");
        assert_eq!(records.len(), i + 1);
        let headers = vec![("content-type".to_owned(), "application/cloudevents+json".to_owned())];
        let (key, kind, id) = (key.to_owned(), "com.example.t".to_owned(), id.to_owned());
        let expected = Kept { key, kind, id, time, data: sent.into_bytes(), headers };
        assert!(records.contains(&expected), "{expected:?} is not among {records:?}");
    }
}

#[tokio::test]
async fn a_batch_has_a_verdict_for_every_event_and_may_be_empty() {
    let house = House::new();
    let (first, second) = (event(&[("subject", r#""k""#)]), event(&[("id", r#""b""#), ("subject", r#""k""#)]));
    let bad = event(&[("id", "")]);
    let batch = format!("[{first},\n {bad} , {second},{first}, 7]");
    let answer = house.post_with("events", BATCHED, batch).await;
    assert_eq!(answer.status, 207, "{}", answer.body);
    let counts = ["accepted_count", "duplicate_count", "rejected_count"].map(|name| answer.count(name));
    assert_eq!(counts, [2, 1, 2]);
    let found: Vec<_> = answer.body["rejected"].as_array().unwrap().iter().map(|r| (&r["index"], &r["code"])).collect();
    assert_eq!(
        found,
        [(&Value::from(1), &Value::from("missing_field")), (&Value::from(4), &Value::from("not_an_object"))]
    );
    let data: Vec<_> = kept(&house, "events").into_iter().map(|record| record.data).collect();
    assert_eq!(data, [first.into_bytes(), second.into_bytes()]);
    let empty = house.post_with("events", BATCHED, "[ ]").await;
    assert_eq!((empty.status, empty.count("accepted_count")), (ACCEPTED, 0));
}

#[tokio::test]
async fn an_id_is_unique_within_its_source() {
    let house = House::new();
    let sent = [("a", "/s"), ("a", "/t"), ("a", "/s"), ("b", "/s")];
    let mut duplicates = Vec::new();
    for (id, source) in sent {
        let headers = binary(&[("ce-id", id), ("ce-source", source)]);
        duplicates.push(house.post_with("events", &headers, "").await.count("duplicate_count"));
    }
    assert_eq!(duplicates, [0, 0, 1, 0]);
    let (id, source) = (r#""b""#, r#""/s""#);
    let again = house.post_with("events", STRUCTURED, event(&[("id", id), ("source", source)])).await;
    assert_eq!(again.count("duplicate_count"), 1, "whatever the mode");
    // Without duplicate suppression every copy stays.
    for _ in 0..2 {
        let headers =
            binary(&[("content-type", "application/json"), ("ce-time", "2026-11-20T10:00:00Z"), ("ce-subject", "c")]);
        let answer = house.post_with("orders", &headers, r#"{"lines":[],"total":1,"paid":true}"#).await;
        assert_eq!(answer.count("accepted_count"), 1, "{}", answer.body);
    }
}

#[tokio::test]
async fn in_binary_mode_the_body_is_kept_and_the_attributes_are_headers() {
    let house = House::new();
    let euro = ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80");
    let bytes = b"\x00\xff not json".to_vec();
    let cases: Vec<Taken<'_>> = vec![
        (
            binary(&[euro, ("content-type", "Image/PNG")]),
            bytes.clone(),
            "Euro € 😀",
            &[("content-type", "Image/PNG"), ("ce-subject", "Euro € 😀")],
        ),
        (binary(&[("ce-partitionkey", "\"two words\""), ("ce-ext", "%41")]), bytes, "two words", &[("ce-ext", "A")]),
        (binary(&[]), Vec::new(), "", &[]),
        (binary(&[("content-type", "application/json")]), br#" {"learner_id": 7} "#.to_vec(), "7", &[]),
        (binary(&[]), br#"{"learner_id":8}"#.to_vec(), "8", &[]),
        (binary(&[("content-type", "text/plain")]), br#"{"learner_id":9}"#.to_vec(), "", &[]),
        (binary(&[]), br#"{"learner_id":10} and more"#.to_vec(), "", &[]),
        (binary(&[("content-type", "application/json")]), b"[1, 2]".to_vec(), "", &[]),
        (binary(&[("content-type", "application/json")]), b"null".to_vec(), "", &[]),
    ];
    for (i, (mut sent, body, key, expected)) in cases.into_iter().enumerate() {
        let id = format!("id-{i}");
        sent.retain(|(name, _)| *name != "ce-id");
        sent.push(("CE-Id", &id));
        let answer = house.post_with("events", &sent, body.clone()).await;
        assert_eq!((answer.status, answer.count("accepted_count")), (ACCEPTED, 1), "{sent:?}: {}", answer.body);
        let records = kept(&house, "events");
        let record = records.iter().find(|record| record.id == id).unwrap();
        assert_eq!((&*record.key, &*record.kind, &record.data), (key, "com.example.t", &body), "{sent:?}");
        let has = |name: &str, value: &str| record.headers.contains(&(name.to_owned(), value.to_owned()));
        for (name, value) in expected.iter().chain(&[("ce-id", &*id), ("ce-specversion", "1.0"), ("ce-source", "/s")]) {
            assert!(has(name, value), "{name}: {value} is not in {record:?}");
        }
        assert_eq!(record.headers.len(), sent.len(), "nothing else is kept");
    }
    let zipped = [("content-encoding", "gzip"), ("ce-time", "2026-11-20T10:00:00Z"), ("ce-id", "zipped")];
    assert_eq!(house.post_with("events", &binary(&zipped), gzip(b"{}")).await.status, ACCEPTED);
    let records = kept(&house, "events");
    let record = records.iter().find(|record| record.id == "zipped").unwrap();
    assert_eq!((record.time, &*record.data), (NOW - 7_200_000, &b"{}"[..]));
}

#[tokio::test]
async fn attributes_are_checked() {
    let house = House::new();
    let long = format!("\"{}\"", "x".repeat(257));
    let cases: [(&str, &str, &str, &str, &str); 19] = [
        ("id", "", "missing_field", "/id", "expected a string that is not empty, found nothing"),
        ("id", "\"\"", "missing_field", "/id", "found nothing"),
        ("id", "7", "wrong_type", "/id", "expected a string, found number"),
        ("id", &long, "too_large", "/id", "expected at most 256 bytes, found 257"),
        ("source", "null", "missing_field", "/source", "found nothing"),
        ("type", "", "missing_field", "/type", "found nothing"),
        ("type", &long, "too_large", "/type", "257"),
        ("specversion", "", "missing_field", "/specversion", "found nothing"),
        ("specversion", "\"0.3\"", "invalid_value", "/specversion", "expected 1.0, found 0.3"),
        ("specversion", "1.0", "wrong_type", "/specversion", "found number"),
        ("subject", "{}", "wrong_type", "/subject", "found object"),
        ("subject", &long, "too_large", "/subject", "257"),
        ("partitionkey", &long, "too_large", "/partitionkey", "257"),
        ("time", "\"noon\"", "invalid_time", "/time", "RFC 3339 writes it (string) in the years 1 to 9999, found noon"),
        ("time", "1795176000000", "wrong_type", "/time", "found number"),
        ("time", "\"2026-11-20T12:05:00.001Z\"", "time_in_future", "/time", "at most 300000 ms after"),
        ("datacontenttype", "1", "wrong_type", "/datacontenttype", "found number"),
        ("data_base64", "\"A\"", "invalid_value", "/data_base64", "expected base64"),
        ("data_base64", "{}", "wrong_type", "/data_base64", "found object"),
    ];
    for (name, value, code, pointer, words) in cases {
        let sent = event(&[(name, value)]);
        refused(&house.post_with("events", STRUCTURED, sent.clone()).await, &sent, code, pointer, words);
    }
    let both = event(&[("data", "{}"), ("data_base64", "\"AAAA\"")]);
    refused(&house.post_with("events", STRUCTURED, both).await, "both", "invalid_value", "/data_base64", "found both");
    let twice = r#"{"id":"a","id":"b"}"#;
    refused(&house.post_with("events", STRUCTURED, twice).await, twice, "duplicate_field", "/id", "found twice");
    assert_eq!((house.count("events"), house.count("_refused")), (0, cases.len() + 2));
}

#[tokio::test]
async fn headers_are_checked_and_kept_with_the_dead_letter() {
    let house = House::new();
    let json = ("content-type", "application/json");
    let wide = "x".repeat(17 << 10);
    let cases: [Refusal<'_>; 10] = [
        (&[("ce-id", "-")], b"{}", "missing_field", "/id", "found nothing"),
        (&[("ce-specversion", "-")], b"{}", "missing_field", "/specversion", "found nothing"),
        (&[("ce-specversion", "2.0")], b"{}", "invalid_value", "/specversion", "found 2.0"),
        (&[("ce-time", "noon")], b"{}", "invalid_time", "/time", "found noon"),
        (&[("ce-subject", "%C0%A0")], b"{}", "invalid_value", "/subject", "UTF-8, percent-encoded (header ce-subject)"),
        (&[("ce-ext", "1"), ("ce-ext", "2")], b"{}", "duplicate_field", "/ext", "found twice"),
        (&[json], b"{\"a\":", "invalid_json", "/data", "byte 5 of the body: expected a JSON value, found the end"),
        (&[json], b"{} {}", "invalid_json", "/data", "byte 3 of the body: expected the end of the body"),
        (&[json], br#"{"learner_id":1,"learner_id":2}"#, "duplicate_field", "/data/learner_id", "found twice"),
        (&[("ce-ext", &wide)], b"{}", "too_large", "", "expected at most 16384 bytes of attributes"),
    ];
    for (headers, body, code, pointer, words) in cases {
        let sent = binary(headers);
        refused(&house.post_with("events", &sent, body.to_vec()).await, &format!("{sent:?}"), code, pointer, words);
    }
    let deep = "[".repeat(65) + &"]".repeat(65);
    refused(&house.post_with("events", &binary(&[json]), deep).await, "deep", "too_deep", "/data", "at most 64");
    let large = vec![0; (1 << 20) + 1];
    refused(&house.post_with("events", &binary(&[]), large).await, "large", "too_large", "", "found 1048577");
    let letters = kept(&house, "_refused");
    assert_eq!((letters.len(), house.count("events")), (cases.len() + 2, 0));
    let has = |at: usize, name: &str, value: &str| letters[at].headers.contains(&(name.to_owned(), value.to_owned()));
    assert!(has(0, "ce-type", "com.example.t") && has(0, "pointer", "/id"), "{:?}", letters[0]);
    assert!(has(4, "ce-subject", "%C0%A0") && has(6, "content-type", "application/json"));
    assert_eq!(letters[6].data, b"{\"a\":");
}

#[tokio::test]
async fn what_a_stream_asks_of_its_events_it_asks_of_their_data() {
    let house = House::new();
    let data = r#"{"user_id":7,"type":"login","timestamp":1795176000000,"payload":{}}"#;
    let answer = house.post_with("signals", STRUCTURED, event(&[("data", data)])).await;
    assert_eq!(answer.status, ACCEPTED, "{}", answer.body);
    let record = &kept(&house, "signals")[0];
    assert_eq!((&*record.key, &*record.kind, record.time), ("7", "com.example.t", NOW));

    let json = binary(&[("content-type", "application/json"), ("ce-id", "b"), ("ce-subject", "u")]);
    assert_eq!(house.post_with("signals", &json, data).await.status, ACCEPTED);
    assert_eq!(kept(&house, "signals").iter().filter(|record| record.key == "u").count(), 1, "the subject goes first");

    let dance = data.replace("login", "dance");
    let other = [
        (data.replace("\"user_id\":7,", ""), "missing_field", "/data/user_id", "found nothing"),
        (dance, "invalid_value", "/data/type", "found dance"),
        (data.replace("{}", "[]"), "wrong_type", "/data/payload", "found array"),
        (data.replace("1795176000000", "true"), "wrong_type", "/data/timestamp", "found boolean"),
        ("\"text\"".to_owned(), "missing_field", "/data/user_id", "found nothing"),
    ];
    for (data, code, pointer, words) in other {
        let structured = house.post_with("signals", STRUCTURED, event(&[("data", &data)])).await;
        refused(&structured, &data, code, pointer, words);
        let sent = binary(&[("content-type", "application/json")]);
        refused(&house.post_with("signals", &sent, data.clone()).await, &data, code, pointer, words);
    }
    let sent = binary(&[("content-type", "image/png"), ("ce-subject", "u"), ("ce-time", "2026-11-20T10:00:00Z")]);
    refused(&house.post_with("signals", &sent, data).await, "png", "missing_field", "/data/user_id", "found nothing");
}

#[tokio::test]
async fn other_formats_and_bodies_that_are_none_are_refused_as_a_whole() {
    let house = House::new();
    let cases: [(&str, &str, u16, &str, &str); 7] = [
        ("application/cloudevents+avro", "x", 415, "unsupported_media_type", "send application/cloudevents+json"),
        ("application/cloudevents-batch+protobuf", "x", 415, "unsupported_media_type", "binary mode"),
        ("application/cloudevents", "{}", 415, "unsupported_media_type", "not supported"),
        ("application/cloudevents+json", "[]", 400, "invalid_json", "expected a JSON object, found `[`"),
        ("application/cloudevents+json", "", 400, "empty_body", "empty"),
        (
            "application/cloudevents-batch+json",
            "{}",
            400,
            "invalid_json",
            "expected an array of CloudEvents, found `{`",
        ),
        ("application/cloudevents-batch+json", "[{},]", 400, "invalid_json", "expected a JSON value"),
    ];
    for (content_type, body, status, code, words) in cases {
        let answer = house.post_with("events", &[("content-type", content_type)], body).await;
        let got = (answer.status, answer.body["error_code"].as_str());
        assert_eq!(got, (status, Some(code)), "{content_type} {body}: {}", answer.body);
        assert!(answer.body["error_message"].as_str().unwrap().contains(words), "{}", answer.body);
    }
    assert_eq!((house.count("events"), house.count("_refused")), (0, 0));
}
