//! Looking things up: the first offset at a time.

use std::sync::Arc;
use std::time::Duration;

use event::{Millis, StreamId};

use super::cursor::KafkaCursor;
use super::shared::Shared;
use crate::{Cursor, LogError};

/// How long the cluster may take to find a time of append.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes read at once while looking for an event time.
const STEP_BYTES: usize = 1 << 20;

/// See `Log::offset_at`. It relies on the times of append that records carry: doors refuse what is too far in the future,
/// so no record with that event time was appended earlier than that; from there on records are read.
///
/// Records of stock producers carry their producer's time instead, and nobody refuses theirs. One whose clock is behind by
/// more than the stream's `max_future` may write events that lie before the offset given here though their event time is
/// not before `time`: a replay by time may pass over them.
///
/// # Errors
/// [`LogError::Away`] when the cluster does not answer.
pub(super) fn offset_at(shared: &Arc<Shared>, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
    let definition = shared.catalog.get(stream);
    if partition >= definition.partitions {
        return Ok(0);
    }
    let ahead = definition.time.as_ref().map_or(0, |time| time.max_future_ms);
    let since = time.saturating_sub(ahead);
    let asker = shared.extents.asker(shared)?;
    let start = asker.offset_since(shared.topic(stream), partition, since, PATIENCE)?;
    shared.extents.refresh(shared, &[stream], true)?;
    let end = || shared.extents.of(stream)[partition as usize].next;
    let Some(start) = start else { return Ok(end()) };
    let mut cursor = KafkaCursor::plain(shared, stream, &[(partition, start)])?;
    loop {
        let blocks = cursor.next(STEP_BYTES)?;
        if blocks.is_empty() {
            return Ok(end());
        }
        if let Some(found) = blocks.iter().flat_map(|block| block.records()).find(|record| record.time >= time) {
            return Ok(found.offset);
        }
    }
}
