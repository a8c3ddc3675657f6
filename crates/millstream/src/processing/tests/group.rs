//! A log whose group is in the test's hand, and a store that minds claims: what several processes share, in one.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event::{Millis, Position, StreamId};
use log::disk::DiskLog;
use log::{Append, Cursor, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending};
use store::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};
use store::sqlite::SqliteStore;
use store::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

/// One process's view of the log.
pub(super) struct Grouped {
    pub(super) disk: Arc<DiskLog>,
    pub(super) owner: Mutex<Option<Arc<dyn Owner>>>,
    pub(super) left: Arc<AtomicBool>,
}

struct Seat(Arc<AtomicBool>);

impl Membership for Seat {
    fn partitions(&self) -> Vec<(StreamId, u32)> {
        Vec::new()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Grouped {
    pub(super) fn over(disk: Arc<DiskLog>) -> Arc<Self> {
        Arc::new(Self { disk, owner: Mutex::default(), left: Arc::default() })
    }

    /// What the process does with the group's word.
    pub(super) fn owner(&self) -> Arc<dyn Owner> {
        self.owner.lock().unwrap().clone().expect("it has joined")
    }
}

impl Log for Grouped {
    fn join(&self, _: &str, _: &[StreamId], owner: Arc<dyn Owner>) -> Result<Box<dyn Membership>, LogError> {
        *self.owner.lock().unwrap() = Some(owner);
        Ok(Box::new(Seat(self.left.clone())))
    }
    fn append(&self, request: Append) -> Result<Pending, LogError> {
        self.disk.append(request)
    }
    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        self.disk.read(stream, from)
    }
    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        self.disk.extents(stream)
    }
    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        self.disk.offset_at(stream, partition, time)
    }
    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.disk.wait(seen, timeout)
    }
    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
        self.disk.commit(consumer, positions)
    }
    fn forget(&self, consumer: &str) -> Result<(), LogError> {
        self.disk.forget(consumer)
    }
    fn consumers(&self) -> Vec<String> {
        self.disk.consumers()
    }
    fn committed<'a>(
        &'a self,
        consumer: &'a str,
        positions: &'a [Position],
    ) -> Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>> {
        self.disk.committed(consumer, positions)
    }
    fn trim(&self) -> Result<u64, LogError> {
        self.disk.trim()
    }
    fn find(&self, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
        self.disk.find(stream, id_hash)
    }
    fn id_hasher(&self) -> IdHasher {
        self.disk.id_hasher()
    }
    fn status(&self) -> LogStatus {
        self.disk.status()
    }
    fn close(&self) {}
}

/// A store that several processes commit to.
pub(super) struct Shared {
    pub(super) inner: SqliteStore,
    /// Who has claimed each partition.
    claims: Mutex<HashMap<(String, u32), u64>>,
    names: Vec<String>,
    pub(super) claimed: AtomicU64,
    /// Whether it is away.
    pub(super) away: AtomicBool,
}

impl Shared {
    pub(super) fn over(inner: SqliteStore, names: Vec<String>) -> Arc<Self> {
        let (claims, claimed, away) = Default::default();
        Arc::new(Self { inner, claims, names, claimed, away })
    }

    fn there(&self) -> Result<(), StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("away".to_owned())),
            false => Ok(()),
        }
    }
}

impl Store for Shared {
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.there()?;
        // Held over the commit: a claim waits for it.
        let claims = self.claims.lock().unwrap();
        for step in commit.moves.iter().filter(|_| commit.consumer == super::super::CONSUMER) {
            let (stream, partition) = (self.names[usize::from(step.from.stream.0)].clone(), step.from.partition);
            if claims.get(&(stream.clone(), partition)) != Some(&commit.owner) {
                return Err(StoreError::Claimed { stream, partition });
            }
        }
        self.inner.commit(commit)
    }
    fn claim(&self, _: &str, owner: u64, partitions: &[(String, u32)]) -> Result<(), StoreError> {
        self.there()?;
        self.claims.lock().unwrap().extend(partitions.iter().map(|partition| (partition.clone(), owner)));
        self.claimed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn positions(&self, consumer: &str) -> Result<Vec<StoredPosition>, StoreError> {
        self.inner.positions(consumer)
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.snapshots()
    }
    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
        self.inner.outbox(now, limit)
    }
    fn expire(&self, stream: &str, before: Millis) -> Result<u64, StoreError> {
        self.inner.expire(stream, before)
    }
    fn scan(&self, stream: &str, each: ScanFn<'_>) -> Result<(), StoreError> {
        self.inner.scan(stream, each)
    }
}

impl Answers for Shared {
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.inner.events(query)
    }
    fn anomalies(&self, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        self.inner.anomalies(query)
    }
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        self.inner.dead_letters(query)
    }
    fn windows(&self, query: &WindowQuery) -> Result<WindowPage, StoreError> {
        self.inner.windows(query)
    }
    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, StoreError> {
        self.inner.alerts(query)
    }
    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, StoreError> {
        self.inner.summary(stream, tenant, since)
    }
}
