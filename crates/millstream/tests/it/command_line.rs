//! Verbs, exit codes, and what they print.

use crate::product::{Product, folder, run, run_json};

/// Checks that a command ends with a code and says something.
fn check(args: &[&str], code: i32, part: &str) {
    let dir = folder();
    let output = run(dir.path(), args);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(part), "{args:?}: {part:?} is not in {said}");
}

#[test]
fn exit_codes_are_0_1_2_and_78() {
    check(&["version"], 0, "millstream 0.");
    check(&["version", "--output", "json"], 0, "\"version\":\"0.");
    check(&["completions", "bash"], 0, "_millstream()");
    check(&["--help"], 0, "Usage: millstream");
    check(&["nonsense"], 2, "unrecognized subcommand");
    check(&["serve", "--drain-timeout", "soon"], 2, "such as 250ms");
    check(&["serve", "--roles", "colect"], 2, "did you mean `collect`?");
    check(&["emit", "--url", "https://127.0.0.1"], 1, "http://127.0.0.1:8000");
    check(&["log", "verify"], 1, "there is no log in");
    check(&["verify"], 1, "there is no log in");
    check(&["check", "-c", "absent.yaml"], 78, "cannot read the file");
    check(&["serve", "--listen", "0.0.0.0:0"], 78, "can be reached from other machines");
}

#[test]
fn a_data_folder_is_used_by_one_process() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    for verb in [&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"][..], &["verify"]] {
        let output = run(dir.path(), &[verb, &["--data-dir", "data"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("in use by another process"), "{said}");
    }
    product.stop();
}

#[test]
fn a_stream_keeps_its_number_of_partitions() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("events", "{}");
    product.stop();
    crate::product::write(dir.path(), "millstream.yaml", b"streams: { events: { partitions: 12 } }");
    let output = run(dir.path(), &["serve", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("streams.events.partitions") && said.contains("write 6"), "{said}");
}

#[test]
fn emit_counts_what_it_sends_to_nobody() {
    let dir = folder();
    let url = format!("http://127.0.0.1:{}", crate::product::free_port());
    // A queue that holds half of it: the rest is dropped and counted, and what waits is given up by the signal.
    let mut child = crate::product::command(dir.path())
        .args(["emit", "--url", &url, "--count", "200", "--rate", "1000", "--queue-max", "100", "--output", "json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let status = {
        crate::product::until("it is given up", || child.try_wait().expect("a child").is_some());
        child.wait().expect("it ends")
    };
    let output = std::io::read_to_string(child.stdout.take().expect("piped")).expect("text");
    let summary: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(status.code(), Some(1));
    assert_eq!((&summary["sent"], &summary["errors"], &summary["dropped"]), (&0.into(), &200.into(), &100.into()));
    assert!(summary["first_error"].is_string());
}

#[test]
fn bench_prints_its_figures() {
    let dir = folder();
    let (code, document) = run_json(dir.path(), &["bench", "all", "--seconds", "1", "--dir", "."]);
    assert_eq!(code, 0);
    let names: Vec<&str> = document["results"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    let expected = [
        "collect_single",
        "collect_batch100",
        "collect_batch1000",
        "collect_grpc",
        "log_append",
        "log_read",
        "store_sqlite",
        "process_rules_windows",
        "process_snapshot_1m_keys",
        "e2e",
    ];
    assert_eq!(names, expected);
    for result in document["results"].as_array().unwrap() {
        let least = if result["unit"] == "ms" { 0.0 } else { 100.0 };
        assert!(result["value"].as_f64().unwrap() > least, "{result}");
        assert!(result.get("refused").is_none_or(|n| n == 0), "{result}");
        assert!(result.get("p99_ms").is_none_or(|ms| ms.as_f64().unwrap() > 0.0), "{result}");
    }
    assert!(document["machine"]["fdatasync_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");
}
