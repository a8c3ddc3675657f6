//! How far consumers have come: kept here, and told to the cluster for its lag tools.
//!
//! The truth of a position is the store's transaction; here is a copy for whoever waits until something is processed. What
//! other processes have processed is asked of the cluster, and only while somebody waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use event::{Position, StreamId};
use parking_lot::Mutex;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::shared::Shared;
use crate::LogError;

/// How often positions of a consumer go to the cluster at the most.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(1);

/// A partition of a stream.
pub(super) type Partition = (StreamId, u32);

/// The positions of all consumers.
pub(super) struct Positions {
    consumers: Mutex<BTreeMap<String, Known>>,
    /// Who waits, by consumer and partition, and how many.
    waiting: Mutex<HashMap<(String, Partition), usize>>,
    /// Turns whenever a position moves.
    moved: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// Whether it has committed anything here, or is a member of its group here.
    here: bool,
    /// The next offsets, as told here.
    at: HashMap<Partition, u64>,
    /// Those that the cluster was not told yet.
    untold: HashSet<Partition>,
    told_at: Option<Duration>,
    /// The next offsets, as the cluster knows them.
    group: HashMap<Partition, u64>,
    /// What this process works on, when it is a member of the group.
    owned: Option<HashSet<Partition>>,
}

impl Default for Positions {
    fn default() -> Self {
        Self { consumers: Mutex::default(), waiting: Mutex::default(), moved: watch::Sender::new(0) }
    }
}

impl Positions {
    /// See `Log::commit`.
    pub(super) fn commit(&self, consumer: &str, positions: &[Position]) {
        let mut consumers = self.consumers.lock();
        let known = known(&mut consumers, consumer);
        known.here = true;
        for position in positions {
            let partition = (position.stream, position.partition);
            known.at.insert(partition, position.offset);
            known.untold.insert(partition);
        }
        drop(consumers);
        self.turn();
    }

    /// See `Log::forget`.
    pub(super) fn forget(&self, consumer: &str) {
        self.consumers.lock().remove(consumer);
    }

    /// See `Log::consumers`.
    pub(super) fn names(&self) -> Vec<String> {
        self.consumers.lock().iter().filter(|(_, known)| known.here).map(|(name, _)| name.clone()).collect()
    }

    /// Lets everybody who waits look again.
    pub(super) fn turn(&self) {
        self.moved.send_modify(|n| *n += 1);
    }

    /// See `Log::committed`.
    ///
    /// # Errors
    /// [`LogError::Closed`] when the log is closed before.
    pub(super) async fn committed(
        &self,
        shared: &Shared,
        consumer: &str,
        positions: &[Position],
    ) -> Result<(), LogError> {
        let mut moved = self.moved.subscribe();
        let _waiting = Waiting::begin(self, consumer, positions);
        loop {
            moved.mark_unchanged();
            if self.reached(consumer, positions) {
                return Ok(());
            }
            if shared.is_closed() {
                return Err(LogError::Closed);
            }
            moved.changed().await.map_err(|_| LogError::Closed)?;
        }
    }

    fn reached(&self, consumer: &str, positions: &[Position]) -> bool {
        let consumers = self.consumers.lock();
        let Some(known) = consumers.get(consumer) else { return positions.is_empty() };
        positions.iter().all(|position| {
            let partition = (position.stream, position.partition);
            let at = [known.at.get(&partition), known.group.get(&partition)].into_iter().flatten().max();
            at.is_some_and(|at| *at >= position.offset)
        })
    }

    /// What the cluster is to be told now of a consumer: positions that moved, once a second at the most, or whenever
    /// `now` is `None`. They count as told.
    pub(super) fn due(&self, shared: &Shared, consumer: &str, now: Option<Duration>) -> Option<TopicPartitionList> {
        let mut consumers = self.consumers.lock();
        let known = consumers.get_mut(consumer)?;
        if let Some(owned) = &known.owned {
            // What went to another member is that one's to tell.
            known.untold.retain(|partition| owned.contains(partition));
        }
        let early = |now: Duration| known.told_at.is_some_and(|at| now.saturating_sub(at) < TELL_EVERY);
        if known.untold.is_empty() || now.is_some_and(early) {
            return None;
        }
        known.told_at = now.or(known.told_at);
        let mut list = TopicPartitionList::with_capacity(known.untold.len());
        for partition in known.untold.drain() {
            if let Some(offset) = known.at.get(&partition) {
                let (topic, offset) = (shared.topic(partition.0), Offset::Offset(*offset as i64));
                // It refuses what is not an offset only.
                let _ = list.add_partition_offset(topic, partition.1 as i32, offset);
            }
        }
        Some(list)
    }

    /// The cluster did not take these: they are told again.
    pub(super) fn untold(&self, shared: &Shared, consumer: &str, list: &TopicPartitionList) {
        let mut consumers = self.consumers.lock();
        let Some(known) = consumers.get_mut(consumer) else { return };
        known.untold.extend(list.elements().iter().filter_map(|at| partition_of(shared, at.topic(), at.partition())));
    }

    /// Consumers of which something is to be told and which are not members of their groups here.
    pub(super) fn to_tell(&self) -> Vec<String> {
        let consumers = self.consumers.lock();
        let lonely = |known: &Known| known.owned.is_none() && !known.untold.is_empty();
        consumers.iter().filter(|(name, known)| lonely(known) && is_told(name)).map(|(name, _)| name.clone()).collect()
    }

    /// Partitions that somebody waits for and that others work on, by consumer.
    pub(super) fn to_ask(&self) -> BTreeMap<String, Vec<Partition>> {
        let waiting = self.waiting.lock();
        let mut found: BTreeMap<String, Vec<Partition>> = BTreeMap::new();
        if waiting.is_empty() {
            return found;
        }
        let consumers = self.consumers.lock();
        for (consumer, partition) in waiting.keys() {
            let owned = consumers.get(consumer).and_then(|known| known.owned.as_ref());
            if is_told(consumer) && owned.is_none_or(|owned| !owned.contains(partition)) {
                found.entry(consumer.clone()).or_default().push(*partition);
            }
        }
        found
    }

    /// Takes over what the cluster knows of a consumer.
    pub(super) fn learn(&self, shared: &Shared, consumer: &str, list: &TopicPartitionList) {
        let mut consumers = self.consumers.lock();
        let known = known(&mut consumers, consumer);
        for at in list.elements() {
            if let (Some(partition), Offset::Offset(offset)) =
                (partition_of(shared, at.topic(), at.partition()), at.offset())
            {
                known.group.insert(partition, offset.max(0) as u64);
            }
        }
        drop(consumers);
        self.turn();
    }

    /// What this process works on as a member of a consumer's group; `None` when it is none.
    pub(super) fn own(&self, consumer: &str, partitions: Option<HashSet<Partition>>) {
        let mut consumers = self.consumers.lock();
        let known = known(&mut consumers, consumer);
        if partitions.is_none() {
            known.untold.clear();
        }
        known.owned = partitions;
        known.here = true;
    }
}

/// The group of a consumer.
pub(super) fn group_of(shared: &Shared, consumer: &str) -> String {
    let group = &shared.settings.group;
    if consumer == "engine" { group.clone() } else { format!("{group}.{consumer}") }
}

/// Whether the cluster is told of a consumer: positions of snapshots are nobody's lag.
fn is_told(consumer: &str) -> bool {
    !consumer.ends_with(".state")
}

/// The stream of a topic, and the partition; `None` when it is none of the stream's, as those that a topic has above its
/// stream's number.
pub(super) fn partition_of(shared: &Shared, topic: &str, partition: i32) -> Option<Partition> {
    let (id, stream) = shared.catalog.iter().find(|(id, _)| shared.topic(*id) == topic)?;
    let partition = u32::try_from(partition).ok().filter(|partition| *partition < stream.partitions)?;
    Some((id, partition))
}

fn known<'a>(consumers: &'a mut BTreeMap<String, Known>, consumer: &str) -> &'a mut Known {
    if !consumers.contains_key(consumer) {
        consumers.insert(consumer.to_owned(), Known::default());
    }
    // It was just put there when it was not.
    consumers.entry(consumer.to_owned()).or_default()
}

/// Somebody who waits, for as long as it does.
struct Waiting<'a> {
    positions: &'a Positions,
    consumer: &'a str,
    at: &'a [Position],
}

impl<'a> Waiting<'a> {
    fn begin(positions: &'a Positions, consumer: &'a str, at: &'a [Position]) -> Self {
        let mut waiting = positions.waiting.lock();
        for position in at {
            *waiting.entry((consumer.to_owned(), (position.stream, position.partition))).or_default() += 1;
        }
        Self { positions, consumer, at }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.positions.waiting.lock();
        for position in self.at {
            let key = (self.consumer.to_owned(), (position.stream, position.partition));
            if let Some(count) = waiting.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(&key);
                }
            }
        }
    }
}
