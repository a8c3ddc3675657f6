//! How far the log's consumers have come, as they tell it: kept in memory, on disk at most once a second.

use std::sync::Arc;

use event::Position;

use super::manifest;
use super::shared::{Shared, disk_error};
use crate::LogError;

/// Takes note of positions; keeps them on disk when the last time was over a second ago.
pub(super) fn commit(shared: &Arc<Shared>, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
    let due = {
        let mut consumers = shared.consumers.lock();
        if !consumers.known.contains_key(consumer) {
            consumers.known.insert(consumer.to_owned(), Default::default());
        }
        if let Some(streams) = consumers.known.get_mut(consumer) {
            for p in positions {
                let name = &shared.stream(p.stream).name;
                match streams.get_mut(name) {
                    Some(offsets) => offsets.insert(p.partition, p.offset),
                    None => streams.entry(name.clone()).or_default().insert(p.partition, p.offset),
                };
            }
        }
        let now = shared.clock.now();
        let due = now - consumers.kept_at >= 1_000 || now < consumers.kept_at;
        if due {
            consumers.kept_at = now;
        }
        due
    };
    shared.commits.send_modify(|n| *n += 1);
    if due { persist(shared) } else { Ok(()) }
}

/// Forgets a consumer, on disk too: after a restart nobody would.
pub(super) fn forget(shared: &Arc<Shared>, consumer: &str) -> Result<(), LogError> {
    let known = shared.consumers.lock().known.remove(consumer);
    if known.is_none() { Ok(()) } else { persist(shared) }
}

/// The names of all consumers.
pub(super) fn names(shared: &Arc<Shared>) -> Vec<String> {
    shared.consumers.lock().known.keys().cloned().collect()
}

/// Writes all positions to disk.
pub(super) fn persist(shared: &Arc<Shared>) -> Result<(), LogError> {
    // The newest positions must not be overtaken by older ones on their way to the file.
    let _turn = shared.consumers_file.lock();
    let known = shared.consumers.lock().known.clone();
    manifest::store_consumers(shared.disk.as_ref(), &shared.dir, &known).map_err(|e| disk_error(&shared.dir, &e))
}

/// Whether a consumer has come to all these positions.
pub(super) fn reached(shared: &Arc<Shared>, consumer: &str, positions: &[Position]) -> bool {
    let consumers = shared.consumers.lock();
    let streams = consumers.known.get(consumer);
    positions.iter().all(|p| {
        let offset = streams.and_then(|s| s.get(&shared.stream(p.stream).name)?.get(&p.partition));
        offset.is_some_and(|offset| *offset >= p.offset)
    })
}

/// For a partition the smallest offset that any consumer still needs; `None` when none has ever read it.
pub(super) fn needed(shared: &Arc<Shared>, stream: &str, partition: u32) -> Option<u64> {
    let consumers = shared.consumers.lock();
    consumers.known.values().filter_map(|streams| streams.get(stream)?.get(&partition).copied()).min()
}
