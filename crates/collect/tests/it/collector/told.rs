//! A log that says of its queue what a test tells it to, and does all else as the log behind it.

use std::sync::Arc;
use std::time::Duration;

use event::{Millis, Position, StreamId};
use log::disk::DiskLog;
use log::{Append, Cursor, Damage, DamageKind, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending};

/// What is said: requests and bytes that wait, and records lost.
#[derive(Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) queue_len: usize,
    pub(super) queue_bytes: usize,
    pub(super) lost: u64,
}

pub(super) struct Told {
    pub(super) log: Arc<DiskLog>,
    pub(super) said: Said,
}

type Committed<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>>;

impl Log for Told {
    fn status(&self) -> LogStatus {
        let Said { queue_len, queue_bytes, lost: records_lost } = self.said;
        let (stream, file) = ("events".to_owned(), "1.seg".to_owned());
        let damage = Damage { stream, file, offset: 0, kind: DamageKind::CorruptFrame, records_lost };
        LogStatus { queue_len, queue_bytes, damage: vec![damage], ..self.log.status() }
    }

    fn append(&self, request: Append) -> Result<Pending, LogError> {
        self.log.append(request)
    }

    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        self.log.read(stream, from)
    }

    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        self.log.extents(stream)
    }

    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        self.log.offset_at(stream, partition, time)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.log.wait(seen, timeout)
    }

    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
        self.log.commit(consumer, positions)
    }

    fn forget(&self, consumer: &str) -> Result<(), LogError> {
        self.log.forget(consumer)
    }

    fn consumers(&self) -> Vec<String> {
        self.log.consumers()
    }

    fn committed<'a>(&'a self, consumer: &'a str, positions: &'a [Position]) -> Committed<'a> {
        self.log.committed(consumer, positions)
    }

    fn trim(&self) -> Result<u64, LogError> {
        self.log.trim()
    }

    fn find(&self, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
        self.log.find(stream, id_hash)
    }

    fn id_hasher(&self) -> IdHasher {
        self.log.id_hasher()
    }

    fn join(&self, name: &str, of: &[StreamId], owner: Arc<dyn Owner>) -> Result<Box<dyn Membership>, LogError> {
        self.log.join(name, of, owner)
    }

    fn close(&self) {
        self.log.close();
    }
}
