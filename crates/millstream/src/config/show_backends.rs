//! The sections `log`, `spool`, `store` and `cache` as a document again, their secrets hidden.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use log::kafka::{Acks, Compression, Security};
use serde_json::{Map, Value, json};

use super::backends::{Backends, CacheBackend, Kafka, LogBackend, StoreBackend};
use super::typed_backend::HIDDEN;
use super::units::{duration_text, size_text};

/// Seeded by chance, so that a mark tells nobody what is hidden.
static MARKS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Puts the sections into a document.
pub(super) fn show(backends: &Backends, out: &mut Map<String, Value>) {
    let log = match &backends.log {
        LogBackend::Disk => json!({ "backend": "disk" }),
        LogBackend::Kafka(kafka) => json!({ "backend": "kafka", "kafka": show_kafka(kafka) }),
        LogBackend::Redis(redis) => json!({ "backend": "redis", "redis": {
            "url": hidden_url(&redis.url), "max_len": redis.max_len, "retention": duration_text(redis.retention_ms),
        }}),
    };
    let store = match &backends.store {
        StoreBackend::Sqlite => json!({ "backend": "sqlite" }),
        StoreBackend::Postgres { url, pool } => {
            json!({ "backend": "postgres", "postgres": { "url": hidden_url(url), "pool": pool } })
        }
    };
    let cache = match &backends.cache {
        CacheBackend::Memory => json!({ "backend": "memory" }),
        CacheBackend::Redis { url } => json!({ "backend": "redis", "redis": { "url": hidden_url(url) } }),
    };
    let spool = &backends.spool;
    let mut shown = json!({ "max_size": size_text(spool.bytes_max), "max_age": duration_text(spool.age_max_ms) });
    if let Some(dir) = &spool.dir {
        shown["dir"] = json!(dir.display().to_string());
    }
    for (name, section) in [("log", log), ("spool", shown), ("store", store), ("cache", cache)] {
        out.insert(name.to_owned(), section);
    }
}

/// A number for what is hidden, another one when that is another; of this process alone.
pub(super) fn mark(backends: &Backends) -> u64 {
    MARKS.hash_one(format!("{backends:?}"))
}

fn show_kafka(kafka: &Kafka) -> Value {
    let mut shown = json!({
        "brokers": kafka.brokers, "client_id": kafka.client_id, "group": kafka.group,
        "compression": match kafka.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        },
        "acks": match kafka.acks { Acks::All => "all", Acks::Leader => "leader" },
        "max_in_flight": kafka.max_in_flight,
        "request_timeout": duration_text(kafka.request_timeout_ms),
        "delivery_timeout": duration_text(kafka.delivery_timeout_ms),
        "linger": duration_text(kafka.linger_ms),
        "session_timeout": duration_text(kafka.session_timeout_ms),
        "replication": kafka.replication.map_or(-1, i64::from),
        "security": match kafka.security {
            Security::Plaintext => "plaintext",
            Security::Ssl => "ssl",
            Security::SaslPlaintext => "sasl_plaintext",
            Security::SaslSsl => "sasl_ssl",
        },
        "dlq_topic": kafka.topic(event::Catalog::REFUSED),
        "answers_topic": kafka.topic(event::Catalog::ANSWERS),
    });
    if let Some(retries) = kafka.retries {
        shown["retries"] = json!(retries);
    }
    if let Some((mechanism, username, _)) = &kafka.sasl {
        shown["sasl"] = json!({ "mechanism": mechanism, "username": username, "password": HIDDEN });
    }
    let tls = [("ca", &kafka.tls.ca), ("cert", &kafka.tls.cert), ("key", &kafka.tls.key)];
    for (name, file) in tls.iter().filter_map(|(name, file)| Some((name, file.as_ref()?))) {
        shown["tls"][*name] = json!(file.display().to_string());
    }
    for (name, value) in &kafka.properties {
        let secret = ["password", "secret", "token", "pem", "sasl.jaas"].iter().any(|word| name.contains(word));
        shown["properties"][name] = json!(if secret { HIDDEN } else { value });
    }
    shown
}

/// Without the password: `scheme://user:***@host/rest`. What is no URL is hidden as a whole.
pub(crate) fn hidden_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return HIDDEN.to_owned() };
    // A password may have any character in it: what stands before the last `@` is not shown but for the user.
    let (user, place) =
        rest.rsplit_once('@').map_or((String::new(), rest), |(user, place)| match user.split_once(':') {
            Some((user, _)) => (format!("{user}:{HIDDEN}@"), place),
            // A query that has an `@` in it is no user.
            None if user.contains(['/', '?', '=']) => (format!("{HIDDEN}@"), HIDDEN),
            None => (format!("{user}@"), place),
        });
    let (place, query) = place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)));
    let secret = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| name.contains("password"));
    let query = query.map(|query| {
        let pairs =
            query.split('&').map(|pair| if secret(pair) { format!("password={HIDDEN}") } else { pair.to_owned() });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{user}{place}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://u:p@db:5432/x?sslmode=require", "postgres://u:***@db:5432/x?sslmode=require"),
            ("postgres://u:p@ss?wo:rd@db/x", "postgres://u:***@db/x"),
            ("postgres://db/x?user=u&password=p", "postgres://db/x?user=u&password=***"),
            ("postgres://db/x?user=u&password=p@ss", "postgres://***@***"),
            ("redis://:p@cache:6379/0", "redis://:***@cache:6379/0"),
            ("redis://cache", "redis://cache"),
            ("host=db password=p", "***"),
        ] {
            assert_eq!(hidden_url(url), shown);
        }
    }
}
