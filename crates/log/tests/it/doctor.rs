//! The doctor beside a log that is being written, trimmed, and closed.

use std::sync::atomic::{AtomicBool, Ordering};

use log::disk::{inspect, verify};
use log::{Disk, Log, RealDisk};

use crate::rig::{Rig, append, event, events, read_all};

#[test]
fn a_log_that_is_written_and_trimmed_meanwhile_is_not_called_damaged() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 1 << 20;
    rig.settings.compress = false;
    rig.retention.size_bytes = Some(4 << 20);
    let log = rig.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let big = "x".repeat(700_000);
            for id in 1..40 {
                append(&log, &[event((id % 7) as u8, id, format!("{id} {big}"))]).unwrap();
                if id % 5 == 0 {
                    log.trim().unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut looks = Vec::new();
        while !done.load(Ordering::SeqCst) {
            let found = verify(&RealDisk, rig.dir.path(), &mut |_, _| ()).map(|found| found.damaged);
            looks.push((found, inspect(&RealDisk, rig.dir.path()).map(drop)));
        }
        for (verified, inspected) in looks {
            assert_eq!(verified.unwrap(), []);
            inspected.unwrap();
        }
    });
}

#[test]
fn what_is_just_being_written_is_not_called_torn() {
    let rig = Rig::new();
    let log = rig.open();
    append(&log, &events(0, 50)).unwrap();
    let segment = &inspect(&RealDisk, rig.dir.path()).unwrap().segments[0];
    RealDisk.create(&rig.files(".seg")[0]).unwrap().write_at(b"MSF1 half a frame", segment.bytes).unwrap();
    let damaged = || verify(&RealDisk, rig.dir.path(), &mut |_, _| ()).unwrap().damaged;
    assert_eq!(damaged(), []);
    append(&log, &events(50, 100)).unwrap();
    drop(log);
    assert_eq!((damaged(), read_all(&rig.open()).len()), (vec![], 100));
}

#[test]
fn progress_ends_at_the_whole() {
    let rig = Rig::new();
    let log = rig.open();
    append(&log, &events(0, 50)).unwrap();
    let mut told = Vec::new();
    let found = verify(&RealDisk, rig.dir.path(), &mut |done, all| told.push((done, all))).unwrap();
    assert_eq!(found.records, 50);
    assert!(told.last().is_some_and(|(done, all)| done == all), "{told:?}");
}
