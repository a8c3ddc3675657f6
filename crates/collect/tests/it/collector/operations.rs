//! What the collector says about itself, made-up events, and what waits under pressure.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use collect::{CollectorSettings, Intake};
use event::limits::{APPEND_QUEUE_BYTES, APPEND_QUEUE_LEN};
use serde_json::{Value, json};

use super::told::{Said, Told};
use super::{Collector, event, events, router, send};
use crate::house::{Answer, House};

async fn ask(collector: &Collector, path: &str) -> Answer {
    collector.send("GET", path, &[], Body::empty()).await
}

/// A collector whose log says this of itself.
fn told(house: &House, said: Said, hindrance: Option<&'static str>) -> Router {
    let log = Arc::new(Told { log: house.log.clone(), said });
    let intake = Intake::new(house.catalog.clone(), log, Arc::new(house.clock.clone()), "engine");
    router(intake, CollectorSettings::default(), hindrance)
}

#[tokio::test]
async fn health_is_healthy_degraded_or_unhealthy_for_a_reason() {
    let house = House::new();
    let calm = Said::default();
    let cases: [(Said, Option<&'static str>, u16, &str, &str); 5] = [
        (calm, None, 200, "healthy", ""),
        (Said { queue_len: APPEND_QUEUE_LEN * 9 / 20, ..calm }, None, 200, "degraded", "90 % of what may wait"),
        (Said { queue_bytes: APPEND_QUEUE_BYTES, ..calm }, None, 200, "degraded", "100 %"),
        (Said { lost: 3, ..calm }, None, 200, "degraded", "3 records were lost"),
        (calm, Some("the engine failed: no room"), 503, "unhealthy", "the engine failed"),
    ];
    for (said, hindrance, status, feeling, reason) in cases {
        let answer = send(&told(&house, said, hindrance), "GET", "/api/v1/health", &[], Body::empty()).await;
        assert_eq!((answer.status, answer.body["status"].as_str()), (status, Some(feeling)), "{}", answer.body);
        let reasons = answer.body["reasons"].to_string();
        assert!(reasons.contains(reason), "{reasons}");
        assert_eq!(reasons == "[]", feeling == "healthy", "{reasons}");
        assert_eq!(answer.body["buffer_status"]["buffered_batches"], said.queue_len);
        assert_eq!(answer.body["buffer_status"]["total_size_bytes"], said.queue_bytes);
        assert!(answer.headers.contains_key("x-process-time"));
    }
}

#[tokio::test]
async fn a_full_disk_and_a_failed_sync_are_unhealthy_until_they_are_over() {
    let collector = Collector::new();
    let feels = async || {
        let answer = ask(&collector, "/api/v1/health").await;
        (answer.status, answer.body["status"].as_str().unwrap().to_owned(), answer.body["kafka_connected"].clone())
    };
    let (healthy, unhealthy) = ((200, "healthy".to_owned(), json!(true)), (503, "unhealthy".to_owned(), json!(false)));
    assert_eq!(feels().await, healthy);
    collector.house.disk.limit_room(Some(0));
    assert_eq!(collector.collect(&[], events(1, 1)).await.status, 503);
    assert_eq!(feels().await, unhealthy);
    collector.house.disk.limit_room(None);
    assert_eq!(collector.collect(&[], events(1, 1)).await.status, 200);
    assert_eq!(feels().await, healthy, "there is room again");
    collector.house.disk.fail_sync_after(Some(0));
    assert_eq!(collector.collect(&[], events(2, 1)).await.status, 503);
    assert_eq!(feels().await, unhealthy);
}

#[tokio::test]
async fn metrics_are_what_happened_and_the_same_for_every_poller() {
    let collector = Collector::new();
    let body = format!("[{},{},{{}}]", event(1), event(1));
    assert_eq!(collector.collect(&[], body).await.status, 207);
    assert_eq!(collector.collect(&[], events(10, 19)).await.status, 200);
    let expected = json!({
        "events_processed_total": 22, "events_per_second": 20.0, "kafka_writes_total": 20, "dlq_events_total": 1,
        "buffer_events_count": 0, "avg_processing_time_ms": 0.0, "p99_processing_time_ms": 0.0,
    });
    for _ in 0..3 {
        assert_eq!(
            ask(&collector, "/api/v1/metrics").await.body,
            expected,
            "nobody's look changes what the next one sees"
        );
    }
    collector.house.clock.advance(5_000);
    let health = ask(&collector, "/api/v1/health").await.body;
    assert_eq!(health["throughput_metrics"]["events_per_second"], 4.0, "20 events in five seconds");
    assert_eq!(health["uptime_seconds"], 5);
    collector.house.clock.advance(10_000);
    assert_eq!(ask(&collector, "/api/v1/metrics").await.body["events_per_second"], 0.0);
}

#[tokio::test]
async fn made_up_events_are_really_taken() {
    let collector = Collector::new();
    let ask =
        async |query: &str| collector.send("POST", &format!("/api/v1/test/events{query}"), &[], Body::empty()).await;
    let mut sum = 0;
    for (query, count) in [("", 100), ("?count=1", 1), ("?count=2500", 2_500)] {
        let answer = ask(query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let counts = ["generated", "accepted", "rejected"].map(|name| answer.count(name));
        assert_eq!(counts, [count, count, 0], "{query}");
        assert!(answer.body["throughput_eps"].is_number() && answer.body["processing_time_ms"].is_number());
        sum += count as usize;
        assert_eq!(collector.house.count("events"), sum, "{query}");
    }
    for query in ["?count=0", "?count=10001", "?count=-1", "?count=many", "?count=1&count=2"] {
        let answer = ask(query).await;
        assert_eq!((answer.status, answer.body["error_code"].as_str()), (422, Some("invalid_parameter")), "{query}");
    }
    assert_eq!(collector.house.count("events"), sum);
}

#[tokio::test]
async fn under_pressure_events_of_low_priority_wait_and_the_others_go_on() {
    let house = House::new();
    let router = told(&house, Said { queue_bytes: APPEND_QUEUE_BYTES * 6 / 10, ..Said::default() }, None);
    let batch = |priorities: &[&str]| {
        let events = priorities.iter().zip(1..).map(|(priority, n)| event(n).replace("medium", priority));
        Body::from(format!("[{}]", events.collect::<Vec<_>>().join(",")))
    };
    for (priorities, status) in [(&["low", "low"][..], 429), (&["low", "critical"], 200), (&["normal"], 200)] {
        let answer = send(&router, "POST", "/api/v1/collect", &[], batch(priorities)).await;
        assert_eq!(answer.status, status, "{priorities:?}: {}", answer.body);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
    }
    assert_eq!(house.count("events"), 2, "nothing of the first, then two; the third's id was known");
    let collector = Collector::new();
    assert_eq!(collector.collect(&[], batch(&["low"])).await.status, 200, "without pressure they are taken");
}

#[test]
fn the_document_says_what_the_collector_does() {
    let document: Value = serde_json::to_value(collect::openapi()).unwrap();
    let statuses = |path: &str, method: &str| -> Vec<String> {
        document["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    let collect = ["200", "207", "400", "401", "403", "408", "409", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/api/v1/collect", "post"), collect);
    assert_eq!(statuses("/api/v1/health", "get"), ["200", "503"]);
    assert_eq!(statuses("/api/v1/metrics", "get"), ["200", "401", "403"]);
    assert_eq!(statuses("/api/v1/test/events", "post"), ["200", "401", "403", "422", "429", "500", "503"]);
    let event = &document["components"]["schemas"]["LearningEvent"];
    let required = ["event_id", "learner_id", "tenant_id", "event_type", "timestamp", "source_service"];
    assert_eq!(event["required"], json!(required));
    let types = document["components"]["schemas"]["EventType"]["enum"].as_array().unwrap().len();
    assert_eq!(types, 14);
}
