//! Readers at the edges: no bytes asked for, zeros where frames were, a clock that moves, an id that came twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event::{Millis, Position};
use log::disk::DiskLog;
use log::{Clock, DamageKind, Log};

use crate::rig::{PARTITIONS, Rig, STREAM, append, catalog, event, events, patch, read_all, read_from, texts};

#[test]
fn whoever_asks_for_no_bytes_gets_one_block_all_the_same() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 1;
    let log = rig.open();
    (0..3).for_each(|i| drop(append(&log, &[event(1, i + 1, "x")]).unwrap()));
    let partition = read_all(&log)[0].0;
    let mut cursor = log.read(STREAM, &[(partition, 0)]).unwrap();
    let counts: Vec<usize> = (0..4).map(|_| cursor.next(0).unwrap().len()).collect();
    assert_eq!(counts, [1, 1, 1, 0]);
}

#[test]
fn zeros_where_frames_were_are_reported() {
    let rig = Rig::new();
    let log = rig.open();
    (0..3).for_each(|i| drop(append(&log, &[event(1, i + 1, format!("event {i}"))]).unwrap()));
    drop(log);
    patch(&rig.files(".seg")[0], |bytes| {
        let last = bytes.windows(4).rposition(|w| w == b"MSF1").unwrap();
        bytes[last..].fill(0);
    });
    let found = log::disk::verify(&log::RealDisk, rig.dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!(found.damaged.iter().map(|d| (d.kind, d.records_lost)).collect::<Vec<_>>(), [(DamageKind::Garbage, 1)]);
    let log = rig.open();
    assert_eq!(texts(&read_all(&log)), ["event 0", "event 1"]);
    assert_eq!(log.status().damage.iter().map(|d| d.kind).collect::<Vec<_>>(), [DamageKind::Garbage]);
    append(&log, &[event(1, 9, "event 3")]).unwrap();
    assert_eq!(texts(&read_all(&log)), ["event 0", "event 1", "event 3"]);
}

#[test]
fn a_reader_of_a_busy_and_an_idle_partition_misses_nothing() {
    let mut rig = Rig::new();
    rig.settings.segment_bytes = 2_000;
    let log = rig.open();
    for i in 0..20 {
        append(&log, &events(10 * i, 10 * i + 10)).unwrap();
    }
    let all = read_all(&log);
    for from in 0..60 {
        let idle = log.extents(STREAM)[1].next;
        let want: Vec<_> = all.iter().filter(|r| r.0 == 2 && r.1 >= from).cloned().collect();
        assert_eq!(read_from(&log, &[(1, idle), (2, from)]), want, "from {from}");
    }
    let mut cursor = log.read(STREAM, &[(1, log.extents(STREAM)[1].next)]).unwrap();
    assert!(cursor.next(1).unwrap().is_empty());
    append(&log, &events(200, 260)).unwrap();
    assert_eq!(cursor.next(1).unwrap()[0].partition, 1);
}

/// A clock that is never the same twice.
#[derive(Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Millis {
        1_000_000_000 + self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn an_event_without_a_time_is_found_by_the_time_that_readers_see() {
    let rig = Rig::new();
    let clock = Arc::new(Ticking::default());
    let catalog = catalog(PARTITIONS, rig.retention);
    let log = DiskLog::open(rig.dir.path(), catalog, rig.disk.clone(), clock, rig.settings.clone()).unwrap();
    append(&log, &[event(1, 1, "only")]).unwrap();
    let partition = read_all(&log)[0].0;
    let time = log.read(STREAM, &[(partition, 0)]).unwrap().next(1).unwrap()[0].records().next().unwrap().time;
    assert_eq!(log.offset_at(STREAM, partition, time).unwrap(), 0);
    assert_eq!(log.offset_at(STREAM, partition, time + 1).unwrap(), 1);
}

#[test]
fn an_id_that_came_twice_is_found_where_it_came_last() {
    let rig = Rig::new();
    let log = rig.open();
    append(&log, &[event(1, 7, "early")]).unwrap();
    rig.clock.advance(2 * 3_600_000);
    append(&log, &[event(1, 7, "late"), event(1, 8, "other")]).unwrap();
    let partition = read_all(&log)[0].0;
    let found = log.find(STREAM, log.id_hasher().hash(b"7")).unwrap();
    assert_eq!(found, Some(Position { stream: STREAM, partition, offset: 1 }));
}
