//! What duplicate suppression should know at the start: the ids at the end of each topic. It takes a bounded time; what is
//! not known by then is answered as new and dropped by who reads.

use std::time::Duration;

use event::StreamId;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Voice};
use super::headers::{self, Parts};
use super::shared::Shared;
use crate::IdHasher;

/// How long the start may take for it.
const TIME: Duration = Duration::from_secs(2);
/// Offsets from the end of each partition.
const OFFSETS_EACH: i64 = 1 << 16;
/// The same over all partitions: what is read in that time.
const OFFSETS_ALL: i64 = 400_000;

/// Makes the ids known that were sent last.
pub(super) fn warm(shared: &Shared) {
    let start = shared.clock.elapsed();
    let left = || TIME.saturating_sub(shared.clock.elapsed() - start);
    let mut config = client::base(&shared.settings);
    config
        // It asks for a name and joins nothing.
        .set("group.id", &shared.settings.group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50");
    client::overlay(&mut config, &shared.settings);
    let consumer: BaseConsumer<Voice> = match config.create_with_context(Voice::default()) {
        Ok(consumer) => consumer,
        Err(error) => return unknown(&error),
    };
    let streams: Vec<(StreamId, u32)> =
        shared.catalog.iter().filter(|(_, s)| s.dedup.is_some()).map(|(id, s)| (id, s.partitions)).collect();
    let all: i64 = streams.iter().map(|(_, partitions)| i64::from(*partitions)).sum();
    let each = OFFSETS_EACH.min(OFFSETS_ALL / all.max(1));
    let mut from = TopicPartitionList::new();
    for (stream, partition) in streams.iter().flat_map(|(id, count)| (0..*count).map(move |p| (*id, p as i32))) {
        let topic = shared.topic(stream);
        if let Ok((low, high)) = consumer.fetch_watermarks(topic, partition, left())
            && low < high
        {
            // Refused only when it is there already.
            let _ = from.add_partition_offset(topic, partition, Offset::Offset(low.max(high - each)));
        }
    }
    let (mut open, mut ids) = (from.count(), 0);
    if let Err(error) = consumer.assign(&from) {
        return unknown(&error);
    }
    while open > 0 && !left().is_zero() {
        match consumer.poll(left()) {
            Some(Ok(message)) => ids += u64::from(know(shared, &streams, &message)),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(_)) | None => {}
        }
    }
    let took_ms = (shared.clock.elapsed() - start).as_millis();
    tracing::info!(ids, took_ms, unread_partitions = open, "the ids that were sent last are known again");
}

fn unknown(error: &KafkaError) {
    tracing::warn!(%error, "the ids that were sent last are not known; readers drop what comes twice");
}

/// Makes the id of a record known; true when it has one that was not.
fn know(shared: &Shared, streams: &[(StreamId, u32)], message: &BorrowedMessage<'_>) -> bool {
    let Some((parts, tenant)) = message.headers().and_then(headers::identity) else { return false };
    let Some((stream, _)) = streams.iter().find(|(id, _)| shared.topic(*id) == message.topic()) else { return false };
    let (Some(hash), Some(at)) = (known_by(shared.hasher, &parts, tenant), message.timestamp().to_millis()) else {
        return false;
    };
    let mut table = shared.ids[usize::from(stream.0)].lock();
    let Some(table) = &mut *table else { return false };
    table.advance(shared.clock.now());
    table.restore(hash, at)
}

/// The hash that a record was known by when it was sent; `None` when by none.
fn known_by(hasher: IdHasher, parts: &Parts<'_>, tenant: &[u8]) -> Option<u128> {
    let hasher = if tenant.is_empty() { hasher } else { hasher.scoped(tenant) };
    parts.origin.or_else(|| (!parts.id.is_empty()).then(|| hasher.hash(parts.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_by_its_origin_first_then_by_tenant_and_id() {
        let hasher = IdHasher::new(5);
        let of = |id: &'static [u8], origin| Parts { id, origin, ..Parts::NONE };
        assert_eq!(known_by(hasher, &of(b"a", Some(7)), b"acme"), Some(7));
        assert_eq!(known_by(hasher, &of(b"", Some(7)), b""), Some(7));
        assert_eq!(known_by(hasher, &of(b"a", None), b""), Some(hasher.hash(b"a")));
        assert_eq!(known_by(hasher, &of(b"a", None), b"acme"), Some(hasher.scoped(b"acme").hash(b"a")));
        assert_eq!(known_by(hasher, &of(b"", None), b"acme"), None);
    }
}
