//! The log in Redis: what is answered, what is read, what two processes make of one stream.

use std::sync::Arc;
use std::time::Duration;

use event::{Ack, Position};
use log::redis::{RedisLog, probe};
use log::{Append, Extent, Log, LogError};

use crate::redis_rig::{RedisRig, until};
use crate::rig::{PARTITIONS, STREAM, append, batch, event, events, expected, read_all, read_from, texts};

fn position(partition: u32, offset: u64) -> Position {
    Position { stream: STREAM, partition, offset }
}

#[test]
fn what_was_answered_is_read_back_and_lies_in_a_redis_stream() {
    let rig = RedisRig::new();
    let log = rig.open();
    let all = events(0, 500);
    let placed = append(&log, &all).unwrap();
    assert_eq!(placed.ranges.iter().map(|r| r.last - r.first + 1).sum::<u64>(), 500);
    assert_eq!(texts(&read_all(&log)), expected(&all));
    let ends: Vec<_> = placed.ranges.iter().map(|r| Extent { first: 0, next: r.last + 1 }).collect();
    assert_eq!(log.extents(STREAM), ends);
    assert!(log.is_dense());
    let first: Vec<(String, Vec<String>)> = rig.ask(&["XRANGE", &rig.key(0), "-", "+", "COUNT", "1"]);
    let (id, fields) = &first[0];
    assert_eq!(id, "0-1");
    assert_eq!(
        fields.iter().step_by(2).collect::<Vec<_>>(),
        ["data", "key", "type", "id", "time", "received_at", "headers"]
    );
    assert_eq!((fields[1].as_str(), fields[11].as_str()), (expected(&all)[0], "1000000000"));
}

#[test]
fn a_request_of_the_largest_size_is_one_and_is_read_in_pieces() {
    let rig = RedisRig::new();
    let log = rig.open();
    let many: Vec<_> = (0..10_000).map(|i| event((i % 7) as u8, i + 1, format!("{i}"))).collect();
    let placed = append(&log, &many).unwrap();
    assert_eq!(placed.ranges.len(), PARTITIONS as usize);
    let large: Vec<_> = (0..12).map(|i| event(1, 0, format!("{i}{}", "x".repeat(1 << 20)))).collect();
    append(&log, &large).unwrap();
    assert_eq!(read_all(&log).len(), 10_012);
    let at = placed.ranges.iter().map(|r| (r.partition, r.last + 1)).collect::<Vec<_>>();
    let mut cursor = log.read(STREAM, &at).unwrap();
    let (mut records, mut turns) = (0, 0);
    loop {
        let blocks = cursor.next(2 << 20).unwrap();
        if blocks.is_empty() {
            break;
        }
        assert!(blocks.iter().map(event::Block::weight).sum::<usize>() < 10 << 20);
        (records, turns) = (records + blocks.iter().map(event::Block::len).sum::<usize>(), turns + 1);
    }
    assert!(records == 12 && turns >= 2, "{records} records in {turns} turns");
}

#[test]
fn an_id_is_known_in_the_request_in_the_next_in_another_process_and_not_for_ever() {
    let rig = RedisRig::new();
    let (log, other) = (rig.open(), rig.open());
    assert_eq!(log.id_hasher(), other.id_hasher());
    assert_eq!(append(&log, &[event(1, 7, "a"), event(1, 7, "again"), event(1, 8, "b")]).unwrap().duplicates, [1]);
    assert_eq!(append(&other, &[event(1, 8, "b again"), event(1, 0, "c")]).unwrap().duplicates, [0]);
    drop((log, other));
    let log = rig.open();
    assert_eq!(append(&log, &[event(1, 7, "a again"), event(1, 9, "d")]).unwrap().duplicates, [0]);
    rig.clock.advance(3_600_000);
    assert_eq!(append(&log, &[event(1, 7, "the window has not passed")]).unwrap().duplicates, [0]);
    rig.clock.advance(1);
    assert_eq!(append(&log, &[event(1, 7, "it has")]).unwrap().duplicates, Vec::<u32>::new());
    assert_eq!(append(&log, &[event(1, 7, "known anew")]).unwrap().duplicates, [0]);
    assert_eq!(texts(&read_all(&log)), ["a", "b", "c", "d", "it has"]);
}

#[test]
fn two_processes_that_send_the_same_make_one_stream_of_it() {
    let rig = RedisRig::new();
    let logs = [rig.open(), rig.open()];
    std::thread::scope(|scope| {
        for log in &logs {
            scope.spawn(|| {
                for from in (0..3_000).step_by(30) {
                    append(log, &events(from, from + 30)).unwrap();
                }
            });
        }
    });
    let rows = read_all(&logs[0]);
    assert_eq!(rows, read_all(&logs[1]));
    assert_eq!(texts(&rows), expected(&events(0, 3_000)), "each once, and each key in order");
    for partition in 0..PARTITIONS {
        let offsets = rows.iter().filter(|r| r.0 == partition).map(|r| r.1);
        assert!(offsets.eq(0..logs[0].extents(STREAM)[partition as usize].next), "no offset is left out");
    }
}

#[test]
fn one_process_hears_at_once_what_another_does() {
    let rig = RedisRig::new();
    let (log, other) = (rig.open(), rig.open());
    let mut cursor = log.read(STREAM, &[(0, 0), (1, 0), (2, 0)]).unwrap();
    assert!(cursor.next(1).unwrap().is_empty());
    until("news are heard", || {
        let seen = log.wait(0, Duration::ZERO);
        append(&other, &[event(1, 0, "news")]).unwrap();
        log.wait(seen, Duration::from_secs(5)) != seen
    });
    assert!(!cursor.next(1 << 20).unwrap().is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let target = [position(1, 1)];
    other.commit("engine", &target).unwrap();
    runtime.block_on(log.committed("engine", &target)).unwrap();
    assert_eq!(log.consumers(), ["engine"]);
    other.forget("engine").unwrap();
    until("it is forgotten", || log.consumers().is_empty());
}

#[test]
fn a_stream_that_nobody_processes_fills_and_nothing_of_it_goes() {
    let mut rig = RedisRig::new();
    rig.settings.max_len = 100;
    let (log, other) = (rig.open(), rig.open());
    append(&log, &events(0, 99)).unwrap();
    append(&other, &events(99, 130)).unwrap();
    assert_eq!(append(&log, &events(130, 131)), Err(LogError::Busy));
    let refused = log.append(Append {
        batches: vec![
            batch(&log, rig.catalog.refused(), 1, &[event(0, 0, "bad")]),
            batch(&log, STREAM, PARTITIONS, &events(130, 131)),
        ],
        lane: 0,
        ack: Ack::Durable,
    });
    assert_eq!(refused.unwrap().wait_blocking(), Err(LogError::Busy));
    assert_eq!(log.extents(rig.catalog.refused())[0].next, 0, "none of it is there");
    rig.clock.advance(30 * 24 * 3_600_000);
    let ends = log.extents(STREAM);
    log.commit("engine", &[position(0, ends[0].next - 1), position(1, ends[1].next), position(2, 0)]).unwrap();
    until("the depth follows", || append(&other, &events(130, 131)).is_ok());
    log.trim().unwrap();
    let left = texts(&read_all(&log)).len() as u64;
    assert_eq!(left, 131 - ends[1].next, "only what was processed is gone");
    assert_eq!(log.extents(STREAM)[1].first, ends[1].next);
}

#[test]
fn retention_waits_for_every_consumer_and_offsets_go_on() {
    let rig = RedisRig::new();
    let log = rig.open();
    append(&log, &events(0, 6_000)).unwrap();
    rig.clock.advance(4 * 24 * 3_600_000);
    append(&log, &events(6_000, 6_100)).unwrap();
    let ends = log.extents(STREAM);
    let all: Vec<_> = (0..PARTITIONS).map(|p| position(p, ends[p as usize].next)).collect();
    log.commit("engine", &all).unwrap();
    log.commit("replay", &[position(0, 1_024), position(1, 10)]).unwrap();
    until("positions are kept", || rig.open().consumers().len() == 2);
    let before = rig.ask::<u64>(&["HGET", &format!("{}:{{things}}:meta", rig.settings.prefix), "bytes"]);
    let freed = log.trim().unwrap();
    assert!(freed > 0 && freed < before);
    let firsts: Vec<u64> = log.extents(STREAM).iter().map(|extent| extent.first).collect();
    // The chunk that has young records stays.
    assert_eq!(firsts, [1_024, 0, ends[2].next / 1_024 * 1_024]);
    assert_eq!(rig.open().extents(STREAM), log.extents(STREAM));
    let rows = read_all(&log);
    assert_eq!(rows.iter().find(|row| row.0 == 2).unwrap().1, firsts[2]);
    log.forget("replay").unwrap();
    assert!(log.trim().unwrap() > 0);
    assert_eq!(log.trim().unwrap(), 0);
    let placed = append(&log, &events(7_000, 7_100)).unwrap();
    assert_eq!(placed.ranges[0].first, ends[0].next);
    assert!(read_from(&log, &[(0, ends[0].next)]).len() as u64 == placed.ranges[0].last + 1 - ends[0].next);
}

#[test]
fn a_time_and_an_id_lead_to_their_record_whatever_order_times_come_in() {
    let rig = RedisRig::new();
    let log = rig.open();
    let mut batch = batch(&log, STREAM, PARTITIONS, &(0..3_000).map(|i| event(1, i + 1, "x")).collect::<Vec<_>>());
    for (i, draft) in batch.drafts.iter_mut().enumerate() {
        draft.time = 1_000 * i as i64 - if i % 10 == 0 { 500_000 } else { 0 };
    }
    let (partition, times) = (batch.drafts[0].partition, batch.drafts.iter().map(|d| d.time).collect::<Vec<_>>());
    log.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable }).unwrap().wait_blocking().unwrap();
    for time in [-600_000, 0, 1, 499_500, 1_023_000, 1_024_001, 2_990_001, 2_999_000, 2_999_001] {
        let wanted = times.iter().position(|t| *t >= time).unwrap_or(times.len()) as u64;
        assert_eq!(log.offset_at(STREAM, partition, time).unwrap(), wanted, "at {time}");
    }
    let hash = log.id_hasher().hash(b"1701");
    assert_eq!(log.find(STREAM, hash).unwrap(), Some(Position { stream: STREAM, partition, offset: 1_700 }));
    assert_eq!(log.find(STREAM, 12_345).unwrap(), None);
}

#[test]
fn a_position_past_the_end_moves_the_end_up() {
    let rig = RedisRig::new();
    let (log, other) = (rig.open(), rig.open());
    append(&log, &[event(1, 1, "before")]).unwrap();
    let partition = read_all(&log)[0].0;
    log.commit("engine", &[position(partition, 40)]).unwrap();
    assert_eq!(append(&other, &[event(1, 2, "after")]).unwrap().ranges[0].first, 40);
    let rows = read_all(&log);
    assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [0, 40]);
    until("the group shows what is left", || rig.group(partition, "engine", "lag") == 1);
}

#[test]
fn another_number_of_partitions_is_refused_and_no_server_is_away() {
    let rig = RedisRig::new();
    let sentence = probe(&rig.settings).unwrap();
    assert!(sentence.contains("what is answered is on its disk") && sentence.contains("127.0.0.1"), "{sentence}");
    drop(rig.open());
    let catalog = crate::rig::catalog(4, event::Retention { age_ms: None, size_bytes: None });
    let opened = RedisLog::open(catalog, rig.settings.clone(), Arc::new(rig.clock));
    let expected = LogError::Partitions { stream: "things".to_owned(), on_disk: PARTITIONS, configured: 4 };
    assert_eq!(opened.err(), Some(expected));
    let mut nowhere = rig.settings;
    nowhere.url = "redis://127.0.0.1:1".to_owned();
    assert!(matches!(probe(&nowhere), Err(LogError::Away(_))));
    nowhere.url = "somewhere".to_owned();
    assert!(matches!(probe(&nowhere), Err(LogError::Refused(_))));
}
