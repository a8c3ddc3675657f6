//! The collector in the running product: the lines of its document, its pages, and its settings.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::process::Command;

use serde_json::Value;

use crate::docs::{blocks, document};
use crate::http;
use crate::product::{Product, folder, until, write};

/// The section of the document of the doors that is about the collector.
fn section() -> String {
    let text = document("docs/doors.md");
    let section = text.split("\n## ").find(|section| section.starts_with("The collector")).expect("a section");
    section.to_owned()
}

#[test]
fn the_lines_of_the_document_answer_as_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl here");
        return;
    }
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let lines: Vec<String> =
        blocks(&section(), "sh").iter().flat_map(|block| block.lines()).map(str::to_owned).collect();
    let answers: Vec<Value> = lines
        .iter()
        .map(|line| {
            let here = line.replace("http://127.0.0.1:8000", &product.clients);
            let output = Command::new("sh").args(["-c", &here]).output().expect("sh");
            assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}: no JSON"))
        })
        .collect();
    let [array, batch, gzip, made, health, metrics] = &answers[..] else { panic!("{} lines", answers.len()) };
    for taken in [array, batch, gzip] {
        assert_eq!((&taken["accepted_count"], &taken["rejected_count"]), (&1.into(), &0.into()), "{taken}");
        assert!(taken["kafka_partition"].is_u64(), "{taken}");
    }
    assert_eq!(array["kafka_partition"], batch["kafka_partition"], "one learner, one partition");
    assert_eq!(batch["batch_id"], "5b0f3a9e-9d0c-4c5e-8a53-0a6f4c1d2e3f");
    assert_eq!((&made["generated"], &made["accepted"]), (&500.into(), &500.into()), "{made}");
    assert_eq!((&health["status"], &health["kafka_connected"]), (&"healthy".into(), &true.into()), "{health}");
    assert_eq!((&metrics["kafka_writes_total"], &metrics["dlq_events_total"]), (&503.into(), &0.into()), "{metrics}");
    assert!(metrics["p99_processing_time_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{metrics}");
    // What was collected is queried as what it is.
    until("the progress event is in the store", || {
        let page = product.ask("/v1/events?stream=events&type=progress");
        page["events"].as_array().is_some_and(|events| events.len() == 1)
    });
    product.stop();
}

#[test]
fn the_pages_of_the_description_need_nothing_from_elsewhere() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let page = http::get(&product.url("/redoc")).expect(200);
    assert!(page.head.to_lowercase().contains("content-security-policy: default-src 'none'"), "{}", page.head);
    let text = String::from_utf8(page.body).expect("text");
    assert!(
        text.contains("spec-url=\"/openapi.json\"") && text.contains("src=\"/redoc/redoc.standalone.js\""),
        "{text}"
    );
    let script = http::get(&product.url("/redoc/redoc.standalone.js")).expect(200);
    assert!(script.body.len() > 500_000 && script.head.contains("text/javascript"), "{}", script.head);
    let document = product.ask("/openapi.json");
    for path in ["/api/v1/collect", "/api/v1/health", "/api/v1/metrics", "/api/v1/test/events"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    product.stop();
}

#[test]
fn settings_of_the_collector_are_obeyed() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", blocks(&section(), "yaml")[0].as_bytes());
    let product = Product::start(dir.path(), &[]);
    let sample = r#"[{"event_id":"550e8400-e29b-41d4-a716-446655440000","learner_id":"learner_001",
        "tenant_id":"550e8400-e29b-41d4-a716-446655440001","event_type":"system","timestamp":"2024-01-15T10:30:00Z",
        "source_service":"web"}]"#;
    let post = |body: &str| {
        http::post(&product.url("/api/v1/collect"), "application/json", body.as_bytes()).expect(422).json()
    };
    let refused = post(sample);
    assert!(refused["warnings"][0].as_str().is_some_and(|w| w.contains("/learner_id: expected a UUID")), "{refused}");
    let refused = post(&sample.replace("learner_001", "550e8400-e29b-41d4-a716-446655440002"));
    assert!(refused["warnings"][0].as_str().is_some_and(|w| w.contains("/timestamp: expected at most")), "{refused}");
    product.stop();
}
