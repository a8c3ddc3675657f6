//! Views and functions for people with a SQL shell, asked as `psql` would.

use ::postgres::{Client, SimpleQueryMessage};
use event::Millis;
use event::{Anomaly, DeadLetter, Severity};
use store::{Commit, Store};

use crate::data::*;
use crate::servers::Live;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A question's rows, every value as text, as a shell shows them.
fn ask(shell: &mut Client, sql: &str) -> Vec<String> {
    let rows = shell.simple_query(sql).unwrap();
    rows.iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join(" "))
            }
            _ => None,
        })
        .collect()
}

/// The time by the server's clock.
fn now(database: &Live) -> Millis {
    ask(&mut database.shell(), "SELECT (extract(epoch FROM now()) * 1000)::bigint")[0].parse().unwrap()
}

fn signal(user: &str, kind: &str, time: Millis) -> Row {
    let data = format!(r#"{{"user_id":{user},"type":"{kind}","timestamp":{time},"payload":{{"page":"/home"}}}}"#);
    Row { time, key: user.into(), kind: kind.into(), id: vec![], data: data.into_bytes(), headers: vec![] }
}

fn found(n: u64, user: &str, severity: Severity, time: Millis) -> Anomaly {
    let (key, event) = (user.to_owned(), br#"{"user_id":1}"#.to_vec());
    Anomaly { id: format!("a-{n}"), key, severity, time, received_at: time, event, ..anomaly(n) }
}

fn the_risk_of_a_user_is_scored_by_the_vectors(database: &Live) {
    use Severity::{High, Low, Medium};
    let now = now(database);
    let recent = now - HOUR;
    type Found<'a> = &'a [(Severity, Millis)];
    let cases: [(&str, Found<'_>, &str); 6] = [
        ("1", &[(High, recent), (High, recent), (Medium, recent), (Low, recent)], "4 2 4 4.25"),
        ("2", &[(Low, now - 2 * DAY)], "1 0 0 1.00"),
        ("3", &[], "0 0 0 0"),
        ("4", &[(High, recent), (High, now - 60_000)], "2 2 2 5.00"),
        ("5", &[(Medium, now - 2 * DAY), (Low, recent)], "2 0 1 2.50"),
        ("-6", &[(Medium, now - DAY - HOUR)], "1 0 0 2.00"),
    ];
    let all: Vec<_> = cases.iter().flat_map(|(user, of, _)| of.iter().map(move |one| (user, one))).collect();
    let anomalies: Vec<_> =
        all.iter().zip(0..).map(|((user, (severity, time)), n)| found(n, user, *severity, *time)).collect();
    let theirs = [Anomaly { tenant: "acme".to_owned(), ..found(99, "4", Low, recent) }];
    let store = database.store();
    store.commit(&Commit { anomalies: &anomalies, ..Commit::default() }).unwrap();
    drop(store);
    let mut shell = database.shell();
    for (user, _, expected) in cases {
        let columns = "total_anomalies, high_severity_anomalies, recent_anomalies, risk_score";
        for id in [user.to_owned(), format!("'{user}'")] {
            let told = ask(&mut shell, &format!("SELECT user_id, {columns} FROM get_user_risk_score({id})"));
            assert_eq!(told, [format!("{user} {expected}")], "{id}");
        }
    }
    drop(shell);
    let store = database.store();
    store.commit(&Commit { anomalies: &theirs, ..Commit::default() }).unwrap();
    drop(store);
    let mut shell = database.shell();
    let mut score = |args: &str| ask(&mut shell, &format!("SELECT risk_score FROM get_user_risk_score({args})"));
    assert_eq!(score("'4', ''"), ["5.00"], "of one tenant");
    assert_eq!(score("'4', 'acme'"), ["3.00"]);
    assert_eq!(score("4"), ["4.33"], "of all");
}

fn signals_and_anomalies_are_told_without_multiplying(database: &Live) {
    let now = now(database);
    let rows = [
        signal("42", "login", now - 2_000),
        signal("42", "login", now - 4_000),
        signal("42", "click", now - 2_000),
        signal("7", "click", now - 2_000),
        Row { data: b"no json \xff".to_vec(), ..signal("x", "click", now - 2_000) },
    ];
    let old = [signal("42", "login", now - 3 * DAY)];
    let blocks = [block(SIGNALS, 2, 5, now - 1_000, &rows), block(SIGNALS, 1, 0, now - 3 * DAY, &old)];
    let anomalies = [
        found(1, "42", Severity::High, now - 1_000),
        found(2, "42", Severity::High, now - 500),
        found(3, "9", Severity::Low, now - 700),
    ];
    let dead_letters = [DeadLetter { data: b"{\"a\":1}".to_vec(), attempts: 3, ..dead_letter(1) }, dead_letter(2)];
    let moves = vec![step(SIGNALS, 2, 5, 10), step(SIGNALS, 1, 0, 1)];
    let commit = Commit { consumer: "engine", moves, blocks: &blocks, ..Commit::default() };
    let store = database.store();
    store.commit(&Commit { anomalies: &anomalies, dead_letters: &dead_letters, ..commit }).unwrap();
    drop(store);
    let mut shell = database.shell();
    let mut told = |sql: &str, expected: &[&str]| assert_eq!(ask(&mut shell, sql), expected, "{sql}");
    told(
        "SELECT id, user_id, type, timestamp, payload FROM signals WHERE user_id = 42 AND type = 'click'",
        &[&format!("{} 42 click {} {{\"page\": \"/home\"}}", (2_u64 << 48) + 7, now - 2_000)],
    );
    told("SELECT user_id, payload FROM signals WHERE key = 'x'", &["NULL NULL"]);
    told("SELECT bool_and(processed_at > created_at AND created_at < now()) FROM signals", &["t"]);
    told(
        "SELECT user_id, anomaly_type, severity, original_signal_data, detection_timestamp, metadata FROM anomalies
         WHERE user_id = 9",
        &[&format!("9 rule-1 low {{\"user_id\": 1}} {} {{\"count\": 11}}", now - 700)],
    );
    told("SELECT type, signal_count, unique_users FROM recent_signal_stats", &["click 3 3", "login 2 1"]);
    told("SELECT bool_and(avg_processing_delay_seconds BETWEEN 2 AND 90) FROM recent_signal_stats", &["t"]);
    told(
        "SELECT anomaly_type, severity, anomaly_count, affected_users FROM recent_anomaly_stats",
        &["rule-0 high 1 1", "rule-1 high 1 1", "rule-1 low 1 1"],
    );
    told(
        "SELECT user_id, total_signals, signal_types, total_anomalies, last_signal_timestamp, last_anomaly_timestamp
         FROM user_activity_summary ORDER BY user_id",
        &[
            &format!("7 1 1 0 {} NULL", now - 2_000),
            &format!("9 0 0 1 NULL {}", now - 700),
            &format!("42 3 2 2 {} {}", now - 2_000, now - 500),
            &format!("NULL 1 1 0 {} NULL", now - 2_000),
        ],
    );
    told("SELECT batch_size, events_count, batches, processing_time_ms > 0 FROM processing_stats", &["6 6 1 t"]);
    told(
        "SELECT original_message, error_reason, retry_count FROM failed_events ORDER BY id",
        &["{\"a\": 1} invalid_json: why 2", "NULL too_deep: why 0"],
    );
    told("SELECT value LIKE '1.0.%' FROM system_info WHERE key = 'schema_version'", &["t"]);
}

fn old_data_is_cleaned_up_by_days(database: &Live) {
    let now = now(database);
    let times = [now - 40 * DAY, now - 31 * DAY, now - 29 * DAY, now - HOUR];
    let store = database.store();
    let blocks: Vec<_> =
        (0..).zip(times).map(|(n, at)| block(SIGNALS, 0, n, at, &[signal("1", "click", at)])).collect();
    let anomalies: Vec<_> = (0..).zip(times).map(|(n, at)| found(n, "1", Severity::Low, at)).collect();
    let letter = |(n, at)| DeadLetter { last_failed_at: at, ..dead_letter(n) };
    let dead_letters: Vec<_> = (0..).zip(times).map(letter).collect();
    let moves = vec![step(SIGNALS, 0, 0, 4)];
    let commit = Commit { consumer: "engine", moves, blocks: &blocks, ..Commit::default() };
    store.commit(&Commit { anomalies: &anomalies, dead_letters: &dead_letters, ..commit }).unwrap();
    drop(store);
    let mut shell = database.shell();
    for (call, expected) in [("", "2 2 0 2"), ("30", "0 0 0 0"), ("1", "1 1 0 1")] {
        assert_eq!(ask(&mut shell, &format!("SELECT * FROM cleanup_old_data({call})")), [expected], "{call}");
    }
    assert_eq!(ask(&mut shell, "SELECT count(*) FROM signals"), ["1"]);
    for call in ["-1", "NULL"] {
        let refused = shell.simple_query(&format!("SELECT * FROM cleanup_old_data({call})"));
        assert!(refused.is_err(), "{call}");
    }
}

fn a_checksum_is_told_right_or_wrong(database: &Live) {
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let sql = format!("SELECT validate_checksum('abc', '{sum}'), validate_checksum('abd', '{sum}')");
    assert_eq!(ask(&mut database.shell(), &sql), ["t f"]);
    let metrics = ask(&mut database.shell(), "SELECT metric FROM get_database_performance_metrics()");
    assert!(metrics.iter().any(|metric| metric == "database_size"), "{metrics:?}");
    assert!(database.shell().simple_query("SELECT * FROM check_performance_thresholds()").is_ok());
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod postgres {
            $(#[test] fn $name() { super::$name(&super::opened(crate::servers::Live::postgres())); })*
        }
        mod timescale {
            $(#[test] fn $name() { super::$name(&super::opened(crate::servers::Live::timescale())); })*
        }
    };
}

/// The tables are made when a store is opened.
fn opened(database: Live) -> Live {
    drop(database.store());
    database
}

on_both! {
    the_risk_of_a_user_is_scored_by_the_vectors
    signals_and_anomalies_are_told_without_multiplying
    old_data_is_cleaned_up_by_days
    a_checksum_is_told_right_or_wrong
}
