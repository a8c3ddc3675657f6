//! What a configuration names, tried; and a store moved from one back end to the other.

use serde_json::Value;
use services::{Kafka, Postgres, Redis};

use crate::http::{get, post};
use crate::product::{Product, folder, free_port, run_json, until, write};

fn lines(from: u32, to: u32) -> String {
    let line = |n| {
        format!(r#"{{"event_id":"e{n}","user_id":{},"type":"login","timestamp":{},"payload":{{}}}}"#, n % 9, n * 300)
    };
    (from..to).map(|n| line(n) + "\n").collect()
}

/// What people read of a store.
fn told(product: &Product) -> Vec<Value> {
    let lists = ["events?stream=signals&limit=1000", "anomalies?limit=1000", "windows?limit=1000"];
    let mut told: Vec<Value> = lists.iter().map(|list| product.ask(&format!("/v1/{list}"))).collect();
    told.push(product.ask("/v1/dlq"));
    told
}

#[test]
fn a_sqlite_store_moves_to_postgres_and_the_product_goes_on_there() {
    let postgres = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &lines(0, 600));
    post(&product.url("/v1/streams/signals/events"), "application/json", b"{\"user_id\":1}").expect(422);
    product.caught_up();
    let before = told(&product);
    assert!(before[1]["anomalies"].as_array().unwrap().len() > 1 && before[2]["windows"].as_array().unwrap().len() > 1);
    product.stop();

    let url = postgres.database();
    write(dir.path(), "millstream.yaml", format!("store: {{ postgres: {{ url: \"{url}\" }} }}\n").as_bytes());
    let (code, made) = run_json(dir.path(), &["migrate"]);
    assert!(code == 0 && made["store"] == "postgres" && made["message"].as_str().unwrap().contains("made"), "{made}");
    let (code, moved) = run_json(dir.path(), &["migrate", "--from", "data"]);
    assert!(code == 0 && moved["tables"]["events"] == 600, "{moved}");
    let again = crate::product::run(dir.path(), &["migrate", "--from", "data"]);
    assert_eq!(again.status.code(), Some(1), "it is not empty any more");

    let product = Product::start(dir.path(), &[]);
    assert_eq!(told(&product), before);
    product.post_stored("signals", &lines(600, 900));
    product.caught_up();
    assert_eq!(told(&product)[0]["events"].as_array().unwrap().len(), 900);
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}

#[test]
fn a_store_does_not_move_where_its_places_mean_nothing() {
    let dir = folder();
    for (text, path) in [
        ("", "store.backend"),
        ("log: { kafka: { brokers: 'k:1' } }\nstore: { postgres: { url: 'postgres://u@h/d' } }", "log.backend"),
    ] {
        write(dir.path(), "millstream.yaml", text.as_bytes());
        let output = crate::product::run(dir.path(), &["migrate", "--from", "data"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(78) && said.contains(path), "{said}");
    }
}

/// The names of what was tried, with whether it can be used.
fn tried(document: &Value) -> Vec<(&str, bool)> {
    let findings = document["connect"].as_array().unwrap();
    findings.iter().map(|f| (f["name"].as_str().unwrap(), f["ok"].as_bool().unwrap())).collect()
}

#[test]
fn check_tries_kafka_postgres_and_redis_and_says_what_is_there() {
    let kafka = Kafka::start().unwrap_or_else(|missing| panic!("{missing}"));
    let postgres = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let redis = Redis::start().unwrap_or_else(|missing| panic!("{missing}"));
    let dir = folder();
    let text = format!(
        "log: {{ kafka: {{ brokers: \"{}\" }} }}\nstore: {{ postgres: {{ url: \"{}\" }} }}\ncache: {{ redis: {{ url: \"{}\" }} }}\n",
        kafka.brokers(),
        postgres.database(),
        redis.url()
    );
    write(dir.path(), "millstream.yaml", text.as_bytes());
    let (code, document) = run_json(dir.path(), &["check", "--connect"]);
    assert_eq!(tried(&document), [("log", true), ("spool", true), ("store", true), ("cache", true)], "{document}");
    assert_eq!(code, 0);
    assert!(!dir.path().join("millstream-data").exists(), "it makes nothing");
}

#[test]
fn check_says_of_each_server_that_is_not_there_why_and_how_long_the_spool_lasts() {
    let dir = folder();
    let nobody = || format!("127.0.0.1:{}", free_port());
    let text = format!(
        "log: {{ kafka: {{ brokers: \"{}\" }} }}\nstore: {{ postgres: {{ url: \"postgres://u:geheim@{}/d\" }} }}\n\
         cache: {{ redis: {{ url: \"redis://:geheim@{}\" }} }}\nspool: {{ max_size: 100MiB }}\nlisten: {}\n",
        nobody(),
        nobody(),
        nobody(),
        nobody()
    );
    write(dir.path(), "millstream.yaml", text.as_bytes());
    let (code, document) = run_json(dir.path(), &["check", "--connect"]);
    assert_eq!(tried(&document), [("log", false), ("spool", true), ("store", false), ("cache", false)], "{document}");
    assert!(code == 1 && document["ok"] == false && !document.to_string().contains("geheim"), "{document}");
    let spool = &document["spool"];
    assert_eq!((&spool["max_bytes"], &spool["rate"]), (&(100 << 20).into(), &2_000.0.into()), "{spool}");
    let lasts = spool["lasts_seconds"].as_u64().unwrap();
    assert!((90..=120).contains(&lasts), "{lasts} s");
    let (code, document) = run_json(dir.path(), &["check"]);
    assert!(code == 0 && document["connect"].is_null() && document["spool"]["lasts_seconds"] == lasts, "{document}");
}

#[test]
fn a_spool_that_is_full_is_no_place_for_events_of_kafka() {
    let mut kafka = Kafka::start().unwrap_or_else(|missing| panic!("{missing}"));
    let dir = folder();
    let text = format!(
        "log: {{ kafka: {{ brokers: \"{}\", replication: 1 }} }}\nspool: {{ max_size: 16MiB }}\n",
        kafka.brokers()
    );
    write(dir.path(), "millstream.yaml", text.as_bytes());
    let product = Product::start(dir.path(), &["--roles", "collect"]);
    let url = product.url("/v1/streams/events/events");
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = |n: usize| {
        format!(
            "{{\"event_id\":\"e{n}\",\"noise\":\"{}\"}}\n",
            (0..300).map(|_| random.alphanumeric()).collect::<String>()
        )
    };
    post(&url, "application/x-ndjson", noise(0).as_bytes()).expect(202);
    kafka.stop(0);
    let mut taken = 1;
    let refused = loop {
        let lines: String = (taken..taken + 1_000).map(&mut noise).collect();
        let answer = post(&url, "application/x-ndjson", lines.as_bytes());
        match answer.status {
            202 => taken += 1_000,
            _ => break answer,
        }
        assert!(taken < 100_000, "it takes more than it may");
    };
    assert!(taken > 20_000, "only {taken} events were taken");
    let body = refused.expect(503).json();
    assert_eq!(body["error_code"], "disk_full", "{body}");
    let ready = get(&format!("{}/readyz", product.admin)).expect(503).json();
    assert!(ready["error_message"].as_str().unwrap().contains("the spool is full"), "{ready}");
    kafka.restart(0);
    until("there is room again", || get(&format!("{}/readyz", product.admin)).status == 200);
    until("events are taken again", || post(&url, "application/x-ndjson", noise(taken).as_bytes()).status == 202);
    product.stop();
}

#[test]
fn a_process_that_starts_while_postgres_is_away_takes_events_and_stores_them_when_it_is_there() {
    let mut postgres = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let dir = folder();
    let configuration = format!("store: {{ postgres: {{ url: \"{}\" }} }}\n", postgres.database());
    write(dir.path(), "millstream.yaml", configuration.as_bytes());
    postgres.stop();

    let product = Product::start(dir.path(), &[]);
    let url = product.url("/v1/streams/signals/events");
    post(&url, "application/x-ndjson", lines(0, 300).as_bytes()).expect(202);
    let ready = get(&format!("{}/readyz", product.admin)).expect(503).body;
    assert!(String::from_utf8_lossy(&ready).contains("not available"), "{}", String::from_utf8_lossy(&ready));
    get(&product.url("/v1/events?stream=signals")).expect(503);

    postgres.restart();
    until("the engine works", || get(&format!("{}/readyz", product.admin)).status == 200);
    product.caught_up();
    assert_eq!(told(&product)[0]["events"].as_array().unwrap().len(), 300);
    product.stop();
}
