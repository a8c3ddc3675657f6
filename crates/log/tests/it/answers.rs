//! What an append answers, and what readers see.

use event::{Ack, Position};
use log::{Append, Extent, Log, LogError};

use crate::rig::{
    PARTITIONS, Rig, STREAM, append, batch, catalog, event, events, expected, read_all, read_from, texts,
};

#[test]
fn what_was_answered_is_read_back_in_order() {
    let rig = Rig::new();
    let log = rig.open();
    let all = events(0, 500);
    let placed = append(&log, &all).unwrap();
    assert_eq!(placed.ranges.iter().map(|r| r.last - r.first + 1).sum::<u64>(), 500);
    assert_eq!(texts(&read_all(&log)), expected(&all));
    let next: Vec<u64> = log.extents(STREAM).iter().map(|e| e.next).collect();
    assert_eq!(next, placed.ranges.iter().map(|r| r.last + 1).collect::<Vec<_>>());
}

#[test]
fn a_known_id_is_a_duplicate_in_the_same_request_in_the_next_and_after_a_restart() {
    let rig = Rig::new();
    let log = rig.open();
    let same = [event(1, 7, "a"), event(1, 7, "again"), event(1, 8, "b")];
    assert_eq!(append(&log, &same).unwrap().duplicates, [1]);
    assert_eq!(append(&log, &[event(1, 8, "b again")]).unwrap().duplicates, [0]);
    drop(log);
    let log = rig.open();
    let placed = append(&log, &[event(1, 7, "a again"), event(1, 9, "c")]).unwrap();
    assert_eq!(placed.duplicates, [0]);
    assert_eq!(texts(&read_all(&log)), ["a", "b", "c"]);
    rig.clock.advance(2 * 3_600_000);
    assert_eq!(append(&log, &[event(1, 7, "after the window")]).unwrap().duplicates, Vec::<u32>::new());
}

#[test]
fn events_without_an_id_are_never_duplicates() {
    let rig = Rig::new();
    let log = rig.open();
    assert!(append(&log, &[event(1, 0, "a"), event(1, 0, "a")]).unwrap().duplicates.is_empty());
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn two_batches_of_one_request_are_answered_together() {
    let rig = Rig::new();
    let log = rig.open();
    let refused = catalog(PARTITIONS, rig.retention).refused();
    let batches = vec![
        batch(&log, STREAM, PARTITIONS, &events(0, 3)),
        batch(&log, refused, 1, &[event(0, 0, "bad"), event(0, 0, "worse")]),
    ];
    let placed = log.append(Append { batches, lane: 0, ack: Ack::Durable }).unwrap().wait_blocking().unwrap();
    assert_eq!(placed.len(), 2);
    assert_eq!(log.extents(refused), [Extent { first: 0, next: 2 }]);
}

#[test]
fn a_reader_starts_where_it_is_told_and_follows_the_end() {
    let rig = Rig::new();
    let log = rig.open();
    append(&log, &events(0, 300)).unwrap();
    let all = read_all(&log);
    let from = [(0, 10), (2, 40)];
    let want: Vec<_> = all.iter().filter(|r| (r.0 == 0 && r.1 >= 10) || (r.0 == 2 && r.1 >= 40)).cloned().collect();
    assert_eq!(read_from(&log, &from), want);
    let mut cursor = log.read(STREAM, &[(0, log.extents(STREAM)[0].next)]).unwrap();
    assert!(cursor.next(1 << 20).unwrap().is_empty());
    let seen = log.wait(0, std::time::Duration::ZERO);
    append(&log, &events(300, 400)).unwrap();
    assert_ne!(log.wait(seen, std::time::Duration::from_secs(10)), seen);
    let blocks = cursor.next(1 << 20).unwrap();
    assert!(!blocks.is_empty() && blocks.iter().all(|b| b.partition == 0));
}

#[test]
fn a_time_and_an_id_lead_to_their_record() {
    let rig = Rig::new();
    let log = rig.open();
    for i in 0..50 {
        append(&log, &[event(1, i + 1, format!("at {i}"))]).unwrap();
        rig.clock.advance(1_000);
    }
    let partition = read_all(&log)[0].0;
    for i in [0, 1, 25, 49] {
        assert_eq!(log.offset_at(STREAM, partition, 1_000_000_000 + i * 1_000).unwrap(), i as u64);
        let hash = log.id_hasher().hash((i + 1).to_string().as_bytes());
        let offset = i as u64;
        assert_eq!(log.find(STREAM, hash).unwrap(), Some(Position { stream: STREAM, partition, offset }));
    }
    assert_eq!(log.offset_at(STREAM, partition, i64::MAX).unwrap(), 50);
    assert_eq!(log.find(STREAM, 12345).unwrap(), None);
}

#[test]
fn a_second_process_and_another_number_of_partitions_are_refused() {
    let rig = Rig::new();
    let log = rig.open();
    append(&log, &events(0, 3)).unwrap();
    assert!(matches!(rig.try_open(), Err(LogError::Locked(_))));
    drop(log);
    let (disk, clock) = (rig.disk.clone(), std::sync::Arc::new(rig.clock.clone()));
    let opened = log::disk::DiskLog::open(rig.dir.path(), catalog(4, rig.retention), disk, clock, rig.settings.clone());
    assert_eq!(
        opened.err(),
        Some(LogError::Partitions { stream: "things".to_owned(), on_disk: PARTITIONS, configured: 4 })
    );
}

#[tokio::test]
async fn whoever_waits_for_a_commit_is_told() {
    let rig = Rig::new();
    let log = std::sync::Arc::new(rig.open());
    let at = |offset| [Position { stream: STREAM, partition: 0, offset }];
    let waiting = {
        let log = log.clone();
        tokio::spawn(async move { log.committed("engine", &at(2)).await })
    };
    let writer = log.clone();
    tokio::task::spawn_blocking(move || {
        writer.raise_for_test();
        writer.commit("engine", &at(1)).unwrap();
        writer.commit("engine", &at(2)).unwrap();
    })
    .await
    .unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(()));
    log.committed("engine", &at(1)).await.unwrap();
}

/// Offsets must exist before they are committed, or the log takes its end for lost.
trait Filled {
    fn raise_for_test(&self);
}

impl Filled for log::disk::DiskLog {
    fn raise_for_test(&self) {
        append(self, &(0..60).map(|i| event(i as u8, 0, "x")).collect::<Vec<_>>()).unwrap();
        assert!(self.extents(STREAM)[0].next > 2);
    }
}
