//! How fast the log on Kafka takes records, beside librdkafka alone with the same settings on equal records, in one run.
//!
//! `cargo run -p log --example kafka_rate [records [rounds [brokers]]]`; without brokers a private one is started, which
//! needs `MILLSTREAM_TEST_KAFKA` (the folder of Kafka's jars).
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and ends when it cannot go on")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use event::{Ack, Batch, Catalog, Dedup, Draft, Retention, Span, Stream, StreamId, partition_of};
use log::kafka::{KafkaLog, KafkaSettings};
use log::{Append, Clock, Log, SystemClock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

const THINGS: StreamId = StreamId(0);
const PARTITIONS: u32 = 6;
const RECORD_BYTES: usize = 384;
/// Events of one request.
const REQUEST: usize = 100;
/// Requests that wait at once, as of so many connections.
const CONNECTIONS: usize = 256;

/// One event, as ranges of its body.
#[derive(Clone, Copy)]
struct Event {
    at: usize,
    id: (usize, usize),
    key: (usize, usize),
}

/// A request's body and its events.
struct Body {
    bytes: Bytes,
    events: Vec<Event>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let records: usize = args.next().map_or(300_000, |text| text.parse().unwrap());
    let rounds: usize = args.next().map_or(5, |text| text.parse().unwrap());
    let (brokers, _kafka) = match args.next() {
        Some(brokers) => (brokers, None),
        None => {
            let kafka = services::Kafka::start().unwrap();
            (kafka.brokers(), Some(kafka))
        }
    };
    let clock = Arc::new(SystemClock::default());
    let catalog = Arc::new(Catalog::new(vec![stream()]).unwrap());
    let mut settings = KafkaSettings::at(&brokers);
    settings.topics = [("things".to_owned(), "alone".to_owned())].into();
    drop(KafkaLog::open(catalog.clone(), settings.clone(), clock.clone()).unwrap());
    settings.topics = [("things".to_owned(), "log".to_owned())].into();
    let log = KafkaLog::open(catalog, settings, clock.clone()).unwrap();
    let alone = producer(&brokers);
    println!(
        "{records} records of {RECORD_BYTES} bytes, {REQUEST} a request, {CONNECTIONS} requests at once, {PARTITIONS} partitions"
    );
    println!("round      log, rec/s  librdkafka, rec/s   ratio");
    let run = clock.now();
    let mut ratios: Vec<f64> =
        (0..rounds).map(|round| measure(run, round, records, &log, &alone, clock.as_ref())).collect();
    ratios.sort_by(f64::total_cmp);
    println!("median {:43.3}", ratios[ratios.len() / 2]);
}

/// One round: each once, in turns first.
fn measure(
    run: i64,
    round: usize,
    records: usize,
    log: &KafkaLog,
    producer: &ThreadedProducer<Counter>,
    clock: &dyn Clock,
) -> f64 {
    let bodies: Vec<Body> = (0..records / REQUEST).map(|n| body(run, round, n)).collect();
    let rate = |work: &dyn Fn()| {
        let start = clock.elapsed();
        work();
        records as f64 / (clock.elapsed() - start).as_secs_f64()
    };
    let ours = || rate(&|| through_the_log(log, &bodies));
    let theirs = || rate(&|| alone(producer, clock, &bodies));
    let (ours, theirs) = if round.is_multiple_of(2) {
        let ours = ours();
        (ours, theirs())
    } else {
        let theirs = theirs();
        (ours(), theirs)
    };
    println!("{round:5} {ours:15.0} {theirs:18.0} {:7.3}", ours / theirs);
    ours / theirs
}

fn through_the_log(log: &KafkaLog, bodies: &[Body]) {
    let mut waiting = VecDeque::with_capacity(CONNECTIONS);
    for body in bodies {
        if waiting.len() == CONNECTIONS {
            wait(&mut waiting);
        }
        waiting.push_back(log.append(request(log, body)).unwrap());
    }
    while !waiting.is_empty() {
        wait(&mut waiting);
    }
}

fn wait(waiting: &mut VecDeque<log::Pending>) {
    if let Some(pending) = waiting.pop_front() {
        let placed = pending.wait_blocking().unwrap();
        assert!(placed[0].duplicates.is_empty());
    }
}

/// A request as a door makes it: ranges of one body.
fn request(log: &KafkaLog, body: &Body) -> Append {
    let hasher = log.id_hasher();
    let mut batch = Batch::new(THINGS, body.bytes.clone());
    batch.drafts.extend(body.events.iter().map(|event| {
        let span = |(at, end): (usize, usize)| Span::shared(at, end - at);
        let (key, id) = (&body.bytes[event.key.0..event.key.1], &body.bytes[event.id.0..event.id.1]);
        Draft {
            partition: partition_of(key, PARTITIONS),
            time: 1_763_000_000_000,
            id_hash: hasher.hash(id),
            data: Span::shared(event.at, RECORD_BYTES),
            key: span(event.key),
            kind: Span::EMPTY,
            id: span(event.id),
            headers: Span::EMPTY,
        }
    }));
    Append { batches: vec![batch], lane: 0, ack: Ack::Durable }
}

#[derive(Default)]
struct Counter {
    there: AtomicUsize,
}

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.there.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// librdkafka with nothing around it.
fn producer(brokers: &str) -> ThreadedProducer<Counter> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.codec", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "0")
        .create_with_context(Counter::default())
        .unwrap()
}

/// The same records through it, with no more under way than the log has.
fn alone(producer: &ThreadedProducer<Counter>, clock: &dyn Clock, bodies: &[Body]) {
    let (before, now) = (producer.context().there.load(Ordering::Relaxed), clock.now());
    for body in bodies {
        while producer.in_flight_count() as usize > CONNECTIONS * REQUEST {
            clock.sleep(Duration::from_millis(1));
        }
        for event in &body.events {
            let part = |(from, to): (usize, usize)| &body.bytes[from..to];
            let header = |key, value| Header { key, value: Some(value) };
            let headers = OwnedHeaders::new()
                .insert(header("event-id", part(event.id)))
                .insert(header("event-time", &b"1763000000000"[..]))
                .insert(header("content-type", b"application/json"))
                .insert(header("event-version", b"1.0"))
                .insert(header("millstream", b"1"));
            let record = BaseRecord::to("alone")
                .partition(partition_of(part(event.key), PARTITIONS) as i32)
                .timestamp(now)
                .key(part(event.key))
                .payload(&body.bytes[event.at..event.at + RECORD_BYTES])
                .headers(headers);
            assert!(producer.send(record).is_ok());
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(producer.context().there.load(Ordering::Relaxed) - before, bodies.len() * REQUEST);
}

/// Events of one size with an id that no other of any run has, and text that compresses as text does.
fn body(run: i64, round: usize, number: usize) -> Body {
    let mut chance = fastrand::Rng::with_seed((round * 1_000_003 + number) as u64);
    let (mut bytes, mut events) = (Vec::with_capacity(REQUEST * RECORD_BYTES), Vec::with_capacity(REQUEST));
    for i in 0..REQUEST {
        let at = bytes.len();
        let (id, key) = (format!("{run:x}-{round:02}-{number:08}-{i:03}"), format!("user-{}", chance.u32(..10_000)));
        let head = format!("{{\"id\":\"{id}\",\"user\":\"{key}\",\"amount\":{},\"note\":\"", chance.u32(..));
        bytes.extend_from_slice(head.as_bytes());
        while bytes.len() < at + RECORD_BYTES - 2 {
            let word =
                ["stream ", "mill ", "water ", "wheel ", "stone ", "grain ", "flour ", "9f3a77 "][chance.usize(..8)];
            bytes.extend_from_slice(word.as_bytes());
        }
        bytes.truncate(at + RECORD_BYTES - 2);
        bytes.extend_from_slice(b"\"}");
        let (id_at, key_at) = (at + 7, at + 7 + id.len() + 10);
        events.push(Event { at, id: (id_at, id_at + id.len()), key: (key_at, key_at + key.len()) });
    }
    assert_eq!(&bytes[events[0].key.0..events[0].key.0 + 5], b"user-");
    Body { bytes: bytes.into(), events }
}

fn stream() -> Stream {
    let dedup = Some(Dedup { within_ms: 3_600_000, ids_max: 4 << 20 });
    let (name, partitions) = ("things".to_owned(), PARTITIONS);
    let retention = Retention { age_ms: Some(3_600_000), size_bytes: None };
    Stream { name, partitions, key: None, time: None, id: None, kind: None, require: vec![], dedup, retention }
}
