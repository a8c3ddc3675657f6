//! A disk that refuses, fails, or loses power.

use std::sync::Arc;

use log::faulty::FaultyDisk;
use log::{Log, LogError};

use crate::rig::{Rig, append, event, events, expected, read_all, texts};

#[test]
fn a_full_disk_refuses_the_request_and_forgets_it() {
    let disk = FaultyDisk::default();
    let rig = Rig::on(Arc::new(disk.clone()));
    let log = rig.open();
    append(&log, &events(0, 10)).unwrap();
    disk.limit_room(Some(100));
    assert!(matches!(append(&log, &events(10, 20)), Err(LogError::Full(_))));
    disk.limit_room(None);
    let placed = append(&log, &events(10, 20)).unwrap();
    assert!(placed.duplicates.is_empty(), "what was not taken is not remembered");
    assert_eq!(texts(&read_all(&log)), expected(&events(0, 20)));
    drop(log);
    let log = rig.open();
    assert_eq!(texts(&read_all(&log)), expected(&events(0, 20)));
    assert!(log.status().damage.is_empty());
}

#[test]
fn a_failed_sync_poisons_the_log_until_a_restart() {
    let disk = FaultyDisk::default();
    let rig = Rig::on(Arc::new(disk.clone()));
    let log = rig.open();
    append(&log, &events(0, 10)).unwrap();
    disk.fail_sync_after(Some(0));
    assert!(matches!(append(&log, &events(10, 20)), Err(LogError::Poisoned(_))));
    disk.fail_sync_after(None);
    assert!(matches!(append(&log, &events(20, 30)), Err(LogError::Poisoned(_))), "it does not retry and hope");
    assert!(log.status().poisoned.is_some());
    assert_eq!(texts(&read_all(&log)), expected(&events(0, 10)), "readers see what was durable");
    drop(log);
    let log = rig.open();
    let kept = read_all(&log).len();
    assert!(kept == 10 || kept == 20, "the failed group is there whole or not: {kept}");
    assert_eq!(append(&log, &events(20, 30)).unwrap().ranges.len(), 3);
}

#[test]
fn a_power_cut_keeps_everything_that_was_answered() {
    for seed in 0..60 {
        let disk = FaultyDisk::default();
        let rig = Rig::on(Arc::new(disk.clone()));
        let log = rig.open();
        append(&log, &events(0, 40)).unwrap();
        // The next group is written but its sync fails, and then the power goes.
        disk.fail_sync_after(Some(0));
        append(&log, &events(40, 80)).unwrap_err();
        drop(log);
        disk.fail_sync_after(None);
        disk.cut_power(seed).unwrap();
        let log = rig.open();
        let rows = read_all(&log);
        let all = events(0, 80);
        for (p, want) in (0..3).map(|p| (p, expected_of(&all, p))) {
            let got: Vec<_> = rows.iter().filter(|r| r.0 == p).map(|r| r.2.as_str()).collect();
            assert_eq!(got, want[..got.len()], "seed {seed}: what is there is in order, whole, once");
            assert!(got.len() >= expected_of(&all[..40], p).len(), "seed {seed}: nothing answered is lost");
        }
        let known: Vec<bool> = all.iter().map(|e| rows.iter().any(|r| r.2 == e.2)).collect();
        let again = append(&log, &all).unwrap();
        let duplicates: Vec<bool> = (0..80).map(|i| again.duplicates.contains(&i)).collect();
        assert_eq!(duplicates, known, "seed {seed}: exactly what is there is remembered");
    }
}

fn expected_of(events: &[crate::rig::Event], partition: u32) -> Vec<&str> {
    let of = |key: u8| event::partition_of(&[key], crate::rig::PARTITIONS) == partition;
    events.iter().filter(|e| of(e.0)).map(|e| e.2.as_str()).collect()
}

#[test]
fn a_queue_that_is_full_says_so_at_once() {
    let rig = Rig::new();
    let log = rig.open();
    let big = event(1, 0, "x".repeat(1 << 20));
    let sent: Vec<_> = (0..200)
        .map(|_| {
            let batches = vec![crate::rig::batch(&log, crate::rig::STREAM, 3, std::slice::from_ref(&big))];
            log.append(log::Append { batches, lane: 0, ack: event::Ack::Durable })
        })
        .collect();
    let busy = sent.iter().filter(|r| matches!(r, Err(LogError::Busy))).count();
    let answers: Vec<_> = sent.into_iter().flatten().map(|pending| pending.wait_blocking().unwrap()).collect();
    let taken = answers.len();
    assert_eq!(taken + busy, 200);
    assert_eq!(read_all(&log).len(), taken, "what was refused is not there, what was taken is");
    assert_eq!((log.status().queue_len, log.status().queue_bytes), (0, 0));
}
