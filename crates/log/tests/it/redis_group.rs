//! Members of a group in Redis: fair shares, one at a time, and a killed one's work taken over.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use event::{Position, StreamId};
use log::{Cursor, Log, Membership, Owner};
use parking_lot::Mutex;
use services::Redis;

use crate::redis_rig::{RedisRig, until};
use crate::rig::{PARTITIONS, STREAM, append, events};

const URL: &str = "MILLSTREAM_LOG_MEMBER_URL";
const PREFIX: &str = "MILLSTREAM_LOG_MEMBER_PREFIX";

/// Who works on what, seen from all members: nobody may gain what another has.
#[derive(Default)]
struct Floor(Mutex<Vec<(u32, &'static str)>>);

struct Worker {
    name: &'static str,
    floor: Arc<Floor>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    fn new(name: &'static str, floor: &Arc<Floor>) -> Arc<Self> {
        Arc::new(Self { name, floor: floor.clone(), log: Arc::default() })
    }
}

impl Owner for Worker {
    fn gained(&self, partitions: &[(StreamId, u32)]) {
        let mut floor = self.floor.0.lock();
        for (_, partition) in partitions {
            assert!(!floor.iter().any(|(held, _)| held == partition), "{} has {partition} too", self.name);
            floor.push((*partition, self.name));
            self.log.lock().push(format!("+{partition}"));
        }
    }

    fn losing(&self, partitions: &[(StreamId, u32)]) {
        let mut floor = self.floor.0.lock();
        floor.retain(|(held, name)| *name != self.name || !partitions.iter().any(|(_, p)| p == held));
        self.log.lock().extend(partitions.iter().map(|(_, partition)| format!("-{partition}")));
    }
}

fn counts(members: &[&dyn Membership]) -> Vec<usize> {
    let mut counts: Vec<_> = members.iter().map(|member| member.partitions().len()).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn members_share_fairly_and_no_partition_has_two() {
    let rig = RedisRig::new();
    let logs = [rig.open(), rig.open(), rig.open(), rig.open()];
    let floor = Arc::new(Floor::default());
    let join = |i: usize, name| logs[i].join("engine", &[STREAM], Worker::new(name, &floor)).unwrap();
    let a = join(0, "a");
    until("the first has all", || counts(&[&*a]) == [3]);
    let b = join(1, "b");
    until("two share", || counts(&[&*a, &*b]) == [1, 2]);
    let c = join(2, "c");
    until("three share", || counts(&[&*a, &*b, &*c]) == [1, 1, 1]);
    let d = join(3, "d");
    drop(b);
    until("one left and the fourth has its place", || counts(&[&*a, &*c, &*d]) == [1, 1, 1]);
    drop((a, c));
    until("the last has all", || counts(&[&*d]) == [3]);
    drop(d);
    assert!(floor.0.lock().is_empty(), "all have let go");
    assert_eq!(rig.ask::<u64>(&["ZCARD", &format!("{}:group:engine", rig.settings.prefix)]), 0);
}

#[test]
fn a_member_that_is_not_heard_for_its_lease_lets_go_by_itself_and_gains_again() {
    let mut redis = Redis::start().unwrap();
    let rig = RedisRig::at(&redis.url());
    let log = rig.open();
    let floor = Arc::new(Floor::default());
    let worker = Worker::new("a", &floor);
    let member = log.join("engine", &[STREAM], worker.clone()).unwrap();
    until("all is ours", || counts(&[&*member]) == [3]);
    redis.stop();
    rig.clock.advance(4_000);
    until("it has let go", || member.partitions().is_empty());
    assert!(floor.0.lock().is_empty());
    redis.restart();
    until("all is ours again", || counts(&[&*member]) == [3]);
    let told = worker.log.lock().iter().map(|word| word[..1].to_owned()).collect::<String>();
    assert_eq!(told, "+++---+++");
}

fn read_some(cursor: &mut dyn Cursor) -> usize {
    cursor.next(1 << 20).unwrap().iter().map(event::Block::len).sum()
}

#[test]
fn the_group_of_a_reader_shows_what_it_has_read_and_what_is_left() {
    let rig = RedisRig::new();
    let log = rig.open();
    append(&log, &events(0, 700)).unwrap();
    let ends = log.extents(STREAM);
    let member = log.join("engine", &[STREAM], Worker::new("a", &Arc::default())).unwrap();
    until("all is ours", || counts(&[&*member]) == [3]);
    let mut cursor = log.read(STREAM, &[(0, 0)]).unwrap();
    assert_eq!(read_some(&mut *cursor) as u64, ends[0].next);
    let pending = || rig.group(0, "engine", "pending") as u64;
    assert_eq!((pending(), rig.group(0, "engine", "lag")), (ends[0].next, 0));
    log.commit("engine", &[Position { stream: STREAM, partition: 0, offset: 30 }]).unwrap();
    until("what is committed is acknowledged", || pending() == ends[0].next - 30);
    append(&log, &events(700, 800)).unwrap();
    let more = log.extents(STREAM)[0].next - ends[0].next;
    assert_eq!(rig.group(0, "engine", "lag") as u64, more);
    // Another reader of the same partition does not disturb it, nor does one that starts anew where the store says.
    let mut aside = log.read(STREAM, &[(0, 0)]).unwrap();
    assert_eq!(read_some(&mut *aside) as u64, ends[0].next + more);
    drop(cursor);
    let mut cursor = log.read(STREAM, &[(0, 30)]).unwrap();
    let blocks = cursor.next(1 << 20).unwrap();
    assert_eq!((blocks[0].first_offset(), blocks.last().unwrap().next_offset()), (30, ends[0].next));
    assert_eq!(read_some(&mut *cursor) as u64, more, "then what is new");
    let end = log.extents(STREAM)[0].next;
    log.commit("engine", &[Position { stream: STREAM, partition: 0, offset: end }]).unwrap();
    until("all is acknowledged", || pending() == 0);
}

/// Joins, reads and waits: for ever as the child of the test below, for a moment as a test of its own.
#[test]
fn a_member_reads_what_is_its_own() {
    let redis = std::env::var(URL).is_err().then(|| Redis::start().unwrap());
    let url = redis.as_ref().map_or_else(|| std::env::var(URL).unwrap(), Redis::url);
    let mut rig = RedisRig::at(&url);
    if let Ok(prefix) = std::env::var(PREFIX) {
        rig.settings.prefix = prefix;
    }
    let log = rig.open();
    if redis.is_some() {
        append(&log, &events(0, 100)).unwrap();
    }
    let member = log.join("engine", &[STREAM], Worker::new("child", &Arc::default())).unwrap();
    until("all is ours", || counts(&[&*member]) == [3]);
    let mut cursor = log.read(STREAM, &[(0, 0), (1, 0), (2, 0)]).unwrap();
    let read = read_some(&mut *cursor);
    let mut out = std::io::stdout().lock();
    writeln!(out, "read {read}").unwrap();
    out.flush().unwrap();
    drop(out);
    if redis.is_none() {
        until("it is killed", || false);
    }
    assert_eq!(read, 100);
}

#[test]
fn what_a_killed_member_had_read_is_claimed_by_the_next_within_ten_seconds() {
    let redis = Redis::start().unwrap();
    let rig = RedisRig::at(&redis.url());
    let log = rig.open();
    append(&log, &events(0, 300)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["redis_group::a_member_reads_what_is_its_own", "--exact", "--nocapture", "--test-threads=1"])
        .env(URL, redis.url())
        .env(PREFIX, &rig.settings.prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("read 300")));
    let pending = |p| rig.group(p, "engine", "pending");
    assert_eq!((0..PARTITIONS).map(pending).sum::<i64>(), 300);
    let member = log.join("engine", &[STREAM], Worker::new("heir", &Arc::default())).unwrap();
    until("they share", || counts(&[&*member]) == [1] || counts(&[&*member]) == [2]);
    #[expect(clippy::disallowed_methods, reason = "the time to recover is measured")]
    let killed = std::time::Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    until("the heir has all", || counts(&[&*member]) == [3]);
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    // The store of the killed one came to 5 in each partition.
    let at: Vec<_> = (0..PARTITIONS).map(|p| Position { stream: STREAM, partition: p, offset: 5 }).collect();
    log.commit("engine", &at).unwrap();
    let mut cursor = log.read(STREAM, &[(0, 5), (1, 5), (2, 5)]).unwrap();
    assert_eq!(read_some(&mut *cursor), 300 - 15);
    assert_eq!((0..PARTITIONS).map(pending).sum::<i64>(), 300 - 15, "they are its own now");
    for p in 0..PARTITIONS {
        assert_eq!(rig.group(p, "engine", "consumers"), 1, "the killed one is forgotten");
    }
    append(&log, &events(300, 400)).unwrap();
    assert_eq!(read_some(&mut *cursor), 100, "and it reads on");
}
