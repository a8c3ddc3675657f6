//! Questions to the cluster about offsets: where partitions begin and end, and what was appended when.

use std::time::Duration;

use event::{Millis, StreamId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSettings;
use super::client::{Voice, base, overlay};
use super::extents::Told;
use super::shared::Shared;
use crate::LogError;

/// A client that only asks. Every verb may be called from any thread.
pub(super) struct Asker {
    consumer: BaseConsumer<Voice>,
}

impl Asker {
    /// # Errors
    /// [`LogError::Refused`] when the settings are not the library's.
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let mut config = base(settings);
        config.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
        overlay(&mut config, settings);
        let consumer = config.create_with_context(Voice::default());
        Ok(Self { consumer: consumer.map_err(|error| LogError::Refused(error.to_string()))? })
    }

    /// The first (`Offset::Beginning`) or the next (`Offset::End`) offset of all partitions of these streams. The next one
    /// is that after which nothing can be read yet: a transaction that is open holds it back.
    ///
    /// # Errors
    /// [`LogError::Away`] when not all were told in time.
    pub(super) fn offsets(
        &self,
        shared: &Shared,
        streams: &[StreamId],
        which: Offset,
        timeout: Duration,
    ) -> Result<Vec<Told>, LogError> {
        let mut list = TopicPartitionList::new();
        let partitions = |id: StreamId| 0..shared.catalog.get(id).partitions;
        let wanted: Vec<(StreamId, u32)> = streams.iter().flat_map(|id| partitions(*id).map(|p| (*id, p))).collect();
        for (stream, partition) in &wanted {
            list.add_partition_offset(shared.topic(*stream), *partition as i32, which).map_err(|e| self.away(&e))?;
        }
        let told = self.consumer.offsets_for_times(list, timeout).map_err(|error| self.away(&error))?;
        let mut found = Vec::with_capacity(wanted.len());
        for (stream, partition) in wanted {
            let Some(at) = told.find_partition(shared.topic(stream), partition as i32) else {
                return Err(LogError::Away(format!("partition {partition} was not told of")));
            };
            at.error().map_err(|error| self.away(&error))?;
            match at.offset() {
                Offset::Offset(offset) => found.push((stream, partition, offset.max(0) as u64)),
                other => return Err(LogError::Away(format!("the cluster told {other:?} for an offset"))),
            }
        }
        Ok(found)
    }

    /// The first offset of a partition that was appended at or after a time; `None` when there is none.
    ///
    /// # Errors
    /// [`LogError::Away`] when it was not told in time.
    pub(super) fn offset_since(
        &self,
        topic: &str,
        partition: u32,
        time: Millis,
        timeout: Duration,
    ) -> Result<Option<u64>, LogError> {
        let mut list = TopicPartitionList::new();
        // Negative times have meanings of their own.
        let time = Offset::Offset(time.max(0));
        list.add_partition_offset(topic, partition as i32, time).map_err(|error| self.away(&error))?;
        let told = self.consumer.offsets_for_times(list, timeout).map_err(|error| self.away(&error))?;
        let found = told.find_partition(topic, partition as i32);
        let found = found.ok_or_else(|| LogError::Away(format!("partition {partition} was not told of")))?;
        found.error().map_err(|error| self.away(&error))?;
        Ok(match found.offset() {
            Offset::Offset(offset) => Some(offset.max(0) as u64),
            _ => None,
        })
    }

    /// Takes what the library has to say; call it now and then.
    pub(super) fn serve(&self) {
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    fn away(&self, error: &KafkaError) -> LogError {
        self.serve();
        LogError::Away(match self.consumer.client().context().said() {
            Some(said) => format!("{error}; {said}"),
            None => error.to_string(),
        })
    }
}
