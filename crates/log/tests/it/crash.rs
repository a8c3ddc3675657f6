//! A real process, killed while it appends: whatever it had been told is there, once.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use log::Log;

use crate::rig::{Rig, append, event, read_all};

const DIR: &str = "MILLSTREAM_LOG_CRASH_DIR";
const FROM: &str = "MILLSTREAM_LOG_CRASH_FROM";

/// Appends and prints every answered number: for ever as the child of the test below, for a while as a test of its own.
#[test]
fn every_answer_comes_after_its_events_are_there() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 20_000;
    let child = std::env::var_os(DIR).map(PathBuf::from);
    let (from, turns) = match &child {
        Some(_) => (std::env::var(FROM).unwrap().parse().unwrap(), u64::MAX),
        None => (0, 30),
    };
    let log = rig.open_at(child.as_deref().unwrap_or(rig.dir.path()));
    let mut n: u64 = from;
    for _ in 0..turns {
        let batch: Vec<_> = (n..n + 1 + n % 13).map(|i| event((i % 5) as u8, i + 1, format!("{i}"))).collect();
        append(&log, &batch).unwrap();
        n += batch.len() as u64;
        let mut out = std::io::stdout().lock();
        writeln!(out, "acked {n}").unwrap();
        out.flush().unwrap();
    }
    assert_eq!(read_all(&log).len() as u64, n);
}

#[test]
fn a_killed_process_loses_nothing_that_was_answered() {
    let rig = Rig::new();
    let mut chance = fastrand::Rng::with_seed(11);
    let mut from = 0;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash::every_answer_comes_after_its_events_are_there",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIR, rig.dir.path())
            .env(FROM, from.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acks = lines.map_while(Result::ok).filter_map(|l| l.rsplit_once("acked ")?.1.parse::<u64>().ok());
        let acked = acks.take(chance.usize(1..200)).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let log = rig.open();
        let mut numbers: Vec<u64> = read_all(&log).iter().map(|r| r.2.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "round {round}: each once");
        assert!(numbers.len() as u64 >= acked, "round {round}: {} of {acked}", numbers.len());
        let lost: u64 = log.status().damage.iter().map(|d| d.records_lost).sum();
        assert_eq!(lost, 0, "round {round}");
        from = numbers.len() as u64;
    }
}
