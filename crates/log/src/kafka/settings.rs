//! How the log on Kafka is reached and how it behaves.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use event::{Millis, Stream};

/// How records are compressed on their way to the broker and there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    #[default]
    Lz4,
    /// zstd.
    Zstd,
}

/// When the broker says that it has a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When all replicas in sync have it: the only one under which an answer means durable.
    #[default]
    All,
    /// When the leader has it. Answers then say `memory`.
    Leader,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

/// Who we are.
#[derive(Clone)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// The password. Never shown.
    pub password: String,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Files for TLS, in PEM; what is absent is the system's or not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whom we trust.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Where the parts of an event are that somebody else produced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// The key, as a range of the data; empty when there is none.
    pub key: Range<usize>,
    /// The type.
    pub kind: Range<usize>,
    /// The id.
    pub id: Range<usize>,
    /// The event time.
    pub time: Option<Millis>,
}

/// Finds the parts of an event by its stream's definition; `None` when it is not what the stream asks for.
pub type Describe = Arc<dyn Fn(&Stream, &[u8]) -> Option<Described> + Send + Sync>;

/// How the log on Kafka is reached and how it behaves. [`KafkaSettings::at`] has the defaults.
///
/// What is looked up by time (`Log::offset_at`) relies on the records' times of append. Stock producers set those by their
/// own clocks: events of one whose clock is behind by more than the stream's `max_future` may be passed over by a replay by
/// time.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port` of some brokers, joined by commas.
    pub brokers: String,
    /// The name under which brokers know this client.
    pub client_id: String,
    /// The consumer group of the engine; other consumers are `<group>.<consumer>`.
    pub group: String,
    /// Topics of streams whose names differ from theirs.
    pub topics: HashMap<String, String>,
    /// Replicas of topics that are made here; `None` leaves it to the broker.
    pub replication: Option<u16>,
    /// How records are compressed.
    pub compression: Compression,
    /// When an answer goes out.
    pub acks: Acks,
    /// Requests under way to one broker, `1..=5`.
    pub max_in_flight: u8,
    /// How long the producer waits for more before it sends a batch.
    pub linger: Duration,
    /// How long one request to a broker may take.
    pub request_timeout: Duration,
    /// How long a record may be without its report before the broker counts as away.
    pub delivery_timeout: Duration,
    /// How long a member of the group may be silent before its partitions are others'.
    pub session_timeout: Duration,
    /// How the connection is protected.
    pub security: Security,
    /// Who we are, where that is asked.
    pub sasl: Option<Sasl>,
    /// Files for TLS.
    pub tls: Tls,
    /// Properties of librdkafka, over everything above.
    pub properties: Vec<(String, String)>,
    /// Finds the parts of events that somebody else produced.
    pub describe: Describe,
}

impl KafkaSettings {
    /// The defaults, for these brokers.
    pub fn at(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            client_id: "millstream".to_owned(),
            group: "millstream".to_owned(),
            topics: HashMap::new(),
            replication: None,
            compression: Compression::default(),
            acks: Acks::default(),
            max_in_flight: 5,
            linger: Duration::from_millis(5),
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(3),
            session_timeout: Duration::from_secs(6),
            security: Security::default(),
            sasl: None,
            tls: Tls::default(),
            properties: Vec::new(),
            describe: Arc::new(|_, _| None),
        }
    }
}
