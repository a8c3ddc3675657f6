//! What the writer, the readers and the doors of one open log share: the published view of every stream, the consumers'
//! positions, the damage met, and whether it still writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use event::{Catalog, StreamId};
use parking_lot::{Condvar, Mutex, RwLock};

use super::index::SegmentIndex;
use super::reserve::Reserve;
use crate::disk_port::Disk;
use crate::queue::Queue;
use crate::{Clock, Damage, IdHasher, LogError};

/// How many damaged places are listed; more are only counted in the log line that each gets.
const DAMAGE_LISTED_MAX: usize = 1_000;

/// One segment file as readers may see it: durable bytes only.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) seq: u64,
    /// For every partition the offset that its first record here has or would have.
    pub(super) base: Vec<u64>,
    pub(super) index: SegmentIndex,
}

/// A stream as readers may see it.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Oldest first; the writer appends to the last.
    pub(super) segments: Vec<Segment>,
    /// For every partition the offset that the next record gets.
    pub(super) next: Vec<u64>,
}

impl View {
    /// For every partition the oldest offset that is still there.
    pub(super) fn first(&self) -> Vec<u64> {
        self.segments.first().map_or_else(|| self.next.clone(), |s| s.base.clone())
    }
}

/// One stream of an open log.
#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) partitions: u32,
    pub(super) view: RwLock<View>,
    /// Held by whoever adds or drops a segment, while files are made, synced and removed. The view is locked only for the
    /// moment in which it changes, so that no reader waits for a disk.
    pub(super) files: Mutex<()>,
}

/// How far consumers have come: by consumer, stream and partition the next offset.
pub(super) type Consumers = BTreeMap<String, BTreeMap<String, BTreeMap<u32, u64>>>;

/// The positions, and when they were last kept on disk.
#[derive(Debug)]
pub(super) struct KnownConsumers {
    pub(super) known: Consumers,
    pub(super) kept_at: event::Millis,
}

/// The parts of an open log.
pub(super) struct Shared {
    pub(super) catalog: Arc<Catalog>,
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hasher: IdHasher,
    pub(super) streams: Vec<StreamState>,
    pub(super) consumers: Mutex<KnownConsumers>,
    /// Held while they are written to their file.
    pub(super) consumers_file: Mutex<()>,
    /// Turns whenever a consumer commits.
    pub(super) commits: tokio::sync::watch::Sender<u64>,
    /// Grows with every publication.
    pub(super) moment: Mutex<u64>,
    pub(super) moved: Condvar,
    pub(super) damage: Mutex<Vec<Damage>>,
    pub(super) poisoned: OnceLock<String>,
    pub(super) closed: AtomicBool,
    pub(super) queue: Queue,
    pub(super) reserve: Reserve,
}

impl Shared {
    pub(super) fn stream(&self, id: StreamId) -> &StreamState {
        &self.streams[usize::from(id.0)]
    }

    /// Reports a damaged place once.
    pub(super) fn report(&self, damage: Damage) {
        let mut known = self.damage.lock();
        if known.iter().any(|d| (&d.stream, &d.file, d.offset) == (&damage.stream, &damage.file, damage.offset)) {
            return;
        }
        let Damage { stream, file, offset, kind, records_lost } = &damage;
        tracing::warn!(
            stream,
            file,
            offset,
            kind = kind.as_str(),
            records_lost,
            "the log is damaged here; stepped over"
        );
        metrics::counter!("millstream_log_damage_total", "kind" => kind.as_str()).increment(1);
        if known.len() < DAMAGE_LISTED_MAX {
            known.push(damage);
        }
    }

    /// Tells waiting readers that there is more to read.
    pub(super) fn publish(&self) {
        *self.moment.lock() += 1;
        self.moved.notify_all();
    }
}

/// The file name of a segment.
pub(super) fn segment_file(seq: u64) -> String {
    format!("{seq:010}.seg")
}

/// The sequence number in a segment's file name; `None` for any other file.
pub(super) fn segment_seq(file: &str) -> Option<u64> {
    let seq = file.strip_suffix(".seg")?.parse().ok()?;
    (segment_file(seq) == file).then_some(seq)
}

/// The file name of a segment's sidecar.
pub(super) fn index_file(seq: u64) -> String {
    format!("{seq:010}.idx")
}

/// A system's error with its path.
pub(super) fn disk_error(path: &std::path::Path, error: &std::io::Error) -> LogError {
    LogError::Disk { path: path.display().to_string(), message: error.to_string() }
}
