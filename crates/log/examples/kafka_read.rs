//! Measures how fast the log on Kafka is read: `kafka_read BROKERS [RECORDS]` appends records of 400 bytes and reads them
//! back with one cursor over all partitions.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on stops")]

use std::sync::Arc;
use std::time::Duration;

use event::{Ack, Batch, Block, Catalog, Dedup, Draft, NO_TIME, Retention, Span, Stream, StreamId};
use log::kafka::{KafkaLog, KafkaSettings};
use log::{Append, Clock, Log, LogError, SystemClock};

const PARTITIONS: u32 = 6;
const EVENT_BYTES: usize = 400;
const REQUEST: usize = 500;

fn main() {
    let mut args = std::env::args().skip(1);
    let brokers = args.next().unwrap();
    let records: usize = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let clock = Arc::new(SystemClock::default());
    let dedup = Some(Dedup { within_ms: 3_600_000, ids_max: 1 << 20 });
    let retention = Retention { age_ms: None, size_bytes: None };
    let name = format!("read-{}", clock.now());
    let stream = Stream {
        name,
        partitions: PARTITIONS,
        key: None,
        time: None,
        id: None,
        kind: None,
        require: vec![],
        dedup,
        retention,
    };
    let catalog = Arc::new(Catalog::new(vec![stream]).unwrap());
    let log = KafkaLog::open(catalog, KafkaSettings::at(&brokers), clock.clone()).unwrap();
    fill(&log, records);
    for turn in 0..3 {
        let start = clock.elapsed();
        let from: Vec<_> = (0..PARTITIONS).map(|p| (p, 0)).collect();
        let mut cursor = log.read(StreamId(0), &from).unwrap();
        let (mut count, mut blocks, mut first) = (0, 0, Duration::ZERO);
        loop {
            let read = cursor.next(4 << 20).unwrap();
            if count == 0 {
                first = clock.elapsed() - start;
            }
            if read.is_empty() {
                break;
            }
            blocks += read.len();
            count += read.iter().map(Block::len).sum::<usize>();
        }
        let took = clock.elapsed() - start;
        drop(cursor);
        let ended = clock.elapsed() - start - took;
        let rate = count as f64 / (took - first).as_secs_f64();
        println!(
            "{turn}: {count} records, {blocks} blocks, first after {first:?}, all {took:?}, {rate:.0} records/s, dropped in {ended:?}"
        );
    }
}

fn fill(log: &dyn Log, records: usize) {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut waiting = std::collections::VecDeque::new();
    for request in 0..records / REQUEST {
        let mut body = String::new();
        let mut batch = Batch::new(StreamId(0), bytes::Bytes::new());
        for n in 0..REQUEST {
            let at = body.len();
            let id = format!("id-{request}-{n}");
            let noise: String = (0..EVENT_BYTES - 110).map(|_| chance.alphanumeric()).collect();
            body.push_str(&format!("{{\"id\":\"{id}\",\"user\":\"user-{}\",\"text\":\"{noise}\"", n % 1_000));
            while body.len() - at < EVENT_BYTES - 1 {
                body.push(' ');
            }
            body.push('}');
            let (partition, id_hash) = ((n as u32) % PARTITIONS, log.id_hasher().hash(id.as_bytes()));
            let (data, none) = (Span::shared(at, body.len() - at), Span::EMPTY);
            let (id, key) = (batch.put_side(id.as_bytes()), batch.put_side(b"user-1"));
            batch.drafts.push(Draft { partition, time: NO_TIME, id_hash, data, key, kind: none, id, headers: none });
        }
        batch.bytes = body.into_bytes().into();
        loop {
            let append = Append { batches: vec![batch.clone()], lane: 0, ack: Ack::Durable };
            match log.append(append) {
                Err(LogError::Busy) => pop(&mut waiting),
                answer => break waiting.push_back(answer.unwrap()),
            }
        }
        while waiting.len() > 100 {
            pop(&mut waiting);
        }
    }
    while !waiting.is_empty() {
        pop(&mut waiting);
    }
}

fn pop(waiting: &mut std::collections::VecDeque<log::Pending>) {
    if let Some(pending) = waiting.pop_front() {
        pending.wait_blocking().unwrap();
    }
}
