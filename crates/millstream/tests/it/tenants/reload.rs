//! Another configuration while everything runs: the whole of it or nothing, by SIGHUP or by request.

use serde_json::{Value, json};

use super::{House, get, post};
use crate::http::{self, Answer};
use crate::product::{Product, until};

const EVENT: &str = r#"{"learner_id":"l"}"#;

fn reload(product: &Product) -> Answer {
    http::post(&format!("{}/v1/reload", product.admin), "application/json", b"")
}

fn changed(answer: &Answer) -> Vec<String> {
    answer.json()["changed"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn keys_and_limits_and_rules_change_while_it_runs() {
    let mut house = House::new("");
    let operator = house.key(None, "admin");
    let product = house.start();
    assert_eq!(changed(&reload(&product).expect(200)), Vec::<String>::new());

    let late = house.key(Some("acme"), "write");
    assert_eq!(post(&product, "/v1/streams/events/events", &late, EVENT).status, 401);
    let changes = changed(&reload(&product).expect(200));
    assert!(changes.len() == 1 && changes[0].starts_with("keys.acme-write-"), "{changes:?}");
    assert_eq!(post(&product, "/v1/streams/events/events", &late, EVENT).status, 202);

    // What was stored before a rule came is judged by it too: its state is built from the whole log.
    let orders = "streams: { orders: { key: who, id: id } }\n";
    house.rewrite(orders);
    let refused = reload(&product).expect(409).json();
    assert_eq!(refused["error_code"], "needs_restart", "{refused}");
    assert_eq!(refused["details"]["needs_restart"][0]["path"], "streams.orders", "{refused}");
    let rule = "rules: [{ name: any, stream: events, when: 'true', severity: low }]\ntenants: { acme: { events_per_second: 1, burst: 2 } }\n";
    house.rewrite(rule);
    assert_eq!(changed(&reload(&product).expect(200)), ["rules.any", "tenants.acme"]);
    let answer = post(&product, "/v1/streams/events/events?ack=stored", &operator, EVENT).expect(200);
    assert_eq!(answer.json()["ack"], "stored");
    let anomalies = get(&product, "/v1/anomalies?rule=any", &operator).expect(200).json();
    assert_eq!(anomalies["anomalies"].as_array().unwrap().len(), 1, "{anomalies}");
    let three = format!("[{EVENT},{EVENT},{EVENT}]");
    post(&product, "/v1/streams/events/events", &late, &three).expect(413);

    house.forget_last();
    crate::product::signal(product.id(), "HUP");
    until("the key is forgotten", || post(&product, "/v1/streams/events/events", &late, EVENT).status == 401);
    let totals = http::get(&format!("{}/metrics", product.admin)).body;
    assert!(!totals.is_empty());
    product.stop();
}

#[test]
fn what_is_not_sound_changes_nothing() {
    let mut house = House::new("");
    let key = house.key(None, "admin");
    let product = house.start();
    let before = get(&product, "/v1/events", &key).expect(200);
    for (rest, status, code, words) in [
        ("rules: [{ name: r, stream: sinals, when: 'true' }]\n", 422, "bad_configuration", "did you mean `signals`"),
        (
            "limits: { events_per_second: fast }\nlisten: 127.0.0.1:1\n",
            422,
            "bad_configuration",
            "limits.events_per_second",
        ),
        ("drain_timeout: 5s\ncors: { origins: ['https://a.example'] }\n", 409, "needs_restart", "drain_timeout"),
        ("{ not: [yaml", 422, "bad_configuration", "not YAML"),
    ] {
        house.rewrite(rest);
        let answer = reload(&product).expect(status);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.json()["error_code"] == code && text.contains(words), "{rest}: {text}");
        assert!(!get(&product, "/v1/events", &key).expect(200).head.contains("access-control"), "{rest}");
    }
    assert_eq!(get(&product, "/v1/events", &key).json(), before.json());
    house.rewrite("cors: { origins: ['https://a.example'] }\n");
    let answer = reload(&product).expect(200).json();
    let expected: Value = json!({ "path": "cors.origins", "from": [], "to": ["https://a.example"] });
    assert_eq!(answer["changed"], json!([expected]));
    let headers = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
    let preflight = http::exchange(&product.url("/v1/streams/events/events"), "OPTIONS", &headers, b"").unwrap();
    assert!(
        preflight.status < 300
            && preflight.head.to_lowercase().contains("access-control-allow-origin: https://a.example"),
        "{preflight:?}"
    );
    assert!(product.said().contains("the configuration stays as it was"), "{}", product.said());
    product.stop();
}
