//! What keeps the log, the rows and the live values, and where: the sections `log`, `spool`, `store` and `cache`, resolved.

use std::path::PathBuf;
use std::time::Duration;

use event::{Catalog, Millis};
use log::kafka::{Acks, Compression, KafkaSettings, Sasl, Security, Tls};

use super::node::Origin;
use super::problems::Problems;
use super::typed_backend::{TypedBackends, TypedKafka};
use super::typed_stream::TypedStream;

const RETRIES: &str = "retries";
const SPOOL_BYTES: u64 = 2 << 30;
const SPOOL_AGE_MS: Millis = 86_400_000;
const REDIS_LEN: u64 = 50_000;
const REDIS_RETENTION_MS: Millis = 3 * 86_400_000;
const POOL: u32 = 10;
/// Transactions under way on PostgreSQL.
const LANES: u32 = 2;
/// The topics of the internal streams: dead letters, and kept answers.
const DLQ_TOPIC: &str = "events-dlq";
const ANSWERS_TOPIC: &str = "millstream-answers";

/// All four.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backends {
    pub(crate) log: LogBackend,
    pub(crate) spool: Spool,
    pub(crate) store: StoreBackend,
    pub(crate) cache: CacheBackend,
}

/// What keeps the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LogBackend {
    /// The data folder.
    Disk,
    /// Apache Kafka.
    Kafka(Box<Kafka>),
    /// Redis Streams.
    Redis(RedisStreams),
}

/// What keeps the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoreBackend {
    /// The data folder.
    Sqlite,
    /// PostgreSQL, with or without TimescaleDB.
    Postgres {
        url: String,
        /// Connections at the most.
        pool: u32,
    },
}

impl StoreBackend {
    /// How many transactions the engine of a process has under way at the same time: PostgreSQL works on one while another
    /// waits for its disk. A connection is left for questions.
    pub(crate) fn lanes(&self) -> usize {
        match self {
            Self::Postgres { pool, .. } if *pool > LANES => LANES as usize,
            _ => 1,
        }
    }
}

/// What keeps live values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CacheBackend {
    /// This process.
    Memory,
    /// Redis.
    Redis { url: String },
}

/// What waits in front of a broker that is away.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spool {
    /// Its folder; in the data folder when it is not said.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) bytes_max: u64,
    pub(crate) age_max_ms: Millis,
}

/// The log on Redis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RedisStreams {
    pub(crate) url: String,
    /// Entries of one partition at the most.
    pub(crate) max_len: u64,
    pub(crate) retention_ms: Millis,
}

/// The log on Kafka: as [`KafkaSettings`], whose functions cannot be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) client_id: String,
    pub(crate) group: String,
    pub(crate) compression: Compression,
    pub(crate) acks: Acks,
    pub(crate) max_in_flight: u8,
    pub(crate) retries: Option<u64>,
    pub(crate) request_timeout_ms: Millis,
    pub(crate) delivery_timeout_ms: Millis,
    pub(crate) linger_ms: Millis,
    pub(crate) session_timeout_ms: Millis,
    pub(crate) replication: Option<u16>,
    pub(crate) security: Security,
    pub(crate) sasl: Option<(String, String, String)>,
    pub(crate) tls: Tls,
    pub(crate) properties: Vec<(String, String)>,
    /// Stream and topic, of all streams whose names differ.
    pub(crate) topics: Vec<(String, String)>,
}

impl Backends {
    /// Which back ends there are: what is asked for by name, else what there is an address of, else this machine.
    pub(super) fn resolve(
        typed: TypedBackends,
        streams: &[TypedStream],
        catalog: &Catalog,
        problems: &Problems,
    ) -> Option<Self> {
        let TypedBackends { log, spool, store, cache } = typed;
        let topics = topics(&log.kafka, streams, catalog, problems);
        let cached = cache.url.clone();
        let (word, origin) = log.backend.unwrap_or(match (&log.kafka.brokers, &log.redis_url) {
            (Some(_), _) => ("kafka", Origin::Absent),
            (None, Some(_)) => ("redis", Origin::Absent),
            (None, None) => ("disk", Origin::Absent),
        });
        let missing = |path: &str, origin: &Origin, key: &str, example: &str| {
            problems.add(path, origin, format!("`{key}` is missing"), Some(example.to_owned()));
        };
        let log = match word {
            "kafka" => {
                let Some(brokers) = log.kafka.brokers.clone() else {
                    let example = "as `brokers: kafka-1:9092,kafka-2:9092`, or KAFKA_BOOTSTRAP_SERVERS";
                    missing("log.kafka", &origin, "brokers", example);
                    return None;
                };
                LogBackend::Kafka(Box::new(kafka(log.kafka, brokers, topics)))
            }
            "redis" => {
                let Some(url) = log.redis_url.or_else(|| cached.clone()) else {
                    missing("log.redis", &origin, "url", "as `url: redis://redis:6379`, or REDIS_URL");
                    return None;
                };
                let max_len = log.redis_max_len.unwrap_or(REDIS_LEN);
                LogBackend::Redis(RedisStreams {
                    url,
                    max_len,
                    retention_ms: log.redis_retention_ms.unwrap_or(REDIS_RETENTION_MS),
                })
            }
            _ => LogBackend::Disk,
        };
        let chosen = if store.url.is_some() { "postgres" } else { "sqlite" };
        let (word, origin) = store.backend.unwrap_or((chosen, Origin::Absent));
        let store = match (word, store.url) {
            ("postgres", None) => {
                let example = "as `url: postgres://user@host/database`, `url_file`, or DATABASE_URL";
                missing("store.postgres", &origin, "url", example);
                return None;
            }
            ("postgres", Some(url)) => StoreBackend::Postgres { url, pool: store.pool.unwrap_or(POOL) },
            _ => StoreBackend::Sqlite,
        };
        let chosen = if cache.url.is_some() { "redis" } else { "memory" };
        let (word, origin) = cache.backend.unwrap_or((chosen, Origin::Absent));
        let cache = match (word, cache.url) {
            ("redis", None) => {
                missing("cache.redis", &origin, "url", "as `url: redis://redis:6379`, or REDIS_URL");
                return None;
            }
            ("redis", Some(url)) => CacheBackend::Redis { url },
            _ => CacheBackend::Memory,
        };
        let spool = Spool {
            dir: spool.dir,
            bytes_max: spool.bytes_max.unwrap_or(SPOOL_BYTES),
            age_max_ms: spool.age_max_ms.unwrap_or(SPOOL_AGE_MS),
        };
        Some(Self { log, spool, store, cache })
    }

    /// Whether what comes waits on disk while the broker is away.
    pub(crate) fn are_spooled(&self) -> bool {
        matches!(self.log, LogBackend::Kafka(_))
    }

    /// Whether other processes may work on the same log and store.
    pub(crate) fn are_shared(&self) -> bool {
        self.log != LogBackend::Disk
    }
}

/// The topics of all streams: each has its own.
fn topics(
    kafka: &TypedKafka,
    streams: &[TypedStream],
    catalog: &Catalog,
    problems: &Problems,
) -> Vec<(String, String)> {
    let own = |name: &str| streams.iter().find(|stream| stream.name == name);
    let mut topics: Vec<(String, String)> = Vec::new();
    for (_, stream) in catalog.iter() {
        let name = stream.name.as_str();
        let (path, origin, topic) = match (name, own(name).and_then(|stream| stream.topic.clone())) {
            (Catalog::REFUSED, _) => {
                let topic = kafka.dlq_topic.clone().unwrap_or_else(|| DLQ_TOPIC.to_owned());
                ("log.kafka.dlq_topic".to_owned(), Origin::Absent, topic)
            }
            (Catalog::ANSWERS, _) => {
                let topic = kafka.answers_topic.clone().unwrap_or_else(|| ANSWERS_TOPIC.to_owned());
                ("log.kafka.answers_topic".to_owned(), Origin::Absent, topic)
            }
            (_, Some((topic, origin))) => (format!("streams.{name}.topic"), origin, topic),
            (_, None) => (format!("streams.{name}"), Origin::Absent, name.to_owned()),
        };
        if let Some((other, _)) = topics.iter().find(|(_, known)| *known == topic) {
            let message = format!("the topic `{topic}` is that of the stream `{other}` already");
            problems.add(&path, &origin, message, Some("each stream has a topic of its own".to_owned()));
        }
        topics.push((name.to_owned(), topic));
    }
    topics.retain(|(stream, topic)| stream != topic);
    topics
}

fn kafka(typed: TypedKafka, brokers: String, topics: Vec<(String, String)>) -> Kafka {
    let base = KafkaSettings::at(&brokers);
    let ms = |duration: Duration| duration.as_millis() as Millis;
    Kafka {
        brokers,
        client_id: typed.client_id.unwrap_or(base.client_id),
        group: typed.group.unwrap_or(base.group),
        compression: typed.compression.unwrap_or(base.compression),
        acks: typed.acks.unwrap_or(base.acks),
        max_in_flight: typed.max_in_flight.unwrap_or(base.max_in_flight),
        retries: typed.retries,
        request_timeout_ms: typed.request_timeout_ms.unwrap_or(ms(base.request_timeout)),
        delivery_timeout_ms: typed.delivery_timeout_ms.unwrap_or(ms(base.delivery_timeout)),
        linger_ms: typed.linger_ms.unwrap_or(ms(base.linger)),
        session_timeout_ms: typed.session_timeout_ms.unwrap_or(ms(base.session_timeout)),
        replication: typed.replication.flatten(),
        security: typed.security.unwrap_or(base.security),
        sasl: typed.sasl,
        tls: typed.tls,
        properties: typed.properties,
        topics,
    }
}

impl Kafka {
    /// As the log takes it. Events that somebody else produced are kept as they are until `describe` is given.
    pub(crate) fn settings(&self) -> KafkaSettings {
        let duration = |ms: Millis| Duration::from_millis(ms.unsigned_abs());
        let retries = self.retries.map(|retries| (RETRIES.to_owned(), retries.to_string()));
        KafkaSettings {
            client_id: self.client_id.clone(),
            group: self.group.clone(),
            topics: self.topics.iter().cloned().collect(),
            replication: self.replication,
            compression: self.compression,
            acks: self.acks,
            max_in_flight: self.max_in_flight,
            linger: duration(self.linger_ms),
            request_timeout: duration(self.request_timeout_ms),
            delivery_timeout: duration(self.delivery_timeout_ms),
            session_timeout: duration(self.session_timeout_ms),
            security: self.security,
            sasl: self.sasl.clone().map(|(mechanism, username, password)| Sasl { mechanism, username, password }),
            tls: self.tls.clone(),
            properties: retries.into_iter().chain(self.properties.iter().cloned()).collect(),
            ..KafkaSettings::at(&self.brokers)
        }
    }

    /// The topic of a stream.
    pub(crate) fn topic<'a>(&'a self, stream: &'a str) -> &'a str {
        self.topics.iter().find(|(name, _)| name == stream).map_or(stream, |(_, topic)| topic)
    }
}
