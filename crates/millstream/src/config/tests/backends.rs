//! What keeps the log, the rows and the live values.

use log::kafka::{Acks, Compression, Security};
use serde_json::json;

use super::*;

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, BadConfig> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_with(&Source::given("test", text), variables)
}

/// The names of log, store and cache.
fn chosen(text: &str, variables: &[(&str, &str)]) -> [String; 3] {
    let document = show(&with(text, variables).unwrap_or_else(|bad| panic!("{bad}")));
    ["log", "store", "cache"].map(|section| document[section]["backend"].as_str().unwrap().to_owned())
}

#[test]
fn an_address_in_the_environment_chooses_what_the_file_does_not() {
    let [kafka, postgres, redis] = [
        ("KAFKA_BOOTSTRAP_SERVERS", "k1:9092,k2:9092"),
        ("DATABASE_URL", "postgres://u:p@db/x"),
        ("REDIS_URL", "redis://cache:6379"),
    ];
    assert_eq!(chosen("", &[]), ["disk", "sqlite", "memory"]);
    assert_eq!(chosen("", &[kafka]), ["kafka", "sqlite", "memory"]);
    assert_eq!(chosen("", &[kafka, postgres, redis]), ["kafka", "postgres", "redis"]);
    let file = "log: { backend: disk }\nstore: { backend: sqlite }\ncache: { backend: memory }";
    assert_eq!(chosen(file, &[kafka, postgres, redis]), ["disk", "sqlite", "memory"]);
    // Redis as the log is only had by name, and may be that of the cache.
    assert_eq!(chosen("log: { backend: redis }", &[redis]), ["redis", "sqlite", "redis"]);
    assert_eq!(chosen("log: { redis: { url: 'redis://other' } }", &[]), ["redis", "sqlite", "memory"]);
    assert_eq!(chosen("log: { kafka: { brokers: [a:1, b:2] } }", &[]), ["kafka", "sqlite", "memory"]);
}

#[test]
fn the_names_that_other_systems_use_are_read() {
    let variables = [
        ("KAFKA_BROKERS", "k:9092"),
        ("KAFKA_TOPIC", "events_raw"),
        ("DLQ_TOPIC", "events_dlq"),
        ("KAFKA_COMPRESSION_TYPE", "gzip"),
        ("KAFKA_ACKS", "1"),
        ("KAFKA_MAX_IN_FLIGHT", "1"),
        ("KAFKA_MAX_RETRIES", "3"),
        ("KAFKA_CLIENT_ID", "event-collector-svc"),
        ("KAFKA_REQUEST_TIMEOUT_MS", "20000"),
        ("ANALYTICS_GROUP_ID", "analytics-service-v1"),
        ("BUFFER_DIR", "./data/buffer"),
        ("MAX_BUFFER_SIZE_MB", "100"),
    ];
    let settings = with("", &variables).unwrap();
    let LogBackend::Kafka(kafka) = &settings.backends.log else { panic!("{:?}", settings.backends) };
    assert_eq!(
        (kafka.brokers.as_str(), kafka.client_id.as_str(), kafka.group.as_str()),
        ("k:9092", "event-collector-svc", "analytics-service-v1")
    );
    assert_eq!((kafka.compression, kafka.acks, kafka.max_in_flight), (Compression::Gzip, Acks::Leader, 1));
    assert_eq!((kafka.retries, kafka.request_timeout_ms), (Some(3), 20_000));
    let topics = ["signals", "events", "segment", "_refused", "_answers"].map(|stream| kafka.topic(stream));
    assert_eq!(topics, ["signal-events", "events_raw", "segment", "events_dlq", "millstream-answers"]);
    let spool = &settings.backends.spool;
    assert_eq!((spool.bytes_max, spool.dir.as_ref().unwrap().to_str()), (100 << 20, Some("./data/buffer")));
    let settings = kafka.settings();
    assert!(settings.properties.contains(&("retries".to_owned(), "3".to_owned())));
    assert_eq!(settings.topics.get("_refused").map(String::as_str), Some("events_dlq"));
    assert_eq!(
        with("log: { backend: redis }", &[("REDIS_URL", "redis://r"), ("MAX_QUEUE_SIZE", "10000")]).map(|s| {
            let LogBackend::Redis(redis) = s.backends.log else { panic!("{:?}", s.backends) };
            redis.max_len
        }),
        Ok(10_000)
    );
}

#[test]
fn defaults_are_as_documented() {
    let settings = with("", &[("KAFKA_BROKERS", "k:9092")]).unwrap();
    let LogBackend::Kafka(kafka) = &settings.backends.log else { panic!("{:?}", settings.backends) };
    assert_eq!((kafka.client_id.as_str(), kafka.group.as_str()), ("millstream", "millstream"));
    assert_eq!((kafka.compression, kafka.acks, kafka.max_in_flight), (Compression::Lz4, Acks::All, 5));
    assert_eq!((kafka.request_timeout_ms, kafka.delivery_timeout_ms), (30_000, 3_000));
    assert_eq!((kafka.linger_ms, kafka.session_timeout_ms, kafka.replication), (5, 6_000, None));
    let spool = &settings.backends.spool;
    assert_eq!((spool.bytes_max, spool.age_max_ms, &spool.dir), (2 << 30, 86_400_000, &None));
}

#[test]
fn each_kind_of_mistake_is_named_with_its_path() {
    let table: &[(&str, &str, &str)] = &[
        ("log: { backend: kafak }", "log.backend", "did you mean `kafka`?"),
        ("log: { kafka: { brokers: kafka } }", "log.kafka.brokers", "as `kafka:9092`"),
        ("log: { kafka: { brokers: 'a:1,,b:2' } }", "log.kafka.brokers", "found ``"),
        ("log: { kafka: { brokers: 'a:1', broker: x } }", "log.kafka.broker", "did you mean `brokers`?"),
        ("log: { kafka: { brokers: 'a:1', acks: 0 } }", "log.kafka.acks", "without any acknowledgement"),
        ("log: { kafka: { brokers: 'a:1', compression: lzma } }", "log.kafka.compression", "expected none, gzip"),
        ("log: { kafka: { brokers: 'a:1', max_in_flight: 6 } }", "log.kafka.max_in_flight", "from 1 to 5"),
        ("log: { kafka: { brokers: 'a:1', session_timeout: 6 } }", "log.kafka.session_timeout", "as `6s`"),
        ("log: { kafka: { brokers: 'a:1', security: sasl_ssl } }", "log.kafka", "asks for `sasl`"),
        (
            "log: { kafka: { brokers: 'a:1', sasl: { mechanism: PLAIN, username: u } } }",
            "log.kafka.sasl",
            "`password` or `password_file`, found neither",
        ),
        ("log: { kafka: { brokers: 'a:1', tls: { cert: x } } }", "log.kafka.tls", "`cert` and `key` together"),
        ("log: { redis: { url: 'http://r' } }", "log.redis.url", "as `redis://redis:6379`"),
        ("spool: { max_size: 10KB }", "spool.max_size", "1MiB at least"),
        ("spool: { max_sise: 1GiB }", "spool.max_sise", "did you mean `max_size`?"),
        ("store: { backend: postgres }", "store.postgres", "`url` is missing"),
        ("store: { postgres: { url: 'mysql://x' } }", "store.postgres.url", "the URL of a PostgreSQL database"),
        ("store: { postgres: { url: 'postgres://x', pool: 0 } }", "store.postgres.pool", "from 1 to 1000"),
        ("store: { postgres: { url_file: nowhere.url } }", "store.postgres.url_file", "cannot read the file"),
        ("store: { postgres: { url: 'postgres://u:***@db/x' } }", "store.postgres.url", "is hidden"),
        ("cache: { backend: redis }", "cache.redis", "`url` is missing"),
        ("streams: { s: { topic: 'a b' } }", "streams.s.topic", "is no topic's name"),
        (
            "log: { kafka: { brokers: 'a:1' } }\nstreams: { s: { topic: events } }",
            "streams.s.topic",
            "is that of the stream `events` already",
        ),
    ];
    for (text, path, part) in table {
        check(text, &[(path, part)]);
    }
}

#[test]
fn a_variable_at_fault_is_named() {
    let bad = with("", &[("DATABASE_URL", "sqlite:///x")]).unwrap_err().to_string();
    assert!(bad.contains("DATABASE_URL: store.postgres.url: expected the URL"), "{bad}");
    assert!(!bad.contains("sqlite:///x"), "{bad}");
}

#[test]
fn secrets_are_hidden_and_the_rest_comes_back() {
    let settings = with(
        "log: { kafka: { brokers: 'a:1', security: sasl_ssl, properties: { ssl.key.password: geheim },\n\
         sasl: { mechanism: SCRAM-SHA-512, username: u, password: geheim } } }\n\
         store: { postgres: { url: 'postgres://u:geheim@db/x', pool: 3 } }\ncache: { redis: { url: 'redis://:geheim@r' } }",
        &[],
    )
    .unwrap();
    let LogBackend::Kafka(kafka) = &settings.backends.log else { panic!("{:?}", settings.backends) };
    assert_eq!(kafka.security, Security::SaslSsl);
    let shown = show(&settings);
    assert!(!shown.to_string().contains("geheim"), "{shown}");
    assert_eq!(
        shown["store"],
        json!({ "backend": "postgres", "postgres": { "url": "postgres://u:***@db/x", "pool": 3 } })
    );
    // What has no secret is a configuration again.
    comes_back("log: { kafka: { brokers: 'a:1', replication: 3 } }\nstreams: { orders: { topic: shop.orders } }");
    comes_back("log: { redis: { url: 'redis://r', max_len: 10 } }\nspool: { dir: s, max_size: 1GiB, max_age: 1h }");
    comes_back("store: { postgres: { url: 'postgres://u@db/x' } }\ncache: { redis: { url: 'redis://r' } }");
}
