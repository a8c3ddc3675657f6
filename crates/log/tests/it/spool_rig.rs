//! A broker that a test holds in its hand, with links to it that stall and break, and a spool in front of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use event::{Ack, Batch, Catalog, Dedup, Millis, Position, Retention, Stream, StreamId};
use log::clock::ManualClock;
use log::disk::{DiskLog, DiskSettings};
use log::spool::{Identity, SpoolSettings, Spooled, Tail};
use log::{
    Append, Cursor, Disk, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending, Placed, RealDisk,
};
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::rig::PARTITIONS;
use crate::spool_mortal::Mortal;

/// A stream that suppresses duplicates, and one that does not.
pub(crate) const THINGS: StreamId = StreamId(0);
pub(crate) const PLAIN: StreamId = StreamId(1);

pub(crate) fn catalog(partitions: u32, dedup: bool) -> Arc<Catalog> {
    let dedup = dedup.then_some(Dedup { within_ms: 3_600_000, ids_max: 1 << 16 });
    let stream = |name: &str, dedup| {
        let retention = Retention { age_ms: None, size_bytes: None };
        let (key, time, id, kind, require) = Default::default();
        Stream { name: name.to_owned(), partitions, key, time, id, kind, require, dedup, retention }
    };
    Arc::new(Catalog::new(vec![stream("things", dedup), stream("plain", None)]).unwrap())
}

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Requests are answered.
    Up,
    /// Requests are taken and wait.
    Stalled,
    /// Requests are refused.
    Away,
}

type Reply = oneshot::Sender<Result<Vec<Placed>, LogError>>;

struct Linked {
    link: Link,
    held: Vec<(Append, Reply)>,
    /// Events that it refuses for good contain this.
    refuses: Option<&'static str>,
    /// How many requests it takes before the link breaks.
    takes: usize,
}

impl Linked {
    fn up() -> Self {
        Self { link: Link::Up, held: Vec::new(), refuses: None, takes: usize::MAX }
    }
}

/// A process's way to the broker.
#[derive(Clone)]
pub(crate) struct Broker {
    log: Arc<DiskLog>,
    linked: Arc<(Mutex<Linked>, Condvar)>,
    /// The times that requests told.
    pub(crate) taken_at: Arc<Mutex<Vec<Option<Millis>>>>,
}

impl Broker {
    pub(crate) fn set(&self, link: Link) {
        let mut linked = self.linked.0.lock();
        linked.link = link;
        if link == Link::Up {
            for (append, reply) in std::mem::take(&mut linked.held) {
                let _ = reply.send(self.log.append(append).unwrap().wait_blocking());
            }
        }
    }

    /// Breaks the link: of what waits, so many records arrive, but nobody is told.
    pub(crate) fn lose(&self, mut arrive: usize) {
        let mut linked = self.linked.0.lock();
        linked.link = Link::Away;
        for (mut append, reply) in std::mem::take(&mut linked.held) {
            for batch in &mut append.batches {
                batch.drafts.truncate(arrive);
                arrive -= batch.drafts.len();
                // A broker's log forgets the ids of what it gives up: only looking there tells what arrived.
                batch.drafts.iter_mut().for_each(|draft| draft.id_hash = 0);
            }
            self.log.append(append).unwrap().wait_blocking().unwrap();
            let _ = reply.send(Err(LogError::Away("lost".to_owned())));
        }
    }

    /// From now on it refuses requests with such an event.
    pub(crate) fn refuse(&self, text: &'static str) {
        self.linked.0.lock().refuses = Some(text);
    }

    /// After so many requests more the link breaks.
    pub(crate) fn take(&self, requests: usize) {
        self.linked.0.lock().takes = requests;
    }

    /// Waits until a request waits.
    pub(crate) fn wait_held(&self) {
        let mut linked = self.linked.0.lock();
        while linked.held.is_empty() {
            assert!(!self.linked.1.wait_for(&mut linked, Duration::from_secs(20)).timed_out(), "nothing came");
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.linked.0.lock().held.len()
    }

    /// A link of another process; this one's requests get nowhere any more.
    pub(crate) fn relink(&self) -> Self {
        Self { linked: Arc::new((Mutex::new(Linked::up()), Condvar::new())), ..self.clone() }
    }

    /// All records of a stream, as they lie there: partition, what tells them, text.
    pub(crate) fn rows(&self, stream: StreamId) -> Vec<(u32, Option<Identity>, String)> {
        let partitions = self.log.extents(stream).len() as u32;
        let dedup = stream == THINGS;
        let mut rows = Vec::new();
        for partition in 0..partitions {
            let mut cursor = self.log.read(stream, &[(partition, 0)]).unwrap();
            loop {
                let blocks = cursor.next(1 << 20).unwrap();
                for record in blocks.iter().flat_map(event::Block::records) {
                    let text = String::from_utf8(record.data.to_vec()).unwrap();
                    rows.push((partition, Identity::of_record(dedup, &record), text));
                }
                if blocks.is_empty() {
                    break;
                }
            }
        }
        rows
    }

    /// The texts of a stream as a reader sees them that leaves out what it has seen, by partition.
    pub(crate) fn texts(&self, stream: StreamId) -> Vec<String> {
        let mut seen = HashSet::new();
        let fresh = |(partition, identity, text): (u32, Option<Identity>, String)| {
            identity.is_none_or(|identity| seen.insert((partition, identity))).then_some(text)
        };
        self.rows(stream).into_iter().filter_map(fresh).collect()
    }
}

impl Log for Broker {
    fn append(&self, request: Append) -> Result<Pending, LogError> {
        let mut linked = self.linked.0.lock();
        let holds = |text: &str, batch: &Batch| {
            batch.drafts.iter().any(|draft| String::from_utf8_lossy(batch.slice(draft.data)).contains(text))
        };
        match linked.link {
            Link::Away => Err(LogError::Away("there is no link".to_owned())),
            Link::Stalled => {
                let (reply, answer) = oneshot::channel();
                linked.held.push((request, reply));
                self.linked.1.notify_all();
                Ok(Pending(answer))
            }
            Link::Up if linked.refuses.is_some_and(|text| request.batches.iter().any(|b| holds(text, b))) => {
                Err(LogError::Refused("too large".to_owned()))
            }
            Link::Up => {
                linked.takes -= 1;
                if linked.takes == 0 {
                    (linked.link, linked.takes) = (Link::Away, usize::MAX);
                }
                self.taken_at.lock().extend(request.batches.iter().map(|batch| batch.taken_at));
                self.log.append(request)
            }
        }
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

    fn committed<'a>(
        &'a self,
        consumer: &'a str,
        positions: &'a [Position],
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>> {
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

    fn status(&self) -> LogStatus {
        let away = (self.linked.0.lock().link == Link::Away).then(|| "there is no link".to_owned());
        LogStatus { away, ..self.log.status() }
    }

    fn join(&self, name: &str, streams: &[StreamId], owner: Arc<dyn Owner>) -> Result<Box<dyn Membership>, LogError> {
        self.log.join(name, streams, owner)
    }

    fn close(&self) {}
}

impl Tail for Broker {
    fn arrived(
        &self,
        stream: StreamId,
        partition: u32,
        since: u64,
        wanted: &HashSet<Identity>,
    ) -> Result<HashSet<Identity>, LogError> {
        let mut cursor = self.log.read(stream, &[(partition, since)])?;
        let mut found = HashSet::new();
        loop {
            let blocks = cursor.next(1 << 20)?;
            let records = blocks.iter().flat_map(event::Block::records);
            found.extend(
                records.filter_map(|r| Identity::of_record(stream == THINGS, &r)).filter(|i| wanted.contains(i)),
            );
            if blocks.is_empty() {
                return Ok(found);
            }
        }
    }
}

/// A broker, and a folder for the spool in front of it.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) settings: SpoolSettings,
    pub(crate) broker: Broker,
    pub(crate) mortal: Mortal,
    pub(crate) partitions: u32,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::bounded(8 << 20)
    }

    /// With a spool of so many bytes at the most.
    pub(crate) fn bounded(bytes_max: u64) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(1_000_000_000));
        let (catalog, disk) = (catalog(PARTITIONS, true), Arc::new(RealDisk));
        let settings = DiskSettings::default();
        let log = DiskLog::open(&dir.path().join("broker"), catalog, disk, Arc::new(clock.clone()), settings).unwrap();
        let linked = Arc::new((Mutex::new(Linked::up()), Condvar::new()));
        let broker = Broker { log: Arc::new(log), linked, taken_at: Arc::default() };
        let settings = SpoolSettings { bytes_max, age_max_ms: 3_600_000 };
        Self { dir, clock, settings, broker, mortal: Mortal::default(), partitions: PARTITIONS }
    }

    pub(crate) fn open(&self) -> Spooled {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Spooled, LogError> {
        self.try_open_on(Arc::new(self.mortal.clone()))
    }

    pub(crate) fn try_open_on(&self, disk: Arc<dyn Disk>) -> Result<Spooled, LogError> {
        let broker = Arc::new(self.broker.clone());
        let (dir, clock) = (self.dir.path().join("spool"), Arc::new(self.clock.clone()));
        Spooled::open(broker.clone(), broker, &dir, catalog(self.partitions, true), disk, clock, self.settings)
    }

    /// Ends the process: its disk first, then what it does. So many records of what waits arrive all the same.
    pub(crate) fn kill(&mut self, spooled: Spooled, arrive: usize) {
        self.mortal.kill();
        self.broker.lose(arrive);
        drop(spooled);
        self.mortal = Mortal::default();
        self.broker = self.broker.relink();
    }
}

/// Waits until this holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "waited too long until {what}");
        std::thread::yield_now();
    }
}

/// Records that wait in the spool.
pub(crate) fn waiting(spooled: &Spooled) -> u64 {
    spooled.status().spool.unwrap().records
}

/// Waits until the spool is empty and requests go to the broker.
pub(crate) fn drained(spooled: &Spooled) {
    until("the spool is empty", || {
        let spool = spooled.status().spool.unwrap();
        spool.records == 0 && !spool.draining
    });
}

/// Sends a batch, to be answered later.
pub(crate) fn send(spooled: &Spooled, batch: Batch) -> Result<Pending, LogError> {
    spooled.append(Append { batches: vec![batch], lane: 0, ack: Ack::Durable })
}
