//! A disk that refuses or fails while one segment is finished and the next is made.

use std::sync::Arc;

use event::{Ack, StreamId};
use log::faulty::FaultyDisk;
use log::{Append, Extent, Log, LogError};

use crate::rig::{PARTITIONS, Rig, STREAM, append, batch, catalog, copy_of, event, events, expected, read_all, texts};

fn rig(disk: &FaultyDisk, segment_bytes: u64) -> Rig {
    let mut rig = Rig::on(Arc::new(disk.clone()));
    rig.settings.segment_bytes = segment_bytes;
    rig
}

#[test]
fn a_failed_sync_while_a_segment_is_finished_or_made_poisons_the_log() {
    // The old segment, the new head, the folder, the frames.
    for syncs in 0..4 {
        let disk = FaultyDisk::default();
        let rig = rig(&disk, 1);
        let log = rig.open();
        append(&log, &[event(1, 1, "first")]).unwrap();
        disk.fail_sync_after(Some(syncs));
        let answer = append(&log, &[event(1, 2, "second")]);
        assert!(matches!(answer, Err(LogError::Poisoned(_))), "sync {syncs}: {answer:?}");
        disk.fail_sync_after(None);
        drop(log);
        let log = rig.open();
        assert_eq!(texts(&read_all(&log)), ["first"], "sync {syncs}");
        assert!(append(&log, &[event(1, 2, "second")]).unwrap().duplicates.is_empty());
        assert!(log.status().damage.is_empty(), "sync {syncs}: {:?}", log.status().damage);
    }
}

#[test]
fn a_disk_that_is_full_while_a_segment_is_made_takes_nothing_and_leaves_no_pile_of_empty_ones() {
    let disk = FaultyDisk::default();
    let rig = rig(&disk, 1);
    let log = rig.open();
    append(&log, &[event(1, 1, "event 0")]).unwrap();
    let mut want = vec!["event 0".to_owned()];
    for room in (0..600).step_by(3) {
        disk.limit_room(Some(room));
        let text = format!("event {}", want.len());
        let answer = append(&log, &[event(1, 1 + want.len() as u64, text.clone())]);
        disk.limit_room(None);
        match answer {
            Ok(placed) => {
                assert!(placed.duplicates.is_empty(), "what was refused is not remembered");
                want.push(text);
            }
            Err(error) => assert!(matches!(error, LogError::Full(_)), "{error}"),
        }
        assert_eq!(texts(&read_all(&log)), want, "room {room}");
    }
    assert!(want.len() > 1);
    assert!(rig.files(".seg").len() <= want.len() + 1, "{} segments of {} events", rig.files(".seg").len(), want.len());
    drop(log);
    let log = rig.open();
    assert_eq!(texts(&read_all(&log)), want);
    assert!(log.status().damage.is_empty(), "{:?}", log.status().damage);
}

#[test]
fn a_full_disk_on_the_second_stream_takes_the_first_back_too() {
    let disk = FaultyDisk::default();
    let rig = rig(&disk, 500);
    let log = rig.open();
    let refused = catalog(PARTITIONS, rig.retention).refused();
    let records = |log: &dyn Log, stream: StreamId| log.extents(stream).iter().map(|e: &Extent| e.next).sum::<u64>();
    let mut taken = 0;
    for room in (0..1_500).step_by(7) {
        let id = 3 * taken + 1;
        let good: Vec<_> = (id..id + 3).map(|id| event(id as u8, id, format!("event {id}"))).collect();
        let batches = vec![
            batch(&log, STREAM, PARTITIONS, &good),
            batch(&log, refused, 1, &[event(0, 0, "bad"), event(0, 0, "worse")]),
        ];
        disk.limit_room(Some(room));
        let answer = log.append(Append { batches, lane: 0, ack: Ack::Durable }).unwrap().wait_blocking();
        disk.limit_room(None);
        if let Ok(placed) = &answer {
            assert!(placed[0].duplicates.is_empty());
            taken += 1;
        }
        assert_eq!((records(&log, STREAM), records(&log, refused)), (3 * taken, 2 * taken), "room {room}: {answer:?}");
    }
    assert!(taken > 0);
    drop(log);
    let log = rig.open();
    assert_eq!((records(&log, STREAM), records(&log, refused)), (3 * taken, 2 * taken));
    assert_eq!(read_all(&log).len() as u64, 3 * taken);
    assert!(log.status().damage.is_empty(), "{:?}", log.status().damage);
}

#[test]
fn a_refused_group_does_not_come_back_after_a_power_cut() {
    for seed in 0..20 {
        let disk = FaultyDisk::default();
        let rig = rig(&disk, 1 << 20);
        let log = rig.open();
        append(&log, &events(0, 40)).unwrap();
        disk.limit_room(Some(1_500));
        assert!(matches!(append(&log, &events(40, 80)), Err(LogError::Full(_))));
        disk.limit_room(None);
        disk.cut_power(seed).unwrap();
        let copy = copy_of(&rig);
        let after = rig.open_at(copy.path());
        assert_eq!(
            texts(&read_all(&after)),
            expected(&events(0, 40)),
            "seed {seed}: it was told that nothing was taken"
        );
    }
}

#[test]
fn a_writer_that_panics_answers_everybody_and_says_so() {
    let rig = Rig::new();
    let log = rig.open();
    let mut wrong = batch(&log, STREAM, PARTITIONS, &[event(1, 1, "no such partition")]);
    wrong.drafts[0].partition = PARTITIONS;
    let pending = log.append(Append { batches: vec![wrong], lane: 0, ack: Ack::Durable }).unwrap();
    assert_eq!(pending.wait_blocking(), Err(LogError::Closed));
    log.close();
    assert!(log.status().poisoned.is_some(), "health must see it");
    assert!(matches!(append(&log, &[event(1, 2, "after")]), Err(LogError::Poisoned(_))));
}
