//! A replay beside the live store: it finds the same as long as the rules are the same, tells nobody of anything, and
//! shows what other rules would have found.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use serde_json::Value;

use crate::product::{Product, folder, run_json, until, write};
use crate::receiver::Receiver;
use crate::signals::{Found, Signal, found, frequent_logins, generate, open, send};

const SIGNALS: usize = 200_000;
const RULE: &str = "high_frequency_login";

/// The same rule, but for fewer logins.
const STRICTER: &str = r#"
rules:
  - name: high_frequency_login
    stream: signals
    when: type == "login"
    count: { more_than: 8, within: 1m }
    severity: high
    cooldown: 1m
    description: "User {user_id} logged in {count} times within a minute"
    metadata: { login_count: count, time_window: '"1_minute"' }
"#;

/// Replays all that was ever received; waits for its end.
fn replay(product: &Product, dir: &Path, more: &[&str]) -> Value {
    let args = ["replay", "--stream", "signals", "--from", "2020-01-01T00:00:00Z", "--url", &product.clients];
    let (code, answer) = run_json(dir, &[&args[..], more].concat());
    assert_eq!(code, 0, "{answer}");
    assert_eq!(answer["status"], "done", "{answer}");
    answer
}

/// How many anomalies only the replay has, and how many only the live store has.
fn difference(answer: &Value) -> (u64, u64) {
    let count = |name: &str| answer["difference"]["anomalies"][name].as_u64().unwrap_or_else(|| panic!("{answer}"));
    (count("added"), count("removed"))
}

/// The live anomalies of the rule.
fn live(dir: &Path) -> Found {
    found(&open(dir)).into_iter().filter(|(_, rule, _)| rule == RULE).collect()
}

/// What the receiver was told of; fails when it was told of anything twice.
fn told(receiver: &Receiver) -> Found {
    let taken = receiver.taken();
    let time = |data: &Value| api::time::from_text(data["time"].as_str().expect("text")).expect("a time");
    let key = |data: &Value| data["key"].as_str().expect("a key").parse().expect("a user");
    let told: Found =
        taken.iter().map(|(_, body)| (key(&body["data"]), RULE.to_owned(), time(&body["data"]))).collect();
    assert_eq!(told.len(), taken.len(), "told twice");
    told
}

#[test]
fn a_shadow_equals_the_live_rows_until_a_rule_changes_and_tells_nobody() {
    let (dir, receiver) = (folder(), Receiver::start());
    let signals: Vec<Signal> = generate(SIGNALS, 7).signals;
    let (first, second) = signals.split_at(SIGNALS * 3 / 4);
    let (before, after) = (frequent_logins(first, 11), frequent_logins(first, 9));
    write(dir.path(), "millstream.yaml", receiver.configuration(&[RULE]).as_bytes());
    let product = Product::start(dir.path(), &[]);
    send(&product.clients, first, &AtomicUsize::new(0));
    product.caught_up();
    until("all are told", || receiver.taken().len() >= before.len());
    assert_eq!((live(dir.path()), told(&receiver)), (before.clone(), before.clone()));

    let same = replay(&product, dir.path(), &[]);
    assert_eq!(same["difference"]["total"], 0, "{same}");
    assert_eq!(same["difference"]["anomalies"]["same"], all_anomalies(dir.path()), "{same}");
    product.stop();

    write(dir.path(), "millstream.yaml", [&receiver.configuration(&[RULE]), STRICTER].concat().as_bytes());
    let product = Product::start(dir.path(), &[]);
    let other = replay(&product, dir.path(), &[]);
    let only = |a: &Found, b: &Found| a.difference(b).count() as u64;
    assert_eq!(difference(&other), (only(&after, &before), only(&before, &after)), "{other}");
    assert!(only(&after, &before) > 0 && only(&before, &after) > 0, "the rules do not differ enough");
    assert_eq!(live(dir.path()), before, "a shadow changed the live store");

    // Exchanged while events come in.
    std::thread::scope(|scope| {
        scope.spawn(|| send(&product.clients, second, &AtomicUsize::new(0)));
        let swapped = replay(&product, dir.path(), &["--swap"]);
        assert_eq!(swapped["swapped"], true, "{swapped}");
    });
    product.caught_up();
    let all = frequent_logins(&signals, 9);
    assert_eq!(live(dir.path()), all);
    // What the swap brought is told to nobody; what the engine found since then is, once.
    let news: Found = all.difference(&after).chain(&before).cloned().collect();
    until("the news are told", || receiver.taken().len() >= news.len());
    assert_eq!(told(&receiver), news);
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"]), (0, &0.into()), "{verified}");
}

fn all_anomalies(dir: &Path) -> i64 {
    open(dir).query_row("SELECT count(*) FROM anomalies", [], |row| row.get(0)).unwrap()
}
