//! Events whose data is no JSON, through the whole product: kept as they are, passed over by rules, there after a restart.

use serde_json::{Value, json};

use crate::http;
use crate::product::{Product, folder, run_json, write};

const CONFIG: &[u8] = b"
streams:
  orders:
    key: customer?
    dedup: off
rules:
  - name: large
    stream: orders
    when: total > 30
    description: '{x}'
  - name: enveloped
    stream: orders
    when: data.total > 30 && type == \"placed\"
";

/// Sends one event in binary mode.
fn send(product: &Product, id: &str, content_type: &str, body: &[u8]) {
    let url = product.url("/v1/streams/orders/events?ack=stored");
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-source", "/it"),
        ("ce-type", "placed"),
        ("ce-id", id),
        ("content-type", content_type),
    ];
    let answer = http::exchange(&url, "POST", &headers, body).expect("an answer").expect(200);
    assert_eq!(answer.json()["accepted_count"], 1);
}

fn read(product: &Product, id: &str) -> Value {
    product.ask(&format!("/v1/events/{id}"))["event"].clone()
}

#[test]
fn bodies_that_are_no_json_are_kept_and_pass_the_rules() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", CONFIG);
    let product = Product::start(dir.path(), &[]);
    let strange: [(&str, &str, &[u8], &str); 5] = [
        ("empty", "text/plain", b"", ""),
        ("bytes", "image/png", b"\x89PNG\xff\x00", "iVBOR/8A"),
        ("broken", "text/plain", b"{\"total\":", "eyJ0b3RhbCI6"),
        ("not-utf8", "text/plain", b"{\"x\":\"\xff\",\"total\":99}", "eyJ4Ijoi/yIsInRvdGFsIjo5OX0="),
        ("deep", "text/plain", &[b'['; 3_000], ""),
    ];
    for (id, content_type, body, _) in &strange {
        send(&product, id, content_type, body);
    }
    send(&product, "json", "application/json", br#"{"total": 31}"#);
    let enveloped = r#"{"specversion":"1.0","id":"e","source":"/it","type":"placed","data":{"total":32}}"#;
    let url = product.url("/v1/streams/orders/events?ack=stored");
    http::post(&url, "application/cloudevents+json", enveloped.as_bytes()).expect(200);
    let check = |product: &Product| {
        for (id, content_type, _, base64) in strange.iter().filter(|(id, ..)| *id != "deep") {
            let event = read(product, id);
            assert_eq!(
                [&event["data_base64"], &event["content_type"]],
                [&json!(base64), &json!(content_type)],
                "{event}"
            );
        }
        assert_eq!(read(product, "json")["data"], json!({"total": 31}));
        assert_eq!(product.ask("/v1/events?stream=orders")["events"].as_array().map(Vec::len), Some(7));
        let page = product.ask("/v1/anomalies?stream=orders");
        let found = page["anomalies"].as_array().expect("anomalies").iter();
        let mut rules: Vec<_> = found.map(|found| found["rule"].as_str().unwrap_or_default()).collect();
        rules.sort_unstable();
        assert_eq!(rules, ["enveloped", "large"], "{page}");
    };
    check(&product);
    product.stop();
    let product = Product::start(dir.path(), &[]);
    check(&product);
    product.stop();
    let (code, report) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &report["differences"]), (0, &json!(0)), "{report}");
}
