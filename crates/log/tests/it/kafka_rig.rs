//! A log on Kafka over one cluster that all tests share, each with topics of its own; and a stock client to look with.
#![expect(clippy::disallowed_methods, reason = "tests wait for servers")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use event::{Ack, Batch, Catalog, Dedup, Draft, Retention, Span, Stream, StreamId, partition_of};
use log::kafka::{KafkaLog, KafkaSettings};
use log::{Append, Log, LogError, Placed, SystemClock};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use services::Kafka;

pub(crate) const THINGS: StreamId = StreamId(0);
pub(crate) const PARTITIONS: u32 = 3;

/// The cluster of one node that nobody stops.
pub(crate) static KAFKA: LazyLock<Kafka> = LazyLock::new(|| Kafka::start().unwrap());

/// The streams of a test, and the topics that nobody else has.
pub(crate) struct KafkaRig {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: KafkaSettings,
}

/// A record as a stock client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

pub(crate) fn stream(partitions: u32) -> Stream {
    let dedup = Some(Dedup { within_ms: 3_600_000, ids_max: 1 << 16 });
    let retention = Retention { age_ms: Some(7 * 24 * 3_600_000), size_bytes: Some(3 << 30) };
    let name = "things".to_owned();
    Stream { name, partitions, key: None, time: None, id: None, kind: None, require: vec![], dedup, retention }
}

impl KafkaRig {
    /// Over the shared cluster.
    pub(crate) fn new() -> Self {
        Self::at(&KAFKA.brokers())
    }

    pub(crate) fn at(brokers: &str) -> Self {
        Self::with(brokers, Arc::new(Catalog::new(vec![stream(PARTITIONS)]).unwrap()))
    }

    /// Over the shared cluster, with these streams.
    pub(crate) fn of(catalog: Arc<Catalog>) -> Self {
        Self::with(&KAFKA.brokers(), catalog)
    }

    pub(crate) fn with(brokers: &str, catalog: Arc<Catalog>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut settings = KafkaSettings::at(brokers);
        // A machine that is busy with other tests is no broker that is away.
        settings.delivery_timeout = Duration::from_secs(20);
        let names = catalog.iter().map(|(_, s)| (s.name.clone(), format!("t{number}-{}", s.name)));
        settings.topics = names.collect::<HashMap<_, _>>();
        settings.group = format!("t{number}");
        Self { catalog, settings }
    }

    pub(crate) fn open(&self) -> KafkaLog {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<KafkaLog, LogError> {
        KafkaLog::open(self.catalog.clone(), self.settings.clone(), Arc::new(SystemClock::default()))
    }

    pub(crate) fn topic(&self) -> &str {
        &self.settings.topics["things"]
    }

    /// Everything in the topic, by partition and offset, as a stock consumer reads it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.settings.brokers)
            .set("group.id", "looks")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let (mut from, mut missing) = (TopicPartitionList::new(), 0);
        for partition in 0..PARTITIONS as i32 {
            let (low, high) = consumer.fetch_watermarks(self.topic(), partition, Duration::from_secs(10)).unwrap();
            missing += high - low;
            from.add_partition_offset(self.topic(), partition, Offset::Offset(low)).unwrap();
        }
        consumer.assign(&from).unwrap();
        let (mut seen, start) = (Vec::new(), Instant::now());
        while (seen.len() as i64) < missing {
            assert!(start.elapsed() < Duration::from_secs(30), "{} of {missing} read", seen.len());
            // A node that is gone is told as an error, and the others are read on.
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                seen.push(look(&message));
            }
        }
        seen.sort_by_key(|s| (s.partition, s.offset));
        seen
    }
}

fn look(message: &BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().map_or_else(Vec::new, |list| {
        list.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
    });
    Seen {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        headers,
    }
}

/// A request with one event for each text: its key is the text up to the first colon, its id the whole text.
pub(crate) fn request(log: &dyn Log, texts: &[&str]) -> Append {
    let body: String = texts.concat();
    let mut batch = Batch::new(THINGS, body.into_bytes().into());
    let mut at = 0;
    for text in texts {
        let key = text.split(':').next().unwrap();
        let id = &text[..text.len().min(event::limits::KEY_BYTES_MAX)];
        batch.drafts.push(Draft {
            partition: partition_of(key.as_bytes(), PARTITIONS),
            time: event::NO_TIME,
            id_hash: log.id_hasher().hash(id.as_bytes()),
            data: Span::shared(at, text.len()),
            key: Span::shared(at, key.len()),
            kind: Span::EMPTY,
            id: Span::shared(at, id.len()),
            headers: Span::EMPTY,
        });
        at += text.len();
    }
    Append { batches: vec![batch], lane: 0, ack: Ack::Durable }
}

pub(crate) fn append(log: &dyn Log, texts: &[&str]) -> Result<Placed, LogError> {
    log.append(request(log, texts))?.wait_blocking().map(|mut placed| placed.remove(0))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, limit: Duration, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
