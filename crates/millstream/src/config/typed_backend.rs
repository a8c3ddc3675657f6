//! The sections `log`, `spool`, `store` and `cache` as they are written, key by key.

use std::path::PathBuf;

use event::Millis;
use log::kafka::{Acks, Compression, Security, Tls};

use super::node::{Origin, Value};
use super::section::{Item, Section};

/// Stands where something is hidden, and is refused where something is read.
pub(super) const HIDDEN: &str = "***";

const COMPRESSIONS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];
const ACKS: [(&str, Acks); 4] = [("all", Acks::All), ("leader", Acks::Leader), ("-1", Acks::All), ("1", Acks::Leader)];
const SECURITIES: [(&str, Security); 4] = [
    ("plaintext", Security::Plaintext),
    ("ssl", Security::Ssl),
    ("sasl_plaintext", Security::SaslPlaintext),
    ("sasl_ssl", Security::SaslSsl),
];
const MECHANISMS: [(&str, &str); 3] =
    [("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512")];
const LOGS: [(&str, &str); 3] = [("disk", "disk"), ("kafka", "kafka"), ("redis", "redis")];
const STORES: [(&str, &str); 2] = [("sqlite", "sqlite"), ("postgres", "postgres")];
const CACHES: [(&str, &str); 2] = [("memory", "memory"), ("redis", "redis")];

/// All four sections.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedBackends {
    pub(crate) log: TypedLog,
    pub(crate) spool: TypedSpool,
    pub(crate) store: TypedStore,
    pub(crate) cache: TypedCache,
}

/// The section `log`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedLog {
    /// With where it is written.
    pub(crate) backend: Option<(&'static str, Origin)>,
    pub(crate) kafka: TypedKafka,
    pub(crate) redis_url: Option<String>,
    pub(crate) redis_max_len: Option<u64>,
    pub(crate) redis_retention_ms: Option<Millis>,
}

/// The section `log.kafka`. An inner `None` is «left to the broker».
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedKafka {
    pub(crate) brokers: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) compression: Option<Compression>,
    pub(crate) acks: Option<Acks>,
    pub(crate) max_in_flight: Option<u8>,
    pub(crate) retries: Option<u64>,
    pub(crate) request_timeout_ms: Option<Millis>,
    pub(crate) delivery_timeout_ms: Option<Millis>,
    pub(crate) linger_ms: Option<Millis>,
    pub(crate) session_timeout_ms: Option<Millis>,
    pub(crate) replication: Option<Option<u16>>,
    pub(crate) security: Option<Security>,
    /// Mechanism, user and password.
    pub(crate) sasl: Option<(String, String, String)>,
    pub(crate) tls: Tls,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) dlq_topic: Option<String>,
    pub(crate) answers_topic: Option<String>,
}

/// The section `spool`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedSpool {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) bytes_max: Option<u64>,
    pub(crate) age_max_ms: Option<Millis>,
}

/// The section `store`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedStore {
    /// With where it is written.
    pub(crate) backend: Option<(&'static str, Origin)>,
    pub(crate) url: Option<String>,
    pub(crate) pool: Option<u32>,
}

/// The section `cache`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedCache {
    /// With where it is written.
    pub(crate) backend: Option<(&'static str, Origin)>,
    pub(crate) url: Option<String>,
}

impl TypedBackends {
    /// Reads the sections of a document.
    pub(crate) fn read(root: &mut Section<'_>) -> Self {
        let mut section = |name| root.get(name).and_then(|item| item.section());
        Self {
            log: section("log").map(TypedLog::read).unwrap_or_default(),
            spool: section("spool").map(TypedSpool::read).unwrap_or_default(),
            store: section("store").map(TypedStore::read).unwrap_or_default(),
            cache: section("cache").map(TypedCache::read).unwrap_or_default(),
        }
    }
}

impl TypedLog {
    fn read(mut section: Section<'_>) -> Self {
        let backend = backend(&mut section, &LOGS);
        let kafka = section.get("kafka").and_then(|i| i.section()).map(TypedKafka::read).unwrap_or_default();
        let mut log = Self { backend, kafka, ..Self::default() };
        if let Some(mut redis) = section.get("redis").and_then(|i| i.section()) {
            log.redis_url = redis.get("url").and_then(|i| redis_url(&i));
            log.redis_max_len = redis.get("max_len").and_then(|i| i.whole(1..=1 << 40));
            log.redis_retention_ms = redis.get("retention").and_then(|i| i.span());
            redis.close();
        }
        section.close();
        log
    }
}

impl TypedKafka {
    fn read(mut section: Section<'_>) -> Self {
        let kafka = Self {
            brokers: section.get("brokers").and_then(|i| brokers(&i)),
            client_id: section.get("client_id").and_then(|i| i.text()),
            group: section.get("group").and_then(|i| i.text()),
            compression: section.get("compression").and_then(|i| i.choice(&COMPRESSIONS)),
            acks: section.get("acks").and_then(|i| acks(&i)),
            max_in_flight: section.get("max_in_flight").and_then(|i| i.whole(1..=5)).map(|n| n as u8),
            retries: section.get("retries").and_then(|i| i.whole(1..=i32::MAX as u64)),
            request_timeout_ms: section.get("request_timeout").and_then(|i| i.span()),
            delivery_timeout_ms: section.get("delivery_timeout").and_then(|i| i.span()),
            linger_ms: section.get("linger").and_then(|i| i.duration()),
            session_timeout_ms: section.get("session_timeout").and_then(|i| i.span()),
            replication: section.get("replication").and_then(|i| replication(&i)),
            security: section.get("security").and_then(|i| i.choice(&SECURITIES)),
            sasl: section.get("sasl").and_then(|i| i.section()).and_then(sasl),
            tls: section.get("tls").and_then(|i| i.section()).map(tls).unwrap_or_default(),
            properties: section.get("properties").and_then(|i| i.section()).map(properties).unwrap_or_default(),
            dlq_topic: section.get("dlq_topic").and_then(|i| topic(&i)),
            answers_topic: section.get("answers_topic").and_then(|i| topic(&i)),
        };
        let wants_sasl = matches!(kafka.security, Some(Security::SaslPlaintext | Security::SaslSsl));
        if wants_sasl && kafka.sasl.is_none() {
            let example =
                "as `sasl: { mechanism: SCRAM-SHA-512, username: millstream, password_file: kafka.password }`";
            section.bad("`security` asks for `sasl`, which is not there", Some(example.to_owned()));
        }
        section.close();
        kafka
    }
}

impl TypedSpool {
    fn read(mut section: Section<'_>) -> Self {
        let spool = Self {
            dir: section.get("dir").and_then(|i| i.text()).map(PathBuf::from),
            bytes_max: section.get("max_size").and_then(|i| spool_size(&i)),
            age_max_ms: section.get("max_age").and_then(|i| i.span()),
        };
        section.close();
        spool
    }
}

impl TypedStore {
    fn read(mut section: Section<'_>) -> Self {
        let mut store = Self { backend: backend(&mut section, &STORES), ..Self::default() };
        if let Some(mut postgres) = section.get("postgres").and_then(|i| i.section()) {
            let (url, file) = (postgres.get("url"), postgres.get("url_file"));
            store.url = match (&url, &file) {
                (Some(_), Some(file)) => {
                    file.bad("expected `url` or `url_file`, found both", None);
                    None
                }
                (Some(url), None) => url.text().and_then(|text| database_url(url, text)),
                (None, Some(file)) => of_file(file).and_then(|text| database_url(file, text)),
                (None, None) => None,
            };
            store.pool = postgres.get("pool").and_then(|i| i.whole(1..=1_000)).map(|n| n as u32);
            postgres.close();
        }
        section.close();
        store
    }
}

impl TypedCache {
    fn read(mut section: Section<'_>) -> Self {
        let mut cache = Self { backend: backend(&mut section, &CACHES), url: None };
        if let Some(mut redis) = section.get("redis").and_then(|i| i.section()) {
            cache.url = redis.get("url").and_then(|i| redis_url(&i));
            redis.close();
        }
        section.close();
        cache
    }
}

fn backend(section: &mut Section<'_>, names: &[(&'static str, &'static str)]) -> Option<(&'static str, Origin)> {
    let item = section.get("backend")?;
    Some((item.choice(names)?, item.origin()))
}

/// A topic's name, as Kafka allows it.
pub(super) fn topic(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let sound = (1..=249).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != "..";
    if !sound {
        item.bad(format!("`{name}` is no topic's name: 1 to 249 of letters, digits, `.`, `_` and `-`"), None);
    }
    sound.then_some(name)
}

/// `host:port`, some of them with commas, or a list.
fn brokers(item: &Item<'_>) -> Option<String> {
    let text = match &item.node.value {
        Value::List(_) => item.list().iter().map(Item::text).collect::<Option<Vec<String>>>()?.join(","),
        _ => item.text()?,
    };
    let sound = |broker: &str| {
        broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
    };
    let all: Vec<&str> = text.split(',').map(str::trim).collect();
    match all.iter().find(|broker| !sound(broker)) {
        None => Some(all.join(",")),
        Some(found) => {
            let suggestion = (!found.is_empty() && !found.contains(':')).then(|| format!("as `{found}:9092`"));
            item.bad(format!("expected brokers as host:port, joined by commas, found `{found}`"), suggestion);
            None
        }
    }
}

fn acks(item: &Item<'_>) -> Option<Acks> {
    if item.node.scalar().as_deref() == Some("0") {
        let suggestion = Some("`all`, or `leader` for answers that are no more than `memory`".to_owned());
        item.bad("without any acknowledgement nobody knows whether an event is there", suggestion);
        return None;
    }
    item.choice(&ACKS)
}

/// How many replicas topics get that are made here; -1 leaves it to the broker.
fn replication(item: &Item<'_>) -> Option<Option<u16>> {
    if item.node.value == Value::Int(-1) {
        return Some(None);
    }
    item.whole(1..=100).map(|n| Some(n as u16))
}

fn sasl(mut section: Section<'_>) -> Option<(String, String, String)> {
    const EXAMPLE: &str = "sasl: { mechanism: SCRAM-SHA-512, username: millstream, password_file: kafka.password }";
    let mechanism = section.must("mechanism", EXAMPLE).and_then(|i| i.choice(&MECHANISMS));
    let username = section.must("username", EXAMPLE).and_then(|i| i.text());
    let password = match (section.get("password"), section.get("password_file")) {
        (Some(item), None) => item.text().filter(|text| is_written(&item, text)),
        (None, Some(item)) => of_file(&item),
        (found, _) => {
            let what = if found.is_some() { "both" } else { "neither" };
            section
                .bad(format!("expected `password` or `password_file`, found {what}"), Some(format!("as `{EXAMPLE}`")));
            None
        }
    };
    section.close();
    Some((mechanism?.to_owned(), username?, password?))
}

fn tls(mut section: Section<'_>) -> Tls {
    let mut file = |name| section.get(name).and_then(|item| item.text()).map(PathBuf::from);
    let tls = Tls { ca: file("ca"), cert: file("cert"), key: file("key") };
    if tls.cert.is_some() != tls.key.is_some() {
        section.bad("expected `cert` and `key` together", None);
    }
    section.close();
    tls
}

fn properties(section: Section<'_>) -> Vec<(String, String)> {
    section.all().filter_map(|(name, item)| Some((name.to_owned(), item.text()?))).collect()
}

/// A log on disk needs room for one segment at least.
fn spool_size(item: &Item<'_>) -> Option<u64> {
    const LEAST: u64 = 1 << 20;
    let bytes = item.size()?;
    if bytes < LEAST {
        item.bad("expected 1MiB at least", None);
    }
    (bytes >= LEAST).then_some(bytes)
}

fn redis_url(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let sound = ["redis://", "rediss://", "redis+unix://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
    if !sound {
        item.bad("expected the URL of a Redis server", Some("as `redis://redis:6379`".to_owned()));
        return None;
    }
    is_written(item, &text).then_some(text)
}

/// Not what was found: a URL has its password in it.
fn database_url(item: &Item<'_>, text: String) -> Option<String> {
    let sound = text.starts_with("postgres://") || text.starts_with("postgresql://") || text.contains("host=");
    if !sound {
        let message = "expected the URL of a PostgreSQL database";
        item.bad(message, Some("as `postgres://user:password@host:5432/database`".to_owned()));
        return None;
    }
    is_written(item, &text).then_some(text)
}

fn is_written(item: &Item<'_>, text: &str) -> bool {
    let hidden = text.contains(HIDDEN);
    if hidden {
        item.bad("the secret in it is hidden", Some("write it as it is".to_owned()));
    }
    !hidden
}

/// The text of a file, without the space around it.
fn of_file(item: &Item<'_>) -> Option<String> {
    let path = item.text()?;
    let text = std::fs::read_to_string(&path);
    text.map(|text| text.trim().to_owned())
        .map_err(|error| item.bad(format!("cannot read the file `{path}`: {error}"), None))
        .ok()
}
