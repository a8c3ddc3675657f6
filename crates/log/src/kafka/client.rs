//! How every client of the cluster is set up: addresses, protection, patience, and where librdkafka's words go.

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Acks, Compression, KafkaSettings, Security};

/// Bytes of one record on its way: an event, its headers and key, and room for framing.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes of records that are sent as one: what a broker takes unless told otherwise is 1 MiB.
const BATCH_BYTES_MAX: usize = 1_000_000;

/// What all clients share. A client adds its own and then calls [`overlay`].
pub(super) fn base(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    let protocol = match settings.security {
        Security::Plaintext => "plaintext",
        Security::Ssl => "ssl",
        Security::SaslPlaintext => "sasl_plaintext",
        Security::SaslSsl => "sasl_ssl",
    };
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.client_id)
        .set("security.protocol", protocol)
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", settings.request_timeout.as_millis().clamp(10, 300_000).to_string())
        .set("socket.connection.setup.timeout.ms", "5000")
        // A broker that comes back is found again within a second, not within ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "false")
        .set_log_level(RDKafkaLogLevel::Info);
    if let Some(sasl) = &settings.sasl {
        config
            .set("sasl.mechanism", &sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", &sasl.password);
    }
    if matches!(settings.security, Security::Ssl | Security::SaslSsl) {
        // Ours is a copy of OpenSSL of its own, which does not know where the system keeps whom it trusts.
        config.set("ssl.ca.location", "probe");
    }
    let files = [
        ("ssl.ca.location", &settings.tls.ca),
        ("ssl.certificate.location", &settings.tls.cert),
        ("ssl.key.location", &settings.tls.key),
    ];
    for (property, file) in files {
        if let Some(file) = file {
            config.set(property, file.to_string_lossy());
        }
    }
    config
}

/// Puts the properties that the operator set over everything else.
pub(super) fn overlay(config: &mut ClientConfig, settings: &KafkaSettings) {
    for (property, value) in &settings.properties {
        config.set(property, value);
    }
}

/// The producer's setup.
pub(super) fn producer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = base(settings);
    let compression = match settings.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    // Without the sequence that idempotence keeps, only one request at a time keeps the order when one is repeated.
    let (acks, idempotence, in_flight) = match settings.acks {
        Acks::All => ("all", "true", settings.max_in_flight.clamp(1, 5)),
        Acks::Leader => ("1", "false", 1),
    };
    // The writer gives a record up by itself; the library's own bound only stands behind it.
    let timeout = (settings.delivery_timeout * 2).max(settings.linger * 2).as_millis() + 1_000;
    config
        .set("acks", acks)
        .set("enable.idempotence", idempotence)
        .set("max.in.flight.requests.per.connection", in_flight.to_string())
        .set("compression.codec", compression)
        .set("linger.ms", settings.linger.as_millis().to_string())
        .set("request.timeout.ms", settings.request_timeout.as_millis().clamp(1, 900_000).to_string())
        .set("message.timeout.ms", timeout.to_string())
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        .set("batch.size", BATCH_BYTES_MAX.to_string())
        // How much is under way is bounded by the writer, by bytes.
        .set("queue.buffering.max.messages", "0");
    overlay(&mut config, settings);
    config
}

/// What librdkafka says of a client: its log lines go to ours, its last error is kept for whoever asks why.
#[derive(Debug, Default)]
pub(super) struct Voice {
    last: Mutex<Option<String>>,
}

impl Voice {
    /// The last error since it was forgotten.
    pub(super) fn said(&self) -> Option<String> {
        self.last.lock().clone()
    }

    /// Forgets the last error: all is well.
    pub(super) fn forget(&self) {
        *self.last.lock() = None;
    }
}

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "librdkafka: {message}");
            }
            // What it calls an error is mostly a connection that it will try again; whether the cluster is away is told
            // once, by the log itself.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::debug!(facility, "librdkafka: {message}"),
            _ => tracing::trace!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
        // «All brokers are down» says less than what was said of one of them before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last.lock() = Some(reason.to_owned());
        }
    }
}

impl rdkafka::consumer::ConsumerContext for Voice {}

impl rdkafka::producer::ProducerContext for Voice {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Sasl, Tls};
    use super::*;

    #[test]
    fn settings_become_properties_and_the_operators_own_win() {
        let settings = KafkaSettings {
            security: Security::SaslSsl,
            sasl: Some(Sasl {
                mechanism: "SCRAM-SHA-512".to_owned(),
                username: "mill".to_owned(),
                password: "secret".to_owned(),
            }),
            tls: Tls { ca: Some("ca.pem".into()), ..Tls::default() },
            compression: Compression::Zstd,
            delivery_timeout: Duration::from_secs(3),
            properties: vec![("linger.ms".to_owned(), "50".to_owned())],
            ..KafkaSettings::at("a:9092,b:9092")
        };
        let config = producer(&settings);
        let table = [
            ("bootstrap.servers", "a:9092,b:9092"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.password", "secret"),
            ("ssl.ca.location", "ca.pem"),
            ("compression.codec", "zstd"),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "7000"),
            ("linger.ms", "50"),
        ];
        for (property, value) in table {
            assert_eq!(config.get(property), Some(value), "{property}");
        }
        assert!(!format!("{settings:?}", settings = settings.sasl).contains("secret"));
        let leader = producer(&KafkaSettings { acks: Acks::Leader, ..settings });
        assert_eq!(leader.get("max.in.flight.requests.per.connection"), Some("1"), "order outlives a repetition");
        assert_eq!(leader.get("enable.idempotence"), Some("false"));
    }
}
