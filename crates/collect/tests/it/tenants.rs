//! Tenants at every door: whose a record is, whose ids it shares, and that no sender can say otherwise.

use std::sync::Arc;

use api::Caller;
use axum::http::Request;
use collect::grpc::pb::PublishBatchRequest;
use event::headers;

use crate::grpc::door::{Door, batch};
use crate::house::{Answer, House};

/// Sends as this tenant; empty for somebody without a key.
async fn post(house: &House, tenant: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.to_owned().into()).unwrap();
    if !tenant.is_empty() {
        request.extensions_mut().insert(caller(tenant));
    }
    house.send(request).await
}

fn caller(tenant: &str) -> Caller {
    Caller::of(Arc::from(tenant))
}

/// For every record its tenant, and all of its headers by name, sorted by tenant.
fn owners(house: &House, stream: &str) -> Vec<(String, Vec<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut all = house.records(stream, |_, record| {
        (text(record.tenant()), headers::iter(record.headers).map(|(name, _)| name.to_owned()).collect())
    });
    all.sort();
    all
}

/// Path, headers, body, stream and the names of the headers that a record has besides. A body has one good event and one
/// that is refused, except where there is one only; `$T` stands for the tenant.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a [&'a str]);

const LEARNING: &str = r#"[{"event_id":"550e8400-e29b-41d4-a716-446655440000","learner_id":"l","tenant_id":"$T","event_type":"system","timestamp":"2024-01-15T10:30:00Z","source_service":"s"},7]"#;
const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"a","source":"/s","type":"t","subject":"s"}"#;

#[tokio::test]
async fn every_door_says_whose_a_record_is_and_ids_are_a_tenants_own() {
    let events = "/v1/streams/events/events";
    let (in_batch, attributes) =
        (format!("[{CLOUD_EVENT},7]"), ["content-type", "ce-id", "ce-source", "ce-specversion", "ce-type"]);
    let binary = [
        ("content-type", "text/plain"),
        ("ce-id", "a"),
        ("ce-source", "/s"),
        ("ce-specversion", "1.0"),
        ("ce-type", "t"),
    ];
    let cases: [Case<'_>; 8] = [
        (events, &[("content-type", "application/json")], r#"[{"event_id":"a"},7]"#, "events", &[]),
        (events, &[("content-type", "application/x-ndjson")], "{\"event_id\":\"a\"}\n7\n", "events", &[]),
        (events, &[("content-type", "application/cloudevents-batch+json")], &in_batch, "events", &["content-type"]),
        (events, &[("content-type", "application/cloudevents+json")], CLOUD_EVENT, "events", &["content-type"]),
        (events, &binary, "text", "events", &attributes),
        ("/v1/track", &[], r#"{"userId":"u","messageId":"a"}"#, "segment", &[]),
        ("/v1/batch", &[], r#"{"batch":[{"type":"page","userId":"u","messageId":"a"},7]}"#, "segment", &[]),
        ("/api/v1/collect", &[], LEARNING, "events", &[]),
    ];
    for (path, headers, body, stream, others) in cases {
        let house = House::new();
        let headers = [headers, &[("x-tenant-id", "umbrella"), ("tenant", "umbrella")]].concat();
        let mut duplicates = Vec::new();
        for (tenant, named) in [("acme", "acme"), ("acme", "acme"), ("umbrella", "umbrella"), ("", "acme")] {
            let answer = post(&house, tenant, path, &headers, &body.replace("$T", named)).await;
            assert!(answer.status < 300, "{path} as {tenant:?}: {}", answer.body);
            duplicates.push(answer.count("duplicate_count"));
        }
        assert_eq!(duplicates, [0, 1, 0, 0], "{path} {headers:?}");
        let found = owners(&house, stream);
        let tenants: Vec<&str> = found.iter().map(|(tenant, _)| tenant.as_str()).collect();
        assert_eq!(tenants, ["", "acme", "umbrella"], "{path}");
        for (tenant, mut names) in found {
            // The first, so that nothing can come before it; and none at all for the default tenant.
            let own = if tenant.is_empty() { None } else { Some("tenant".to_owned()) };
            assert_eq!(own, names.iter().find(|name| *name == "tenant").cloned(), "{path}");
            names.sort();
            let mut expected: Vec<String> = others.iter().map(|&name| name.to_owned()).chain(own).collect();
            expected.sort();
            assert_eq!(names, expected, "{path} {tenant}");
        }
        let refused: Vec<String> = owners(&house, "_refused").into_iter().map(|(tenant, _)| tenant).collect();
        let expected: &[&str] = if body.contains('7') { &["", "acme", "acme", "umbrella"] } else { &[] };
        assert_eq!(refused, expected, "{path}");
    }
}

#[tokio::test]
async fn a_call_over_grpc_is_its_keys_tenant_in_both_methods() {
    let door = Door::open_to(caller("acme")).await;
    let events = r#"[{"event_id":"a"},7]"#;
    let mut call = door.call([batch(1, events)]).await;
    assert_eq!(call.acked(1).await.accepted, 1);
    let one = PublishBatchRequest {
        stream: "events".to_owned(),
        events: r#"[{"event_id":"a"},{"event_id":"b"},7]"#.into(),
        ..PublishBatchRequest::default()
    };
    let mut one = tonic::Request::new(one);
    one.metadata_mut().insert("x-tenant-id", "umbrella".parse().unwrap());
    one.metadata_mut().insert("tenant", "umbrella".parse().unwrap());
    let answer = door.client().publish_batch(one).await.unwrap().into_inner();
    assert_eq!((answer.accepted, answer.duplicates), (1, 1));
    for stream in ["events", "_refused"] {
        let tenants: Vec<String> = owners(&door.house, stream).into_iter().map(|(tenant, _)| tenant).collect();
        assert_eq!(tenants, ["acme", "acme"], "{stream}");
    }
    // Somebody without a key shares none of its ids.
    assert_eq!(post(&door.house, "", "/v1/streams/events/events", &[], events).await.count("duplicate_count"), 0);
}

#[tokio::test]
async fn no_sender_can_say_that_a_record_is_anothers() {
    let required = [("ce-id", "a"), ("ce-source", "/s"), ("ce-specversion", "1.0"), ("ce-type", "t")];
    // Headers of a good event and of one that is refused, with all that could be taken for the tenant.
    let forged = [("tenant", "umbrella"), ("ce-tenant", "umbrella"), ("x-tenant-id", "umbrella"), ("ce-", "umbrella")];
    let bad = [&required[1..], &forged].concat();
    let good = [&required, &forged[..]].concat();
    for tenant in ["acme", ""] {
        let house = House::new();
        let path = "/v1/streams/events/events";
        assert_eq!(post(&house, tenant, path, &good, "text").await.status, 202);
        assert_eq!(post(&house, tenant, path, &bad, "text").await.status, 422);
        let structured =
            CLOUD_EVENT.replacen('{', r#"{"tenant":"umbrella","id":"b","#, 1).replacen(r#""id":"a","#, "", 1);
        let json = [("content-type", "application/cloudevents+json")];
        assert_eq!(post(&house, tenant, path, &json, &structured).await.status, 202);
        for stream in ["events", "_refused"] {
            let found = owners(&house, stream);
            assert!(!found.is_empty() && found.iter().all(|(found, _)| found == tenant), "{stream}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_source_that_is_spelled_like_a_tenant_does_not_suppress_its_events() {
    let house = House::new();
    let path = "/v1/streams/events/events";
    let event = CLOUD_EVENT.replace("/s", "acme");
    let json = [("content-type", "application/cloudevents+json")];
    assert_eq!(post(&house, "", path, &json, &event).await.count("accepted_count"), 1);
    let answer = post(&house, "acme", path, &[], r#"{"event_id":"a"}"#).await;
    assert_eq!((answer.count("accepted_count"), answer.count("duplicate_count")), (1, 0));
}

#[tokio::test]
async fn the_collector_takes_a_tenants_own_events_only() {
    let house = House::new();
    let path = "/api/v1/collect";
    let event = |n: u32, tenant: &str| {
        LEARNING
            .trim_matches(['[', ']'])
            .replace(",7", "")
            .replace("440000", &format!("44000{n}"))
            .replace("$T", tenant)
    };
    let body = format!("[{},{},{}]", event(1, "acme"), event(2, "umbrella"), event(3, "ac\\u006de"));
    let answer = post(&house, "acme", path, &[], &body).await;
    let counts = ["accepted_count", "rejected_count"].map(|name| answer.count(name));
    assert_eq!((answer.status, counts), (207, [2, 1]), "{}", answer.body);
    assert_eq!(answer.body["warnings"][0], "event 1: /tenant_id: expected acme, the tenant of the key, found umbrella");
    let letters = house.records("_refused", |_, record| {
        ["tenant", "code", "pointer"]
            .map(|name| String::from_utf8(headers::get(record.headers, name).unwrap().to_vec()).unwrap())
    });
    assert_eq!(letters, [["acme", "wrong_tenant", "/tenant_id"]]);
    // A prefix, another case and an empty name are other names.
    for other in ["acm", "ACME", "acme2"] {
        let answer = post(&house, "acme", path, &[], &format!("[{}]", event(4, other))).await;
        assert_eq!((answer.status, answer.count("rejected_count")), (422, 1), "{other}");
    }
    // Without a tenant of its own a sender may name any.
    let body = format!("[{},{}]", event(1, "acme"), event(2, "umbrella"));
    let answer = post(&house, "", path, &[], &body).await;
    assert_eq!((answer.status, answer.count("accepted_count")), (200, 2), "{}", answer.body);
    // Made-up events are its own too.
    let answer = post(&house, "acme", "/api/v1/test/events?count=3", &[], "").await;
    assert_eq!(answer.count("accepted"), 3, "{}", answer.body);
}
