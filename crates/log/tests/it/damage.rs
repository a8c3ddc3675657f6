//! One test a kind of damage: the log starts by itself, says what was lost, and serves the rest.

use log::disk::verify;
use log::{Damage, DamageKind, Log, RealDisk};

use crate::rig::{Rig, STREAM, append, event, events, patch, read_all, texts};

/// Appends one event a group, so that every event has a frame of its own, and closes.
fn filled(rig: &Rig, from: u64, to: u64) {
    let log = rig.open();
    for i in from..to {
        append(&log, &[event(1, i + 1, format!("event {i}"))]).unwrap();
    }
}

/// Where frames start in a segment file.
fn frames(bytes: &[u8]) -> Vec<usize> {
    bytes.windows(4).enumerate().filter(|(_, w)| *w == b"MSF1").map(|(i, _)| i).collect()
}

/// Opens the log, checks that all of `served` are read, that appending goes on, and that opening and `verify` report
/// these kinds of damage with this many records lost in all.
fn check(rig: &Rig, served: &[u64], kinds: &[DamageKind], lost: u64) {
    let report = |damage: &[Damage]| {
        let mut found: Vec<_> = damage.iter().map(|d| d.kind).collect();
        found.sort_by_key(|k| k.as_str());
        (found, damage.iter().map(|d| d.records_lost).sum::<u64>())
    };
    let found = verify(&RealDisk, rig.dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!(report(&found.damaged), (kinds.to_vec(), lost), "verify: {:?}", found.damaged);
    let log = rig.open();
    let want: Vec<String> = served.iter().map(|i| format!("event {i}")).collect();
    assert_eq!(texts(&read_all(&log)), want);
    assert_eq!(report(&log.status().damage), (kinds.to_vec(), lost), "open: {:?}", log.status().damage);
    let placed = append(&log, &[event(1, 999_999, "after")]).unwrap();
    let after = read_all(&log);
    assert_eq!(after.last().unwrap().2, "after");
    assert_eq!(after.last().unwrap().1, placed.ranges[0].first);
    drop(log);
    assert_eq!(rig.open().extents(STREAM)[after[0].0 as usize].next, placed.ranges[0].last + 1);
}

/// Removes the sidecar, as after a crash.
fn crashed(rig: &Rig) {
    rig.files(".idx").iter().for_each(|f| std::fs::remove_file(f).unwrap());
}

#[test]
fn an_undamaged_log_reports_nothing() {
    let rig = Rig::new();
    filled(&rig, 0, 10);
    check(&rig, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[], 0);
}

#[test]
fn a_crash_leaves_zeros_behind_the_frames_and_that_is_no_damage() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    crashed(&rig);
    patch(&rig.files(".seg")[0], |bytes| bytes.extend(vec![0; 100_000]));
    check(&rig, &[0, 1, 2], &[], 0);
}

#[test]
fn a_torn_body_at_the_end_is_cut() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    crashed(&rig);
    patch(&rig.files(".seg")[0], |bytes| {
        let tear = bytes.len() - 20;
        bytes[tear..].fill(0);
    });
    check(&rig, &[0, 1], &[DamageKind::TornTail], 0);
}

#[test]
fn a_torn_head_at_the_end_is_cut() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    crashed(&rig);
    patch(&rig.files(".seg")[0], |bytes| {
        let last = *frames(bytes).last().unwrap();
        bytes.truncate(last + 30);
    });
    check(&rig, &[0, 1], &[DamageKind::TornTail], 0);
}

#[test]
fn a_flipped_byte_in_a_body_loses_that_frame_only() {
    let rig = Rig::new();
    filled(&rig, 0, 5);
    crashed(&rig);
    patch(&rig.files(".seg")[0], |bytes| {
        let at = frames(bytes)[2] + 64 + 16 + 3;
        bytes[at] ^= 1;
    });
    check(&rig, &[0, 1, 3, 4], &[DamageKind::CorruptFrame], 1);
}

#[test]
fn a_flipped_byte_in_the_last_body_is_not_taken_for_a_torn_write() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    crashed(&rig);
    patch(&rig.files(".seg")[0], |bytes| {
        let at = frames(bytes)[2] + 64 + 16 + 3;
        bytes[at] ^= 1;
    });
    check(&rig, &[0, 1], &[DamageKind::CorruptFrame], 1);
}

#[test]
fn a_flipped_byte_in_a_head_loses_that_frame_only() {
    for byte in [0, 5, 21, 40, 61, 70] {
        let rig = Rig::new();
        filled(&rig, 0, 5);
        crashed(&rig);
        patch(&rig.files(".seg")[0], |bytes| {
            let at = frames(bytes)[2] + byte;
            bytes[at] ^= 1;
        });
        check(&rig, &[0, 1, 3, 4], &[DamageKind::Garbage], 1);
    }
}

#[test]
fn damage_behind_a_sidecar_is_found_by_the_reader_and_by_verify() {
    let rig = Rig::new();
    filled(&rig, 0, 5);
    patch(&rig.files(".seg")[0], |bytes| {
        let at = frames(bytes)[2] + 64 + 16 + 3;
        bytes[at] ^= 1;
    });
    check(&rig, &[0, 1, 3, 4], &[DamageKind::CorruptFrame], 1);
}

#[test]
fn a_deleted_segment_in_the_middle_is_named_with_its_records() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 1;
    filled(&rig, 0, 4);
    std::fs::remove_file(&rig.files(".seg")[1]).unwrap();
    check(&rig, &[0, 2, 3], &[DamageKind::MissingSegment], 1);
}

#[test]
fn a_deleted_first_segment_is_told_from_retention() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 1;
    filled(&rig, 0, 4);
    std::fs::remove_file(&rig.files(".seg")[0]).unwrap();
    check(&rig, &[1, 2, 3], &[DamageKind::MissingSegment], 1);
}

#[test]
fn a_deleted_last_segment_hands_out_no_offset_twice() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 1;
    filled(&rig, 0, 4);
    let log = rig.open();
    let partition = read_all(&log)[0].0;
    let position = event::Position { stream: STREAM, partition, offset: 4 };
    log.commit("engine", &[position]).unwrap();
    drop(log);
    std::fs::remove_file(rig.files(".seg").last().unwrap()).unwrap();
    check(&rig, &[0, 1, 2], &[DamageKind::MissingSegment], 1);
}

#[test]
fn a_consumer_that_has_seen_more_than_is_left_moves_the_end_up() {
    let rig = Rig::new();
    filled(&rig, 0, 2);
    let log = rig.open();
    let partition = read_all(&log)[0].0;
    log.commit("engine", &[event::Position { stream: STREAM, partition, offset: 100 }]).unwrap();
    assert_eq!(append(&log, &[event(1, 50, "next")]).unwrap().ranges[0].first, 100);
    drop(log);
    assert_eq!(rig.open().extents(STREAM)[partition as usize].next, 101);
}

#[test]
fn an_empty_segment_of_a_crash_while_it_was_made_is_survived() {
    let rig = Rig::new();
    filled(&rig, 0, 2);
    std::fs::write(rig.files(".seg")[0].with_file_name("0000000001.seg"), b"").unwrap();
    check(&rig, &[0, 1], &[], 0);
}

#[test]
fn a_segment_without_a_readable_head_is_searched_for_frames() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    patch(&rig.files(".seg")[0], |bytes| bytes[3] ^= 1);
    check(&rig, &[0, 1, 2], &[DamageKind::BadSegmentHeader], 0);
}

#[test]
fn a_damaged_sidecar_is_not_believed() {
    let rig = Rig::new();
    filled(&rig, 0, 3);
    patch(&rig.files(".idx")[0], |bytes| bytes[30] ^= 1);
    check(&rig, &[0, 1, 2], &[], 0);
}

#[test]
fn lost_small_files_do_not_stop_it() {
    let rig = Rig::new();
    drop({
        let log = rig.open();
        append(&log, &events(0, 5)).unwrap();
        log
    });
    for file in ["meta", "consumers", "lock", "things/stream"] {
        let _ = std::fs::remove_file(rig.dir.path().join(file));
    }
    assert_eq!(read_all(&rig.open()).len(), 5);
}
