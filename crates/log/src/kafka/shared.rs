//! What the threads of one open log on Kafka share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use event::{Catalog, StreamId};
use parking_lot::{Condvar, Mutex};

use super::KafkaSettings;
use super::extents::Extents;
use super::flight::Sent;
use super::positions::Positions;
use super::status::Link;
use super::topics::topic_of;
use crate::dedup::DedupTable;
use crate::queue::Queue;
use crate::{Clock, IdHasher, LogError, Placed};

/// The parts of an open log.
pub(super) struct Shared {
    pub(super) catalog: Arc<Catalog>,
    pub(super) settings: KafkaSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hasher: IdHasher,
    /// The topic of each stream.
    topics: Vec<String>,
    /// The ids that were sent, for each stream that suppresses duplicates.
    pub(super) ids: Vec<Mutex<Option<DedupTable>>>,
    pub(super) queue: Queue,
    pub(super) link: Link,
    pub(super) extents: Extents,
    pub(super) positions: Positions,
    moment: Mutex<u64>,
    moved: Condvar,
    pub(super) closed: AtomicBool,
    /// Whether everything that waited was sent.
    pub(super) sent: AtomicBool,
    /// Why it works no more.
    pub(super) broken: OnceLock<String>,
}

/// The same in every process: two that send the same again, as a dead letter's replay, give it one identity.
const SEED: u64 = 0x6d69_6c6c_7374_7265;

impl Shared {
    pub(super) fn new(catalog: Arc<Catalog>, settings: KafkaSettings, clock: Arc<dyn Clock>) -> Self {
        let topics = catalog.iter().map(|(_, stream)| topic_of(&settings, &stream.name).to_owned()).collect();
        let ids = catalog.iter().map(|(_, stream)| Mutex::new(stream.dedup.map(DedupTable::new))).collect();
        let extents = Extents::new(&catalog);
        Self {
            catalog,
            settings,
            clock,
            hasher: IdHasher::new(SEED),
            topics,
            ids,
            queue: Queue::default(),
            link: Link::default(),
            extents,
            positions: Positions::default(),
            moment: Mutex::new(1),
            moved: Condvar::new(),
            closed: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            broken: OnceLock::new(),
        }
    }

    /// The topic of a stream.
    pub(super) fn topic(&self, stream: StreamId) -> &str {
        &self.topics[usize::from(stream.0)]
    }

    /// Whether it is being closed, or is.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Tells waiting readers that there is more to read.
    pub(super) fn publish(&self) {
        *self.moment.lock() += 1;
        self.moved.notify_all();
    }

    /// Waits until something was published after `seen`, at most this long; gives the moment.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let mut moment = self.moment.lock();
        self.moved.wait_while_for(&mut moment, |now| *now == seen, timeout);
        *moment
    }

    /// Answers a request whose records are all reported, and shows them to readers.
    pub(super) fn answer(&self, sent: &Sent) {
        let told = sent.take();
        let Some(reply) = told.reply else { return };
        if let Some(error) = told.failure {
            let _ = reply.send(Err(error));
            return;
        }
        let placed: Vec<Placed> = told.placed.into_iter().map(|(stream, placed)| self.show(stream, placed)).collect();
        self.publish();
        let _ = reply.send(Ok(placed));
    }

    /// Tells a request that the broker is away.
    pub(super) fn give_up(&self, sent: &Sent, reason: &str) {
        let is_there = sent.is_there();
        sent.failed(LogError::Away(reason.to_owned()));
        if !is_there {
            self.forget(&sent.lost());
        }
        self.answer(sent);
    }

    /// Takes ids out again whose records may not be there.
    pub(super) fn forget(&self, ids: &[(StreamId, u128)]) {
        for (stream, id) in ids {
            if let Some(table) = &mut *self.ids[usize::from(stream.0)].lock() {
                table.remove(*id);
            }
        }
    }

    fn show(&self, stream: StreamId, mut placed: Placed) -> Placed {
        for range in &placed.ranges {
            self.extents.raise(stream, range.partition, range.last + 1);
        }
        placed.ranges.sort_unstable_by_key(|range| (range.partition, range.first));
        placed
    }
}
