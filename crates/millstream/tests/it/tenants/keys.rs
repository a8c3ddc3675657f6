//! Which key opens which path; what is open to all; and that no key is ever told.

use super::{House, get, post};
use crate::http;
use crate::product::{command, write};

const EVENT: &str =
    r#"{"event_id":"e1","learner_id":"l1","event_type":"interaction","timestamp":"2026-01-01T00:00:00Z"}"#;

#[test]
fn every_path_asks_for_the_key_that_it_needs() {
    let mut house = House::new("");
    let write_key = house.key(Some("acme"), "write");
    let read_key = house.key(Some("acme"), "read");
    let admin_key = house.key(None, "admin");
    let product = house.start();
    let collect = format!("[{EVENT}]");
    for (method, path, write, read, admin) in [
        ("POST", "/v1/streams/events/events", 202, 403, 202),
        ("POST", "/v1/track", 200, 403, 200),
        ("POST", "/api/v1/collect", 422, 403, 422),
        ("POST", "/api/v1/test/events?count=1", 200, 403, 200),
        ("GET", "/v1/events", 403, 200, 200),
        ("GET", "/v1/anomalies", 403, 200, 200),
        ("GET", "/signals", 403, 200, 200),
        ("GET", "/users/1/anomalies", 403, 200, 200),
        ("GET", "/metrics", 403, 200, 200),
        // Figures of the whole process.
        ("GET", "/api/v1/metrics", 403, 403, 200),
    ] {
        let ask = |key: Option<&str>| {
            let bearer = key.map(|key| format!("Bearer {key}"));
            let mut headers: Vec<(&str, &str)> = vec![("content-type", "application/json")];
            headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
            let body = match path {
                "/v1/track" => r#"{"userId":"u","event":"e"}"#,
                "/api/v1/collect" => &collect,
                _ => EVENT,
            };
            http::exchange(&product.url(path), method, &headers, body.as_bytes()).unwrap().status
        };
        let found =
            [ask(None), ask(Some("ms_write_0000")), ask(Some(&write_key)), ask(Some(&read_key)), ask(Some(&admin_key))];
        assert_eq!(found, [401, 401, write, read, admin], "{method} {path}");
    }
    for path in
        ["/", "/health", "/healthz", "/readyz", "/version", "/openapi.json", "/docs/", "/redoc", "/api/v1/health"]
    {
        http::get(&product.url(path)).expect(200);
    }
    // The operator's port is on this machine only: nobody is asked there.
    let figures = String::from_utf8(http::get(&format!("{}/metrics", product.admin)).expect(200).body).unwrap();
    let memory = figures.lines().find_map(|line| line.strip_prefix("millstream_memory_ratio ")?.parse::<f64>().ok());
    assert!(memory.is_some_and(|used| used > 0.0 && used < 1.0), "{figures}");
    for key in [&write_key, &read_key, &admin_key] {
        assert!(!product.said().contains(key.as_str()), "a key is in the log");
        assert!(!http::get(&format!("{}/metrics", product.admin)).head.contains(key.as_str()));
    }
    let shown = command(house.dir()).args(["config", "show"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("sha256") && !shown.contains("ms_write_"), "{shown}");
    write(house.dir(), "shown.yaml", shown.as_bytes());
    assert!(command(house.dir()).args(["check", "-c", "shown.yaml"]).status().unwrap().success());
    product.stop();
}

#[test]
fn an_address_that_others_reach_needs_keys_or_an_explicit_word() {
    let mut house = House::new("listen: 0.0.0.0:0\n");
    house.rewrite("listen: 0.0.0.0:0\n");
    let serve =
        |more: &[&str]| command(house.dir()).args(["serve", "--admin", "127.0.0.1:0"]).args(more).output().unwrap();
    let refused = serve(&[]);
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("can be reached from other machines") && said.contains("--insecure"), "{said}");
    let key = house.key(None, "write");
    let product = crate::product::Product::start_at(house.dir(), "0.0.0.0:0", &[]);
    assert_eq!(post(&product, "/v1/streams/events/events", &key, EVENT).status, 202);
    assert_eq!(get(&product, "/v1/events", "none").status, 401);
    product.stop();
}

#[test]
fn a_bad_section_is_told_with_its_place_and_never_with_the_key() {
    let house = House::new("");
    let check = |yaml: &str, words: &[&str]| {
        write(house.dir(), "bad.yaml", yaml.as_bytes());
        let output = command(house.dir()).args(["check", "-c", "bad.yaml"]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(78), "{yaml}\n{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word} in\n{said}"));
        said
    };
    let hash = "a".repeat(64);
    let said = check("keys: [{ name: a, role: write, sha256: ms_write_secret }]", &["keys[0].sha256", "64 hex digits"]);
    assert!(!said.contains("ms_write_secret"), "{said}");
    check(&format!("keys: [{{ name: a, role: writer, sha256: {hash} }}]"), &["keys[0].role", "did you mean `write`"]);
    check(&format!("keys: [{{ role: write, sha256: {hash} }}]"), &["keys[0]", "a key needs `name`"]);
    check(
        &format!("keys: [{{ name: a, tenant: A b, role: read, sha256: {hash} }}]"),
        &["keys[0].tenant", "no tenant's name"],
    );
    let twice = format!("{{ name: a, role: read, sha256: {hash} }}");
    check(&format!("keys: [{twice}, {twice}]"), &["`a` is there twice", "same sha256"]);
    check("limits: { events_per_second: 0 }", &["limits.events_per_second", "from 1"]);
    check("tenants: { acme: { burst: 5 } }", &["tenants.acme.burst", "events_per_second"]);
    check("tenants: { acme: { rate: 5 } }", &["tenants.acme.rate", "unknown key"]);
    check("tls: { cert: a.pem }", &["tls", "`cert` and `key`"]);
    for origin in ["app.example.com", "https://App.example.com", "https://app.example.com/", "https://*.example.com"] {
        check(&format!("cors: {{ origins: ['{origin}'] }}"), &["cors.origins[0]", origin, "https://app.example.com"]);
    }
}
