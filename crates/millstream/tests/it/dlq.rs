//! Dead letters of the product: through the command line, over HTTP, and as the document says it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::docs::{blocks, document};
use crate::http::{self, Answer};
use crate::product::{Product, command, folder, run, run_json, until, write};
use crate::tenants::{House, post_stored};

const BAD: &str = r#"{"event_id":"e-1","user_id":7,"type":"purchse","timestamp":1700000000000,"payload":{}}"#;
const GOOD: &str = r#"{"event_id":"e-1","user_id":7,"type":"purchase","timestamp":1700000000000,"payload":{}}"#;

fn ask(product: &Product, method: &str, path: &str, body: &str) -> Answer {
    ask_as(product, method, path, body, None)
}

fn ask_as(product: &Product, method: &str, path: &str, body: &str, key: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("x-api-key", key)));
    http::exchange(&product.url(path), method, &headers, body.as_bytes()).unwrap()
}

/// Sends events of which at least one is refused; gives the ids of their letters once those are there.
fn refuse(product: &Product, stream: &str, lines: &str) -> Vec<String> {
    let url = product.url(&format!("/v1/streams/{stream}/events?ack=stored"));
    let answer = http::post(&url, "application/x-ndjson", lines.as_bytes()).json();
    let rejected = answer["rejected"].as_array().unwrap_or_else(|| panic!("{answer}"));
    rejected.iter().map(|r| r["dlq_id"].as_str().unwrap().to_owned()).collect()
}

fn dlq(product: &Product, dir: &Path, args: &[&str]) -> (i32, Value) {
    run_json(dir, &[&["dlq"], args, &["--url", &product.clients]].concat())
}

fn resolved(product: &Product, id: &str) {
    until("the letter is resolved", || product.ask(&format!("/v1/dlq/{id}"))["status"] == "resolved");
}

#[test]
fn a_letter_is_listed_edited_and_replayed_at_the_command_line_and_stored_once() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let id = refuse(&product, "signals", BAD).remove(0);
    let (code, page) = dlq(&product, dir.path(), &["ls", "--stream", "signals", "--from", "-1h"]);
    let letter = &page["dead_letters"][0];
    assert_eq!((code, &page["total"], &letter["id"]), (0, &json!(1), &json!(id)), "{page}");
    assert_eq!(
        (&letter["stage"], &letter["code"], &letter["pointer"]),
        (&json!("collect"), &json!("invalid_value"), &json!("/type"))
    );
    assert_eq!((&letter["data"]["type"], &letter["attempts"]), (&json!("purchse"), &json!(1)));
    assert_eq!(dlq(&product, dir.path(), &["ls", "--to", "-1h"]).1["total"], 0);
    let table = run(dir.path(), &["dlq", "ls", "--url", &product.clients]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("id ") && table.contains(&id) && table.contains("1 of 1"), "{table}");

    // A bad edit is refused where it is made, and names the field.
    let edit = |data: &str| run(dir.path(), &["dlq", "edit", &id, "--data", data, "--url", &product.clients]);
    let refused = edit(r#"{"user_id":"x","type":"click","timestamp":1,"payload":{}}"#);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("/user_id"), "{said}");
    write(dir.path(), "good.json", GOOD.as_bytes());
    let (code, edited) = dlq(&product, dir.path(), &["edit", &id, "--file", "good.json"]);
    assert_eq!((code, &edited["edited"]["type"], &edited["data"]["type"]), (0, &json!("purchase"), &json!("purchse")));
    let (_, back) = dlq(&product, dir.path(), &["edit", &id, "--restore"]);
    assert!(back.get("edited").is_none(), "{back}");
    dlq(&product, dir.path(), &["edit", &id, "--data", "@good.json"]);

    let (_, counted) = dlq(&product, dir.path(), &["replay", "--stream", "signals", "--dry-run"]);
    assert_eq!((&counted["eligible"], &counted["replayed"]), (&json!(1), &json!(0)), "{counted}");
    let (code, replayed) = dlq(&product, dir.path(), &["replay", "--stream", "signals", "--rate", "50"]);
    assert_eq!((code, &replayed["replayed"], &replayed["remaining"]), (0, &json!(1), &json!(0)), "{replayed}");
    resolved(&product, &id);
    let (code, again) = dlq(&product, dir.path(), &["replay", &id]);
    assert_eq!((code, &again["replayed"], &again["skipped"][0]["code"]), (0, &json!(0), &json!("letter_resolved")));
    let events = product.ask("/v1/events?stream=signals");
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events["events"][0]["event_id"], "e-1");
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"]), (0, &json!(0)), "{verified}");
}

#[test]
fn four_refused_replays_quarantine_a_letter_and_a_restart_forgets_nothing() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let id = refuse(&product, "signals", BAD).remove(0);
    let replay = |product: &Product| ask(product, "POST", &format!("/v1/dlq/{id}/replay"), "");
    for attempts in 2..=4 {
        let answer = replay(&product).expect(422).json();
        assert_eq!((&answer["error_code"], &answer["details"]["pointer"]), (&json!("event_refused"), &json!("/type")));
        assert_eq!(product.ask(&format!("/v1/dlq/{id}"))["attempts"], attempts);
    }
    product.stop();
    let product = Product::start(dir.path(), &[]);
    until("the engine has passed what was in the log", || replay(&product).status == 422);
    assert_eq!(product.ask(&format!("/v1/dlq/{id}"))["status"], "quarantined");
    assert_eq!(replay(&product).expect(409).json()["error_code"], "letter_quarantined");
    let edited = ask(&product, "PATCH", &format!("/v1/dlq/{id}"), GOOD).expect(409);
    assert_eq!(edited.json()["details"]["status"], "quarantined");
    let output = run(dir.path(), &["dlq", "replay", &id, "--url", &product.clients]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let figures = String::from_utf8(http::get(&format!("{}/metrics", product.admin)).body).unwrap();
    assert!(figures.contains("millstream_quarantined_total 1"), "{figures}");
    let (code, discarded) = dlq(&product, dir.path(), &["discard", &id]);
    assert_eq!((code, &discarded["discarded"]), (0, &json!(1)));
    assert_eq!(product.ask(&format!("/v1/dlq/{id}"))["status"], "discarded");
    product.stop();
}

#[test]
fn every_request_has_its_answer() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let id = refuse(&product, "signals", BAD).remove(0);
    let check = |method: &str, path: &str, body: &str, status: u16, part: &str| {
        let answer = ask(&product, method, path, body);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{method} {path} {body}: {said}");
        assert!(said.contains(part), "{method} {path} {body}: {part} is not in {said}");
    };
    let one = format!("/v1/dlq/{id}");
    check("GET", "/v1/dlq?status=open&stage=collect&code=invalid_value", "", 200, &id);
    check("GET", "/v1/dlq?status=resolved", "", 200, "\"total\":0");
    check("GET", "/v1/dlq?stat=open", "", 422, "unknown_parameter");
    check("GET", "/v1/dlq?status=opened", "", 422, "one of open, replaying");
    check("GET", "/v1/dlq?stage=door", "", 422, "one of collect, process, store");
    check("GET", "/v1/dlq?limit=0", "", 422, "from 1 to 1000");
    check("GET", "/v1/dlq?from=2&to=1", "", 422, "not after");
    check("GET", "/v1/dlq?from=soon", "", 422, "RFC 3339");
    check("GET", "/v1/dlq?cursor=x", "", 422, "next_cursor");
    check("GET", "/v1/dlq?stream=nowhere", "", 404, "unknown_stream");
    check("GET", "/v1/dlq?stream=_refused", "", 404, "unknown_stream");
    check("GET", "/v1/dlq/nothing", "", 404, "letter_not_found");
    check("GET", "/v1/dlq/replay", "", 405, "method_not_allowed");
    check("PATCH", &one, "", 400, "empty_body");
    check("PATCH", &one, "{", 422, "invalid_json");
    check("PATCH", &one, "[{}]", 422, "not_an_object");
    check("PATCH", "/v1/dlq/nothing", "{}", 404, "letter_not_found");
    check("DELETE", &format!("{one}/edited"), "", 200, &id);
    check("POST", "/v1/dlq/nothing/replay", "", 404, "letter_not_found");
    check("POST", "/v1/dlq/replay", "{\"rate_per_s\":0}", 422, "rate_per_s");
    check("POST", "/v1/dlq/replay", "{\"limit\":10001}", 422, "from 1 to 10000");
    check("POST", "/v1/dlq/replay", "{\"streams\":\"signals\"}", 422, "unknown field `streams`");
    check("POST", "/v1/dlq/replay", "{\"stream\":\"nowhere\"}", 404, "unknown_stream");
    check("POST", "/v1/dlq/replay", "{", 400, "invalid_json");
    check("POST", "/v1/dlq/replay", "{\"dry_run\":true}", 200, "\"eligible\":1");
    check("POST", "/v1/dlq/discard", "{\"limit\":1}", 422, "not for discarding");
    check("POST", "/v1/dlq/discard", "{\"from\":true}", 422, "RFC 3339");
    check("POST", "/v1/dlq/discard", "{\"code\":\"invalid_value\"}", 200, "\"discarded\":1");
    check("DELETE", &one, "", 200, "discarded");
    check("POST", &format!("{one}/replay"), "", 409, "letter_discarded");
    let text = http::exchange(&product.url("/v1/dlq/replay"), "POST", &[("content-type", "text/plain")], b"{}");
    assert_eq!(text.unwrap().status, 415, "a web page could send it unasked");
    product.stop();
}

#[test]
fn a_refused_cloud_event_is_mended_as_one() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let url = product.url("/v1/streams/events/events?ack=stored");
    let structured = [("content-type", "application/cloudevents+json")];
    let bad = json!({"specversion": "1.0", "id": "A1", "source": "/shop", "type": ""}).to_string();
    let first = http::exchange(&url, "POST", &structured, bad.as_bytes()).unwrap();
    // In binary mode a body that says that it is JSON and is not.
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "A2"),
        ("ce-source", "/shop"),
        ("ce-type", "note"),
        ("ce-subject", "Euro%20%E2%82%AC"),
    ];
    let second = http::exchange(&url, "POST", &binary, b"{\"a\":").unwrap();
    for (answer, mended) in
        [(first, bad.replace("\"type\":\"\"", "\"type\":\"placed\"")), (second, "{\"a\":1}".to_owned())]
    {
        let id = answer.expect(422).json()["rejected"][0]["dlq_id"].as_str().unwrap().to_owned();
        ask(&product, "PATCH", &format!("/v1/dlq/{id}"), &mended).expect(200);
        ask(&product, "POST", &format!("/v1/dlq/{id}/replay"), "").expect(200);
        resolved(&product, &id);
    }
    let events = product.ask("/v1/events?stream=events");
    let mut found: Vec<_> = events["events"].as_array().unwrap().iter().collect();
    found.sort_by_key(|event| event["event_id"].to_string());
    let facts = |event: &Value| (event["event_id"].clone(), event["type"].clone(), event["key"].clone());
    assert_eq!(facts(found[0]), (json!("A1"), json!("placed"), Value::Null), "{events}");
    assert_eq!(facts(found[1]), (json!("A2"), json!("note"), json!("Euro \u{20ac}")), "{events}");
    assert_eq!(found[1]["data"], json!({"a": 1}));
    product.stop();
}

#[test]
fn pages_hold_still_while_letters_come_in() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let line = |n: usize| format!("{{\"event_id\":\"e-{n}\",\"broken\":\n");
    let mut ids = refuse(&product, "events", &(0..7).map(line).collect::<String>());
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = product.ask(&format!("/v1/dlq?stream=events&limit=3{cursor}"));
        let letters = page["dead_letters"].as_array().unwrap();
        seen.extend(letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()));
        // What is not JSON comes in base64.
        assert!(
            letters.iter().all(|letter| letter["data_base64"].is_string() && letter.get("data").is_none()),
            "{page}"
        );
        refuse(&product, "events", &line(99));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let other = http::get(&product.url(&format!("/v1/dlq?stream=signals{cursor}")));
    assert_eq!(other.status, 422, "a cursor is good for its own filters");
    let (_, listed) = dlq(&product, dir.path(), &["ls", "--limit", "9"]);
    assert_eq!((listed["dead_letters"].as_array().unwrap().len(), &listed["total"]), (9, &json!(10)));
    product.stop();
}

#[test]
fn a_tenants_key_reaches_its_own_letters_and_only_an_admins_changes_them() {
    let mut house = House::new("");
    let [writer, reader, admin] = ["write", "read", "admin"].map(|role| house.key(Some("acme"), role));
    let (other, operator) = (house.key(Some("other"), "admin"), house.key(None, "admin"));
    let product = house.start();
    post_stored(&product, "signals", &writer, &format!("[{GOOD},{BAD}]"));
    let page = ask_as(&product, "GET", "/v1/dlq", "", Some(&reader)).expect(200).json();
    let id = page["dead_letters"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&page["total"], &page["dead_letters"][0]["tenant"]), (&json!(1), &json!("acme")));
    let one = format!("/v1/dlq/{id}");
    let replay = format!("{one}/replay");
    for (key, method, path, status) in [
        (&writer, "GET", "/v1/dlq", 403),
        (&reader, "GET", &*one, 200),
        (&reader, "PATCH", &one, 403),
        (&reader, "POST", &replay, 403),
        (&reader, "DELETE", &one, 403),
        (&other, "GET", &one, 404),
        (&other, "PATCH", &one, 404),
        (&other, "POST", &replay, 404),
        (&other, "DELETE", &one, 404),
        (&operator, "GET", &one, 200),
        (&admin, "GET", "/v1/replays", 403),
        (&admin, "POST", "/v1/replays", 403),
        (&reader, "POST", "/events/replay", 403),
        (&operator, "GET", "/v1/replays", 200),
    ] {
        assert_eq!(ask_as(&product, method, path, GOOD, Some(key)).status, status, "{method} {path}");
    }
    assert_eq!(ask(&product, "GET", &one, "").status, 401);
    let sweep = |key: &str| ask_as(&product, "POST", "/v1/dlq/replay", "{}", Some(key)).expect(200).json();
    assert_eq!(sweep(&other)["matched"], 0);
    ask_as(&product, "PATCH", &one, &GOOD.replace("e-1", "e-2"), Some(&admin)).expect(200);
    let mut client = command(house.dir());
    client.args(["dlq", "replay", &id, "--url", &product.clients]).env("MILLSTREAM_KEY", &admin);
    assert!(client.status().unwrap().success());
    until("it is resolved", || ask_as(&product, "GET", &one, "", Some(&reader)).json()["status"] == "resolved");
    let events = ask_as(&product, "GET", "/v1/events?stream=signals", "", Some(&reader)).json();
    assert_eq!(events["events"].as_array().unwrap().len(), 2, "it is the tenant's: {events}");
    assert_eq!(ask_as(&product, "GET", "/v1/events", "", Some(&other)).json()["events"], json!([]));
    product.stop();
}

#[test]
fn what_is_called_wrongly_is_told_and_so_is_a_server_that_is_away() {
    let dir = folder();
    let away = format!("http://127.0.0.1:{}", crate::product::free_port());
    for (args, code, part) in [
        (&["dlq", "replay"][..], 2, "say which"),
        (&["dlq", "discard"], 2, "say which"),
        (&["dlq", "replay", "--rate", "0", "--all"], 2, "0 is not in 1..=10000"),
        (&["dlq", "ls", "--from", "yesterday"], 2, "expected a time such as"),
        (&["dlq", "ls", "--url", "ftp://x"], 1, "expected a URL"),
        (&["dlq", "ls", "--url", &away], 1, "is `millstream serve` running?"),
        (&["dlq", "edit", "x", "--file", "absent.json"], 1, "cannot read absent.json"),
        (&["replay", "--stream", "signals", "--from", "soon"], 2, "expected a time such as"),
        (&["replay", "--stream", "signals"], 2, "--from"),
    ] {
        let output = run(dir.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {part:?} is not in {said}");
    }
}

#[test]
fn the_document_about_failures_runs_as_it_stands_there() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl here");
        return;
    }
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let text = document("docs/failures.md");
    let mut said = String::new();
    let mut before = String::new();
    for block in blocks(&text, "sh") {
        // Each block goes on where the one before it ended: what it set is set again.
        let set: String =
            before.lines().filter(|line| line.starts_with("id=")).map(|line| format!("{line}\n")).collect();
        let script = format!(
            "set -e\nmillstream() {{ '{}' \"$@\" --url '{}'; }}\n{}{}",
            env!("CARGO_BIN_EXE_millstream"),
            product.clients,
            set,
            block.replace("http://127.0.0.1:8000", &product.clients)
        );
        let output = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{block}\n{out}\n{}", String::from_utf8_lossy(&output.stderr));
        said += &out;
        before += &block;
    }
    for part in [
        "invalid_value",
        "\"edited\":",
        "would be replayed",
        "0 discarded",
        "no difference",
        "\"swapped\":false",
        "these rows are in place",
    ] {
        assert!(said.contains(part), "{part} is in none of the answers\n{said}");
    }
    product.stop();
}
