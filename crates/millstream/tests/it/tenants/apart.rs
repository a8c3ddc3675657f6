//! Two tenants with equal ids, keys and times: neither sees, nor deduplicates against, nor counts with the other.

use serde_json::{Value, json};

use super::{House, get, post, post_stored};
use crate::http;

fn ids(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| event["data"].to_string()).collect()
}

fn login(id: &str, who: &str) -> Value {
    let time = 1_760_000_000_000_i64 + id.len() as i64;
    json!({ "event_id": id, "user_id": 7, "type": "login", "timestamp": time, "payload": { "success": true, "from": who } })
}

#[test]
fn two_tenants_with_equal_ids_live_as_if_alone() {
    let mut house = House::new("");
    let tenants = ["acme", "zeta"].map(|tenant| (tenant, house.key(Some(tenant), "admin")));
    let operator = house.key(None, "admin");
    let product = house.start();
    for (tenant, key) in &tenants {
        let answer = post_stored(&product, "events", key, &json!({ "event_id": "same", "whose": tenant }).to_string());
        assert_eq!(
            (&answer["accepted_count"], &answer["duplicate_count"]),
            (&1.into(), &0.into()),
            "{tenant}: {answer}"
        );
        let again = post_stored(&product, "events", key, &json!({ "event_id": "same", "whose": tenant }).to_string());
        assert_eq!((&again["accepted_count"], &again["duplicate_count"]), (&0.into(), &1.into()), "{tenant}: {again}");
        // One too many for the rule, if both were counted together; and refused events are whose they are.
        let logins: Vec<Value> = (0..6).map(|n| login(&"x".repeat(n + 1), tenant)).collect();
        post_stored(&product, "signals", key, &Value::from(logins).to_string());
        post(&product, "/v1/streams/signals/events", key, r#"{"user_id":"no number"}"#).expect(422);
    }
    for (tenant, key) in &tenants {
        let other = if *tenant == "acme" { "zeta" } else { "acme" };
        let page = get(&product, "/v1/events?stream=events", key).expect(200).json();
        assert_eq!(ids(&page), [json!({ "event_id": "same", "whose": tenant }).to_string()], "{tenant}");
        for path in [
            "/v1/events",
            "/v1/events/same",
            "/signals",
            "/users/7/signals",
            "/v1/anomalies",
            "/anomalies",
            "/users/7/anomalies",
            "/metrics",
            "/v1/events?key=7",
            "/v1/events?type=login&order=asc",
        ] {
            let body = String::from_utf8(get(&product, path, key).expect(200).body).unwrap();
            assert!(!body.contains(other), "{tenant} at {path}: {body}");
        }
        assert_eq!(get(&product, "/metrics", key).json()["total_signals"], 6);
        assert_eq!(get(&product, "/v1/anomalies", key).json()["anomalies"], json!([]), "6 and 6 logins are not 12");
    }
    // A place in the log is no way in either.
    let all = get(&product, "/v1/events?limit=1000", &operator).expect(200).json();
    let all = all["events"].as_array().unwrap().clone();
    assert_eq!(all.len(), 14);
    for event in &all {
        let place = format!("{}-{}-{}", event["stream"].as_str().unwrap(), event["partition"], event["offset"]);
        let text = event["data"].to_string();
        let seen: Vec<u16> =
            tenants.iter().map(|(_, key)| get(&product, &format!("/v1/events/{place}"), key).status).collect();
        assert_eq!(seen, if text.contains("acme") { [200, 404] } else { [404, 200] }, "{place}: {text}");
    }
    // The eleventh login of one of them is an anomaly of that one alone.
    let more: Vec<Value> = (6..11).map(|n| login(&"x".repeat(n + 1), "acme")).collect();
    post_stored(&product, "signals", &tenants[0].1, &Value::from(more).to_string());
    let found = tenants
        .each_ref()
        .map(|(_, key)| get(&product, "/v1/anomalies", key).json()["anomalies"].as_array().unwrap().len());
    assert_eq!(found, [1, 0]);
    product.caught_up();
    product.stop();
    let (code, report) = crate::product::run_json(house.dir(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &report["differences"]), (0, &0.into()), "{report}");
}

#[test]
fn a_tenant_cannot_be_forged() {
    let mut house = House::new("");
    let (acme, zeta) = (house.key(Some("acme"), "admin"), house.key(Some("zeta"), "admin"));
    let product = house.start();
    let event = json!({
        "event_id": "f-1", "learner_id": "l", "tenant_id": "zeta", "event_type": "interaction", "priority": "high",
        "timestamp": "2024-01-01T00:00:00Z", "source_service": "s", "event_data": {}, "metadata": {},
    });
    let answer = post(&product, "/api/v1/collect", &acme, &json!([event]).to_string()).expect(422).json();
    assert_eq!(answer["rejected_count"], 1, "{answer}");
    let headers = [
        ("authorization", format!("Bearer {acme}")),
        ("content-type", "application/json".to_owned()),
        ("x-tenant-id", "zeta".to_owned()),
        ("tenant", "zeta".to_owned()),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", "f-2".to_owned()),
        ("ce-source", "/s".to_owned()),
        ("ce-type", "t".to_owned()),
        ("ce-tenant", "zeta".to_owned()),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = product.url("/v1/streams/events/events?ack=stored&tenant=zeta");
    http::exchange(&url, "POST", &headers, br#"{"learner_id":"l"}"#).unwrap().expect(200);
    assert_eq!(get(&product, "/v1/events", &zeta).json()["events"], json!([]));
    assert_eq!(get(&product, "/v1/events", &acme).json()["events"].as_array().unwrap().len(), 1);
    product.stop();
}
