//! A line to the cluster: one producer, for as long as it serves. What the broker reports of each record ends here.

use std::sync::Arc;
use std::time::Duration;

use event::{Batch, Draft, Millis};
use metrics::Histogram;
use parking_lot::RwLock;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};

use super::client::{self, Voice};
use super::flight::{Flight, Sent};
use super::headers::{Parts, write};
use super::shared::Shared;
use crate::LogError;
use crate::spool::Origins;

/// How long the writer waits before it offers a record again to a producer that is full.
const FULL: Duration = Duration::from_millis(5);
/// What a record is reported with that is offered to a line after its end.
const GIVEN_UP: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue);

/// A batch of a request: what the producer gives back with the report of each of its records.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) sent: Arc<Sent>,
    /// Its place in the request.
    pub(super) batch: usize,
}

/// A record to send.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) timestamp: i64,
    pub(super) key: &'a [u8],
    pub(super) data: &'a [u8],
    pub(super) headers: OwnedHeaders,
}

impl<'a> Outgoing<'a> {
    /// A draft as a record of a topic, with all that tells it apart.
    pub(super) fn of(
        origins: &Origins,
        topic: &'a str,
        dedup: bool,
        batch: &'a Batch,
        draft: &Draft,
        now: Millis,
    ) -> Self {
        let own = batch.slice(draft.headers);
        let origin = origins.origin(batch, draft, dedup);
        let parts = Parts { id: batch.slice(draft.id), kind: batch.slice(draft.kind), time: draft.time, origin };
        Self {
            topic,
            partition: draft.partition,
            timestamp: batch.taken_at.unwrap_or(now),
            key: batch.slice(draft.key),
            data: batch.slice(draft.data),
            headers: write(&parts, own),
        }
    }
}

/// One producer, and what it has under way.
pub(super) struct Line {
    producer: BaseProducer<Reports>,
    /// When it was made, by the clock's `elapsed`.
    made: Duration,
    /// Whether it was given up. What is sent after the purge would arrive without what was purged before it.
    over: RwLock<bool>,
}

impl Line {
    /// A producer that looks for the cluster by itself.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the settings are no settings.
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, LogError> {
        let config = client::producer(&shared.settings);
        let produce_seconds = metrics::histogram!("millstream_log_produce_seconds");
        let made = shared.clock.elapsed();
        let reports = Reports { shared, flight: Flight::default(), voice: Voice::default(), produce_seconds };
        let producer = config.create_with_context(reports).map_err(|error| LogError::Refused(error.to_string()))?;
        Ok(Self { producer, made, over: RwLock::new(false) })
    }

    /// The client below, for questions to the cluster.
    pub(super) fn client(&self) -> &rdkafka::client::Client<impl ClientContext> {
        self.producer.client()
    }

    /// When it was made, by the clock's `elapsed`. The line before was given up by then.
    pub(super) fn made(&self) -> Duration {
        self.made
    }

    /// The requests under way.
    pub(super) fn flight(&self) -> &Flight {
        &self.producer.context().flight
    }

    /// What librdkafka says of failures.
    pub(super) fn voice(&self) -> &Voice {
        &self.producer.context().voice
    }

    /// Takes reports for this long.
    pub(super) fn poll(&self, time: Duration) {
        self.producer.poll(time);
    }

    /// Hands a record over. What becomes of it is reported to its part.
    pub(super) fn send(&self, record: Outgoing<'_>, part: &Arc<Part>) {
        let Outgoing { topic, partition, timestamp, key, data, headers } = record;
        let mut next = BaseRecord::with_opaque_to(topic, part.clone())
            .partition(partition as i32)
            .timestamp(timestamp)
            .payload(data)
            .headers(headers);
        if !key.is_empty() {
            next = next.key(key);
        }
        loop {
            let over = self.over.read();
            let result = if *over { Err((GIVEN_UP, next)) } else { self.producer.send(next) };
            drop(over);
            match result {
                Ok(()) => return,
                Err((error, back)) if is_full(&error) && self.flight().breathe(FULL) => next = back,
                Err((error, _)) => return self.producer.context().report(part, Err(&error)),
            }
        }
    }

    /// The writer has handed over all records of a request.
    pub(super) fn handed_over(&self, sent: &Arc<Sent>) {
        self.producer.context().reported(sent);
    }

    /// Gives up everything under way: each request without an answer is told so.
    pub(super) fn break_off(&self, reason: &str) -> usize {
        *self.over.write() = true;
        let Reports { shared, flight, .. } = &**self.producer.context();
        let left = flight.end();
        left.iter().for_each(|sent| shared.give_up(sent, reason));
        self.producer.purge(PurgeConfig::default().queue().inflight());
        left.len()
    }
}

/// Takes what the producer reports.
pub(super) struct Reports {
    shared: Arc<Shared>,
    flight: Flight,
    voice: Voice,
    produce_seconds: Histogram,
}

impl Reports {
    fn report(&self, part: &Part, result: Result<(i32, i64), &KafkaError>) {
        match result {
            Ok((partition, offset)) => {
                // A record that was taken twice and kept once may come without its offset.
                if let (Ok(partition), Ok(offset)) = (u32::try_from(partition), u64::try_from(offset)) {
                    part.sent.placed(part.batch, partition, offset);
                }
            }
            Err(error) => {
                let failure = failure(error);
                if let LogError::Away(reason) = &failure {
                    self.flight.trouble(reason.clone());
                }
                part.sent.failed(failure);
            }
        }
        self.reported(&part.sent);
    }

    fn reported(&self, sent: &Arc<Sent>) {
        if sent.reported() {
            // Before the failure is counted: whoever has looked for an id of it by then counted without it, and fails.
            self.shared.forget(&sent.lost());
            let ready = self.flight.settle(sent);
            self.produce_seconds.record(self.shared.clock.elapsed().saturating_sub(sent.since));
            ready.iter().for_each(|sent| self.shared.answer(sent));
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.flight.trouble(reason.to_owned());
        }
        self.voice.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Part>;

    fn delivery(&self, result: &DeliveryResult<'_>, part: Arc<Part>) {
        match result {
            Ok(message) => self.report(&part, Ok((message.partition(), message.offset()))),
            Err((error, _)) => self.report(&part, Err(error)),
        }
    }
}

fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

/// Whether the broker will never take it, or is not there to take it now.
fn failure(error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedCompressionType
            | RDKafkaErrorCode::UnsupportedForMessageFormat,
        ) => LogError::Refused(error.to_string()),
        _ => LogError::Away(error.to_string()),
    }
}
