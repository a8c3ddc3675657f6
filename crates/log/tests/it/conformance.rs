//! What every back end of the port `Log` does alike. A back end is added with one line of `conforms!` and a way to open it.

use std::any::Any;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use event::{Ack, Batch, Catalog, Dedup, Draft, Millis, NO_TIME, Position, Retention, Span, Stream, StreamId, headers};
use log::disk::{DiskLog, DiskSettings};
use log::{Append, Log, LogError, Owner, Placed, RealDisk, SystemClock};

use crate::kafka_rig::{KafkaRig, until};

/// An open log without records, and what must live as long.
type Fresh = (Box<dyn Log>, Box<dyn Any>);

const LIMIT: Duration = Duration::from_secs(30);
const THINGS: StreamId = StreamId(0);
const OTHERS: StreamId = StreamId(1);
const PARTITIONS: u32 = 3;

macro_rules! conforms {
    ($back_end:ident, $fresh:expr) => {
        mod $back_end {
            use super::*;

            #[test]
            fn records_come_back_byte_for_byte() {
                super::records_come_back_byte_for_byte($fresh());
            }
            #[test]
            fn order_is_kept_and_any_offset_is_a_start() {
                super::order_is_kept_and_any_offset_is_a_start($fresh());
            }
            #[test]
            fn an_id_is_appended_once() {
                super::an_id_is_appended_once($fresh());
            }
            #[test]
            fn streams_of_one_request_are_placed_each() {
                super::streams_of_one_request_are_placed_each($fresh());
            }
            #[test]
            fn positions_are_kept_and_waited_for() {
                super::positions_are_kept_and_waited_for($fresh());
            }
            #[test]
            fn a_time_leads_to_an_offset() {
                super::a_time_leads_to_an_offset($fresh());
            }
            #[test]
            fn whoever_waits_is_woken_by_an_append() {
                super::whoever_waits_is_woken_by_an_append($fresh());
            }
            #[test]
            fn a_member_alone_has_every_partition_until_it_leaves() {
                super::a_member_alone_has_every_partition_until_it_leaves($fresh());
            }
            #[test]
            fn a_closed_log_takes_nothing() {
                super::a_closed_log_takes_nothing($fresh());
            }
        }
    };
}

conforms!(disk, fresh_disk);
conforms!(kafka, fresh_kafka);
conforms!(redis, fresh_redis);

fn stream(name: &str, partitions: u32) -> Stream {
    let dedup = Some(Dedup { within_ms: 3_600_000, ids_max: 1 << 16 });
    let (name, retention) = (name.to_owned(), Retention { age_ms: None, size_bytes: None });
    Stream { name, partitions, key: None, time: None, id: None, kind: None, require: vec![], dedup, retention }
}

pub(crate) fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::new(vec![stream("things", PARTITIONS), stream("others", 1)]).unwrap())
}

fn fresh_disk() -> Fresh {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(SystemClock::default()));
    let log = DiskLog::open(dir.path(), catalog(), Arc::new(RealDisk), clock, DiskSettings::default()).unwrap();
    (Box::new(log), Box::new(dir))
}

fn fresh_kafka() -> Fresh {
    (Box::new(KafkaRig::of(catalog()).open()), Box::new(()))
}

fn fresh_redis() -> Fresh {
    (Box::new(crate::redis_rig::fresh(catalog())), Box::new(()))
}

/// A record with all its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Whole {
    partition: u32,
    time: Millis,
    data: Vec<u8>,
    key: Vec<u8>,
    kind: Vec<u8>,
    id: Vec<u8>,
    headers: Vec<u8>,
}

fn whole(partition: u32, id: &str, data: &str) -> Whole {
    Whole { partition, time: NO_TIME, data: data.into(), id: id.into(), key: b"k".into(), ..Whole::default() }
}

fn batch(log: &dyn Log, stream: StreamId, records: &[Whole]) -> Batch {
    let body: Vec<u8> = records.iter().flat_map(|r| r.data.clone()).collect();
    let (mut batch, mut at) = (Batch::new(stream, body.into()), 0);
    for r in records {
        let data = Span::shared(at, r.data.len());
        at += r.data.len();
        let id_hash = if r.id.is_empty() { 0 } else { log.id_hasher().hash(&r.id) };
        let [key, kind, id, headers] = [&r.key, &r.kind, &r.id, &r.headers].map(|part| batch.put_side(part));
        let (partition, time) = (r.partition, r.time);
        batch.drafts.push(Draft { partition, time, id_hash, data, key, kind, id, headers });
    }
    batch
}

fn append(log: &dyn Log, batches: Vec<Batch>) -> Vec<Placed> {
    log.append(Append { batches, lane: 0, ack: Ack::Durable }).unwrap().wait_blocking().unwrap()
}

fn append_things(log: &dyn Log, records: &[Whole]) -> Placed {
    append(log, vec![batch(log, THINGS, records)]).remove(0)
}

/// Everything from these offsets on: offset and record, and whether the time was that of the append. In order of partition.
fn read(log: &dyn Log, stream: StreamId, from: &[(u32, u64)]) -> Vec<(u64, Whole)> {
    let mut cursor = log.read(stream, from).unwrap();
    let mut found = Vec::new();
    loop {
        let blocks = cursor.next(1_000).unwrap();
        if blocks.is_empty() {
            found.sort_by_key(|(offset, r): &(u64, Whole)| (r.partition, *offset));
            return found;
        }
        for block in &blocks {
            found.extend(block.records().map(|r| {
                let time = if r.time == r.received_at { NO_TIME } else { r.time };
                let [data, key, kind, id, headers] = [r.data, r.key, r.kind, r.id, r.headers].map(<[u8]>::to_vec);
                (r.offset, Whole { partition: block.partition, time, data, key, kind, id, headers })
            }));
        }
    }
}

fn all_things(log: &dyn Log) -> Vec<(u64, Whole)> {
    read(log, THINGS, &[(0, 0), (1, 0), (2, 0)])
}

fn records_come_back_byte_for_byte((log, _alive): Fresh) {
    let mut own = Vec::new();
    for (name, value) in [("tenant", &b"acme"[..]), ("content-type", b"image/png"), ("event-id", b"\0\xff"), ("x", b"")]
    {
        headers::put(&mut own, name, value);
    }
    let (data, id) = ((0..=255).collect::<Vec<u8>>(), "ü".repeat(128).into_bytes());
    let full = Whole { partition: 1, time: -5, data, key: b"\0key".into(), kind: b"click".into(), id, headers: own };
    let records = [
        Whole { time: 1, id: b"".into(), ..full.clone() },
        Whole { partition: 1, time: NO_TIME, data: b"{}".into(), ..Whole::default() },
        full,
        Whole { partition: 1, time: i64::MAX / 2, data: vec![b'x'; 1 << 20], ..Whole::default() },
        Whole { partition: 1, time: NO_TIME, key: b"no data".into(), ..Whole::default() },
    ];
    append_things(&*log, &records);
    let found = all_things(&*log);
    assert!(found.iter().map(|(_, r)| r).eq(&records), "{found:?}");
}

fn order_is_kept_and_any_offset_is_a_start((log, _alive): Fresh) {
    let mut expected = Vec::new();
    for n in 0..40 {
        let records: Vec<Whole> =
            (0..n % 7 + 1).map(|i| whole((n + i) % 3, &format!("{n}-{i}"), &format!("{n} {i}"))).collect();
        let placed = append_things(&*log, &records);
        let of = |p: u32| placed.ranges.iter().find(|r| r.partition == p).map_or(0, |r| r.first);
        let mut seen = [0; PARTITIONS as usize];
        for r in records {
            expected.push((of(r.partition) + seen[r.partition as usize], r.clone()));
            seen[r.partition as usize] += 1;
        }
    }
    expected.sort_by_key(|(offset, r)| (r.partition, *offset));
    assert_eq!(all_things(&*log), expected);
    let extents = log.extents(THINGS);
    for from in 0..extents[0].next + 2 {
        let want: Vec<_> = expected.iter().filter(|(offset, r)| r.partition == 0 && *offset >= from).cloned().collect();
        assert_eq!(read(&*log, THINGS, &[(0, from)]), want, "from {from}");
    }
    let mut cursor = log.read(THINGS, &[(2, extents[2].next)]).unwrap();
    assert!(cursor.next(1_000).unwrap().is_empty());
    append_things(&*log, &[whole(2, "new", "new")]);
    assert_eq!(cursor.next(1_000).unwrap()[0].first_offset(), extents[2].next);
    assert!(cursor.next(1_000).unwrap().is_empty());
    assert!(log.extents(THINGS).iter().zip(&extents).all(|(now, then)| now.first == 0 && now.next >= then.next));
}

fn an_id_is_appended_once((log, _alive): Fresh) {
    let twice = [whole(0, "a", "1"), whole(0, "b", "2"), whole(0, "a", "3"), whole(0, "", "4"), whole(0, "", "4")];
    assert_eq!(append_things(&*log, &twice).duplicates, [2]);
    assert_eq!(append_things(&*log, &[whole(0, "b", "5"), whole(0, "c", "6")]).duplicates, [0]);
    let texts: Vec<Vec<u8>> = all_things(&*log).into_iter().map(|(_, r)| r.data).collect();
    assert_eq!(texts, [b"1", b"2", b"4", b"4", b"6"]);
}

fn streams_of_one_request_are_placed_each((log, _alive): Fresh) {
    let batches = |n: usize| {
        vec![
            batch(&*log, THINGS, &[whole(2, &format!("a{n}"), "thing"), whole(2, &format!("b{n}"), "thing")]),
            batch(&*log, OTHERS, &[whole(0, &format!("a{n}"), "other")]),
        ]
    };
    append(&*log, batches(1));
    let placed = append(&*log, batches(2));
    let ranges: Vec<_> = placed.iter().map(|p| (p.ranges.len(), p.ranges[0].partition, p.ranges[0].first)).collect();
    assert_eq!(ranges, [(1, 2, 2), (1, 0, 1)]);
    assert!(read(&*log, OTHERS, &[(0, 0)]).iter().all(|(_, r)| r.data == b"other"));
    assert_eq!((all_things(&*log).len(), read(&*log, OTHERS, &[(0, 0)]).len()), (4, 2));
}

fn positions_are_kept_and_waited_for((log, _alive): Fresh) {
    append_things(&*log, &[whole(0, "a", "1"), whole(1, "b", "2")]);
    let at = |partition, offset| Position { stream: THINGS, partition, offset };
    log.commit("engine", &[at(0, 1)]).unwrap();
    let waiting = [at(0, 1), at(1, 1)];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.committed("engine", &waiting[..1])).unwrap();
    let ready = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ready.wait();
            log.commit("engine", &waiting[1..]).unwrap();
        });
        ready.wait();
        runtime.block_on(log.committed("engine", &waiting)).unwrap();
    });
    log.commit("engine.state", &waiting).unwrap();
    assert_eq!(log.consumers(), ["engine", "engine.state"]);
    log.forget("engine.state").unwrap();
    log.forget("nobody").unwrap();
    assert_eq!(log.consumers(), ["engine"]);
}

fn a_time_leads_to_an_offset((log, _alive): Fresh) {
    let timed = |time, id: &str| Whole { time, ..whole(1, id, "x") };
    append_things(&*log, &[timed(100, "a"), timed(300, "b"), timed(200, "c"), timed(400, "d")]);
    for (time, offset) in [(-1, 0), (100, 0), (101, 1), (300, 1), (301, 3), (400, 3), (401, 4)] {
        assert_eq!(log.offset_at(THINGS, 1, time).unwrap(), offset, "at {time}");
    }
    assert_eq!(log.offset_at(THINGS, 0, 1).unwrap(), 0);
}

fn whoever_waits_is_woken_by_an_append((log, _alive): Fresh) {
    let seen = log.wait(0, Duration::ZERO);
    append_things(&*log, &[whole(0, "a", "1")]);
    assert_ne!(log.wait(seen, LIMIT), seen);
    let mut cursor = log.read(THINGS, &[(0, 0)]).unwrap();
    let (told, tells) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut seen, mut records) = (0, 0);
            while records < 2 {
                let blocks = cursor.next(1_000).unwrap();
                if blocks.is_empty() {
                    seen = log.wait(seen, LIMIT);
                } else {
                    records += blocks.iter().map(event::Block::len).sum::<usize>();
                    told.send(records).unwrap();
                }
            }
        });
        assert_eq!(tells.recv_timeout(LIMIT), Ok(1));
        append_things(&*log, &[whole(0, "b", "2")]);
        assert_eq!(tells.recv_timeout(LIMIT), Ok(2));
    });
}

/// Tells what an owner is told.
struct Teller(mpsc::Sender<(bool, Vec<(StreamId, u32)>)>);

impl Owner for Teller {
    fn gained(&self, partitions: &[(StreamId, u32)]) {
        self.0.send((true, partitions.to_vec())).unwrap();
    }

    fn losing(&self, partitions: &[(StreamId, u32)]) {
        self.0.send((false, partitions.to_vec())).unwrap();
    }
}

fn a_member_alone_has_every_partition_until_it_leaves((log, _alive): Fresh) {
    let (told, tells) = mpsc::channel();
    let member = log.join("engine", &[THINGS, OTHERS], Arc::new(Teller(told))).unwrap();
    let all = [(THINGS, 0), (THINGS, 1), (THINGS, 2), (OTHERS, 0)];
    until("all partitions", LIMIT, || member.partitions().len() == all.len());
    drop(member);
    let (mut mine, mut most) = (Vec::new(), 0);
    for (gained, partitions) in tells.try_iter() {
        if gained {
            assert!(partitions.iter().all(|p| !mine.contains(p)), "{partitions:?} twice");
            mine.extend(partitions);
        } else {
            mine.retain(|p| !partitions.contains(p));
        }
        most = most.max(mine.len());
    }
    assert_eq!((mine.len(), most), (0, all.len()));
}

fn a_closed_log_takes_nothing((log, _alive): Fresh) {
    append_things(&*log, &[whole(0, "a", "1")]);
    log.close();
    let batches = vec![batch(&*log, THINGS, &[whole(0, "b", "2")])];
    let refused = log.append(Append { batches, lane: 0, ack: Ack::Durable }).err();
    assert_eq!(refused, Some(LogError::Closed));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let never = [Position { stream: THINGS, partition: 0, offset: 1 }];
    assert_eq!(runtime.block_on(log.committed("engine", &never)), Err(LogError::Closed));
}
