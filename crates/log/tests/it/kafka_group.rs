//! Groups on Kafka: every partition is one member's, few move, and nobody waits long for what a dead member had.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event::{Catalog, Position, StreamId};
use log::kafka::KafkaLog;
use log::{Log, Membership, Owner};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

use crate::kafka_rig::{KAFKA, KafkaRig, THINGS, append, stream, until};

const PARTITIONS: u32 = 8;
const LIMIT: Duration = Duration::from_secs(60);
const GROUP: &str = "MILLSTREAM_LOG_MEMBER_GROUP";
const TOPIC: &str = "MILLSTREAM_LOG_MEMBER_TOPIC";
const BROKERS: &str = "MILLSTREAM_LOG_MEMBER_BROKERS";

type Partition = (StreamId, u32);

/// Who has what, over all members of a test.
#[derive(Default)]
struct Board {
    held: Mutex<BTreeMap<Partition, usize>>,
    /// How often a partition went from a member.
    lost: Mutex<usize>,
}

/// One member's word to the board.
struct Seat {
    board: Arc<Board>,
    number: usize,
}

impl Owner for Seat {
    fn gained(&self, partitions: &[Partition]) {
        let mut held = self.board.held.lock().unwrap();
        for partition in partitions {
            let before = held.insert(*partition, self.number);
            assert_eq!(before, None, "{partition:?} was still held");
        }
    }

    fn losing(&self, partitions: &[Partition]) {
        let mut held = self.board.held.lock().unwrap();
        *self.board.lost.lock().unwrap() += partitions.len();
        for partition in partitions {
            assert_eq!(held.remove(partition), Some(self.number));
        }
    }
}

impl Board {
    fn seat(self: &Arc<Self>, number: usize) -> Arc<dyn Owner> {
        Arc::new(Seat { board: self.clone(), number })
    }

    /// How many partitions each member has.
    fn shares(&self) -> Vec<usize> {
        let mut shares = BTreeMap::new();
        self.held.lock().unwrap().values().for_each(|number| *shares.entry(*number).or_default() += 1);
        shares.into_values().collect()
    }

    fn rests(&self, expected: &[usize]) {
        until(&format!("{expected:?}"), LIMIT, || {
            let mut shares = self.shares();
            shares.sort_unstable();
            shares == expected
        });
    }
}

fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::new(vec![stream(PARTITIONS)]).unwrap())
}

fn rig() -> KafkaRig {
    KafkaRig::of(catalog())
}

fn join(log: &KafkaLog, board: &Arc<Board>, number: usize) -> Box<dyn Membership> {
    log.join("engine", &[THINGS], board.seat(number)).unwrap()
}

#[test]
fn members_of_a_kafka_group_share_all_partitions_and_few_move() {
    let rig = rig();
    let board = Arc::new(Board::default());
    let logs = [rig.open(), rig.open(), rig.open()];
    let first = join(&logs[0], &board, 0);
    board.rests(&[8]);
    let second = join(&logs[1], &board, 1);
    board.rests(&[4, 4]);
    assert_eq!(std::mem::take(&mut *board.lost.lock().unwrap()), 4);
    let third = join(&logs[2], &board, 2);
    board.rests(&[2, 3, 3]);
    assert_eq!(std::mem::take(&mut *board.lost.lock().unwrap()), 2, "only what the third has moved");
    let mine: Vec<BTreeSet<Partition>> =
        [&first, &second, &third].map(|m| m.partitions().into_iter().collect()).into_iter().collect();
    assert_eq!(mine.iter().flatten().collect::<BTreeSet<_>>().len(), PARTITIONS as usize);
    let start = Instant::now();
    drop(second);
    board.rests(&[4, 4]);
    assert!(start.elapsed() < Duration::from_secs(4), "whoever leaves says so: {:?}", start.elapsed());
    assert!(mine[0].iter().all(|p| first.partitions().contains(p)), "what one has it keeps");
    assert!(mine[2].iter().all(|p| third.partitions().contains(p)), "what one has it keeps");
    drop((first, third));
    board.rests(&[]);
}

#[test]
fn positions_of_a_member_reach_the_kafka_group() {
    let rig = rig();
    let board = Arc::new(Board::default());
    let log = rig.open();
    let member = join(&log, &board, 0);
    board.rests(&[8]);
    append(&log, &["a:1", "b:1"]).unwrap();
    let end = |p: u32| Position { stream: THINGS, partition: p, offset: log.extents(THINGS)[p as usize].next };
    let ends: Vec<Position> = (0..PARTITIONS).map(end).collect();
    log.commit("engine", &ends).unwrap();
    until("the group knows", LIMIT, || committed(&rig, &rig.settings.group) == offsets(&ends));
    let last: Vec<Position> = ends.iter().map(|p| Position { offset: p.offset.max(1), ..*p }).collect();
    log.commit("engine", &last).unwrap();
    drop(member);
    let known = committed(&rig, &rig.settings.group);
    assert_eq!(known, offsets(&last), "a member tells its last positions before it leaves");
}

/// What a group knows of all partitions, as a stock client sees it.
fn committed(rig: &KafkaRig, group: &str) -> Vec<Offset> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KAFKA.brokers()).set("group.id", group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(rig.topic(), 0, PARTITIONS as i32 - 1);
    let list = consumer.committed_offsets(list, LIMIT).unwrap();
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset).collect()
}

fn offsets(positions: &[Position]) -> Vec<Offset> {
    positions.iter().map(|p| Offset::Offset(p.offset as i64)).collect()
}

#[test]
fn positions_that_a_kafka_group_refused_are_told_again() {
    let rig = rig();
    let board = Arc::new(Board::default());
    let (with, without) = (rig.open(), rig.open());
    let member = join(&with, &board, 0);
    board.rests(&[8]);
    let at = |offset| (0..PARTITIONS).map(|p| Position { stream: THINGS, partition: p, offset }).collect::<Vec<_>>();
    // A group that has members takes nothing from others.
    without.commit("engine", &at(5)).unwrap();
    // It tells this one after that one, and again a second later: so that one was refused by then.
    let other = format!("{}.later", rig.settings.group);
    for offset in [1, 2] {
        without.commit("later", &at(offset)).unwrap();
        until("the other group knows", LIMIT, || committed(&rig, &other) == offsets(&at(offset)));
    }
    assert!(!committed(&rig, &rig.settings.group).contains(&Offset::Offset(5)));
    drop(member);
    until("the group knows", LIMIT, || committed(&rig, &rig.settings.group) == offsets(&at(5)));
}

#[test]
fn a_member_leaves_and_joins_though_kafka_is_away() {
    let mut kafka = services::Kafka::start().unwrap();
    let rig = KafkaRig::with(&kafka.brokers(), catalog());
    let board = Arc::new(Board::default());
    let log = rig.open();
    let member = join(&log, &board, 0);
    board.rests(&[8]);
    kafka.kill(0);
    let start = Instant::now();
    drop(member);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(board.shares().is_empty(), "its owner was told");
    let _again = join(&log, &board, 1);
    kafka.restart(0);
    board.rests(&[8]);
}

/// A member in a process of its own, for as long as the child of the tests below; for a moment as a test of its own.
#[test]
fn a_kafka_member_alone_has_all_partitions() {
    let child = std::env::var(GROUP).ok();
    // As a child it has its parent's cluster.
    let mut rig = std::env::var(BROKERS).map_or_else(|_| rig(), |brokers| KafkaRig::with(&brokers, catalog()));
    if let Some(group) = &child {
        rig.settings.group.clone_from(group);
        rig.settings.topics.insert("things".to_owned(), std::env::var(TOPIC).unwrap());
        for internal in [Catalog::REFUSED, Catalog::ANSWERS] {
            rig.settings.topics.insert(internal.to_owned(), format!("{group}-{internal}"));
        }
    }
    struct Aloud;
    impl Owner for Aloud {
        fn gained(&self, partitions: &[Partition]) {
            println!("\nmember + {}", partitions.len());
        }
        fn losing(&self, partitions: &[Partition]) {
            println!("\nmember - {}", partitions.len());
        }
    }
    let log = rig.open();
    let member = log.join("engine", &[THINGS], Arc::new(Aloud)).unwrap();
    match child {
        Some(_) => loop {
            std::thread::park();
        },
        None => until("all partitions", LIMIT, || member.partitions().len() == PARTITIONS as usize),
    }
}

/// Ends with the test, however that ends.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn child(rig: &KafkaRig) -> (Guarded, std::sync::mpsc::Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kafka_group::a_kafka_member_alone_has_all_partitions", "--exact", "--nocapture", "--test-threads=1"])
        .env(GROUP, &rig.settings.group)
        .env(TOPIC, rig.topic())
        .env(BROKERS, KAFKA.brokers())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let said = |line: String| Some(line.strip_prefix("member ")?.to_owned());
        for line in lines.map_while(Result::ok).filter_map(said) {
            let _ = told.send(line);
        }
    });
    (Guarded(child), tells)
}

#[test]
fn what_a_killed_kafka_member_had_is_anothers_within_ten_seconds() {
    let rig = rig();
    let board = Arc::new(Board::default());
    let log = rig.open();
    let _member = join(&log, &board, 0);
    board.rests(&[8]);
    let (child, tells) = child(&rig);
    assert_eq!(tells.recv_timeout(LIMIT).as_deref(), Ok("+ 4"));
    board.rests(&[4]);
    drop(child);
    let start = Instant::now();
    board.rests(&[8]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_kafka_member_that_stood_still_is_told_what_it_lost_and_joins_again() {
    let rig = rig();
    let board = Arc::new(Board::default());
    let log = rig.open();
    let _member = join(&log, &board, 0);
    board.rests(&[8]);
    let (child, tells) = child(&rig);
    assert_eq!(tells.recv_timeout(LIMIT).as_deref(), Ok("+ 4"));
    board.rests(&[4]);
    let pid = Pid::from_child(&child.0);
    kill_process(pid, Signal::STOP).unwrap();
    board.rests(&[8]);
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(tells.recv_timeout(LIMIT).as_deref(), Ok("- 4"));
    assert_eq!(tells.recv_timeout(LIMIT).as_deref(), Ok("+ 4"));
    board.rests(&[4]);
}
