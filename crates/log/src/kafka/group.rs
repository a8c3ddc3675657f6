//! Membership in a consumer group: which partitions are this process's to work on.
//!
//! The member fetches nothing: its partitions are paused as soon as they are its own, and cursors with consumers of their
//! own read them. It carries the membership and the positions, which a group takes from its members only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use event::StreamId;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::client::overlay;
use super::fetch;
use super::lag::Ear;
use super::positions::{Partition, group_of, partition_of};
use super::shared::Shared;
use super::tell::{Hears, tell};
use crate::{LogError, Membership, Owner};

/// How long the library is served before other things are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often members show that they live, at the least: how soon they hear of a change.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A place in a group. Dropped, its partitions go over to others at once.
struct Member {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    mine: Mutex<BTreeSet<Partition>>,
    left: AtomicBool,
}

/// See `Log::join`.
///
/// # Errors
/// [`LogError::Refused`] when the settings are not the library's.
pub(super) fn join(
    shared: &Arc<Shared>,
    consumer: &str,
    streams: &[StreamId],
    owner: Arc<dyn Owner>,
) -> Result<Box<dyn Membership>, LogError> {
    let state = Arc::new(State { mine: Mutex::default(), left: AtomicBool::new(false) });
    let group = group_of(shared, consumer);
    let seat = Seat { ear: Ear::new(shared.clone(), consumer), state: state.clone(), owner };
    let refused = |error: KafkaError| LogError::Refused(error.to_string());
    let client: BaseConsumer<Seat> = config(shared, &group).create_with_context(seat).map_err(refused)?;
    let topics: Vec<&str> = streams.iter().map(|id| shared.topic(*id)).collect();
    client.subscribe(&topics).map_err(refused)?;
    shared.positions.own(consumer, Some(Default::default()));
    let work = move || serve(client);
    let thread = std::thread::Builder::new().name("kafka-member".to_owned()).spawn(work);
    let failed = |error: std::io::Error| LogError::Disk { path: "kafka-member".to_owned(), message: error.to_string() };
    Ok(Box::new(Member { state, thread: Some(thread.map_err(failed)?) }))
}

fn config(shared: &Shared, group: &str) -> ClientConfig {
    let session = shared.settings.session_timeout;
    let heartbeat = HEARTBEAT.min(session / 3);
    let mut config = fetch::consumer(&shared.settings, group);
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.as_millis().to_string())
        .set("heartbeat.interval.ms", heartbeat.as_millis().to_string())
        // Topics that are not there yet are seen soon after they are.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "64");
    overlay(&mut config, &shared.settings);
    config
}

impl Membership for Member {
    fn partitions(&self) -> Vec<(StreamId, u32)> {
        self.state.mine.lock().iter().copied().collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.state.left.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the membership's thread panicked");
        }
    }
}

/// Serves the member until it leaves, or the log is closed; then gives its partitions back.
fn serve(client: BaseConsumer<Seat>) {
    let seat = client.client().context().clone();
    let shared = &seat.ear.shared;
    while !seat.state.left.load(Ordering::Relaxed) && !shared.is_closed() {
        if let Some(Err(error)) = client.poll(LOOK) {
            tracing::debug!(%error, consumer = seat.ear.consumer, "the group is tried on");
        }
        if let Some(list) = shared.positions.due(shared, &seat.ear.consumer, Some(shared.clock.elapsed())) {
            tell(&client, &list);
        }
    }
    // Closing takes partitions back, which calls the owner, from this thread; it tells the last positions, too.
    drop(client);
    shared.positions.own(&seat.ear.consumer, None);
}

/// What the library tells a member.
struct Seat {
    ear: Ear,
    state: Arc<State>,
    owner: Arc<dyn Owner>,
}

impl Seat {
    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let of = |topic: &str, partition| partition_of(&self.ear.shared, topic, partition);
        list.elements().iter().filter_map(|at| of(at.topic(), at.partition())).collect()
    }

    /// Keeps what is this process's.
    fn keep(&self, change: impl FnOnce(&mut BTreeSet<Partition>)) {
        let mut mine = self.state.mine.lock();
        change(&mut mine);
        let owned = mine.iter().copied().collect();
        drop(mine);
        self.ear.shared.positions.own(&self.ear.consumer, Some(owned));
    }

    fn gained(&self, client: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        // Nothing is fetched from there; to ask for the group's offsets would only take time.
        list.set_all_offsets(Offset::Offset(0))?;
        match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.assign(list)?,
            _ => client.incremental_assign(list)?,
        }
        if list.count() == 0 {
            return Ok(());
        }
        client.pause(list)?;
        let partitions = self.partitions(list);
        if partitions.is_empty() {
            return Ok(());
        }
        self.keep(|mine| mine.extend(&partitions));
        tracing::info!(consumer = self.ear.consumer, partitions = partitions.len(), "partitions came");
        self.owner.gained(&partitions);
        Ok(())
    }

    fn losing(&self, client: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions = self.partitions(list);
        if !partitions.is_empty() {
            let lost = client.assignment_lost();
            tracing::info!(consumer = self.ear.consumer, partitions = partitions.len(), lost, "partitions go");
            self.owner.losing(&partitions);
            if !lost {
                self.tell_last(client);
            }
            self.keep(|mine| mine.retain(|partition| !partitions.contains(partition)));
        }
        match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_unassign(list),
            _ => client.unassign(),
        }
    }

    /// The positions of what is given back, while the group still takes them.
    fn tell_last(&self, client: &BaseConsumer<Self>) {
        let shared = &self.ear.shared;
        if shared.extents.away().is_some() {
            return;
        }
        if let Some(list) = shared.positions.due(shared, &self.ear.consumer, None) {
            tell(client, &list);
        }
    }
}

impl Hears for Seat {
    fn ear(&self) -> &Ear {
        &self.ear
    }
}

impl ClientContext for Seat {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.ear.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.ear.error(error, reason);
    }
}

impl ConsumerContext for Seat {
    fn rebalance(&self, client: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.gained(client, list),
            _ => self.losing(client, list),
        };
        if let Err(error) = done {
            tracing::warn!(%error, consumer = self.ear.consumer, "the library did not take a change of partitions");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.ear.heard(result, offsets);
    }
}
