//! Retention: whole segments go, oldest first, once they are past age or size, unless a consumer still needs them.

use std::io;
use std::sync::Arc;

use event::{Millis, Retention, StreamId};

use super::consumers;
use super::manifest::Manifest;
use super::shared::{Segment, Shared, disk_error, index_file, segment_file};
use crate::LogError;

/// Drops what is due in every stream; gives the bytes freed.
pub(super) fn trim(shared: &Arc<Shared>) -> Result<u64, LogError> {
    let now = shared.clock.now();
    let each = |id, stream: &event::Stream| {
        let name = &stream.name;
        drop_segments(shared, id, |oldest, total| {
            if !is_due(stream.retention, now, oldest, total) {
                return false;
            }
            let needed = needed_partition(shared, name, oldest);
            if let Some(partition) = needed {
                tracing::warn!(stream = name, partition, segment = oldest.seq, "retention waits for a consumer");
            }
            needed.is_none()
        })
    };
    in_all(shared, each)
}

/// Drops what every consumer is done with, however young; gives the bytes freed.
pub(super) fn drop_consumed(shared: &Arc<Shared>) -> Result<u64, LogError> {
    in_all(shared, |id, stream| {
        drop_segments(shared, id, |oldest, _| needed_partition(shared, &stream.name, oldest).is_none())
    })
}

fn in_all(shared: &Arc<Shared>, each: impl Fn(StreamId, &event::Stream) -> io::Result<u64>) -> Result<u64, LogError> {
    let mut freed = 0;
    for (id, stream) in shared.catalog.iter() {
        freed += each(id, stream).map_err(|e| disk_error(&shared.stream(id).dir, &e))?;
    }
    Ok(freed)
}

fn is_due(retention: Retention, now: Millis, oldest: &Segment, total: u64) -> bool {
    let old = retention.age_ms.is_some_and(|age| oldest.index.last_appended < now - age);
    old || retention.size_bytes.is_some_and(|max| total > max)
}

/// Drops segments of a stream, oldest first, as long as they may go: `may` is asked with the segment and the bytes of all.
fn drop_segments(shared: &Arc<Shared>, id: StreamId, may: impl Fn(&Segment, u64) -> bool) -> io::Result<u64> {
    let state = shared.stream(id);
    let mut freed = 0;
    loop {
        // The view is locked only to decide and to take the segment out; readers that have its file open read on
        // undisturbed.
        let _files = state.files.lock();
        let (first_seq, last_seq) = {
            let view = state.view.read();
            let total: u64 = view.segments.iter().map(|s| s.index.len).sum();
            let Some(oldest) = view.segments.first().filter(|_| view.segments.len() > 1) else { break };
            if !may(oldest, total) {
                break;
            }
            (view.segments[1].seq, view.segments[view.segments.len() - 1].seq)
        };
        Manifest { partitions: state.partitions, first_seq, last_seq }.store(shared.disk.as_ref(), &state.dir)?;
        // Were the file gone and the manifest still the old one after a power cut, the segment would look lost.
        shared.disk.sync_dir(&state.dir)?;
        let segment = state.view.write().segments.remove(0);
        shared.disk.remove(&state.dir.join(segment_file(segment.seq)))?;
        match shared.disk.remove(&state.dir.join(index_file(segment.seq))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => freed += segment.index.len,
        }
    }
    Ok(freed)
}

/// A partition of whose records in this segment a consumer still needs some.
fn needed_partition(shared: &Arc<Shared>, stream: &str, segment: &Segment) -> Option<u32> {
    let ends = segment.index.next.iter().zip(&segment.base).enumerate();
    let needs = |(p, (next, base)): (usize, (&u64, &u64))| {
        let needed = consumers::needed(shared, stream, p as u32);
        (next > base && needed.is_some_and(|offset| offset < *next)).then_some(p as u32)
    };
    ends.filter_map(needs).next()
}
