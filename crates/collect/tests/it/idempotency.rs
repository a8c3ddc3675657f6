//! `Idempotency-Key`: the same answer for the same request, also after a restart; and when it is not.

use std::sync::Arc;
use std::time::Duration;

use api::Caller;
use axum::http::Request;
use event::limits::ANSWERS_AGE_MS;
use log::clock::ManualClock;
use log::gated::{GatedDisk, Step, Way};

use crate::house::{Answer, House, NOW};

const EVENTS: &str = "/v1/streams/events/events";
const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
const LEARNING: &str = r#"[{"event_id":"550e8400-e29b-41d4-a716-446655440000","learner_id":"l","tenant_id":"t","event_type":"system","timestamp":"2024-01-15T10:30:00Z","source_service":"s"},7]"#;

async fn post(house: &House, path: &str, key: &str, body: &str) -> Answer {
    post_as(house, "", path, &[("idempotency-key", key)], body).await
}

async fn post_as(house: &House, tenant: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.to_owned().into()).unwrap();
    if !tenant.is_empty() {
        request.extensions_mut().insert(Caller::of(Arc::from(tenant)));
    }
    house.send(request).await
}

/// A folder that takes no writes; until it is dropped, also when a test fails, so that its log comes to its end.
struct Shut(GatedDisk);

impl Shut {
    fn of(disk: &GatedDisk, folder: &'static str, way: Way) -> Self {
        disk.shut(folder, Step::Write, way);
        Self(disk.clone())
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.0.open_gate();
    }
}

/// Waits until a write is held up.
async fn held(disk: &GatedDisk) {
    let disk = disk.clone();
    let waiting = tokio::task::spawn_blocking(move || disk.wait_held());
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("a write comes to the gate").unwrap();
}

/// A house on a disk whose folders can be shut.
fn house_on(disk: &GatedDisk) -> House {
    House::over(Arc::new(tempfile::tempdir().unwrap()), Arc::new(disk.clone()), ManualClock::at(NOW))
}

#[track_caller]
fn replayed(answer: &Answer) -> bool {
    let header = answer.headers.get("idempotency-replayed").map(|value| value.to_str().unwrap());
    assert!(matches!(header, None | Some("true")));
    header.is_some()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["error_code"].as_str()), (status, Some(code)), "{}", answer.body);
}

#[tokio::test]
async fn a_request_sent_again_gets_the_same_bytes_also_after_a_restart() {
    let cases = [
        (EVENTS, "[{},{}]", 202),
        (EVENTS, "[{},7]", 207),
        (EVENTS, "[7,8]", 422),
        ("/v1/streams/events/events?ack=memory", "{}", 202),
        ("/api/v1/collect", LEARNING, 207),
        ("/v1/track", r#"{"userId":"u"}"#, 200),
        ("/v1/batch", r#"{"batch":[{"type":"page","userId":"u"},7]}"#, 200),
    ];
    for (path, body, status) in cases {
        let mut house = House::new();
        let first = post(&house, path, KEY, body).await;
        assert_eq!((first.status, replayed(&first)), (status, false), "{path} {body}: {}", first.body);
        let stored = |house: &House| ["events", "segment", "_refused"].map(|stream| house.count(stream));
        let before = stored(&house);
        for restart in [false, true, true] {
            if restart {
                house = house.reopened();
            }
            // It is one key, whether it is quoted or not; and other fields of the head do not matter.
            for key in [KEY.to_owned(), format!("\"{KEY}\"")] {
                let again =
                    post_as(&house, "", path, &[("idempotency-key", &key), ("x-request-id", "other")], body).await;
                assert_eq!((again.status, &again.raw, replayed(&again)), (status, &first.raw, true), "{path} {body}");
                assert_eq!(again.headers["content-type"], first.headers["content-type"]);
                assert_eq!(again.headers["x-request-id"], "other");
            }
        }
        assert_eq!(stored(&house), before, "{path} {body}");
        assert_eq!(house.count("_answers"), 1);
    }
}

#[tokio::test]
async fn a_key_is_a_tenants_and_a_paths_own() {
    let mut house = House::new();
    let all = [("", EVENTS), ("acme", EVENTS), ("umbrella", EVENTS), ("", "/v1/track"), ("", "/v1/page")];
    let body = r#"{"userId":"u"}"#;
    for again in [false, true, true] {
        for (tenant, path) in all {
            let answer = post_as(&house, tenant, path, &[("idempotency-key", KEY)], body).await;
            assert_eq!((answer.count("accepted_count"), replayed(&answer)), (1, again), "{tenant:?} {path}");
        }
        assert_eq!((house.count("events"), house.count("segment")), (3, 2));
        house = house.reopened();
    }
    let tenants = house.records("_answers", |_, record| String::from_utf8(record.tenant().to_vec()).unwrap());
    assert_eq!(tenants, ["", "acme", "umbrella", "", ""]);
}

#[tokio::test]
async fn a_key_with_another_request_is_refused() {
    let mut house = House::new();
    let json = ("content-type", "application/json");
    let cloud = [("ce-id", "1"), ("ce-source", "/s"), ("ce-specversion", "1.0"), ("ce-type", "t")];
    let other_id = [("ce-id", "2"), cloud[1], cloud[2], cloud[3]];
    for (key, first, second) in [
        ("body", (EVENTS, &[json][..], "{}"), (EVENTS, &[json][..], "{ }")),
        ("ack", (EVENTS, &[json], "{}"), ("/v1/streams/events/events?ack=memory", &[json], "{}")),
        ("format", (EVENTS, &[json], "{}"), (EVENTS, &[("content-type", "application/x-ndjson")], "{}")),
        ("attributes", (EVENTS, &cloud, "{}"), (EVENTS, &other_id, "{}")),
    ] {
        let with_key = |headers: &[(&'static str, &'static str)]| [headers, &[("idempotency-key", key)]].concat();
        let answer = post_as(&house, "", first.0, &with_key(first.1), first.2).await;
        assert_eq!(answer.status, 202, "{key}: {}", answer.body);
        for _ in 0..2 {
            let count = house.count("events");
            let answer = post_as(&house, "", second.0, &with_key(second.1), second.2).await;
            refused(&answer, 422, "idempotency_key_reused");
            assert_eq!(house.count("events"), count);
            house = house.reopened();
        }
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let house = House::new();
    for key in ["", "two words", "\"open", &"k".repeat(256)] {
        refused(&post(&house, EVENTS, key, "{}").await, 400, "invalid_idempotency_key");
    }
    for path in [EVENTS, "/v1/track", "/api/v1/collect"] {
        let twice = post_as(&house, "", path, &[("idempotency-key", "a"), ("idempotency-key", "a")], "{}").await;
        refused(&twice, 400, "invalid_idempotency_key");
    }
    assert_eq!(house.count("events"), 0);
}

#[tokio::test]
async fn what_took_nothing_leaves_the_key_free() {
    let house = House::new();
    refused(&post(&house, EVENTS, KEY, "[{},").await, 400, "invalid_json");
    house.disk.limit_room(Some(0));
    refused(&post(&house, EVENTS, KEY, "[{},{}]").await, 503, "disk_full");
    house.disk.limit_room(None);
    refused(&post(&house, "/v1/track", KEY, "{}").await, 400, "all_rejected");
    for (path, body) in [(EVENTS, "[{},{}]"), ("/v1/track", r#"{"userId":"u"}"#)] {
        let answer = post(&house, path, KEY, body).await;
        assert!(answer.status < 300 && !replayed(&answer), "{path}: {}", answer.body);
        assert!(replayed(&post(&house, path, KEY, body).await));
    }
    assert_eq!((house.count("events"), house.count("segment")), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_holds_its_key_also_when_its_client_has_gone() {
    for hang_up in [false, true] {
        let disk = GatedDisk::default();
        let house = Arc::new(house_on(&disk));
        let shut = Shut::of(&disk, "events", Way::Wait);
        let first = {
            let house = house.clone();
            tokio::spawn(async move { post(&house, EVENTS, KEY, "[{},7]").await })
        };
        held(&disk).await;
        let second = post(&house, EVENTS, KEY, "[{},7]").await;
        refused(&second, 409, "idempotency_key_in_use");
        assert_eq!(second.headers["retry-after"], "1");
        refused(&post(&house, EVENTS, KEY, "{}").await, 422, "idempotency_key_reused");
        if hang_up {
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            drop(shut);
        } else {
            drop(shut);
            assert_eq!(first.await.unwrap().status, 207);
        }
        let answered = async {
            loop {
                let answer = post(&house, EVENTS, KEY, "[{},7]").await;
                if answer.status != 409 {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), answered).await.expect("the key is answered");
        assert_eq!((answer.status, replayed(&answer), answer.count("accepted_count")), (207, true, 1));
        assert_eq!((house.count("events"), house.count("_refused"), house.count("_answers")), (1, 1, 1));
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let mut house = House::new();
    let first = post(&house, EVENTS, KEY, "{}").await;
    house.clock.advance(ANSWERS_AGE_MS - 1);
    for _ in 0..2 {
        assert_eq!(post(&house, EVENTS, KEY, "{}").await.raw, first.raw);
        house = house.reopened();
    }
    house.clock.advance(1);
    house = house.reopened();
    // For the next day it is a new key, also for another request.
    let later = post(&house, EVENTS, KEY, "{ }").await;
    assert_eq!((later.count("accepted_count"), replayed(&later)), (1, false));
    for _ in 0..2 {
        let again = post(&house, EVENTS, KEY, "{ }").await;
        assert_eq!((&again.raw, replayed(&again)), (&later.raw, true));
        house = house.reopened();
    }
    assert_eq!(house.count("events"), 2);
}

/// What a process leaves that is killed while a door is shut.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_events_and_their_answer_nothing_is_there_twice() {
    let body = r#"[{"a":1},{"event_id":"own"},{"a":1},7]"#;
    let disk = GatedDisk::default();
    let house = Arc::new(house_on(&disk));
    let shut = Shut::of(&disk, "_answers", Way::Wait);
    let first = {
        let house = house.clone();
        tokio::spawn(async move { post(&house, EVENTS, KEY, body).await })
    };
    held(&disk).await;
    let left = Arc::new(tempfile::tempdir().unwrap());
    copy(house.dir(), left.path());
    drop(shut);
    assert_eq!(first.await.unwrap().count("accepted_count"), 3, "equal events of one request are not duplicates");

    let mut house = House::over(left, Arc::new(log::RealDisk), ManualClock::at(NOW));
    assert_eq!((house.count("events"), house.count("_answers")), (3, 0));
    let counts =
        |answer: &Answer| ["accepted_count", "duplicate_count", "rejected_count"].map(|name| answer.count(name));
    let again = post(&house, EVENTS, KEY, body).await;
    assert_eq!((again.status, counts(&again), replayed(&again)), (207, [0, 3, 1], false));
    assert_eq!(house.count("events"), 3);
    house = house.reopened();
    let third = post(&house, EVENTS, KEY, body).await;
    assert_eq!((&third.raw, replayed(&third)), (&again.raw, true));
    // The ids are the request's own: another key, another body and no key at all share none of them.
    for (key, body) in [("other", body), ("next", "{\"a\":1}")] {
        assert!(post(&house, EVENTS, key, body).await.count("accepted_count") > 0);
    }
    assert_eq!(house.post("events", "{\"a\":1}").await.count("accepted_count"), 1);
}

#[tokio::test]
async fn an_answer_that_the_log_does_not_take_is_given_and_kept_until_the_restart() {
    let disk = GatedDisk::default();
    let house = house_on(&disk);
    let shut = Shut::of(&disk, "_answers", Way::Refuse);
    let first = post(&house, EVENTS, KEY, "[{},{}]").await;
    assert_eq!((first.status, first.count("accepted_count")), (202, 2), "the events are durable");
    let again = post(&house, EVENTS, KEY, "[{},{}]").await;
    assert_eq!((&again.raw, replayed(&again)), (&first.raw, true));
    drop(shut);
    let house = house.reopened();
    let later = post(&house, EVENTS, KEY, "[{},{}]").await;
    assert_eq!((later.count("duplicate_count"), replayed(&later)), (2, false));
    assert_eq!(house.count("events"), 2);
}

#[tokio::test]
async fn a_folder_of_a_time_before_keys_opens() {
    let house = House::new();
    house.post("events", "{}").await;
    house.log.close();
    let left = Arc::new(tempfile::tempdir().unwrap());
    copy(house.dir(), left.path());
    std::fs::remove_dir_all(left.path().join("_answers")).unwrap();
    let house = House::over(left, Arc::new(log::RealDisk), ManualClock::at(NOW));
    assert_eq!(house.count("events"), 1);
    assert!(!replayed(&post(&house, EVENTS, KEY, "{}").await));
    assert!(replayed(&post(&house, EVENTS, KEY, "{}").await));
}
