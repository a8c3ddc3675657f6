//! The spool in front of Apache Kafka: a process under load, a broker that stops and comes back, and kills.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use event::StreamId;
use log::kafka::{KafkaLog, KafkaSettings};
use log::spool::{SpoolSettings, Spooled};
use log::{Clock, Log, LogError, RealDisk, SystemClock};
use services::Kafka;

use crate::rig::{self, PARTITIONS, event};
use crate::spool_rig::{PLAIN, THINGS, catalog, drained, send, until};

const BROKERS: &str = "MILLSTREAM_SPOOL_BROKERS";
const DIR: &str = "MILLSTREAM_SPOOL_DIR";
const FROM: &str = "MILLSTREAM_SPOOL_FROM";
/// Events of one request.
const EVENTS: u64 = 20;
/// Requests that wait for their answers.
const WAITING: usize = 50;
/// Between two requests.
const PACE: std::time::Duration = std::time::Duration::from_millis(3);

fn kafka(brokers: &str) -> Arc<KafkaLog> {
    let mut settings = KafkaSettings::at(brokers);
    settings.delivery_timeout = std::time::Duration::from_secs(1);
    Arc::new(KafkaLog::open(catalog(PARTITIONS, true), settings, Arc::new(SystemClock::default())).unwrap())
}

fn spooled(brokers: &str, dir: &Path) -> Result<Spooled, LogError> {
    let kafka = kafka(brokers);
    let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock::default()));
    // A small spool drains in many small steps.
    let settings = SpoolSettings { bytes_max: 64 << 20, age_max_ms: 3_600_000 };
    Spooled::open(kafka.clone(), kafka, dir, catalog(PARTITIONS, true), disk, clock, settings)
}

/// The events of a request, of keys that the numbers tell; those of one stream have ids, those of the other have none.
fn request(log: &dyn Log, number: u64) -> (StreamId, event::Batch) {
    let stream = if (number / EVENTS).is_multiple_of(2) { THINGS } else { PLAIN };
    let named = |n: u64| if stream == THINGS { n + 1 } else { 0 };
    let events: Vec<_> =
        (number..number + EVENTS).map(|n| event((n % 7) as u8, named(n), format!("{n} {}", "z".repeat(80)))).collect();
    (stream, rig::batch(log, stream, PARTITIONS, &events))
}

/// Sends and tells what is answered: for ever as the child of the test below, for a while as a test of its own.
#[test]
fn kafka_behind_a_spool_gets_what_is_answered() {
    let brokers = std::env::var(BROKERS).ok();
    let own = brokers.is_none().then(|| Kafka::start().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(DIR).map_or_else(|| temp.path().to_owned(), Into::into);
    let brokers = brokers.or_else(|| own.as_ref().map(Kafka::brokers)).unwrap();
    let mut number: u64 = std::env::var(FROM).map_or(0, |from| from.parse().unwrap());
    let end = if own.is_some() { number + 4_000 } else { u64::MAX };
    let spooled = spooled(&brokers, &dir).unwrap();
    let mut waiting = std::collections::VecDeque::new();
    while number < end || !waiting.is_empty() {
        if waiting.len() < WAITING && number < end {
            let (_, batch) = request(&spooled, number);
            waiting.push_back((number, send(&spooled, batch).unwrap()));
            number += EVENTS;
            SystemClock::default().sleep(PACE);
            continue;
        }
        let (first, pending) = waiting.pop_front().unwrap();
        pending.wait_blocking().unwrap();
        let spool = spooled.status().spool.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nanswered {first} {} {}", spool.records, spool.draining).unwrap();
        out.flush().unwrap();
    }
    drained(&spooled);
    assert_eq!(numbers(&brokers, THINGS).len() + numbers(&brokers, PLAIN).len(), 4_000);
}

/// The numbers of the events of a stream, as a reader of ours gets them, by partition.
fn numbers(brokers: &str, stream: StreamId) -> Vec<u64> {
    let log = kafka(brokers);
    until("Kafka is there", || log.status().away.is_none());
    let mut numbers = Vec::new();
    for partition in 0..PARTITIONS {
        let mut cursor = log.read(stream, &[(partition, 0)]).unwrap();
        loop {
            let blocks = cursor.next(4 << 20).unwrap();
            for record in blocks.iter().flat_map(event::Block::records) {
                let text = std::str::from_utf8(record.data).unwrap();
                numbers.push(text.split(' ').next().unwrap().parse().unwrap());
            }
            if blocks.is_empty() {
                break;
            }
        }
    }
    numbers
}

/// What the child has told last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    records: u64,
    draining: bool,
}

struct Sender {
    child: Child,
    told: Arc<Mutex<Told>>,
    listener: std::thread::JoinHandle<()>,
}

impl Sender {
    /// A process that sends events with numbers from here on; its answers are noted.
    fn start(brokers: &str, dir: &Path, from: u64, answered: &Arc<Mutex<Vec<u64>>>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["spool_kafka::kafka_behind_a_spool_gets_what_is_answered", "--exact", "--nocapture"])
            .envs([(BROKERS, brokers), (FROM, &from.to_string())])
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told = Arc::<Mutex<Told>>::default();
        let (note, answered) = (told.clone(), answered.clone());
        let listener = std::thread::spawn(move || {
            for line in lines {
                if let ["answered", first, records, draining] = line.split(' ').collect::<Vec<_>>()[..]
                    && let (Ok(first), Ok(records)) = (first.parse(), records.parse())
                {
                    answered.lock().unwrap().push(first);
                    *note.lock().unwrap() = Told { records, draining: draining == "true" };
                }
            }
        });
        Self { child, told, listener }
    }

    fn told(&self) -> Told {
        *self.told.lock().unwrap()
    }

    /// SIGKILL; what it had told before counts.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listener.join().unwrap();
    }
}

#[test]
fn kafka_stopped_under_load_and_the_sender_killed_while_it_drains_lose_and_repeat_nothing() {
    let mut kafka = Kafka::start().unwrap();
    let brokers = kafka.brokers();
    let dir = tempfile::tempdir().unwrap();
    let answered = Arc::<Mutex<Vec<u64>>>::default();
    let count = || answered.lock().unwrap().len();
    let mut kills_while_draining = 0;
    for round in 0..3 {
        let sender = Sender::start(&brokers, dir.path(), round * 10_000_000, &answered);
        let before = count();
        until("it sends to Kafka", || count() > before + 200 && sender.told().records == 0);
        if round == 1 {
            kafka.kill(0);
        } else {
            kafka.stop(0);
        }
        let before = count();
        until("the spool takes it", || count() > before + 500 && sender.told().records > 8_000);
        kafka.restart(0);
        until("it drains", || sender.told().draining);
        kills_while_draining += u32::from(sender.told().records > 0);
        sender.kill();
    }
    let sender = Sender::start(&brokers, dir.path(), 90_000_000, &answered);
    let before = count();
    until("all is drained", || count() > before + 100 && sender.told().records == 0 && !sender.told().draining);
    sender.kill();
    assert!(kills_while_draining > 0, "a kill hit the drain");

    let answered = answered.lock().unwrap();
    let mut found: HashMap<u64, u32> = HashMap::new();
    for stream in [THINGS, PLAIN] {
        let mut last: HashMap<u64, u64> = HashMap::new();
        for number in numbers(&brokers, stream) {
            let before = last.insert(number % 7, number);
            assert!(before < Some(number), "key {}: {before:?} before {number}", number % 7);
            *found.entry(number).or_default() += 1;
        }
    }
    let lost = answered.iter().flat_map(|first| *first..first + EVENTS).filter(|n| !found.contains_key(n)).count();
    let repeated = found.values().filter(|times| **times > 1).count();
    assert_eq!((lost, repeated), (0, 0), "of {} answered events", answered.len() as u64 * EVENTS);
}
