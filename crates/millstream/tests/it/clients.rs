//! Stock clients, unchanged: the CloudEvents packages of PyPI and npm, and Segment's, each run by a small script of
//! `tests/clients` against the binary.
//!
//! `MILLSTREAM_TEST_PYTHON` and `MILLSTREAM_TEST_NODE` name folders with the packages; `cargo xtask test` installs them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::product::{Product, folder};

/// Runs a script with one argument and gives what it printed; `None` when its packages are not at hand.
#[expect(clippy::print_stdout, reason = "a person shall see what was not tested")]
fn run(script: &str, argument: &str) -> Option<Value> {
    let (variable, program, packages) = match script.ends_with(".py") {
        true => ("MILLSTREAM_TEST_PYTHON", "python3", "PYTHONPATH"),
        false => ("MILLSTREAM_TEST_NODE", "node", "NODE_PATH"),
    };
    let Some(folder) = std::env::var_os(variable) else {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set");
        println!("skipped: {variable} names no folder with the packages of {script}");
        return None;
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut command = Command::new(program);
    let output = command.arg(script).arg(argument).env(packages, folder).output().expect("the client starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}")))
}

/// One event of the read API.
fn find<'a>(events: &'a [Value], id: &str) -> &'a Value {
    let mut found = events.iter().filter(|event| event["event_id"] == id);
    let event = found.next().unwrap_or_else(|| panic!("{id} is not there"));
    assert!(found.next().is_none(), "{id} is there twice");
    event
}

/// All events of a stream, up to a thousand.
fn events(product: &Product, stream: &str) -> Vec<Value> {
    product.caught_up();
    let page = product.ask(&format!("/v1/events?stream={stream}&limit=1000"));
    page["events"].as_array().expect("events").clone()
}

/// Fails unless every answer but the named one took its event, and the named one knew it.
#[track_caller]
fn all_taken_once(answers: &Value, known: &str) {
    for (name, answer) in answers.as_object().expect("answers").iter().filter(|(name, _)| *name != "batch") {
        let (accepted, duplicates) = if name == known { (0, 1) } else { (1, 0) };
        let counts = [&answer["accepted_count"], &answer["duplicate_count"], &answer["rejected_count"]];
        assert_eq!(counts, [&json!(accepted), &json!(duplicates), &json!(0)], "{name}: {answer}");
    }
}

#[test]
fn a_stock_python_client_sends_cloudevents() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let Some(answers) = run("cloudevents_client.py", &product.url("/v1/streams/events/events")) else { return };
    all_taken_once(&answers, "again");
    let events = events(&product, "events");
    assert_eq!(events.len(), 7, "{events:#?}");
    for (id, key) in [
        ("py-binary", "Euro € 😀 100%"),
        ("py-bytes", "raw"),
        ("py-empty", "none"),
        ("py-structured", "p-1"),
        ("py-base64", "raw"),
        ("py-old-binary", "old"),
        ("py-old-structured", "old"),
    ] {
        let event = find(&events, id);
        let words = [&event["key"], &event["type"], &event["time"]];
        assert_eq!(words, [&json!(key), &json!("com.example.python"), &json!("2026-01-02T03:04:05.000Z")], "{event}");
    }
    assert_eq!(find(&events, "py-binary")["data"], json!({"n": 1}));
    let bytes = find(&events, "py-bytes");
    assert_eq!([&bytes["data_base64"], &bytes["content_type"]], [&json!("AAH/"), &json!("avro/binary")]);
    assert_eq!(find(&events, "py-structured")["data"]["data"], json!({"n": 2}), "the whole event is kept");
    assert_eq!(find(&events, "py-base64")["data"]["data_base64"], json!("AAH/"));
    assert_eq!(find(&events, "py-old-binary")["data"], json!({"n": 3}));
    assert_eq!(find(&events, "py-old-structured")["data"]["data"], json!({"n": 4}));
    product.stop();
}

#[test]
fn a_stock_node_client_sends_cloudevents() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let Some(answers) = run("cloudevents_client.js", &product.url("/v1/streams/events/events")) else { return };
    all_taken_once(&answers, "again");
    let batch = &answers["batch"];
    let counts = [&batch["status"], &batch["accepted_count"], &batch["rejected"][0]["index"]];
    assert_eq!(counts, [&json!(207), &json!(2), &json!(2)], "{batch}");
    let events = events(&product, "events");
    assert_eq!(events.len(), 7, "{events:#?}");
    for (id, key) in [
        ("js-binary", json!("s-1")),
        ("js-text", json!("s-1")),
        ("js-bytes", json!("s-1")),
        ("js-structured", json!("p-1")),
        ("js-base64", json!("s-1")),
        ("js-batch-1", Value::Null),
        ("js-batch-2", Value::Null),
    ] {
        let event = find(&events, id);
        let words = [&event["key"], &event["type"], &event["time"]];
        assert_eq!(words, [&key, &json!("com.example.node"), &json!("2026-01-02T03:04:05.678Z")], "{event}");
    }
    assert_eq!(find(&events, "js-binary")["data"], json!({"n": 1}));
    let text = find(&events, "js-text");
    assert_eq!([&text["data_base64"], &text["content_type"]], [&json!("MSA8IDI="), &json!("text/plain")]);
    assert_eq!(find(&events, "js-bytes")["data_base64"], json!("AAH/"));
    assert_eq!(find(&events, "js-structured")["data"]["data"], json!({"n": 2}));
    assert_eq!(find(&events, "js-base64")["data"]["data_base64"], json!("AAH/"));
    assert_eq!(find(&events, "js-batch-1")["data"]["data"], json!("text"));
    product.stop();
}

/// Fails unless there is one event of each of Segment's calls with this key, as `(type, name of a field, its value)`.
#[track_caller]
fn calls_are_there(events: &[Value], key: &str, time: &str, calls: &[(&str, &str, Value)]) {
    for (kind, field, value) in calls {
        let mut found = events.iter().filter(|event| event["key"] == key && event["type"] == *kind);
        let event = found.next().unwrap_or_else(|| panic!("no {kind} of {key}"));
        assert_eq!([&event["data"][field], &event["time"]], [value, &json!(time)], "{event}");
        assert_eq!(event["event_id"], event["data"]["messageId"], "{event}");
        assert!(found.next().is_none(), "{kind} of {key} is there twice");
    }
}

#[test]
fn a_stock_python_client_sends_to_segments_door() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let Some(errors) = run("segment_client.py", &product.clients) else { return };
    assert_eq!(errors, json!([]));
    let events = events(&product, "segment");
    let calls = [
        ("identify", "traits", json!({"email": "a@example.com"})),
        ("track", "properties", json!({"revenue": 39.95})),
        ("page", "properties", json!({"url": "https://example.com/ä"})),
        ("screen", "name", json!("Home")),
        ("group", "groupId", json!("group-1")),
        ("alias", "previousId", json!("py-0")),
    ];
    calls_are_there(&events, "py-1", "2026-01-02T03:04:05.000Z", &calls);
    assert_eq!(events.iter().filter(|event| event["key"] == "py-anonymous").count(), 1);
    assert_eq!(events.iter().filter(|event| event["key"] == "py-2").count(), 250);
    assert_eq!(events.len(), 257, "one message was sent twice and is kept once");
    product.stop();
}

#[test]
fn a_stock_node_client_sends_to_segments_door() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let Some(errors) = run("segment_client.js", &product.clients) else { return };
    assert_eq!(errors, json!([]));
    let events = events(&product, "segment");
    let calls = [
        ("identify", "traits", json!({"email": "a@example.com"})),
        ("track", "properties", json!({"revenue": 39.95})),
        ("page", "properties", json!({"url": "https://example.com/ä"})),
        ("screen", "name", json!("Home")),
        ("group", "groupId", json!("group-1")),
        ("alias", "previousId", json!("js-0")),
    ];
    calls_are_there(&events, "js-1", "2026-01-02T03:04:05.678Z", &calls);
    assert_eq!(events.iter().filter(|event| event["key"] == "js-anonymous").count(), 1);
    assert_eq!(events.iter().filter(|event| event["key"] == "js-2").count(), 50);
    assert_eq!(events.len(), 57);
    product.stop();
}
