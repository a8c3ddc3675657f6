//! What the threads of one open log share: what is known of the streams and positions in Redis, and who waits for news.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use event::{Catalog, Millis, Position, StreamId};
use parking_lot::{Condvar, Mutex};

use super::RedisSettings;
use super::keys::{Keys, Scripts};
use super::link::Link;
use super::members::Member;
use crate::queue::Queue;
use crate::{Clock, Extent, IdHasher, LogError};

/// What is known of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) extents: Vec<Extent>,
    pub(super) bytes: u64,
    pub(super) oldest: Option<Millis>,
}

/// By consumer, stream and partition the next offset.
pub(super) type Positions = BTreeMap<String, BTreeMap<(StreamId, u32), u64>>;

/// Who reads a partition as a member of a group.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) consumer: String,
    pub(super) member: String,
    /// The cursor that reads for the group; 0 for none.
    pub(super) seat: u64,
}

/// The parts of an open log.
pub(super) struct Shared {
    pub(super) catalog: Arc<Catalog>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: RedisSettings,
    pub(super) link: Link,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) hasher: IdHasher,
    /// This process among the writers and members.
    pub(super) token: String,
    pub(super) queue: Queue,
    pub(super) known: Mutex<Vec<Known>>,
    pub(super) positions: Mutex<Positions>,
    /// Positions that are not in Redis yet.
    pub(super) unsaved: Mutex<Positions>,
    /// Held while positions are on their way.
    pub(super) saving: Mutex<()>,
    /// Turns whenever a consumer commits.
    pub(super) commits: tokio::sync::watch::Sender<u64>,
    /// Grows with every append that is heard of.
    pub(super) moment: Mutex<u64>,
    pub(super) moved: Condvar,
    /// Whether the keeper has something to do at once.
    pub(super) due: Mutex<bool>,
    pub(super) work: Condvar,
    pub(super) owned: Mutex<HashMap<(StreamId, u32), Owned>>,
    pub(super) members: Mutex<Vec<Weak<Member>>>,
    /// The writer gave up on Redis: nothing is taken until it answers.
    pub(super) gave_up: AtomicBool,
    pub(super) closed: AtomicBool,
    pub(super) pauses: Mutex<()>,
    pub(super) closing: Condvar,
}

impl Shared {
    pub(super) fn name(&self, stream: StreamId) -> &str {
        &self.catalog.get(stream).name
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// # Errors
    /// [`LogError::Closed`], or [`LogError::Away`] while the writer has given up.
    pub(super) fn usable(&self) -> Result<(), LogError> {
        if self.is_closed() {
            return Err(LogError::Closed);
        }
        if self.gave_up.load(Ordering::Relaxed) {
            return Err(LogError::Away(self.link.away().unwrap_or_else(|| "it did not answer in time".to_owned())));
        }
        Ok(())
    }

    /// Lets a moment pass, shorter when the log closes.
    pub(super) fn pause(&self, duration: Duration) {
        let mut pauses = self.pauses.lock();
        if !self.is_closed() {
            self.closing.wait_for(&mut pauses, duration);
        }
    }

    /// Ends that were heard of. They never move back: what was handed out is not handed out again.
    pub(super) fn note_ends(&self, stream: StreamId, ends: impl Iterator<Item = (u32, u64)>) {
        {
            let mut known = self.known.lock();
            let extents = &mut known[usize::from(stream.0)].extents;
            for (partition, next) in ends {
                if let Some(extent) = extents.get_mut(partition as usize) {
                    extent.next = extent.next.max(next);
                }
            }
        }
        self.publish();
    }

    /// Positions that this process tells.
    pub(super) fn note_commit(&self, consumer: &str, positions: &[Position]) {
        // First what is unsaved: what is heard meanwhile is older then, and is left out.
        for kept in [&self.unsaved, &self.positions] {
            let mut kept = kept.lock();
            let of = kept.entry(consumer.to_owned()).or_default();
            of.extend(positions.iter().map(|p| ((p.stream, p.partition), p.offset)));
        }
        self.commits.send_modify(|n| *n += 1);
        self.wake_keeper();
    }

    /// Positions that another process told.
    pub(super) fn note_positions(&self, consumer: &str, heard: impl Iterator<Item = ((StreamId, u32), u64)>) {
        {
            let mut positions = self.positions.lock();
            let unsaved = self.unsaved.lock();
            let own = unsaved.get(consumer);
            let of = positions.entry(consumer.to_owned()).or_default();
            for (place, offset) in heard.filter(|(place, _)| own.is_none_or(|own| !own.contains_key(place))) {
                of.insert(place, offset);
            }
        }
        self.commits.send_modify(|n| *n += 1);
    }

    /// Redis has lost positions: what is known of them goes there again.
    pub(super) fn save_again(&self) {
        {
            let positions = self.positions.lock();
            let mut unsaved = self.unsaved.lock();
            for (consumer, of) in positions.iter() {
                let waiting = unsaved.entry(consumer.clone()).or_default();
                for (place, offset) in of {
                    waiting.entry(*place).or_insert(*offset);
                }
            }
        }
        self.wake_keeper();
    }

    /// Consumers that Redis does not know any more are forgotten, but for those that are on their way to it.
    pub(super) fn retain_consumers(&self, is_there: impl Fn(&str) -> bool) {
        let mut positions = self.positions.lock();
        let unsaved = self.unsaved.lock();
        positions.retain(|name, _| is_there(name) || unsaved.contains_key(name));
    }

    /// Where a consumer stands, as far as is known.
    pub(super) fn position(&self, consumer: &str, place: (StreamId, u32)) -> Option<u64> {
        self.positions.lock().get(consumer)?.get(&place).copied()
    }

    /// Whether a consumer has come to all these positions.
    pub(super) fn has_reached(&self, consumer: &str, targets: &[Position]) -> bool {
        let positions = self.positions.lock();
        let of = positions.get(consumer);
        targets.iter().all(|p| of.and_then(|of| of.get(&(p.stream, p.partition))).is_some_and(|at| *at >= p.offset))
    }

    pub(super) fn wake_keeper(&self) {
        *self.due.lock() = true;
        self.work.notify_one();
    }

    /// Tells waiting readers that there may be more to read.
    pub(super) fn publish(&self) {
        *self.moment.lock() += 1;
        self.moved.notify_all();
    }

    /// The members of a consumer's group look at their share.
    pub(super) fn rouse(&self, consumer: Option<&str>) {
        let mut members = self.members.lock();
        members.retain(|member| member.strong_count() > 0);
        for member in members.iter().filter_map(Weak::upgrade) {
            if consumer.is_none_or(|name| name == member.consumer) {
                member.beat_soon();
            }
        }
    }
}
