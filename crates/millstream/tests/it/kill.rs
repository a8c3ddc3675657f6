//! `kill -9` in the middle of load, over and over: what was acknowledged is stored, once, and the store is what a fresh
//! run over the log gives.

use std::process::Stdio;

use serde_json::Value;

use crate::product::{Product, command, folder, free_port, read, run_json, signal, until};
use crate::stack::{acknowledged, asked, stored, stored_once};

/// How often the server is killed; more by `MILLSTREAM_TEST_KILLS`.
const KILLS: u64 = 5;
/// Events that are acknowledged between two kills, at the least, so that each kill hits load.
const ACKS_BETWEEN: usize = 3_000;

#[test]
fn killed_in_the_middle_of_load_it_keeps_every_acknowledged_event_once() {
    let (dir, port) = (folder(), free_port());
    let listen = format!("127.0.0.1:{port}");
    let mut product = Product::start_at(dir.path(), &listen, &[]);
    let mut emitter = command(dir.path())
        .args(["emit", "--url", &format!("http://{listen}"), "--rate", "20000", "--duplicates", "1"])
        .args(["--batch", "25", "--workers", "16"])
        .args(["--invalid", "1", "--acks", "acks", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the emitter starts");
    for round in 0..asked("MILLSTREAM_TEST_KILLS", KILLS) as usize {
        let before = acknowledged(dir.path());
        // Not always at the same place: early in a group, late in a batch.
        let more = ACKS_BETWEEN + round * 977;
        until("the emitter is at work", || acknowledged(dir.path()) > before + more);
        product.kill();
        product = Product::start_at(dir.path(), &listen, &[]);
    }
    let before = acknowledged(dir.path());
    until("the emitter is at work again", || acknowledged(dir.path()) > before + ACKS_BETWEEN);
    signal(emitter.id(), "INT");
    let summary = std::io::read_to_string(emitter.stdout.take().expect("piped")).expect("text");
    assert!(emitter.wait().expect("it ends").success());
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    assert!(summary["retries"].as_u64().unwrap() > 0, "no kill met a request: {summary}");

    product.caught_up();
    let acks = String::from_utf8(read(&dir.path().join("acks"))).expect("text");
    stored_once(&stored(&product, "signals"), acks.lines());
    product.stop();

    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
    let (code, log) = run_json(dir.path(), &["log", "verify", "--data-dir", "data"]);
    let torn = |d: &Value| d["kind"] == "torn_tail" && d["records_lost"] == 0;
    assert!(code == 0 || log["damaged"].as_array().unwrap().iter().all(torn), "{log}");
}
