//! What a test file may hold, what is said of one that is not in order, and what is printed.

use serde_json::{Value, json};

use super::{met, trial};
use crate::docs::{blocks, document};
use crate::product::{folder, run, run_json, write};

const RULE: &str = "streams: { orders: { key: who, time: at, id: id } }\n\
                    rules: [{ name: dear, stream: orders, when: total > 10, metadata: { total: total } }]\n";

#[test]
fn the_example_of_the_document_is_met_and_would_not_be_by_other_rules() {
    let examples = blocks(&document("docs/rules.md"), "yaml test");
    assert_eq!(examples.len(), 1);
    let found = met(&examples[0]);
    assert_eq!((&found["events"], &found["duplicates"], &found["rejected"]), (&json!(6), &json!(1), &json!(1)));
    let (code, other) = trial(&examples[0].replace("total > 1000", "total > 1001"));
    assert_eq!((code, &other["missing"][0]["expected"]["rule"]), (1, &json!("large_order")), "{other}");
}

#[test]
fn what_differs_is_told_both_ways() {
    let text = format!(
        "{RULE}events:\n  - orders: {{ id: 1, who: ann, at: 2026-11-20T10:00:00Z, total: 11 }}\n  - orders: '{{'\n\
         expect:\n  anomalies:\n    - {{ rule: dear, key: bob }}\n"
    );
    let (code, document) = trial(&text);
    assert_eq!((code, &document["ok"], &document["rejected"]), (1, &json!(false), &json!(1)));
    let missing = json!([{ "list": "anomalies", "line": 8, "expected": { "rule": "dear", "key": "bob" } }]);
    assert_eq!(document["missing"], missing, "{document}");
    let lists: Vec<&Value> = document["unexpected"].as_array().unwrap().iter().map(|one| &one["list"]).collect();
    assert_eq!(lists, ["anomalies", "dead_letters"], "a refused event is told without being asked for");
    assert_eq!(document["unexpected"][0]["found"]["metadata"], json!({ "total": 11 }));

    let dir = folder();
    write(dir.path(), "t.yaml", text.as_bytes());
    let output = run(dir.path(), &["test", "t.yaml"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "t.yaml: 2 events (accepted 1, duplicates 0, refused 1); anomalies 1, windows 0, dead letters 1",
        "expected, and not found\nline  list       what\n   8  anomalies  rule=dear key=bob\n",
        "found, and not expected\nlist          what\nanomalies     rule=dear stream=orders key=ann time=2026-11-20T10:00:00.000Z",
        "dead_letters  code=invalid_json",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn lists_are_complete_unless_they_are_said_to_be_partial() {
    let event = |n: u32| format!("  - orders: {{ id: {n}, who: ann, at: 2026-11-20T10:00:0{n}Z, total: 11 }}\n");
    let text = |expect: &str| format!("{RULE}events:\n{}{}expect: {{ {expect} }}\n", event(1), event(2));
    let one = "anomalies: [{ rule: dear }]";
    for (expect, code) in [
        ("anomalies: [{ rule: dear }, { rule: dear }]", 0),
        (one, 1),
        ("anomalies: [{ rule: dear }], partial: true", 0),
        ("anomalies: [{ rule: dear }], partial: [anomalies]", 0),
        ("anomalies: [{ rule: dear }], partial: [windows]", 1),
        ("anomalies: []", 1),
        ("dead_letters: []", 0),
        ("anomalies: [{ rule: dear }, { rule: dear }, { rule: dear }], partial: true", 1),
    ] {
        assert_eq!(trial(&text(expect)).0, code, "{expect}");
    }
}

#[test]
fn without_expectations_what_was_found_is_shown() {
    let dir = folder();
    let text = format!("{RULE}events:\n  - orders: {{ id: 1, who: ann, at: 2026-11-20T10:00:00Z, total: 11 }}\n");
    write(dir.path(), "t.yaml", text.as_bytes());
    let output = run(dir.path(), &["test", "t.yaml"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("found; nothing is expected"), "{said}");
    assert!(said.contains("anomalies  rule=dear") && !said.contains("as expected"), "{said}");
}

#[test]
fn events_come_in_every_form_and_a_configuration_from_its_file() {
    let dir = folder();
    std::fs::create_dir(dir.path().join("tests")).unwrap();
    let unset = "alerts: [{ name: a, url: 'https://a.example', secret_env: NOT_SET_HERE }]\nlisten: nonsense\n";
    write(dir.path(), "millstream.yaml", format!("{RULE}{unset}").as_bytes());
    let line = |n: u32, time: &str| format!("{{\"id\": {n}, \"who\": \"ann\", \"at\": \"{time}\", \"total\": 11}}");
    let (ten, later) = ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z");
    write(&dir.path().join("tests"), "more.ndjson", format!("{}\n\n{}\n", line(5, later), line(6, later)).as_bytes());
    let text = format!(
        "config: ../millstream.yaml\nevents:\n  - orders: {{ id: 1, who: ann, at: {ten}, total: 11 }}\n\
         \x20 - orders: [{{ id: 2, who: ann, at: {ten}, total: 11 }}, '{}']\n  - orders: |\n      {}\n      not json\n\
         \x20 - orders: '@more.ndjson'\n  - {{ at: 2026-11-20T11:00:00Z, orders: {{ id: 7, who: ann, at: 2027-01-01T00:00:00Z }} }}\n\
         expect:\n  dead_letters: [{{ code: invalid_json }}, {{ code: time_in_future, pointer: /at, stage: collect }}]\n",
        line(3, ten),
        line(4, ten),
    );
    write(&dir.path().join("tests"), "t.yaml", text.as_bytes());
    let (code, document) = run_json(dir.path(), &["test", "tests/t.yaml"]);
    assert_eq!((code, &document["events"], &document["accepted"]), (0, &json!(8), &json!(6)), "{document:#}");
    let anomalies = document["found"]["anomalies"].as_array().unwrap();
    assert_eq!(anomalies.len(), 2, "of one key at one moment there is one: {document:#}");
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let events = "events: [{ orders: { id: 1 } }]\n";
    let checks: &[(&str, &str)] = &[
        ("windows: []\n", "`events` is missing"),
        ("event: []\n", "line 3, column 8: event: unknown key (did you mean `events`?)"),
        (
            "events: [{ order: {} }]\n",
            "line 3, column 19: events[0].order: there is no stream `order` (did you mean `orders`?)",
        ),
        ("events: [{ at: 5 }]\n", "line 3, column 10: events[0]: expected the name of one stream"),
        ("events: [{ orders: 5 }]\n", "events[0].orders: expected an event, found a number"),
        ("events: [{ orders: {}, at: soon }]\n", "events[0].at: expected a time such as"),
        ("events: [{ orders: '@absent.ndjson' }]\n", "cannot read the file `absent.ndjson`"),
        (
            "{events}expect:\n  anomalies: [{ rule: deer }]\n",
            "line 5, column 23: expect.anomalies[0].rule: there is no rule `deer`",
        ),
        ("{events}expect: { anomalies: [{ rul: dear }] }\n", "did you mean `rule`?"),
        ("{events}expect: { anomalies: [{ time: soon }] }\n", "expect.anomalies[0].time: expected a time"),
        ("{events}expect: { windows: [{ window: w }] }\n", "there is no window `w` (known: signals_by_type)"),
        ("{events}expect: { windows: [{ size: long }] }\n", "expect.windows[0].size: expected a duration"),
        ("{events}expect: { partial: [anomaly] }\n", "did you mean `anomalies`?"),
        ("{events}expect: { windws: [] }\n", "did you mean `windows`?"),
        ("{events}config: millstream.yaml\n", "config: a test has a configuration, or streams"),
        ("{events}windows: [{ name: w }]\n", "windows[0]: `stream` is missing"),
        ("a: [\n", "not YAML"),
    ];
    let dir = folder();
    for (text, part) in checks {
        write(dir.path(), "t.yaml", format!("{RULE}{}", text.replace("{events}", events)).as_bytes());
        let output = run(dir.path(), &["test", "t.yaml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}: {said}");
        assert!(said.contains(part), "{text}: {part:?} is not in\n{said}");
    }
    assert_eq!(run(dir.path(), &["test", "absent.yaml"]).status.code(), Some(78));
}

#[test]
fn an_event_beyond_retention_or_far_ahead_changes_nothing_of_the_outcome() {
    // The clock goes from one end to the other: what was found first is still there.
    met(&format!(
        "{RULE}windows: [{{ name: long, stream: orders, sizes: [30d], measures: {{ n: count() }} }}]\nevents:\n  \
         - orders: {{ id: 1, who: ann, at: 2024-01-01T00:00:00Z, total: 11 }}\n  \
         - orders: {{ id: 2, who: ann, at: 2026-01-01T00:00:00Z, total: 11 }}\n\
         expect:\n  anomalies: [{{ time: 2024-01-01T00:00:00Z }}, {{ time: 2026-01-01T00:00:00Z }}]\n  \
         windows: [{{ window: long, values: {{ n: 1 }} }}, {{ window: long, values: {{ n: 1 }} }}]\n"
    ));
}
