//! What goes, what stays, and who is waited for.

use event::{Position, Retention};
use log::Log;

use crate::rig::{Rig, STREAM, append, event, read_all, texts};

fn rig(retention: Retention) -> Rig {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 1;
    rig.retention = retention;
    rig
}

fn fill(rig: &Rig, log: &dyn Log, n: u64) -> u32 {
    for i in 0..n {
        append(log, &[event(1, i + 1, format!("event {i}"))]).unwrap();
        rig.clock.advance(1_000);
    }
    read_all(log)[0].0
}

#[test]
fn old_segments_go_and_the_rest_is_served_after_a_restart_too() {
    let rig = rig(Retention { age_ms: Some(5_500), size_bytes: None });
    let log = rig.open();
    let partition = fill(&rig, &log, 10);
    assert!(log.trim().unwrap() > 0);
    let left = ["event 5", "event 6", "event 7", "event 8", "event 9"];
    assert_eq!(texts(&read_all(&log)), left);
    assert_eq!((log.extents(STREAM)[partition as usize].first, rig.files(".seg").len()), (5, 5));
    drop(log);
    let log = rig.open();
    assert_eq!(texts(&read_all(&log)), left);
    assert!(log.status().damage.is_empty(), "retention is no damage");
}

#[test]
fn a_bound_on_bytes_keeps_the_newest() {
    let rig = rig(Retention { age_ms: None, size_bytes: Some(600) });
    let log = rig.open();
    fill(&rig, &log, 10);
    log.trim().unwrap();
    let rows = read_all(&log);
    assert!(log.status().bytes <= 600 && !rows.is_empty());
    assert_eq!(rows.last().unwrap().2, "event 9");
}

#[test]
fn nothing_goes_that_a_consumer_still_needs() {
    let rig = rig(Retention { age_ms: Some(1), size_bytes: None });
    let log = rig.open();
    let partition = fill(&rig, &log, 10);
    let at = |offset| [Position { stream: STREAM, partition, offset }];
    log.commit("fast", &at(9)).unwrap();
    log.commit("slow", &at(4)).unwrap();
    log.trim().unwrap();
    assert_eq!(read_all(&log)[0].2, "event 4");
    log.commit("slow", &at(8)).unwrap();
    log.trim().unwrap();
    assert_eq!(read_all(&log)[0].2, "event 8");
}

#[test]
fn a_reader_in_a_segment_that_goes_reads_on() {
    let rig = rig(Retention { age_ms: Some(1), size_bytes: None });
    let log = rig.open();
    let partition = fill(&rig, &log, 10);
    let mut cursor = log.read(STREAM, &[(partition, 0)]).unwrap();
    assert_eq!(cursor.next(1).unwrap()[0].first_offset(), 0);
    log.trim().unwrap();
    let rest: Vec<u64> = std::iter::from_fn(|| cursor.next(1).unwrap().first().map(|b| b.first_offset())).collect();
    assert_eq!(rest, [9], "it goes on with the oldest that is left");
}

#[test]
fn a_consumer_that_is_forgotten_holds_nothing_after_a_restart_either() {
    let rig = rig(Retention { age_ms: Some(1), size_bytes: None });
    let log = rig.open();
    let partition = fill(&rig, &log, 10);
    let at = |offset| [Position { stream: STREAM, partition, offset }];
    log.commit("engine", &at(9)).unwrap();
    log.commit("replay-1", &at(2)).unwrap();
    log.commit("replay-2", &at(4)).unwrap();
    assert_eq!(log.consumers(), ["engine", "replay-1", "replay-2"]);
    log.trim().unwrap();
    assert_eq!(read_all(&log)[0].2, "event 2");
    log.forget("replay-1").unwrap();
    log.forget("replay-1").unwrap();
    log.trim().unwrap();
    assert_eq!(read_all(&log)[0].2, "event 4", "the other one still holds");
    log.forget("replay-2").unwrap();
    drop(log);
    let log = rig.open();
    assert_eq!(log.consumers(), ["engine"]);
    log.trim().unwrap();
    assert_eq!(read_all(&log)[0].2, "event 9");
}
