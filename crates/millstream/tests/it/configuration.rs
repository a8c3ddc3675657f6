//! `init`, `check`, `config show`, and the environment, through the binary.

use serde_json::Value;

use crate::http;
use crate::product::{Product, command, folder, run, run_json, write};

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
        "log.kafka: as `brokers: kafka-1:9092,kafka-2:9092`, or KAFKA_BOOTSTRAP_SERVERS",
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
    let product = Product::start(dir.path(), &[]);
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
    assert_eq!((code, &document["streams"], &document["rules"]), (0, &3.into(), &7.into()), "{document}");
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

#[test]
fn rules_windows_and_the_zone_change_while_it_runs() {
    let dir = folder();
    let put = |text: &str| write(dir.path(), "millstream.yaml", text.as_bytes());
    put("");
    let product = Product::start(dir.path(), &[]);
    let reload = || http::post(&format!("{}/v1/reload", product.admin), "application/json", b"");
    let changed = |answer: &Value| -> Vec<String> {
        answer["changed"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap().to_owned()).collect()
    };
    let event = r#"{"event_id":"1","user_id":1,"type":"click","timestamp":1764298800000,"payload":{}}"#; // 03:00 in UTC
    product.post_stored("signals", event);
    let found = || product.ask("/v1/anomalies?rule=unusual_time_activity")["anomalies"].as_array().unwrap().len();
    assert_eq!(found(), 1);

    let window = "windows: [{ name: w, stream: signals, sizes: [1s], measures: { n: count() } }]\n";
    put(&format!("zone: Asia/Tokyo\n{window}"));
    let paths = changed(&reload().expect(200).json());
    assert_eq!(paths, ["rules.unusual_time_activity.hours.zone", "windows.w", "zone"]);
    let later = r#"{"event_id":"2","user_id":2,"type":"click","timestamp":1764298860000,"payload":{}}"#;
    product.post_stored("signals", later);
    assert_eq!(found(), 1, "it is noon in Tokyo");

    for (bad, words) in
        [("measures: { n: count( }", "windows[0].measures.n"), ("measures: { n: nothing() }", "window `w`")]
    {
        put(&window.replace("measures: { n: count() }", bad));
        let refused = reload().expect(422).json();
        assert_eq!(refused["error_code"], "bad_configuration", "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    put(&format!("zone: Asia/Tokyo\n{window}"));
    assert_eq!(changed(&reload().expect(200).json()), Vec::<String>::new(), "what was refused changed nothing");
    product.stop();
}

#[test]
fn a_secret_comes_from_the_environment_and_is_not_shown() {
    let dir = folder();
    write(
        dir.path(),
        "millstream.yaml",
        b"alerts: [{ name: ops, url: 'https://a.example/x', secret_env: HOOK_SECRET }]",
    );
    let show = |secret: Option<&str>| {
        let mut command = command(dir.path());
        command.args(["config", "show"]).env_remove("HOOK_SECRET");
        secret.map(|secret| command.env("HOOK_SECRET", secret));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = show(Some("a secret of sixteen"));
    assert!(
        code == Some(0) && text.contains("HOOK_SECRET") && !text.contains("sixteen") && !text.contains("/x"),
        "{text}"
    );
    let (code, text) = show(None);
    assert!(code == Some(78) && text.contains("alerts[0].secret_env: there is no variable `HOOK_SECRET`"), "{text}");
}
