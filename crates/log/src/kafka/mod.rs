//! The log on Apache Kafka: a topic for each stream, a partition for each partition.
//!
//! `writer` sends requests over a line that `keeper` keeps up (`producer`, `flight`); `cursor` and `lookback` give records
//! out; `group` and `positions` share the work among processes; `headers` is how a record's parts travel.

mod ask;
mod client;
mod cursor;
mod decode;
mod extents;
mod fetch;
mod flight;
mod group;
mod headers;
mod keeper;
mod lag;
mod lookback;
mod positions;
mod probe;
mod producer;
mod publish;
mod search;
mod settings;
mod shared;
mod status;
mod tail;
mod tell;
mod topics;
mod warm;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use event::{Batch, Catalog, Millis, Position, StreamId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use probe::probe;
pub use settings::{Acks, Compression, Describe, Described, KafkaSettings, Sasl, Security, Tls};

use crate::queue::Request;
use crate::{Append, Clock, Cursor, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending};
use publish::Publishing;
use shared::Shared;

/// How long opening waits for the cluster. Without one the log is open all the same, and away.
const OPEN: Duration = Duration::from_secs(8);

/// A durable log on Apache Kafka.
pub struct KafkaLog {
    shared: Arc<Shared>,
    publishing: Publishing,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl KafkaLog {
    /// Opens the log: makes the topics that are not there, and learns what was sent last. A cluster that cannot be reached
    /// is waited for some seconds; then the log is open and away, and goes on by itself when the cluster comes.
    ///
    /// # Errors
    /// [`LogError::Partitions`] when a topic has fewer partitions than its stream; [`LogError::Refused`] when
    /// the cluster does not let us, or the settings are none.
    pub fn open(catalog: Arc<Catalog>, settings: KafkaSettings, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::new(catalog, settings, clock));
        let log = Self { shared: shared.clone(), publishing: Publishing::default(), threads: Mutex::new(Vec::new()) };
        let writer = writer::Writer::new(shared.clone());
        let keeper = keeper::Keeper::new(shared.clone());
        log.start("kafka-writer", || writer.run())?;
        log.start("kafka-keeper", || keeper.run())?;
        let (extents, lag) = (shared.clone(), shared.clone());
        log.start("kafka-extents", move || extents::run(&extents))?;
        log.start("kafka-lag", move || lag::run(&lag))?;
        shared.link.first(OPEN)?;
        Ok(log)
    }

    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let failed = |error: std::io::Error| LogError::Disk { path: name.to_owned(), message: error.to_string() };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    fn usable(&self) -> Result<(), LogError> {
        match self.shared.broken.get() {
            Some(reason) => Err(LogError::Poisoned(reason.clone())),
            None if self.shared.is_closed() => Err(LogError::Closed),
            None => Ok(()),
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log for KafkaLog {
    fn append(&self, append: Append) -> Result<Pending, LogError> {
        self.usable()?;
        let (reply, answer) = oneshot::channel();
        // Before the line is looked at: a request that is older than the line in force was meant for the one before.
        let since = self.shared.clock.elapsed();
        if let Some(reason) = self.shared.link.away() {
            // Waiting in the queue would only make it later.
            let _ = reply.send(Err(LogError::Away(reason)));
            return Ok(Pending(answer));
        }
        // Whatever was asked, the answer waits for the reports: what was answered before could be lost with the broker.
        let weight: usize = append.batches.iter().map(Batch::weight).sum();
        self.shared.queue.push(Request { append, weight, since, reply })?;
        Ok(Pending(answer))
    }

    fn publish(&self, batch: Batch) -> Result<Pending, LogError> {
        self.usable()?;
        let shared = self.shared.clone();
        self.publishing.put(batch, |inbox| self.start("kafka-publish", move || publish::run(&shared, &inbox)))
    }

    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        Ok(Box::new(cursor::KafkaCursor::open(&self.shared, stream, from)?))
    }

    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        self.shared.extents.of(stream)
    }

    fn knows_extents(&self, stream: StreamId) -> bool {
        self.shared.extents.known(stream).is_some()
    }

    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        search::offset_at(&self.shared, stream, partition, time)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.shared.wait(seen, timeout)
    }

    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
        self.shared.positions.commit(consumer, positions);
        Ok(())
    }

    fn forget(&self, consumer: &str) -> Result<(), LogError> {
        self.shared.positions.forget(consumer);
        Ok(())
    }

    fn consumers(&self) -> Vec<String> {
        self.shared.positions.names()
    }

    fn committed<'a>(
        &'a self,
        consumer: &'a str,
        positions: &'a [Position],
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>> {
        Box::pin(self.shared.positions.committed(&self.shared, consumer, positions))
    }

    fn trim(&self) -> Result<u64, LogError> {
        // The broker does, by each topic's retention.
        Ok(0)
    }

    fn find(&self, _stream: StreamId, _id_hash: u128) -> Result<Option<Position>, LogError> {
        Ok(None)
    }

    fn id_hasher(&self) -> IdHasher {
        self.shared.hasher
    }

    fn status(&self) -> LogStatus {
        let Shared { queue, clock, link, broken, .. } = &*self.shared;
        let now = clock.elapsed();
        let load = queue.load(now);
        let (len, bytes, oldest) = link.load();
        let age = oldest.map_or(load.age, |since| load.age.max(now.saturating_sub(since)));
        LogStatus {
            poisoned: broken.get().cloned(),
            queue_len: load.len + len,
            queue_bytes: load.bytes + bytes,
            queue_age_ms: age.as_millis() as Millis,
            away: link.away().or_else(|| self.shared.extents.away()),
            ..LogStatus::default()
        }
    }

    fn is_dense(&self) -> bool {
        false
    }

    fn join(
        &self,
        consumer: &str,
        streams: &[StreamId],
        owner: Arc<dyn Owner>,
    ) -> Result<Box<dyn Membership>, LogError> {
        self.usable()?;
        group::join(&self.shared, consumer, streams, owner)
    }

    fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.queue.close();
        self.publishing.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log on Kafka panicked");
            }
        }
        self.shared.publish();
        // Whoever waits for a position that cannot come any more looks again and sees the end.
        self.shared.positions.turn();
    }
}
