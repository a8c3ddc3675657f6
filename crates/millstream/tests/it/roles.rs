//! Roles, and what is at which port.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::http::{get, post};
use crate::product::{Product, folder, until};

#[test]
fn every_page_of_the_contract_answers() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", r#"{"user_id":1,"type":"click","timestamp":1,"payload":{}}"#);
    let pages = [
        "/",
        "/signals",
        "/anomalies",
        "/users/1/signals",
        "/metrics",
        "/health",
        "/healthz",
        "/readyz",
        "/version",
        "/openapi.json",
        "/docs/",
        "/v1/events?stream=signals",
        "/v1/events/signals-0-0",
    ];
    // The user's partition is not known here, so that one page may be missing.
    for page in pages.iter().filter(|page| !page.ends_with("-0-0")) {
        get(&product.url(page)).expect(200);
    }
    for page in ["/metrics", "/healthz", "/readyz", "/debug"] {
        get(&format!("{}{page}", product.admin)).expect(200);
    }
    let answer = get(&product.url("/nowhere")).expect(404);
    assert!(answer.head.to_ascii_lowercase().contains("x-request-id: "), "{}", answer.head);
    let body = answer.json();
    for key in ["error_code", "error_message", "request_id", "timestamp"] {
        assert!(body[key].is_string(), "{body}");
    }
    let openapi = product.ask("/openapi.json");
    assert!(openapi["paths"]["/v1/streams/{stream}/events"]["post"].is_object());
    product.stop();
}

#[test]
fn metrics_carry_the_families_of_the_contract() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", r#"{"user_id":1,"type":"click","timestamp":1,"payload":{}}"#);
    let answer = get(&format!("{}/metrics", product.admin)).expect(200);
    let text = String::from_utf8(answer.body).unwrap();
    for family in [
        "millstream_build_info{version=",
        "millstream_ingest_events_total{stream=\"signals\",result=\"accepted\"} 1",
        "millstream_ack_latency_seconds_bucket{",
        "millstream_log_fsync_seconds_bucket{",
        "millstream_log_bytes ",
        "millstream_commit_seconds_bucket{",
        "millstream_end_to_end_seconds_bucket{",
        "# HELP millstream_commit_seconds ",
    ] {
        assert!(text.contains(family), "{family} is not in\n{text}");
    }
    product.stop();
}

#[test]
fn the_role_emit_can_be_turned_while_it_runs() {
    let dir = folder();
    let product = Product::start(dir.path(), &["--roles", "collect,process,query,emit"]);
    let turned = post(&product.url("/configure"), "application/json", br#"{"signals_per_second":2000}"#).expect(200);
    assert_eq!(turned.json()["signals_per_second"], 2000.0);
    assert_eq!(turned.json()["burst_mode"], false);
    let burst = br#"{"duration_seconds":1,"multiplier":2}"#;
    post(&product.url("/burst"), "application/json", burst).expect(202);
    post(&product.url("/burst"), "application/json", br#"{"duration_seconds":1,"multiplier":0}"#).expect(422);
    post(&product.url("/configure"), "application/json", br#"{"signals_per_seconds":1}"#).expect(422);
    until("signals arrive", || product.ask("/signals?size=1")["pagination"]["total"].as_u64().unwrap() > 1_000);
    product.stop();
}

#[test]
fn a_process_that_only_collects_does_only_that() {
    let dir = folder();
    let product = Product::start(dir.path(), &["--roles", "collect"]);
    post(&product.url("/v1/streams/events/events"), "application/json", b"{}").expect(202);
    get(&product.url("/v1/events")).expect(404);
    post(&product.url("/configure"), "application/json", b"{}").expect(404);
    get(&format!("{}/readyz", product.admin)).expect(200);
    product.stop();
    let product = Product::start(dir.path(), &["--roles", "process,query"]);
    product.caught_up();
    assert_eq!(product.ask("/v1/events?stream=events")["events"].as_array().unwrap().len(), 1);
    post(&product.url("/v1/streams/events/events"), "application/json", b"{}").expect(404);
    product.stop();
}

#[test]
fn http_2_is_spoken_on_the_same_port() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let mut stream = TcpStream::connect(product.clients.trim_start_matches("http://")).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&SETTINGS).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the server answers with its SETTINGS frame: {head:?}");
    // It never says goodbye: that must not hold up the drain.
    product.stop();
}
