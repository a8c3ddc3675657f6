//! `init`, `check`, `config show`, and the environment, through the binary.

use serde_json::Value;

use crate::product::{command, folder, run, run_json, write};

/// Checks a configuration; gives the exit code and the problems as `path: suggestion or message`.
fn check(yaml: &str) -> (i32, Vec<String>) {
    let dir = folder();
    write(dir.path(), "millstream.yaml", yaml.as_bytes());
    let (code, document) = run_json(dir.path(), &["check"]);
    assert_eq!(document["ok"], code == 0);
    let text = |p: &Value| format!("{}: {}", p["path"].as_str().unwrap(), p["suggestion"].as_str().unwrap_or("-"));
    (code, document["problems"].as_array().unwrap().iter().map(text).collect())
}

#[test]
fn check_tells_every_problem_at_once() {
    assert_eq!(check(""), (0, vec![]));
    let (code, problems) = check(
        "lsten: 127.0.0.1:1\nlog: { backend: kafka }\nstreams: { signals: { retention: { age: 7 } } }\n\
         rules: [{ name: r, stream: sinals, when: 'true' }]\nlisten: 0.0.0.0:80\n",
    );
    assert_eq!(code, 78);
    let expected = [
        "lsten: did you mean `listen`?",
        "log.backend: use `disk`",
        "streams.signals.retention.age: write a unit, as `7s` or `7ms`",
        "rules[0].stream: did you mean `signals`?",
    ];
    assert_eq!(problems, expected);
    assert_eq!(
        check("listen: 0.0.0.0:80"),
        (78, vec!["listen: `millstream key` makes one; or listen on 127.0.0.1:80, or say --insecure".to_owned()])
    );
}

#[test]
fn what_init_writes_passes_check_and_serves() {
    let dir = folder();
    assert!(run(dir.path(), &["init"]).status.success());
    let (code, document) = run_json(dir.path(), &["check"]);
    assert_eq!((code, &document["source"]), (0, &Value::from("millstream.yaml")));
    assert_eq!(run(dir.path(), &["init"]).status.code(), Some(1), "it replaces nothing unasked");
    assert!(run(dir.path(), &["init", "--force"]).status.success());
    let product = crate::product::Product::start(dir.path(), &[]);
    let order = r#"{"order_id":"o1","status":"placed","total":20000,"customer":{"id":"c9"}}"#;
    product.post_stored("orders", order);
    let anomalies = product.ask("/v1/anomalies?stream=orders");
    assert_eq!(anomalies["anomalies"][0]["rule"], "large_order", "{anomalies}");
    product.stop();
}

#[test]
fn what_is_shown_passes_check() {
    let dir = folder();
    let shown = run(dir.path(), &["config", "show"]);
    assert!(shown.status.success());
    write(dir.path(), "shown.yaml", &shown.stdout);
    let (code, document) = run_json(dir.path(), &["check", "-c", "shown.yaml"]);
    assert_eq!((code, &document["streams"], &document["rules"]), (0, &3.into(), &2.into()), "{document}");
}

#[test]
fn the_environment_comes_over_the_file() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", b"data_dir: a\nemit: { rate: 5 }");
    let output = command(dir.path())
        .args(["config", "show", "--output", "json"])
        .env("MILLSTREAM__DATA_DIR", "b")
        .env("MILLSTREAM__STREAMS__SIGNALS__PARTITIONS", "3")
        .env("SIGNALS_PER_SECOND", "7")
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["data_dir"], "b");
    assert_eq!(shown["streams"]["signals"]["partitions"], 3);
    assert_eq!(shown["emit"]["rate"], 7.0);
}
