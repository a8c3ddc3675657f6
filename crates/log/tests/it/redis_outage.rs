//! Redis restarted, killed, paused and emptied under a log.
#![expect(clippy::disallowed_methods, reason = "tests measure how long they wait")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event::Position;
use log::redis::RedisLog;
use log::{Log, LogError};
use rustix::process::{Pid, Signal, kill_process};
use services::Redis;

use crate::redis_rig::{RedisRig, until};
use crate::rig::{STREAM, append, event, read_all};

/// Sends events without ids from four threads while something is done to Redis; each must be there once, in order.
fn all_arrive_once(log: &RedisLog, rounds: usize, mut trouble: impl FnMut(usize)) {
    let stop = AtomicBool::new(false);
    let appended = || log.extents(STREAM).iter().map(|extent| extent.next).sum::<u64>();
    let send = |sender: u64| {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            append(log, &[event(sender as u8, 0, format!("{sender} {n}"))]).unwrap();
            n += 1;
        }
        n
    };
    let sent = std::thread::scope(|scope| {
        let send = &send;
        let senders: Vec<_> = (0..4).map(|sender| scope.spawn(move || send(sender))).collect();
        for round in 0..rounds {
            let before = appended();
            until("something is appended", || appended() > before + 20);
            trouble(round);
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Vec<u64>>()
    });
    let rows = read_all(log);
    for (sender, sent) in sent.iter().enumerate() {
        let start = format!("{sender} ");
        let of = rows.iter().filter_map(|row| row.2.strip_prefix(&start));
        let numbers: Vec<u64> = of.map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, (0..*sent).collect::<Vec<_>>(), "of sender {sender}, in order");
    }
    assert_eq!(log.status().away, None);
}

#[test]
fn a_restart_of_redis_neither_loses_nor_doubles_even_what_has_no_id() {
    let mut redis = Redis::start().unwrap();
    let log = RedisRig::at(&redis.url()).open();
    all_arrive_once(&log, 4, |round| {
        if round % 2 == 0 {
            redis.kill();
        } else {
            redis.stop();
        }
        redis.restart();
    });
}

#[test]
fn a_connection_that_breaks_before_the_answer_neither_loses_nor_doubles() {
    let redis = Redis::start().unwrap();
    let rig = RedisRig::at(&redis.url());
    let log = rig.open();
    all_arrive_once(&log, 60, |_| {
        rig.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    });
}

#[test]
fn while_redis_is_away_senders_are_told_soon_and_afterwards_all_goes_on() {
    let mut redis = Redis::start().unwrap();
    let rig = RedisRig::at(&redis.url());
    let log = rig.open();
    append(&log, &[event(1, 1, "before")]).unwrap();
    redis.stop();
    let begun = Instant::now();
    assert!(matches!(append(&log, &[event(1, 2, "lost")]), Err(LogError::Away(_))));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert!(matches!(append(&log, &[event(1, 3, "lost too")]), Err(LogError::Away(_))));
    assert!(begun.elapsed() < Duration::from_secs(1), "known by now");
    assert!(log.status().away.is_some());
    assert!(matches!(log.read(STREAM, &[(0, 0)]).unwrap().next(1), Err(LogError::Away(_))));
    redis.restart();
    until("it is back", || log.status().away.is_none());
    until("it takes events", || append(&log, &[event(1, 2, "after")]).is_ok());
    assert_eq!(read_all(&log).iter().map(|row| row.2.as_str()).collect::<Vec<_>>(), ["before", "after"]);
}

#[test]
fn a_paused_redis_is_away_and_what_it_did_in_the_end_is_known() {
    let redis = Redis::start().unwrap();
    let rig = RedisRig::at(&redis.url());
    let log = rig.open();
    append(&log, &[event(1, 1, "before")]).unwrap();
    let pid = Pid::from_raw(redis.pid().unwrap() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let answer = append(&log, &[event(1, 2, "in doubt")]);
    kill_process(pid, Signal::CONT).unwrap();
    assert!(matches!(answer, Err(LogError::Away(_))), "{answer:?}");
    until("it takes events", || append(&log, &[event(1, 2, "in doubt"), event(1, 3, "after")]).is_ok());
    let rows = read_all(&log);
    assert_eq!(rows.iter().map(|row| row.2.as_str()).collect::<Vec<_>>(), ["before", "in doubt", "after"]);
}

#[test]
fn a_redis_that_lost_everything_hands_no_offset_out_twice() {
    let redis = Redis::start().unwrap();
    let rig = RedisRig::at(&redis.url());
    let log = rig.open();
    append(&log, &[event(1, 1, "a"), event(1, 2, "b")]).unwrap();
    let partition = read_all(&log)[0].0;
    log.commit("engine", &[Position { stream: STREAM, partition, offset: 1 }]).unwrap();
    let kept = || {
        let key = format!("{}:{{things}}:positions", rig.settings.prefix);
        rig.ask::<Option<u64>>(&["HGET", &key, &format!("engine/{partition}")])
    };
    until("the position is kept", || kept() == Some(1));
    rig.ask::<()>(&["FLUSHALL"]);
    until("the loss is noticed", || rig.ask::<u64>(&["EXISTS", &rig.key(partition)]) == 1);
    until("the position is kept again", || kept() == Some(1));
    let placed = append(&log, &[event(1, 1, "a again")]).unwrap();
    assert_eq!((placed.ranges[0].first, placed.duplicates.len()), (2, 0));
    assert_eq!(read_all(&log), [(partition, 2, "a again".to_owned())]);
}
