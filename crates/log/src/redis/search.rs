//! Looking things up: the first offset at a time, the place of an id.

use std::collections::HashMap;
use std::sync::Arc;

use event::{Millis, Position, StreamId};

use super::cursor::RedisCursor;
use super::keys::CHUNK;
use super::refresh;
use super::shared::Shared;
use crate::{Cursor, LogError};

/// Bytes read at once while looking for a time.
const STEP_BYTES: usize = 1 << 20;
/// What the script takes later times for.
const LATE: Millis = 9_000_000_000_000_000;

/// What is kept of 1024 offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) number: u64,
    /// The latest event time.
    pub(super) time: Millis,
    /// The latest time of append.
    pub(super) received_at: Millis,
    pub(super) bytes: u64,
}

/// The chunks of a partition, in order.
pub(super) fn chunks(shared: &Shared, stream: StreamId, partition: u32) -> Result<Vec<Chunk>, LogError> {
    let key = shared.keys.chunks(shared.name(stream), partition);
    let found: HashMap<u64, String> =
        shared.link.call(|connection| redis::cmd("HGETALL").arg(&key).query(connection))?;
    let chunk = |(number, text): (u64, String)| {
        let mut words = text.split(' ');
        let (time, received_at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Chunk { number, time, received_at, bytes: words.nth(1)?.parse().ok()? })
    };
    let mut chunks: Vec<_> = found.into_iter().filter_map(chunk).collect();
    chunks.sort_unstable_by_key(|chunk| chunk.number);
    Ok(chunks)
}

/// See `Log::offset_at`. Event times go up and down: the chunk is the first that has one late enough.
pub(super) fn offset_at(shared: &Arc<Shared>, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
    let name = shared.name(stream);
    let ask = |connection: &mut redis::Connection| refresh::extents(shared, connection, name, &[partition]);
    let extent = shared.link.call(ask)?.first().copied().unwrap_or_default();
    let late = |chunk: &Chunk| chunk.time >= time.min(LATE) && (chunk.number + 1) * CHUNK > extent.first;
    let Some(chunk) = chunks(shared, stream, partition)?.into_iter().find(late) else { return Ok(extent.next) };
    let start = (chunk.number * CHUNK).max(extent.first);
    let mut cursor = RedisCursor::plain(shared.clone(), stream, &[(partition, start)]);
    loop {
        let blocks = cursor.next(STEP_BYTES)?;
        let Some(last) = blocks.last() else { return Ok(extent.next) };
        let end = last.next_offset();
        if let Some(found) = blocks.iter().flat_map(|block| block.records()).find(|record| record.time >= time) {
            return Ok(found.offset);
        }
        if end >= extent.next {
            return Ok(end);
        }
    }
}

/// See `Log::find`: ids are known as long as duplicates of them are.
pub(super) fn find(shared: &Shared, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
    let name = shared.name(stream);
    let hash = id_hash.to_be_bytes();
    let found: Vec<Option<String>> = shared.link.call(|connection| {
        let mut pipe = redis::pipe();
        for which in ["ids", "ids-old"] {
            pipe.cmd("HGET").arg(shared.keys.of_stream(name, which)).arg(&hash[..]);
        }
        pipe.query(connection)
    })?;
    let place = |text: &String| {
        let mut words = text.split(' ').skip(1);
        Some((words.next()?.parse::<u32>().ok()?, words.next()?.parse::<u64>().ok()?))
    };
    let Some((partition, offset)) = found.iter().flatten().find_map(place) else { return Ok(None) };
    let extents = shared.link.call(|connection| refresh::extents(shared, connection, name, &[partition]))?;
    let there = extents.first().is_some_and(|extent| (extent.first..extent.next).contains(&offset));
    Ok(there.then_some(Position { stream, partition, offset }))
}
