//! A process killed with SIGKILL in the middle of its commits leaves rows, positions and all else in agreement.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use event::measure::{Measure, Total};
use event::{Alert, Anomaly, LetterChange, LetterEvent, WindowDelta};
use store::query::{AlertQuery, AnomalyQuery, DeadLetterQuery, EventQuery, Parcel, WindowQuery};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Commit, Store};

use crate::data::*;

/// Names the file to the child.
const FILE: &str = "MILLSTREAM_STORE_KILL_TEST";
/// Rows of one commit: half a chunk, so that kills meet new chunks, indexes and dropped chunks as well.
const ROWS: u64 = 300;

fn open(path: &Path) -> SqliteStore {
    let settings = SqliteSettings { chunk_rows: 700, checkpoint_bytes: 1 << 18, ..SqliteSettings::default() };
    SqliteStore::open(path, catalog(), settings).unwrap()
}

/// What commit `n` adds to windows: to one of all commits, to one of its own hour, and to many of its own.
fn pieces(n: u64) -> Vec<WindowDelta> {
    let publish = Some("results".into());
    let all = WindowDelta { publish, ..piece(window("all", 0, ""), &[n as i64]) };
    let hour = piece(window("hour", n as i64 / 10, ""), &[n as i64]);
    let own = (0..20).map(|user| piece(window("own", n as i64, &user.to_string()), &[1, 2]));
    [all, hour].into_iter().chain(own).collect()
}

/// Commits and says a line after each commit: for ever as the child of the test below, for a while as a test of its own.
#[test]
fn many_commits_in_a_row_leave_rows_and_positions_in_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let (path, turns) = match std::env::var_os(FILE) {
        Some(path) => (PathBuf::from(path), u64::MAX),
        None => (folder.path().join("store.db"), 30),
    };
    let store = open(&path);
    let mut next = store.positions("engine").unwrap().first().map_or(0, |p| p.offset);
    for _ in 0..turns {
        let rows: Vec<Row> = (next..next + ROWS).map(|n| row(n as i64)).collect();
        let (n, snapshot) = (next / ROWS, snapshot(0, next + ROWS, &vec![1; 1 << 16]));
        // Of a stream that keeps everything.
        let found = Anomaly { stream: "events".to_owned(), ..anomaly(n) };
        let told = Alert { stream: "events".to_owned(), ..alert(n, "ops") };
        let change = LetterChange { tenant: String::new(), id: dead_letter(0).id, event: LetterEvent::Edited(None) };
        let commit = Commit {
            consumer: "engine",
            moves: vec![step(SIGNALS, 0, next, next + ROWS)],
            blocks: &[block(SIGNALS, 0, next, next as i64, &rows)],
            anomalies: &[found],
            dead_letters: &[dead_letter(n)],
            snapshots: &[snapshot],
            windows: &pieces(n),
            late: &[late(window("all", 0, ""), 2, 5)],
            alerts: &[told],
            letter_changes: &[change],
            ..Commit::default()
        };
        store.commit(&commit).unwrap();
        next += ROWS;
        if next.is_multiple_of(ROWS * 9) {
            store.expire("signals", next as i64 - 3_000).unwrap();
        }
        let mut out = std::io::stdout();
        writeln!(out, "committed {next}").and_then(|()| out.flush()).unwrap();
    }
    drop(store);
    assert_eq!(check(&path, next), next);
}

#[test]
fn a_killed_process_leaves_rows_and_positions_in_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut last = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::many_commits_in_a_row_leave_rows_and_positions_in_agreement", "--exact", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Whatever it is at when the line is read: it did not wait.
        let said = lines.filter_map(|l| l.strip_prefix("committed ")?.parse::<u64>().ok()).nth(round % 7).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = check(&path, said.max(last));
    }
    assert!(last >= ROWS * 12);
}

/// Checks the file, and gives the position in it.
fn check(path: &Path, at_least: u64) -> u64 {
    let store = open(path);
    let position = store.positions("engine").unwrap()[0].offset;
    assert!(position >= at_least, "{position} is behind {at_least}, which was told to be committed");
    let offsets: Vec<u64> = scanned(&store, "signals").iter().map(|row| row.1).collect();
    let first = offsets[0];
    assert_eq!(offsets, (first..position).collect::<Vec<_>>());
    let snapshots = store.snapshots().unwrap();
    assert_eq!((snapshots.len(), snapshots[0].position.offset), (1, position));
    let anomalies = store.anomalies(&AnomalyQuery { limit: 1, ..AnomalyQuery::default() }).unwrap();
    let alerts = store.alerts(&AlertQuery { limit: 1, ..AlertQuery::default() }).unwrap();
    let letters = store.dead_letters(&DeadLetterQuery { limit: 1, ..DeadLetterQuery::default() }).unwrap();
    assert_eq!([anomalies.total, alerts.total, letters.total], [position / ROWS; 3]);
    check_windows(&store, position / ROWS);
    let page = store.events(&EventQuery { limit: 1, count: true, ..EventQuery::default() }).unwrap();
    assert_eq!(page.total, Some(position - first), "what the chunks say is what they hold");
    assert_eq!(store.summary("signals", None, 0).unwrap().events, position - first);
    position
}

/// Every piece of every commit is in its window, once.
fn check_windows(store: &SqliteStore, commits: u64) {
    let of = |name: &str| {
        let window = Some(name.to_owned());
        store.windows(&WindowQuery { window, limit: 1_000_000, ..WindowQuery::default() }).unwrap().rows
    };
    let all = of("all").remove(0);
    let mut sum = Total::default();
    (0..commits).for_each(|n| sum.add(Total::units_of_int(i128::from(n))));
    assert_eq!((all.events, all.revision, all.late), (commits, commits, 2 * commits));
    assert_eq!([&all.measures[0].1, &all.measures[1].1], [&Measure::Count(commits), &Measure::Sum(sum)]);
    let hours: Vec<_> = of("hour").iter().rev().map(|row| row.events).collect();
    let rest = commits % 10;
    assert_eq!(hours, [vec![10; (commits / 10) as usize], vec![rest; usize::from(rest > 0)]].concat());
    let own = of("own");
    assert_eq!((own.len() as u64, own.iter().all(|row| row.events == 2)), (20 * commits, true));
    let told = store.outbox(i64::MAX, 1).unwrap().pop();
    assert!(matches!(told.unwrap().what, Parcel::Window { row, .. } if row == all));
}
