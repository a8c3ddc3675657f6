//! The thread that tells the cluster how far consumers have come that are no members of their groups here, and asks it how
//! far others have come while somebody waits for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Voice, overlay};
use super::fetch;
use super::positions::{Partition, group_of};
use super::shared::Shared;
use super::tell::{Hears, tell};

/// How often it looks for work: also how often the cluster is asked while somebody waits.
const LOOK: Duration = Duration::from_millis(100);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so many refusals in a row, one a second, it is said aloud.
const LOUD: usize = 10;
/// How long the last positions may take at the end.
const LAST: Duration = Duration::from_secs(1);

/// Hears whether positions were taken.
pub(super) struct Ear {
    pub(super) shared: Arc<Shared>,
    pub(super) consumer: String,
    voice: Voice,
    /// Answers that are still to come.
    waits: AtomicUsize,
    /// Refusals in a row.
    refused: AtomicUsize,
}

impl Ear {
    pub(super) fn new(shared: Arc<Shared>, consumer: &str) -> Self {
        Self {
            shared,
            consumer: consumer.to_owned(),
            voice: Voice::default(),
            waits: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// Whether answers are still to come.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed) > 0
    }

    /// Positions are on their way.
    pub(super) fn sent(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of them: those that were not taken are to be told again.
    pub(super) fn heard(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        self.waits.fetch_sub(1, Ordering::Relaxed);
        let one = || list.elements().iter().find_map(|at| at.error().err());
        let Some(error) = result.err().or_else(one) else {
            if self.refused.swap(0, Ordering::Relaxed) >= LOUD {
                tracing::info!(consumer = self.consumer, "its positions are taken again");
            }
            return;
        };
        // A group that is just changing takes none: that passes.
        if self.refused.fetch_add(1, Ordering::Relaxed) + 1 == LOUD {
            tracing::warn!(consumer = self.consumer, %error, "the cluster takes no positions; lag tools see old ones");
        } else {
            tracing::debug!(consumer = self.consumer, %error, "positions were not taken; they are told again");
        }
        self.shared.positions.untold(&self.shared, &self.consumer, list);
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.voice.error(error, reason);
    }
}

impl ConsumerContext for Ear {
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.heard(result, offsets);
    }
}

/// One client for each group.
#[derive(Default)]
struct Clients(HashMap<String, BaseConsumer<Ear>>);

impl Clients {
    fn of(&mut self, shared: &Arc<Shared>, consumer: &str) -> Option<&BaseConsumer<Ear>> {
        if !self.0.contains_key(consumer) {
            let mut config = fetch::consumer(&shared.settings, &group_of(shared, consumer));
            overlay(&mut config, &shared.settings);
            match config.create_with_context(Ear::new(shared.clone(), consumer)) {
                Ok(client) => drop(self.0.insert(consumer.to_owned(), client)),
                Err(error) => tracing::warn!(consumer, %error, "its lag cannot be told"),
            }
        }
        self.0.get(consumer)
    }

    /// Takes answers.
    fn serve(&self) {
        for client in self.0.values() {
            while client.poll(Duration::ZERO).is_some() {}
        }
    }

    /// Waits for the answers that are still to come, not for ever.
    fn end(&self, shared: &Shared) {
        let end = shared.clock.elapsed() + LAST;
        let waiting = || self.0.values().find(|client| client.client().context().waits());
        while let Some(client) = waiting()
            && shared.clock.elapsed() < end
        {
            client.poll(LOOK);
        }
    }
}

/// Tells and asks until the log is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut clients = Clients::default();
    loop {
        let closed = shared.is_closed();
        let now = (!closed).then(|| shared.clock.elapsed());
        for consumer in shared.positions.to_tell() {
            let Some(client) = clients.of(shared, &consumer) else { continue };
            if let Some(list) = shared.positions.due(shared, &consumer, now) {
                tell(client, &list);
            }
        }
        if closed {
            return clients.end(shared);
        }
        for (consumer, partitions) in shared.positions.to_ask() {
            if let Some(client) = clients.of(shared, &consumer) {
                ask(shared, client, &consumer, &partitions);
            }
        }
        clients.serve();
        shared.clock.sleep(LOOK);
    }
}

impl Hears for Ear {
    fn ear(&self) -> &Ear {
        self
    }
}

fn ask(shared: &Shared, client: &BaseConsumer<Ear>, consumer: &str, partitions: &[Partition]) {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (stream, partition) in partitions {
        // It refuses what is not an offset only.
        let _ = list.add_partition_offset(shared.topic(*stream), *partition as i32, Offset::Invalid);
    }
    match client.committed_offsets(list, PATIENCE) {
        Ok(list) => shared.positions.learn(shared, consumer, &list),
        Err(error) => tracing::debug!(consumer, %error, "how far it has come is not known now"),
    }
}
