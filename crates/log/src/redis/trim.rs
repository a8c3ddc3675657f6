//! Retention: whole chunks go, oldest first, once they are past age or size, unless a consumer still needs them.

use std::sync::Arc;

use event::{Millis, StreamId};

use super::keys::CHUNK;
use super::refresh;
use super::search::{self, Chunk};
use super::shared::Shared;
use crate::{Extent, LogError};

/// Drops what is due in every stream; gives the bytes freed.
pub(super) fn trim(shared: &Arc<Shared>) -> Result<u64, LogError> {
    let mut freed = 0;
    for (id, stream) in shared.catalog.iter() {
        let mut all = Vec::new();
        for partition in 0..stream.partitions {
            all.push(search::chunks(shared, id, partition)?);
        }
        let held: u64 = all.iter().flatten().map(|chunk| chunk.bytes).sum();
        let age = shared.settings.retention_ms.min(stream.retention.age_ms.unwrap_or(Millis::MAX));
        let before = shared.clock.now().saturating_sub(age);
        let over = held.saturating_sub(stream.retention.size_bytes.unwrap_or(u64::MAX));
        let due = due(&all, before, over);
        for (partition, chunks) in (0_u32..).zip(&all) {
            freed += trim_partition(shared, id, partition, &chunks[..due[partition as usize]])?;
        }
    }
    Ok(freed)
}

/// How many chunks of each partition go: those appended before a time, and the oldest until so many bytes went.
fn due(all: &[Vec<Chunk>], before: Millis, over: u64) -> Vec<usize> {
    let old = |chunks: &Vec<Chunk>| chunks.iter().take_while(|chunk| chunk.received_at < before).count();
    let mut due: Vec<usize> = all.iter().map(old).collect();
    let mut gone: u64 = all.iter().zip(&due).flat_map(|(chunks, n)| &chunks[..*n]).map(|chunk| chunk.bytes).sum();
    while gone < over {
        // The one that is written to stays.
        let next = |i: usize| all[i].get(due[i]).filter(|_| due[i] + 1 < all[i].len());
        let Some(oldest) =
            (0..all.len()).filter(|i| next(*i).is_some()).min_by_key(|i| next(*i).map(|c| c.received_at))
        else {
            break;
        };
        gone += all[oldest][due[oldest]].bytes;
        due[oldest] += 1;
    }
    due
}

/// Drops these chunks, or those of them that no consumer needs.
fn trim_partition(shared: &Shared, id: StreamId, partition: u32, due: &[Chunk]) -> Result<u64, LogError> {
    let name = shared.name(id);
    let needed = {
        let positions = shared.positions.lock();
        positions.values().filter_map(|of| of.get(&(id, partition)).copied()).min()
    };
    let ends = |connection: &mut redis::Connection| refresh::extents(shared, connection, name, &[partition]);
    let Some(Extent { next, .. }) = (if due.is_empty() { None } else { shared.link.call(ends)?.first().copied() })
    else {
        return Ok(0);
    };
    let upto = |chunk: &Chunk| ((chunk.number + 1) * CHUNK).min(next);
    let free = due.iter().take_while(|chunk| needed.is_none_or(|offset| upto(chunk) <= offset)).count();
    if free < due.len() {
        tracing::warn!(stream = name, partition, chunks = due.len() - free, "retention waits for a consumer");
    }
    if free == 0 {
        return Ok(0);
    }
    let bytes: u64 = due[..free].iter().map(|chunk| chunk.bytes).sum();
    let upto: u64 = shared.link.call(|connection| {
        let mut call = shared.scripts.trim.prepare_invoke();
        call.key(&shared.keys.prefix).arg(name).arg(partition).arg(bytes);
        for chunk in &due[..free] {
            call.arg(chunk.number);
        }
        call.invoke(connection)
    })?;
    if upto == 0 {
        return Ok(0);
    }
    if needed.is_none() && id != shared.catalog.answers() {
        tracing::warn!(stream = name, partition, upto, "records that no consumer has ever read were past retention");
    }
    if let Some(extent) = shared.known.lock()[usize::from(id.0)].extents.get_mut(partition as usize) {
        extent.first = extent.first.max(upto);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_go_and_then_the_oldest_until_the_size_is_met() {
        let chunk = |number, received_at, bytes| Chunk { number, time: 0, received_at, bytes };
        let all = vec![
            vec![chunk(0, 10, 100), chunk(1, 20, 100), chunk(2, 50, 100)],
            vec![chunk(4, 30, 100), chunk(5, 60, 100)],
            vec![],
        ];
        let cases: [(Millis, u64, [usize; 3]); 6] = [
            (0, 0, [0, 0, 0]),
            (15, 0, [1, 0, 0]),
            (55, 0, [3, 1, 0]),
            (0, 150, [2, 0, 0]),
            (15, 250, [2, 1, 0]),
            (0, 9_999, [2, 1, 0]),
        ];
        for (before, over, expected) in cases {
            assert_eq!(due(&all, before, over), expected, "before {before}, over {over}");
        }
    }
}
