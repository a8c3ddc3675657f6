//! The disk's reserve: refused before the disk is full, taken up again by itself, asked for rarely.

use std::sync::Arc;

use event::limits::DISK_RESERVE_BYTES;
use log::disk::DiskSettings;
use log::faulty::FaultyDisk;
use log::gated::GatedDisk;
use log::{Log, LogError};

use crate::rig::{Rig, append, event, events, expected, read_all, texts};

const RESERVE: u64 = 1 << 20;

fn rig(disk: &FaultyDisk) -> Rig {
    let mut rig = Rig::on(Arc::new(disk.clone()));
    rig.settings = DiskSettings { reserve_bytes: RESERVE, compress: false, ..rig.settings };
    rig
}

#[test]
fn below_the_reserve_events_are_refused_and_forgotten_until_there_is_room() {
    let disk = FaultyDisk::default();
    let rig = rig(&disk);
    let log = rig.open();
    append(&log, &events(0, 10)).unwrap();
    disk.tell_free(Some(RESERVE + 100));
    rig.clock.advance(1_000);
    for _ in 0..3 {
        let told = append(&log, &events(10, 20)).unwrap_err();
        assert!(matches!(told, LogError::Full(_)), "{told}");
        assert!(told.to_string().contains("1048676 bytes are free, 1048576 of them kept in reserve"), "{told}");
    }
    assert_eq!((log.status().free_bytes, log.status().reserve_bytes), (Some(RESERVE + 100), RESERVE));
    assert_eq!(append(&log, &events(0, 10)).unwrap().duplicates.len(), 10, "what needs no room is answered");
    disk.tell_free(Some(RESERVE + (1 << 20)));
    assert!(matches!(append(&log, &events(10, 20)), Err(LogError::Full(_))), "it asks again with the next second");
    rig.clock.advance(1_000);
    assert!(append(&log, &events(10, 20)).unwrap().duplicates.is_empty(), "what was refused is not remembered");
    assert_eq!(texts(&read_all(&log)), expected(&events(0, 20)));
    drop(log);
    let log = rig.open();
    assert_eq!(texts(&read_all(&log)), expected(&events(0, 20)));
    assert!(log.status().damage.is_empty());
}

#[test]
fn what_the_log_writes_between_two_questions_counts() {
    let disk = FaultyDisk::default();
    let rig = rig(&disk);
    let log = rig.open();
    disk.tell_free(Some(RESERVE + 1_000_000));
    let big = |id| [event(1, id, "x".repeat(300_000))];
    for id in 1..=3 {
        append(&log, &big(id)).unwrap();
    }
    assert_eq!(disk.asked_for_free(), 1);
    assert!(log.status().free_bytes.is_some_and(|free| free < RESERVE + 100_000));
    // By its own sum there is no room for a fourth: it asks before it refuses.
    disk.tell_free(Some(RESERVE + 700_000));
    append(&log, &big(4)).unwrap();
    assert_eq!(disk.asked_for_free(), 2);
    disk.tell_free(Some(RESERVE + 250_000));
    append(&log, &big(5)).unwrap();
    append(&log, &big(6)).unwrap_err();
    assert_eq!(disk.asked_for_free(), 3);
    append(&log, &[event(1, 7, "a small one still has room")]).unwrap();
}

#[test]
fn the_system_is_asked_once_a_second_or_for_every_16_mib() {
    let disk = FaultyDisk::default();
    let rig = rig(&disk);
    let log = rig.open();
    for i in 0..200 {
        append(&log, &[event(1, i + 1, "small")]).unwrap();
        log.status();
    }
    assert_eq!(disk.asked_for_free(), 1);
    rig.clock.advance(1_000);
    append(&log, &[event(1, 300, "small")]).unwrap();
    assert_eq!(disk.asked_for_free(), 2);
    for i in 0..40 {
        append(&log, &[event(1, 400 + i, "x".repeat(1 << 20))]).unwrap();
    }
    assert_eq!(disk.asked_for_free(), 4);
}

#[test]
fn near_the_reserve_no_room_is_set_aside_for_later() {
    for (free, ahead) in [(RESERVE + (40 << 20), true), (RESERVE + (20 << 20), false)] {
        let disk = FaultyDisk::default();
        disk.tell_free(Some(free));
        let rig = rig(&disk);
        let log = rig.open();
        append(&log, &events(0, 10)).unwrap();
        let bytes = rig.files(".seg")[0].metadata().unwrap().len();
        assert_eq!(bytes == 32 << 20, ahead, "{bytes} bytes");
        append(&log, &events(10, 20)).unwrap();
        assert_eq!(texts(&read_all(&log)), expected(&events(0, 20)));
    }
}

#[test]
fn a_disk_that_does_not_tell_refuses_nothing() {
    let rig = Rig::on(Arc::new(GatedDisk::default()));
    let log = rig.open();
    append(&log, &events(0, 10)).unwrap();
    assert_eq!((log.status().free_bytes, log.status().reserve_bytes), (None, DISK_RESERVE_BYTES));
}
