//! A log in a temporary folder, and short words for filling and reading it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{Ack, Batch, Catalog, Dedup, Draft, NO_TIME, Retention, Span, Stream, StreamId, partition_of};
use log::clock::ManualClock;
use log::disk::{DiskLog, DiskSettings};
use log::{Append, Disk, Log, LogError, Placed, RealDisk};
use tempfile::TempDir;

pub(crate) const STREAM: StreamId = StreamId(0);
pub(crate) const PARTITIONS: u32 = 3;

/// A folder, a disk and a clock; the log is opened over them as often as a test likes.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: ManualClock,
    pub(crate) settings: DiskSettings,
    pub(crate) retention: Retention,
}

/// What a test sends: key, id (0 = none), and text.
pub(crate) type Event = (u8, u64, String);

/// What a test reads back: partition, offset, text.
pub(crate) type Row = (u32, u64, String);

impl Rig {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(RealDisk))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        let retention = Retention { age_ms: None, size_bytes: None };
        let clock = ManualClock::at(1_000_000_000);
        Self { dir: tempfile::tempdir().unwrap(), disk, clock, settings: DiskSettings::default(), retention }
    }

    pub(crate) fn open(&self) -> DiskLog {
        self.open_at(self.dir.path())
    }

    pub(crate) fn try_open(&self) -> Result<DiskLog, LogError> {
        self.try_open_at(self.dir.path())
    }

    /// The log in another folder than the rig's own.
    pub(crate) fn open_at(&self, dir: &Path) -> DiskLog {
        // A process that another test starts has a copy of every lock between its fork and its exec.
        for _ in 0..100_000 {
            match self.try_open_at(dir) {
                Err(LogError::Locked(_)) => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
        self.try_open_at(dir).unwrap()
    }

    fn try_open_at(&self, dir: &Path) -> Result<DiskLog, LogError> {
        let (disk, clock) = (self.disk.clone(), Arc::new(self.clock.clone()));
        DiskLog::open(dir, catalog(PARTITIONS, self.retention), disk, clock, self.settings.clone())
    }

    /// The files of the stream with this ending, oldest first.
    pub(crate) fn files(&self, ending: &str) -> Vec<PathBuf> {
        let dir = self.dir.path().join("things");
        let names = RealDisk.list(&dir).unwrap().into_iter().filter(|f| f.ends_with(ending));
        names.map(|f| dir.join(f)).collect()
    }
}

pub(crate) fn catalog(partitions: u32, retention: Retention) -> Arc<Catalog> {
    let dedup = Some(Dedup { within_ms: 3_600_000, ids_max: 1 << 16 });
    let name = "things".to_owned();
    let stream =
        Stream { name, partitions, key: None, time: None, id: None, kind: None, require: vec![], dedup, retention };
    Arc::new(Catalog::new(vec![stream]).unwrap())
}

pub(crate) fn event(key: u8, id: u64, text: impl Into<String>) -> Event {
    (key, id, text.into())
}

/// Events with ids `from..to`, keys in turn.
pub(crate) fn events(from: u64, to: u64) -> Vec<Event> {
    (from..to).map(|i| event((i % 7) as u8, i + 1, format!("event {i} {}", "x".repeat((i % 50) as usize)))).collect()
}

pub(crate) fn batch(log: &dyn Log, stream: StreamId, partitions: u32, events: &[Event]) -> Batch {
    let mut body = Vec::new();
    let spans: Vec<Span> = events
        .iter()
        .map(|(.., text)| {
            body.extend_from_slice(text.as_bytes());
            Span::shared(body.len() - text.len(), text.len())
        })
        .collect();
    let mut batch = Batch::new(stream, body.into());
    for ((key, id, _), data) in events.iter().zip(spans) {
        let partition = partition_of(&[*key], partitions);
        let (key, text) = (batch.put_side(&[*key]), id.to_string());
        let id_hash = if *id == 0 { 0 } else { log.id_hasher().hash(text.as_bytes()) };
        let id = batch.put_side(text.as_bytes());
        let draft = Draft { partition, time: NO_TIME, id_hash, data, key, kind: Span::EMPTY, id, headers: Span::EMPTY };
        batch.drafts.push(draft);
    }
    batch
}

pub(crate) fn append(log: &dyn Log, events: &[Event]) -> Result<Placed, LogError> {
    let batches = vec![batch(log, STREAM, PARTITIONS, events)];
    log.append(Append { batches, lane: 0, ack: Ack::Durable })?.wait_blocking().map(|mut placed| placed.remove(0))
}

/// All rows of the stream, by partition and offset.
pub(crate) fn read_all(log: &dyn Log) -> Vec<Row> {
    read_from(log, &[(0, 0), (1, 0), (2, 0)])
}

pub(crate) fn read_from(log: &dyn Log, from: &[(u32, u64)]) -> Vec<Row> {
    let mut cursor = log.read(STREAM, from).unwrap();
    let mut rows = Vec::new();
    loop {
        let blocks = cursor.next(10_000).unwrap();
        if blocks.is_empty() {
            break;
        }
        for block in &blocks {
            rows.extend(
                block.records().map(|r| (block.partition, r.offset, String::from_utf8(r.data.to_vec()).unwrap())),
            );
        }
    }
    rows.sort_by_key(|r| (r.0, r.1));
    rows
}

/// The texts of rows, in the order of `read_all`.
pub(crate) fn texts(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|r| r.2.as_str()).collect()
}

/// The texts of events in the order of `read_all`, if they were appended in the order given.
pub(crate) fn expected(events: &[Event]) -> Vec<&str> {
    let of = |p| events.iter().filter(move |(key, ..)| partition_of(&[*key], PARTITIONS) == p).map(|e| e.2.as_str());
    (0..PARTITIONS).flat_map(of).collect()
}

/// Changes bytes of a file in place.
pub(crate) fn patch(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Copies a log's folder as it lies there, for looking at it while the log is open.
pub(crate) fn copy_of(rig: &Rig) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(rig.dir.path(), copy.path());
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (source, target) = {
            let e = entry.unwrap();
            (e.path(), to.join(e.file_name()))
        };
        if source.is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_folder(&source, &target);
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}
