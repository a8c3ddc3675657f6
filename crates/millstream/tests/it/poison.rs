//! One row that the store will not have: everything else is stored, and the row comes back when it is mended.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::product::{Product, folder, free_port, run, run_json, until, write};
use crate::signals::{Signal, found, generate, judge, open, post_until_answered, send};

const EVENTS: usize = 100_000;
const BATCH: usize = 2_000;

fn event(id: &str, word: &str) -> String {
    format!("{}\n", json!({"event_id": id, "learner_id": id, "word": word}))
}

/// Has the store refuse every row with this word, in all tables that hold rows of events.
fn refuse(dir: &Path, word: &str) {
    change(dir, |table| {
        format!(
            "CREATE TRIGGER refuse_{word}_{table} BEFORE INSERT ON {table} WHEN instr(NEW.data, '{word}') > 0
             BEGIN SELECT RAISE(ABORT, 'the word {word} is not welcome'); END"
        )
    });
}

fn welcome(dir: &Path, word: &str) {
    change(dir, |table| format!("DROP TRIGGER refuse_{word}_{table}"));
}

fn change(dir: &Path, sql: impl Fn(&str) -> String) {
    let store = Connection::open(dir.join("data/store.sqlite")).unwrap();
    store.busy_timeout(Duration::from_secs(30)).unwrap();
    let mut tables = store.prepare("SELECT 'events_' || n FROM chunks WHERE sealed = 0").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(!tables.is_empty(), "no chunk yet");
    for table in tables {
        store.execute_batch(&sql(&table)).unwrap();
    }
}

/// The dead letters of the stream `events`.
fn letters(product: &Product) -> Vec<Value> {
    product.ask("/v1/dlq?stream=events&limit=1000")["dead_letters"].as_array().expect("dead letters").clone()
}

fn letter(product: &Product, word: &str) -> Value {
    let mut with = letters(product).into_iter().filter(|letter| letter.to_string().contains(word));
    with.next().unwrap_or_else(|| panic!("no dead letter has {word}"))
}

/// How often an event is in the store.
fn stored(dir: &Path, id: &str) -> i64 {
    open(dir).query_row("SELECT count(*) FROM events WHERE id = ?1", [id], |row| row.get(0)).unwrap()
}

fn rows(dir: &Path) -> i64 {
    open(dir).query_row("SELECT count(*) FROM events WHERE stream = 'events'", [], |row| row.get(0)).unwrap()
}

fn verified(dir: &Path) {
    let (code, verified) = run_json(dir, &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}

#[test]
fn one_refused_row_among_many_is_one_dead_letter_and_stored_once_when_it_is_mended() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("events", &event("first", "fine"));
    refuse(dir.path(), "poison");
    let url = product.url("/v1/streams/events/events");
    for start in (0..EVENTS).step_by(BATCH) {
        let word = |i| if i == EVENTS / 2 + 777 { "poison" } else { "fine" };
        let lines: String = (start..start + BATCH).map(|i| event(&format!("e{i}"), word(i))).collect();
        post_until_answered(&url, lines.as_bytes(), BATCH);
    }
    product.caught_up();
    assert_eq!(rows(dir.path()), 1 + EVENTS as i64 - 1);
    let bad = format!("e{}", EVENTS / 2 + 777);
    let letters = letters(&product);
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["stage"], &letter["code"]), (&"store".into(), &"store_refused".into()), "{letter}");
    assert!(letter["message"].as_str().expect("text").contains("the word poison is not welcome"), "{letter}");
    assert_eq!(letter["data"]["event_id"], bad.as_str(), "{letter}");

    let id = letter["id"].as_str().expect("an id");
    write(dir.path(), "mended.json", event(&bad, "mended").as_bytes());
    // While it is being tried again by itself, nobody may edit it.
    until("it is edited", || dlq(&product, dir.path(), &["edit", id, "--file", "mended.json"]).0 == 0);
    // As often as one likes.
    until("it is resolved", || {
        dlq(&product, dir.path(), &["replay", id]);
        self::letter(&product, &bad)["status"] == "resolved"
    });
    dlq(&product, dir.path(), &["replay", id]);
    product.caught_up();
    assert_eq!((stored(dir.path(), &bad), rows(dir.path())), (1, 1 + EVENTS as i64));
    product.stop();
    verified(dir.path());
}

/// Runs a verb of `dlq` against the product; gives its exit code and what it printed.
fn dlq(product: &Product, dir: &Path, args: &[&str]) -> (i32, String) {
    let output = run(dir, &[&["dlq"], args, &["--url", &product.clients, "--output", "json"]].concat());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("an exit code"), printed)
}

#[test]
fn a_refused_row_is_tried_three_times_by_itself_and_once_more_by_hand_and_then_never_again() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("events", &event("first", "fine"));
    refuse(dir.path(), "later");
    refuse(dir.path(), "never");
    let lines: String =
        ["fine", "later", "fine", "never", "fine"].map(|word| event(&format!("{word}-1"), word)).concat();
    post_until_answered(&product.url("/v1/streams/events/events"), lines.as_bytes(), 5);
    product.caught_up();
    assert_eq!(letters(&product).len(), 2);
    welcome(dir.path(), "later");
    until("it came through by itself", || letter(&product, "later-1")["status"] == "resolved");
    assert_eq!(stored(dir.path(), "later-1"), 1);

    // Three times by itself; then it waits for a person, who may try once more.
    let waits = |letter: &Value| letter["status"] == "open" && letter["retry_at"].is_null() && letter["attempts"] == 4;
    until("it waits for a person", || waits(&letter(&product, "never-1")));
    let id = letter(&product, "never-1")["id"].as_str().expect("an id").to_owned();
    dlq(&product, dir.path(), &["replay", &id]);
    until("it is given up", || letter(&product, "never-1")["status"] == "quarantined");
    assert_eq!(letter(&product, "never-1")["attempts"], 5);
    welcome(dir.path(), "never");
    let (code, printed) = dlq(&product, dir.path(), &["replay", &id]);
    assert_eq!(code, 1, "{printed}");
    product.caught_up();
    assert_eq!(stored(dir.path(), "never-1"), 0, "quarantine is for good: {printed}");
    assert_eq!(letters(&product).len(), 2);
    product.stop();
    verified(dir.path());
}

#[test]
fn a_refused_signal_counts_nowhere_until_it_is_stored() {
    const NOON: i64 = 1_709_553_600_000;
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let signal = |id: &str, at: i64, word: &str| {
        let payload = json!({"success": true, "location": "EU", "word": word});
        let fields = json!({"event_id": id, "user_id": 7, "type": "login", "timestamp": NOON + at, "payload": payload});
        format!("{fields}\n")
    };
    product.post_stored("signals", &signal("first", 0, "fine"));
    refuse(dir.path(), "later");
    let lines: String = (1..11).map(|i| signal(&format!("s{i}"), i, if i == 5 { "later" } else { "fine" })).collect();
    post_until_answered(&product.url("/v1/streams/signals/events"), lines.as_bytes(), 10);
    product.caught_up();
    let anomalies = || product.ask("/anomalies?user_id=7")["anomalies"].as_array().expect("anomalies").clone();
    assert_eq!(anomalies(), Vec::<Value>::new(), "ten logins and one that was refused");
    welcome(dir.path(), "later");
    until("it came through by itself", || !anomalies().is_empty());
    let found = anomalies();
    assert_eq!((found.len(), &found[0]["metadata"]["login_count"]), (1, &11.into()), "{found:?}");
    product.stop();
    verified(dir.path());
}

#[test]
fn refused_signals_and_kills_together_leave_what_the_others_give() {
    const SIGNALS: usize = 30_000;
    const EVERY: u32 = 1_234;
    let dir = folder();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut product = Product::start_at(dir.path(), &listen, &[]);
    let is_bad = |signal: &Signal| signal.number % EVERY == EVERY - 1;
    let signals = generate(SIGNALS, 11).signals;
    let (good, bad): (Vec<Signal>, Vec<Signal>) = signals.iter().partition(|signal| !is_bad(signal));
    // Somebody else's, so that there is a table to put triggers on.
    let other = json!({"event_id": "other", "user_id": 777_777, "type": "click", "timestamp": 0, "payload": {}});
    product.post_stored("signals", &format!("{other}\n"));
    let ids: Vec<_> = bad.iter().map(|signal| format!("'signal-{:08}'", signal.number)).collect();
    change(dir.path(), |table| {
        format!(
            "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN NEW.id IN ({})
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
            ids.join(", ")
        )
    });
    let acknowledged = AtomicUsize::new(0);
    product = std::thread::scope(|scope| {
        scope.spawn(|| send(&format!("http://{listen}"), &signals, &acknowledged));
        for place in [SIGNALS / 5, SIGNALS / 2, SIGNALS - 1] {
            until("the clients get on", || acknowledged.load(SeqCst) >= place);
            product.kill();
            product = Product::start_at(dir.path(), &listen, &[]);
        }
        product
    });
    let all_tried = || {
        let page = product.ask("/v1/dlq?stream=signals&limit=1000");
        let letters = page["dead_letters"].as_array().expect("dead letters");
        letters.len() == bad.len() && letters.iter().all(|letter| letter["attempts"] == 4)
    };
    until("each was tried four times", all_tried);
    product.caught_up();
    product.stop();
    let store = open(dir.path());
    let stored: i64 = store.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(stored as usize, good.len() + 1);
    assert_eq!(found(&store), judge(&good));
    drop(store);
    verified(dir.path());
}
