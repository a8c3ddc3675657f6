//! The status matrix of `POST /api/v1/collect`, all of it in one table.

use super::{Collector, event, events};
use crate::house::{House, gzip, zstd};

/// What is done to the house before the request.
type Before = fn(&House);
const SOUND: Before = |_| ();

enum Says {
    /// Accepted, duplicate and rejected events.
    Counts(u64, u64, u64),
    /// The error's code, and words of its message.
    Error(&'static str, &'static str),
}
use Says::{Counts, Error};

/// What it shows, before, headers, body; status and answer.
type Case = (&'static str, Before, &'static [(&'static str, &'static str)], Vec<u8>, u16, Says);

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const GZIP: &[(&str, &str)] = &[("content-type", "application/json"), ("content-encoding", "gzip")];
const ZSTD: &[(&str, &str)] = &[("content-type", "application/json"), ("content-encoding", "zstd")];

fn taken() -> Vec<Case> {
    let batch = |members: &str, events: &str| format!("{{{members}\"events\":{events}}}").into_bytes();
    let (good, bad) = (event(1), r#"{"event_id":"x"}"#);
    vec![
        ("an array", SOUND, JSON, events(1, 2).into(), 200, Counts(2, 0, 0)),
        ("no content type", SOUND, &[], events(1, 1).into(), 200, Counts(1, 0, 0)),
        ("an object", SOUND, JSON, batch("", &events(1, 3)), 200, Counts(3, 0, 0)),
        (
            "all members",
            SOUND,
            JSON,
            batch(
                r#""batch_id":"5b0f3a9e-9d0c-4c5e-8a53-0a6f4c1d2e3f", "metadata":{"a":[1,{}]}, "compress":false,"other":[1], "#,
                &events(1, 2),
            ),
            200,
            Counts(2, 0, 0),
        ),
        (
            "members behind, nulls, an escaped name",
            SOUND,
            JSON,
            format!(
                " {{ \"\\u0065vents\" : {} , \"batch_id\":null,\"metadata\":null,\"compress\":null }} \n",
                events(1, 1)
            )
            .into(),
            200,
            Counts(1, 0, 0),
        ),
        ("gzip", SOUND, GZIP, gzip(events(1, 2).as_bytes()), 200, Counts(2, 0, 0)),
        ("zstd", SOUND, ZSTD, zstd(&batch("", &events(1, 2))), 200, Counts(2, 0, 0)),
        ("a thousand", SOUND, JSON, events(1, 1_000).into(), 200, Counts(1_000, 0, 0)),
        ("one twice", SOUND, JSON, format!("[{good},{good}]").into(), 200, Counts(1, 1, 0)),
        ("some bad", SOUND, JSON, format!("[{good},{bad},7]").into(), 207, Counts(1, 0, 2)),
        ("some bad in an object", SOUND, JSON, batch("", &format!("[{bad},{good}]")), 207, Counts(1, 0, 1)),
        ("all bad", SOUND, JSON, format!("[{bad},null]").into(), 422, Counts(0, 0, 2)),
    ]
}

fn unreadable() -> Vec<Case> {
    let json = |text: &str| text.as_bytes().to_vec();
    let cut = gzip(b"[]");
    vec![
        ("empty", SOUND, JSON, json(""), 400, Error("empty_body", "empty")),
        ("white space", SOUND, JSON, json(" \n"), 400, Error("empty_body", "empty")),
        ("no JSON", SOUND, JSON, json("hello"), 400, Error("invalid_json", "byte 0 (line 1, column 1)")),
        ("a scalar", SOUND, JSON, json("7"), 400, Error("invalid_json", "an array of events or an object")),
        ("cut off", SOUND, JSON, json("[{\"a\":1}"), 400, Error("invalid_json", "found the end")),
        ("cut off in an object", SOUND, JSON, json("{\"events\":[{}]"), 400, Error("invalid_json", "`,` or `}`")),
        ("more behind", SOUND, JSON, json("{\"events\":[{}]} x"), 400, Error("invalid_json", "the end of the body")),
        ("no events", SOUND, JSON, json("[]"), 400, Error("no_events", "at least one")),
        ("no events in an object", SOUND, JSON, json("{\"events\":[]}"), 400, Error("no_events", "at least one")),
        ("one event", SOUND, JSON, event(1).into(), 400, Error("invalid_body", "this object has none")),
        ("an empty object", SOUND, JSON, json("{}"), 400, Error("invalid_body", "this object has none")),
        (
            "events no array",
            SOUND,
            JSON,
            json("{\"events\":{}}"),
            400,
            Error("invalid_body", "/events: expected an array"),
        ),
        ("events null", SOUND, JSON, json("{\"events\":null}"), 400, Error("invalid_body", "found null")),
        ("events twice", SOUND, JSON, json("{\"events\":[{}],\"events\":[{}]}"), 400, Error("invalid_body", "twice")),
        (
            "a bad batch id",
            SOUND,
            JSON,
            json("{\"batch_id\":\"b-1\",\"events\":[{}]}"),
            400,
            Error("invalid_body", "/batch_id: expected a UUID"),
        ),
        (
            "bad metadata",
            SOUND,
            JSON,
            json("{\"events\":[{}],\"metadata\":[]}"),
            400,
            Error("invalid_body", "/metadata: expected an object, found array"),
        ),
        (
            "bad compress",
            SOUND,
            JSON,
            json("{\"events\":[{}],\"compress\":1}"),
            400,
            Error("invalid_body", "/compress"),
        ),
        ("bad gzip", SOUND, GZIP, json("[]"), 400, Error("invalid_encoding", "gzip")),
        ("gzip cut off", SOUND, GZIP, cut[..cut.len() - 3].to_vec(), 400, Error("invalid_encoding", "ends too soon")),
    ]
}

fn too_much_or_not_now() -> Vec<Case> {
    let too_many = events(1, 1_001);
    let large = gzip(&vec![b' '; 17 << 20]);
    vec![
        ("too many", SOUND, JSON, too_many.clone().into(), 413, Error("too_many_events", "more than 1000 events")),
        (
            "too many in an object",
            SOUND,
            JSON,
            format!("{{\"events\":{too_many}}}").into(),
            413,
            Error("too_many_events", "1000"),
        ),
        (
            "too many bad ones",
            SOUND,
            JSON,
            format!("[{}7]", "7,".repeat(1_000)).into(),
            413,
            Error("too_many_events", "1000"),
        ),
        ("too large", SOUND, GZIP, large, 413, Error("payload_too_large", "decompression")),
        (
            "a form",
            SOUND,
            &[("content-type", "application/x-www-form-urlencoded")],
            events(1, 1).into(),
            415,
            Error("unsupported_media_type", "application/json"),
        ),
        ("br", SOUND, &[("content-encoding", "br")], events(1, 1).into(), 415, Error("unsupported_encoding", "zstd")),
        (
            "disk full",
            |house| house.disk.limit_room(Some(0)),
            JSON,
            events(1, 1).into(),
            503,
            Error("disk_full", "nothing was taken"),
        ),
        (
            "a failed sync",
            |house| house.disk.fail_sync_after(Some(1)),
            JSON,
            events(1, 1).into(),
            503,
            Error("log_poisoned", "stopped"),
        ),
        ("closed", |house| house.log.close(), JSON, events(1, 1).into(), 503, Error("shutting_down", "closed")),
    ]
}

#[tokio::test]
async fn every_request_has_its_status_and_words() {
    for (what, before, headers, body, status, says) in
        taken().into_iter().chain(unreadable()).chain(too_much_or_not_now())
    {
        let collector = Collector::new();
        before(&collector.house);
        let answer = collector.collect(headers, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        assert!(answer.headers.contains_key("x-request-id"), "{what}");
        let seconds = answer.headers["x-process-time"].to_str().unwrap().parse::<f64>();
        assert!(seconds.is_ok(), "{what}: {seconds:?}");
        match says {
            Counts(accepted, duplicates, rejected) => {
                let counts = ["accepted_count", "duplicate_count", "rejected_count"].map(|name| answer.count(name));
                assert_eq!(counts, [accepted, duplicates, rejected], "{what}: {}", answer.body);
                let letters = answer.body["dlq_events"].as_array().unwrap().len() as u64;
                assert_eq!(letters, rejected, "{what}");
                let house = &collector.house;
                assert_eq!(
                    [house.count("events") as u64, house.count("_refused") as u64],
                    [accepted, rejected],
                    "{what}"
                );
            }
            Error(code, words) => {
                let (body, message) = (&answer.body, answer.body["error_message"].as_str().unwrap_or_default());
                assert_eq!(body["error_code"], code, "{what}: {body}");
                assert!(message.contains(words), "{what}: {message:?} does not say {words:?}");
                assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().unwrap(), "{what}");
                assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{what}");
                let house = &collector.house;
                assert!(status == 503 || house.count("events") + house.count("_refused") == 0, "{what}");
            }
        }
    }
}
