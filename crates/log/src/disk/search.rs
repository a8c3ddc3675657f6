//! Looking things up: the first offset at a time, the place of an id.

use std::io;
use std::sync::Arc;

use event::{Millis, Position, StreamId};

use super::cursor::DiskCursor;
use super::format::SegmentHead;
use super::shared::{Segment, Shared, disk_error, segment_file};
use super::walk::{Step, Walk};
use crate::{Cursor, LogError};

/// How many of the newest segments are searched for an id: older records are in the store.
const FIND_SEGMENTS: usize = 2;
/// Bytes read at once while looking for a time.
const STEP_BYTES: usize = 1 << 20;

/// See `Log::offset_at`.
pub(super) fn offset_at(shared: &Arc<Shared>, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
    let p = partition as usize;
    let (start, end) = {
        let view = shared.stream(stream).view.read();
        let Some(&end) = view.next.get(p) else { return Ok(0) };
        match view.segments.iter().find(|s| s.index.last_time[p] >= time) {
            Some(segment) => (start_in(segment, partition, time), end),
            None => return Ok(end),
        }
    };
    let mut cursor = DiskCursor::new(shared.clone(), stream, &[(partition, start)]);
    loop {
        let blocks = cursor.next(STEP_BYTES)?;
        if blocks.is_empty() {
            return Ok(end);
        }
        if let Some(found) = blocks.iter().flat_map(|b| b.records()).find(|r| r.time >= time) {
            return Ok(found.offset);
        }
    }
}

/// The offset of an indexed frame at or before the first record at a time.
fn start_in(segment: &Segment, partition: u32, time: Millis) -> u64 {
    let at = segment.index.before_time(partition, time);
    let entry = segment.index.entries.iter().find(|e| e.partition == partition && Some(e.at) == at);
    entry.map_or(segment.base[partition as usize], |e| e.offset)
}

/// See `Log::find`.
pub(super) fn find(shared: &Arc<Shared>, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
    let state = shared.stream(stream);
    let place = |segment: &Segment| (segment.seq, segment.index.len);
    let newest: Vec<_> = state.view.read().segments.iter().rev().take(FIND_SEGMENTS).map(place).collect();
    for (seq, len) in newest {
        match find_in(shared, stream, seq, len, id_hash) {
            Ok(None) => {}
            // Retention was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map_err(|e| disk_error(&state.dir, &e)),
        }
    }
    Ok(None)
}

/// The last record with this id in a segment.
fn find_in(shared: &Shared, stream: StreamId, seq: u64, len: u64, id_hash: u128) -> io::Result<Option<Position>> {
    let state = shared.stream(stream);
    let file = shared.disk.open(&state.dir.join(segment_file(seq)))?;
    let mut walk = Walk::new(file, state.partitions, SegmentHead::len(state.partitions as usize), len);
    let mut found = None;
    loop {
        match walk.step()? {
            Step::Frame { at, head } => {
                if let Some((i, _)) = walk.ids(at, &head)?.enumerate().filter(|(_, id)| *id == id_hash).last() {
                    let offset = head.base_offset + i as u64;
                    found = Some(Position { stream, partition: head.partition, offset });
                }
            }
            Step::Garbage { .. } => {}
            Step::Tail { .. } | Step::End { .. } => return Ok(found),
        }
    }
}
