//! Replays of the product: beside the live results, in their place, and only where there is an engine.

use serde_json::{Value, json};

use crate::http;
use crate::product::{Product, folder, run, run_json, until, write};

/// Purchases above a limit, and windows of a minute by type.
fn configuration(limit: u32) -> String {
    format!(
        "rules:\n  - {{ name: dear, stream: signals, when: type == \"purchase\" && payload.amount > {limit}, severity: high }}\n\
         windows:\n  - {{ name: per_type, stream: signals, sizes: [1m], by: [type], measures: {{ n: count(), sum: sum(payload.amount) }} }}\n"
    )
}

/// Purchases of 0, 10, 20, … by ten users, a second apart.
fn purchases(n: usize) -> String {
    let line = |i: usize| {
        let (user, time, amount) = (i % 10, 1_700_000_000_000_u64 + i as u64 * 1_000, i * 10);
        format!(
            "{{\"event_id\":\"e-{i}\",\"user_id\":{user},\"type\":\"purchase\",\"timestamp\":{time},\"payload\":{{\"amount\":{amount}}}}}\n"
        )
    };
    (0..n).map(line).collect()
}

fn post(product: &Product, path: &str, body: &Value) -> http::Answer {
    http::post(&product.url(path), "application/json", body.to_string().as_bytes())
}

fn found(product: &Product) -> usize {
    let page = product.ask("/v1/anomalies?stream=signals&limit=1000");
    let rules = page["anomalies"].as_array().unwrap().iter().filter(|a| a["rule"] == "dear");
    rules.count()
}

fn ended(product: &Product, id: &str) -> Value {
    let path = format!("/v1/replays/{id}");
    until("the replay ends", || product.ask(&path)["status"] != "running");
    product.ask(&path)
}

#[test]
fn a_rule_that_was_wrong_is_replayed_looked_at_and_swapped() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", configuration(100).as_bytes());
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &purchases(200));
    assert_eq!(found(&product), 189);
    let replay = |more: &[&str]| {
        let args = ["replay", "--stream", "signals", "--from", "-1h", "--url", &product.clients];
        run_json(dir.path(), &[&args[..], more].concat())
    };
    let (code, same) = replay(&[]);
    assert_eq!((code, &same["status"], &same["difference"]["total"]), (0, &json!("done"), &json!(0)), "{same}");
    assert_eq!((&same["progress"]["done"], &same["into"]), (&json!(200), &json!("shadow")), "{same}");

    // Another limit in force: what was found stays, until somebody asks.
    write(dir.path(), "millstream.yaml", configuration(1_000).as_bytes());
    http::post(&format!("{}/v1/reload", product.admin), "application/json", b"").expect(200);
    assert_eq!(found(&product), 189);
    let (_, other) = replay(&[]);
    let anomalies = &other["difference"]["anomalies"];
    assert_eq!((&anomalies["removed"], &anomalies["added"], found(&product)), (&json!(90), &json!(0), 189), "{other}");
    assert_eq!(other["difference"]["windows"]["changed"], 0, "{other}");
    let detail = &other["difference"]["details"][0];
    assert!(detail["subject"] == "anomaly" && detail["replay"].is_null() && detail["live"].is_string(), "{detail}");
    // Only of the last hour, by receipt: a range before it has nothing.
    let (_, early) = replay(&["--to", "-50m"]);
    assert_eq!(early["difference"]["anomalies"], json!({"same": 0, "added": 0, "removed": 0, "changed": 0}), "{early}");

    let (code, swapped) = replay(&["--swap"]);
    assert_eq!((code, &swapped["swapped"], found(&product)), (0, &json!(true), 99), "{swapped}");
    assert_eq!(replay(&[]).1["difference"]["total"], 0);
    product.post_stored("signals", &purchases(201));
    assert_eq!(found(&product), 100, "the engine goes on");
    let text = run(dir.path(), &["replay", "--stream", "signals", "--from", "-1h", "--url", &product.clients]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("added") && text.trim_end().ends_with("no difference"), "{text}");
    product.stop();
    let folder = std::fs::read_dir(dir.path().join("data/replays")).unwrap();
    assert_eq!(folder.count(), 0, "nothing is left");
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"]), (0, &json!(0)), "{verified}");
}

#[test]
fn every_request_has_its_answer() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &purchases(10));
    let begun =
        post(&product, "/v1/replays", &json!({"stream": "signals", "from": "2020-01-01T00:00:00Z"})).expect(202);
    assert!(begun.head.to_ascii_lowercase().contains("location: /v1/replays/"), "{}", begun.head);
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    let done = ended(&product, &id);
    assert_eq!(
        (&done["status"], &done["swappable"], &done["to"]),
        (&json!("done"), &json!(true), &Value::Null),
        "{done}"
    );
    assert_eq!(product.ask("/v1/replays")["replays"][0]["id"], json!(id));
    for (body, status, part) in [
        (json!({"stream": "nowhere", "from": 0}), 404, "unknown_stream"),
        (json!({"stream": "_refused", "from": 0}), 404, "unknown_stream"),
        (json!({"stream": "signals"}), 422, "missing field `from`"),
        (json!({"stream": "signals", "from": null}), 422, "from"),
        (json!({"stream": "signals", "from": "soon"}), 422, "RFC 3339"),
        (json!({"stream": "signals", "from": 5, "to": 5}), 422, "`to` must be after `from`"),
        (json!({"stream": "signals", "from": 0, "into": "dark"}), 422, "unknown variant `dark`"),
        (json!({"stream": "signals", "from": 0, "form": 0}), 422, "unknown field `form`"),
    ] {
        let answer = post(&product, "/v1/replays", &body).expect(status);
        let said = String::from_utf8(answer.body).unwrap();
        assert!(said.contains(part), "{body}: {part} is not in {said}");
    }
    post(&product, &format!("/v1/replays/{id}/swap"), &Value::Null).expect(202);
    let swapped = ended(&product, &id);
    assert_eq!((&swapped["swapped"], &swapped["status"]), (&json!(true), &json!("done")), "{swapped}");
    post(&product, &format!("/v1/replays/{id}/swap"), &Value::Null).expect(409);
    let gone = http::exchange(&product.url(&format!("/v1/replays/{id}")), "DELETE", &[], b"").unwrap();
    assert_eq!(gone.expect(200).json()["swappable"], false);
    http::get(&product.url("/v1/replays/nothing")).expect(404);
    product.stop();
}

#[test]
fn learning_events_are_replayed_by_their_own_path() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("events", "{\"a\":1}\n{\"a\":2}\n");
    let body = json!({"fromTimestamp": "2020-01-01T00:00:00Z", "toTimestamp": 1_900_000_000_000_u64});
    let answer = post(&product, "/events/replay", &body).expect(200).json();
    assert!(answer["message"].is_string(), "{answer}");
    assert_eq!((&answer["fromTimestamp"], &answer["toTimestamp"]), (&body["fromTimestamp"], &body["toTimestamp"]));
    let done = ended(&product, answer["replayId"].as_str().unwrap());
    assert_eq!((&done["status"], &done["progress"]["done"]), (&json!("done"), &json!(2)), "{done}");
    post(&product, "/events/replay", &json!({"fromTimestamp": "soon"})).expect(422);
    post(&product, "/events/replay", &json!({})).expect(422);
    product.stop();

    let product = Product::start(dir.path(), &["--roles", "collect,query"]);
    let answer = post(&product, "/events/replay", &body).expect(503).json();
    assert_eq!(answer["error_code"], "no_processor", "{answer}");
    let output = run(dir.path(), &["replay", "--stream", "events", "--from", "0", "--url", &product.clients]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("no role `process`"), "{said}");
    product.stop();
}

#[test]
fn one_that_was_running_when_the_process_was_killed_leaves_nothing() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &purchases(100));
    let id = post(&product, "/v1/replays", &json!({"stream": "signals", "from": 0})).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    ended(&product, &id);
    product.kill();
    let left = || std::fs::read_dir(dir.path().join("data/replays")).unwrap().count();
    assert!(left() > 0);
    let product = Product::start(dir.path(), &[]);
    assert_eq!(left(), 0);
    http::get(&product.url(&format!("/v1/replays/{id}"))).expect(404);
    product.stop();
    let consumers = run(dir.path(), &["log", "inspect", "--data-dir", "data"]);
    assert!(!String::from_utf8(consumers.stdout).unwrap().contains("replay-"), "its hold on the log is gone");
}
