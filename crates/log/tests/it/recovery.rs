//! What a start makes of what a crash left: durable before it is believed, tidy behind it, and never in the way.

use std::path::Path;
use std::sync::Arc;

use log::disk::{DiskLog, verify};
use log::faulty::FaultyDisk;
use log::{DamageKind, Disk, Log, LogError, RealDisk};

use crate::rig::{PARTITIONS, Rig, STREAM, append, catalog, copy_of, event, events, expected, patch, read_all, texts};

/// Appends one event a group and closes.
fn filled(rig: &Rig, from: u64, to: u64) {
    let log = rig.open();
    for i in from..to {
        append(&log, &[event(1, i + 1, format!("event {i}"))]).unwrap();
    }
}

fn without_sidecars(rig: &Rig) {
    rig.files(".idx").iter().for_each(|f| std::fs::remove_file(f).unwrap());
}

fn small(disk: Arc<dyn Disk>) -> Rig {
    let mut rig = Rig::on(disk);
    rig.settings.segment_bytes = 1;
    rig
}

/// Whether every segment has a sidecar that speaks of its length.
fn all_indexed(rig: &Rig) -> bool {
    rig.files(".seg").iter().all(|segment| {
        let len = std::fs::metadata(segment).unwrap().len();
        std::fs::read(segment.with_extension("idx")).is_ok_and(|bytes| bytes[8..16] == len.to_le_bytes())
    })
}

#[test]
fn frames_that_only_the_page_cache_had_are_durable_before_anyone_is_told_of_them() {
    for seed in 0..10 {
        let disk = FaultyDisk::default();
        let rig = Rig::on(Arc::new(disk.clone()));
        append(&rig.open(), &events(0, 40)).unwrap();
        // As a process leaves it that dies between write and sync.
        without_sidecars(&rig);
        let segment = rig.files(".seg").remove(0);
        let bytes = std::fs::read(&segment).unwrap();
        std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(64).unwrap();
        disk.create(&segment).unwrap().write_at(&bytes[64..], 64).unwrap();
        let log = rig.open();
        assert_eq!(
            append(&log, &events(0, 40)).unwrap().duplicates.len(),
            40,
            "the sender is told that they are there"
        );
        disk.cut_power(seed).unwrap();
        let copy = copy_of(&rig);
        assert_eq!(texts(&read_all(&rig.open_at(copy.path()))), expected(&events(0, 40)), "seed {seed}");
    }
}

#[test]
fn a_power_cut_right_after_the_first_answer_does_not_lose_the_folder() {
    for seed in 0..10 {
        let disk = FaultyDisk::default();
        let rig = Rig::on(Arc::new(disk.clone()));
        let log = rig.open();
        append(&log, &events(0, 40)).unwrap();
        disk.cut_power(seed).unwrap();
        let copy = copy_of(&rig);
        assert_eq!(texts(&read_all(&rig.open_at(copy.path()))), expected(&events(0, 40)), "seed {seed}");
    }
}

#[test]
fn an_id_whose_record_is_lost_is_taken_again() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    without_sidecars(&rig);
    // The head and the ids of the second frame reached the disk, its body did not, the third frame did.
    patch(&rig.files(".seg")[0], |bytes| {
        let frames: Vec<_> = bytes.windows(4).enumerate().filter(|(_, w)| *w == b"MSF1").map(|f| f.0).collect();
        bytes[frames[1] + 64 + 16..frames[2]].fill(0);
    });
    let log = rig.open();
    let again: Vec<_> = (0..3).map(|i| event(1, i + 1, format!("event {i}"))).collect();
    assert_eq!(append(&log, &again).unwrap().duplicates, [0, 2]);
    assert_eq!(texts(&read_all(&log)), ["event 0", "event 2", "event 1"]);
}

#[test]
fn what_a_crash_left_is_tidied_once_and_not_walked_at_every_start() {
    let rig = small(Arc::new(RealDisk));
    filled(&rig, 0, 4);
    without_sidecars(&rig);
    rig.files(".seg").iter().for_each(|f| patch(f, |bytes| bytes.extend(vec![0; 100_000])));
    drop(rig.open());
    assert!(all_indexed(&rig), "the reserve is cut and the sidecars are there");
    patch(&rig.files(".idx")[1], |bytes| bytes[30] ^= 1);
    drop(rig.open());
    assert!(log::disk::inspect(&RealDisk, rig.dir.path()).is_ok());
    let sidecar = std::fs::read(&rig.files(".idx")[1]).unwrap();
    let (covered, sum) = sidecar.split_at(sidecar.len() - 4);
    assert_eq!(crc32c::crc32c(covered).to_le_bytes(), sum, "a damaged sidecar is replaced");
    let log = rig.open();
    assert_eq!(texts(&read_all(&log)), ["event 0", "event 1", "event 2", "event 3"]);
    assert!(log.status().damage.is_empty());
}

#[test]
fn a_torn_tail_is_cut_even_when_the_segment_is_full() {
    let rig = small(Arc::new(RealDisk));
    filled(&rig, 0, 2);
    without_sidecars(&rig);
    patch(&rig.files(".seg")[1], |bytes| bytes.extend(b"MSF1 torn"));
    let kinds = |log: &DiskLog| log.status().damage.iter().map(|d| d.kind).collect::<Vec<_>>();
    let log = rig.open();
    assert_eq!(kinds(&log), [DamageKind::TornTail]);
    append(&log, &[event(1, 9, "event 2")]).unwrap();
    drop(log);
    let log = rig.open();
    assert_eq!(kinds(&log), []);
    assert_eq!(texts(&read_all(&log)), ["event 0", "event 1", "event 2"]);
}

#[test]
fn a_tail_full_of_false_starts_is_cut_in_no_time() {
    let rig = Rig::new();
    filled(&rig, 0, 2);
    without_sidecars(&rig);
    patch(&rig.files(".seg")[0], |bytes| bytes.extend(b"MSF1".repeat(1 << 20)));
    let log = rig.open();
    assert_eq!(log.status().damage.iter().map(|d| d.kind).collect::<Vec<_>>(), [DamageKind::TornTail]);
    assert_eq!(texts(&read_all(&log)), ["event 0", "event 1"]);
}

#[test]
fn a_full_disk_does_not_keep_the_log_from_starting() {
    let disk = FaultyDisk::default();
    let rig = small(Arc::new(disk.clone()));
    filled(&rig, 0, 4);
    without_sidecars(&rig);
    disk.limit_room(Some(0));
    let log = rig.open();
    assert_eq!(read_all(&log).len(), 4);
    assert!(matches!(append(&log, &[event(1, 9, "no room")]), Err(LogError::Full(_))));
}

#[test]
fn a_half_made_segment_is_no_damage() {
    for torn in [&b""[..], &[0; 64], b"MILLSEG1 torn"] {
        let rig = small(Arc::new(RealDisk));
        filled(&rig, 0, 2);
        std::fs::write(rig.files(".seg")[0].with_file_name("0000000002.seg"), torn).unwrap();
        for i in 2..5 {
            let log = rig.open();
            append(&log, &[event(1, i + 1, format!("event {i}"))]).unwrap();
            assert!(log.status().damage.is_empty(), "{:?}", log.status().damage);
        }
        assert_eq!(read_all(&rig.open()).len(), 5);
    }
}

#[test]
fn a_file_that_retention_could_not_remove_makes_no_segment_look_missing() {
    let rig = small(Arc::new(RealDisk));
    filled(&rig, 0, 5);
    let kept = std::fs::read(&rig.files(".seg")[0]).unwrap();
    let mut rig = rig;
    rig.retention.size_bytes = Some(400);
    assert!(rig.open().trim().unwrap() > 0);
    std::fs::write(rig.dir.path().join("things/0000000000.seg"), kept).unwrap();
    std::fs::write(rig.dir.path().join("things/copy-of-1.seg"), b"not ours").unwrap();
    std::fs::write(rig.dir.path().join("things/7.seg"), b"not ours either").unwrap();
    let log = rig.open();
    assert!(log.status().damage.is_empty(), "{:?}", log.status().damage);
    assert_eq!(read_all(&log).first().unwrap().2, "event 0");
}

#[test]
fn records_lost_at_the_end_of_an_older_segment_are_counted() {
    // A segment that lost its end to zeros, and one that lost it to nonsense.
    for fill in [0, 0xee] {
        let mut rig = Rig::new();
        rig.settings.segment_bytes = 400;
        filled(&rig, 0, 6);
        without_sidecars(&rig);
        patch(&rig.files(".seg")[0], |bytes| {
            let last = bytes.windows(4).rposition(|w| w == b"MSF1").unwrap();
            bytes[last..].fill(fill);
        });
        let sum = |damage: &[log::Damage]| {
            assert!(damage.iter().all(|d| d.kind == DamageKind::Garbage), "{damage:?}");
            damage.iter().map(|d| d.records_lost).sum::<u64>()
        };
        assert_eq!(sum(&verify(&RealDisk, rig.dir.path(), &mut |_, _| ()).unwrap().damaged), 1, "filled with {fill}");
        for _ in 0..2 {
            let log = rig.open();
            assert_eq!(sum(&log.status().damage), 1, "filled with {fill}: {:?}", log.status().damage);
            assert_eq!(read_all(&log).len(), 5);
        }
    }
}

#[test]
fn the_number_of_partitions_is_known_without_the_manifest() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    std::fs::remove_file(rig.dir.path().join("things/stream")).unwrap();
    assert_eq!(verify(&RealDisk, rig.dir.path(), &mut |_, _| ()).unwrap().records, 3);
    let (disk, clock) = (rig.disk.clone(), Arc::new(rig.clock.clone()));
    let opened = DiskLog::open(rig.dir.path(), catalog(4, rig.retention), disk, clock, rig.settings.clone());
    let stream = "things".to_owned();
    assert_eq!(opened.err(), Some(LogError::Partitions { stream, on_disk: PARTITIONS, configured: 4 }));
    assert_eq!(rig.open().extents(STREAM).len() as u32, PARTITIONS);
}

#[test]
fn a_small_file_of_absurd_length_is_not_read_into_memory() {
    let rig = Rig::new();
    filled(&rig, 0, 2);
    let grow = |path: &Path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 42).unwrap();
    grow(&rig.files(".idx")[0]);
    grow(&rig.dir.path().join("consumers"));
    assert_eq!(read_all(&rig.open()).len(), 2);
}
