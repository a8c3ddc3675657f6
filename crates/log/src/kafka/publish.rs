//! Batches that are written back once: what a pipeline found, for whoever reads the topic with whatever client.
//!
//! Each batch is a transaction of Kafka, so who reads only what is committed sees all of it or nothing. The same transaction
//! commits a mark into a group of its own: the ids of the batch. A process that does not know whether its last batch, or that
//! of the one before it, came to its end begins anew: the cluster ends what was under way, and the mark says what is there.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use event::{Batch, StreamId};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::client::{self, Voice, overlay};
use super::fetch;
use super::flight::Reply;
use super::producer::Outgoing;
use super::shared::Shared;
use crate::spool::Origins;
use crate::{LogError, Pending, Placed};

/// Records of a batch at the most: their ids have to fit into a mark, for which brokers have 4096 bytes.
const RECORDS_MAX: usize = 200;
/// How long the cluster may take for a step.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long the cluster ends by itself what a process left half done: until then nobody reads what comes after it.
const TRANSACTION_MS: &str = "15000";
/// Below that: what is not there by then will not be.
const DELIVERY_MS: &str = "10000";

/// A batch, and where its answer goes.
type Job = (Batch, Reply);

/// The way to the thread that publishes; it begins with the first batch.
#[derive(Default)]
pub(super) struct Publishing(Mutex<Option<Sender<Job>>>);

impl Publishing {
    /// Hands a batch over; `start` starts the thread.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the batch has too many records, or one without an id; what `start` says.
    pub(super) fn put(
        &self,
        batch: Batch,
        start: impl FnOnce(Receiver<Job>) -> Result<(), LogError>,
    ) -> Result<Pending, LogError> {
        if batch.drafts.len() > RECORDS_MAX || batch.drafts.iter().any(|draft| draft.id_hash == 0) {
            let text = format!("what is published has an id for each record, and {RECORDS_MAX} records at the most");
            return Err(LogError::Refused(text));
        }
        let (reply, answer) = oneshot::channel();
        let mut way = self.0.lock();
        if way.is_none() {
            let (jobs, inbox) = channel();
            start(inbox)?;
            *way = Some(jobs);
        }
        let gone = way.as_ref().is_none_or(|jobs| jobs.send((batch, reply)).is_err());
        if gone { Err(LogError::Closed) } else { Ok(Pending(answer)) }
    }

    /// The thread ends with what it has in hand.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}

/// Publishes what comes, until nobody sends any more.
pub(super) fn run(shared: &Arc<Shared>, inbox: &Receiver<Job>) {
    let (origins, mut session) = (Origins::new(shared.hasher), None);
    for (batch, reply) in inbox {
        let done = Session::resumed(session.take(), shared).and_then(|mut now| {
            let placed = now.publish(shared, &origins, &batch)?;
            session = Some(now);
            Ok(vec![placed])
        });
        // Who does not wait any more asks again, and is told then that it is there.
        let _ = reply.send(done);
        shared.publish();
    }
}

/// One publisher in the eyes of the cluster; any before it with the same name is shut out.
struct Session {
    producer: BaseProducer<Voice>,
    marks: BaseConsumer<Voice>,
    /// The ids of the last batch of each stream.
    last: HashMap<StreamId, HashSet<u64>>,
}

impl Session {
    /// The one that there was, or a new one.
    fn resumed(before: Option<Self>, shared: &Shared) -> Result<Self, LogError> {
        match before {
            Some(session) => Ok(session),
            None => Self::begin(shared).map_err(|error| told(&error)),
        }
    }

    fn begin(shared: &Shared) -> Result<Self, KafkaError> {
        let name = format!("{}.publisher", shared.settings.group);
        let mut config = client::producer(&shared.settings);
        config
            .set("transactional.id", &name)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "5")
            .set("transaction.timeout.ms", TRANSACTION_MS)
            .set("message.timeout.ms", DELIVERY_MS)
            .set("socket.timeout.ms", DELIVERY_MS)
            .set("linger.ms", "0");
        let producer: BaseProducer<Voice> = config.create_with_context(Voice::default())?;
        producer.init_transactions(PATIENCE)?;
        let mut config = fetch::consumer(&shared.settings, &name);
        overlay(&mut config, &shared.settings);
        Ok(Self { producer, marks: config.create_with_context(Voice::default())?, last: HashMap::new() })
    }

    /// Makes a batch readable, but for what is there already; tells which records were.
    fn publish(&mut self, shared: &Shared, origins: &Origins, batch: &Batch) -> Result<Placed, LogError> {
        // What the library says to itself meanwhile is not kept.
        self.producer.poll(Duration::ZERO);
        drop(self.marks.poll(Duration::ZERO));
        self.learn(shared, batch.stream).map_err(|error| told(&error))?;
        let last = self.last.entry(batch.stream).or_default();
        let known = |i: &u32| last.contains(&mark_of(batch.drafts[*i as usize].id_hash));
        let duplicates: Vec<u32> = (0..batch.drafts.len() as u32).filter(known).collect();
        if duplicates.len() < batch.drafts.len() {
            self.transact(shared, origins, batch, &duplicates).map_err(|error| told(&error))?;
            let ids = batch.drafts.iter().map(|draft| mark_of(draft.id_hash)).collect();
            self.last.insert(batch.stream, ids);
        }
        Ok(Placed { ranges: Vec::new(), duplicates })
    }

    /// Asks for the mark of a stream, once.
    fn learn(&mut self, shared: &Shared, stream: StreamId) -> Result<(), KafkaError> {
        if self.last.contains_key(&stream) {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(shared.topic(stream), 0, Offset::Invalid)?;
        let found = self.marks.committed_offsets(list, PATIENCE)?;
        let mut ids = HashSet::new();
        for at in found.elements() {
            at.error()?;
            ids.extend(at.metadata().split(' ').filter_map(|id| u64::from_str_radix(id, 16).ok()));
        }
        self.last.insert(stream, ids);
        Ok(())
    }

    fn transact(
        &self,
        shared: &Shared,
        origins: &Origins,
        batch: &Batch,
        duplicates: &[u32],
    ) -> Result<(), KafkaError> {
        let (topic, dedup) = (shared.topic(batch.stream), shared.catalog.get(batch.stream).dedup.is_some());
        let now = shared.clock.now();
        self.producer.begin_transaction()?;
        for (draft, _) in batch.drafts.iter().zip(0..).filter(|(_, i)| !duplicates.contains(i)) {
            let Outgoing { topic, partition, timestamp, key, data, headers } =
                Outgoing::of(origins, topic, dedup, batch, draft, now);
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition as i32).timestamp(timestamp);
            let record = record.payload(data).headers(headers);
            let record = if key.is_empty() { record } else { record.key(key) };
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        let mut mark = String::new();
        for draft in &batch.drafts {
            // Writing to a text cannot fail.
            let _ = write!(mark, "{:x} ", mark_of(draft.id_hash));
        }
        let next = shared.extents.of(batch.stream).first().map_or(0, |extent| extent.next);
        let mut list = TopicPartitionList::with_capacity(1);
        // Lag tools see a group that has come to the end; only its note is of any use.
        list.add_partition_offset(topic, 0, Offset::Offset(next as i64))?;
        if let Some(mut at) = list.find_partition(topic, 0) {
            at.set_metadata(mark.trim_end());
        }
        let group = self.marks.group_metadata().ok_or(KafkaError::Global(RDKafkaErrorCode::UnknownGroup))?;
        self.producer.send_offsets_to_transaction(&list, &group, PATIENCE)?;
        self.producer.flush(PATIENCE)?;
        self.producer.commit_transaction(PATIENCE)
    }
}

/// What stands for an id in a mark.
fn mark_of(id_hash: u128) -> u64 {
    id_hash as u64
}

/// What it means for the caller: mostly that it is to ask again.
fn told(error: &KafkaError) -> LogError {
    if let KafkaError::ClientCreation(_) | KafkaError::ClientConfig(..) = error {
        return LogError::Refused(format!("publishing in transactions cannot be set up: {error}"));
    }
    match error.rdkafka_error_code() {
        Some(
            code @ (RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed),
        ) => LogError::Refused(format!("the cluster does not let us publish in transactions: {code}")),
        _ => LogError::Away(format!("publishing failed: {error}")),
    }
}
