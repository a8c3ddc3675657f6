//! Limits of a tenant: told in every answer, kept to, and a day's not forgiven by a restart.

use super::{House, post};

fn events(n: usize) -> String {
    format!("[{}]", vec![r#"{"learner_id":"l"}"#; n].join(","))
}

#[test]
fn a_tenant_sends_what_it_may_and_is_told_when_to_come_again() {
    let mut house = House::new("limits: { events_per_second: 1, burst: 100 }\ntenants: { free: {} }\n");
    let (acme, free) = (house.key(Some("acme"), "write"), house.key(Some("free"), "write"));
    let product = house.start();
    let path = "/v1/streams/events/events";
    let answer = post(&product, path, &acme, &events(100)).expect(202);
    let head = answer.head.to_lowercase();
    assert!(head.contains("ratelimit-policy: \"second\";q=100;qu=\"events\";w=100"), "{head}");
    assert!(head.contains("ratelimit: \"second\";r=0;t=100"), "{head}");
    let refused = post(&product, path, &acme, &events(50)).expect(429);
    assert_eq!(refused.json()["error_code"], "rate_limited");
    let retry = refused.head.to_lowercase().lines().find_map(|l| l.strip_prefix("retry-after: ").map(str::to_owned));
    let retry: u32 = retry.unwrap().parse().unwrap();
    assert!((45..=50).contains(&retry), "{retry}");
    post(&product, path, &acme, &events(101)).expect(413);
    for _ in 0..3 {
        let answer = post(&product, path, &free, &events(1_000)).expect(202);
        assert!(!answer.head.to_lowercase().contains("ratelimit"), "{}", answer.head);
    }
    product.stop();
}

#[test]
fn a_day_is_not_forgiven_by_a_restart() {
    let mut house = House::new("tenants: { acme: { events_per_day: 100 } }\n");
    let acme = house.key(Some("acme"), "write");
    let path = "/v1/streams/events/events?ack=stored";
    let product = house.start();
    post(&product, path, &acme, &events(90)).expect(200);
    post(&product, path, &acme, &events(20)).expect(429);
    product.kill();
    let product = house.start();
    post(&product, path, &acme, &events(20)).expect(429);
    post(&product, path, &acme, &events(5)).expect(200);
    product.stop();
}
