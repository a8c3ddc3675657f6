//! Opening a log, step by step: lock, seed, consumers, every stream, duplicate tables, the writer's thread.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread;

use event::{Catalog, Stream};
use parking_lot::{Condvar, Mutex, RwLock};

use super::manifest::{self, Manifest};
use super::place::Stage;
use super::recover::{self, Ask, Recovered};
use super::reserve::Reserve;
use super::segment::ActiveSegment;
use super::shared::{KnownConsumers, Shared, StreamState, disk_error, index_file, segment_file};
use super::writer::{StreamWriter, Writer};
use super::{DiskLog, DiskSettings};
use crate::dedup::DedupTable;
use crate::disk_port::Disk;
use crate::queue::Queue;
use crate::{Clock, DamageKind, IdHasher, LogError};

pub(super) fn open(
    dir: &Path,
    catalog: Arc<Catalog>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    settings: DiskSettings,
) -> Result<DiskLog, LogError> {
    let at_dir = |error: io::Error| disk_error(dir, &error);
    disk.make_dir(dir).map_err(at_dir)?;
    let lock =
        disk.lock(&dir.join("lock")).map_err(at_dir)?.ok_or_else(|| LogError::Locked(dir.display().to_string()))?;
    let seed = manifest::seed(disk.as_ref(), dir, || fastrand::Rng::new().u64(..)).map_err(at_dir)?;
    let known = manifest::load_consumers(disk.as_ref(), dir);
    let mut streams = Vec::with_capacity(catalog.len());
    let mut writers = Vec::with_capacity(catalog.len());
    let mut damage = Vec::new();
    for (_, stream) in catalog.iter() {
        let stream_dir = dir.join(&stream.name);
        let mut seen = vec![0; stream.partitions as usize];
        for (partition, offset) in known.values().filter_map(|s| s.get(&stream.name)).flatten() {
            if let Some(slot) = seen.get_mut(*partition as usize) {
                *slot = (*slot).max(*offset);
            }
        }
        let recovered = open_stream(disk.as_ref(), &stream_dir, stream, &seen)?;
        let writer = stream_writer(disk.as_ref(), &stream_dir, stream, &recovered, &settings, clock.now());
        writers.push(writer.map_err(|e| disk_error(&stream_dir, &e))?);
        damage.extend(recovered.damage);
        let (view, files) = (RwLock::new(recovered.view), Mutex::new(()));
        let (name, partitions) = (stream.name.clone(), stream.partitions);
        streams.push(StreamState { name, dir: stream_dir, partitions, view, files });
    }
    // A folder whose name a power cut loses takes every answered event in it along.
    disk.sync_dir(dir).map_err(at_dir)?;
    if let Some(parent) = dir.parent() {
        // The folder around may be anybody's: without the right to open it, this much is left to the system.
        let _ = disk.sync_dir(parent);
    }
    let shared = Arc::new(Shared {
        catalog,
        dir: dir.to_owned(),
        disk,
        clock,
        hasher: IdHasher::new(seed),
        streams,
        consumers: Mutex::new(KnownConsumers { known, kept_at: 0 }),
        consumers_file: Mutex::new(()),
        commits: tokio::sync::watch::Sender::new(0),
        moment: Mutex::new(1),
        moved: Condvar::new(),
        damage: Mutex::new(Vec::new()),
        poisoned: OnceLock::new(),
        closed: AtomicBool::new(false),
        queue: Queue::default(),
        reserve: Reserve::new(settings.reserve_bytes),
    });
    damage.into_iter().for_each(|d| shared.report(d));
    let writer = Writer::new(shared.clone(), settings, writers);
    let thread = thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer.run()).map_err(at_dir)?;
    Ok(DiskLog { shared, writer: Mutex::new(Some(thread)), _lock: lock })
}

/// Reads one stream's folder, and leaves a sidecar with every finished segment that had none.
fn open_stream(disk: &dyn Disk, dir: &Path, stream: &Stream, seen: &[u64]) -> Result<Recovered, LogError> {
    let at_dir = |error: io::Error| disk_error(dir, &error);
    disk.make_dir(dir).map_err(at_dir)?;
    let made = recover::partitions_on_disk(disk, dir).map_err(at_dir)?;
    if let Some(on_disk) = made.filter(|made| *made != stream.partitions) {
        let (stream, configured) = (stream.name.clone(), stream.partitions);
        return Err(LogError::Partitions { stream, on_disk, configured });
    }
    let ask = Ask { name: &stream.name, partitions: stream.partitions, known: seen, believe: true };
    let recovered = recover::recover(disk, dir, &ask, &mut |_| ()).map_err(at_dir)?;
    settle(disk, dir, &recovered).map_err(at_dir)?;
    Ok(recovered)
}

/// Leaves every segment that was walked durable, cut where its frames end, and with a sidecar.
fn settle(disk: &dyn Disk, dir: &Path, recovered: &Recovered) -> io::Result<()> {
    for segment in recovered.view.segments.iter().filter(|s| recovered.walked.contains(&s.seq)) {
        let name = segment_file(segment.seq);
        let file = disk.create(&dir.join(&name))?;
        let whole = !recovered.damage.iter().any(|d| d.file == name && d.kind != DamageKind::TornTail);
        if whole {
            file.set_len(segment.index.len)?;
        }
        // A process that died between write and sync left frames that may be in the system's cache only. A sender that
        // tries again is told that they are there, so they must be.
        file.sync()?;
        // A damaged segment gets no sidecar, so that every start sees and reports it.
        if whole && let Err(error) = disk.replace(&dir.join(index_file(segment.seq)), &segment.index.encode()) {
            tracing::warn!(%error, file = name, "a segment has no sidecar; the next start walks it");
        }
    }
    Ok(())
}

/// The writing side of a stream: goes on with the newest segment unless it is damaged inside.
fn stream_writer(
    disk: &dyn Disk,
    dir: &Path,
    stream: &Stream,
    recovered: &Recovered,
    settings: &DiskSettings,
    now: event::Millis,
) -> io::Result<StreamWriter> {
    let view = &recovered.view;
    let mut dedup = stream.dedup.map(DedupTable::new);
    if let (Some(table), Some(settings)) = (&mut dedup, stream.dedup) {
        table.advance(now);
        let since = now - settings.within_ms;
        let each = |id, at| {
            table.restore(id, at);
        };
        recover::recent_ids(disk, dir, recovered, since, settings.ids_max as u64, each)?;
    }
    let newest = view.segments.last().filter(|segment| {
        let file = segment_file(segment.seq);
        let damaged = |d: &crate::Damage| d.file == file && d.kind != DamageKind::TornTail;
        let room = segment.index.records == 0 || segment.index.len < settings.segment_bytes;
        !recovered.damage.iter().any(damaged) && room
    });
    let active = newest.map(|s| ActiveSegment::resume(disk, dir, s.seq, s.index.len)).transpose()?;
    // A file beyond these was being made as the power went, and is made again.
    let made = view.segments.last().map(|s| s.seq).max(Manifest::load(disk, dir).map(|m| m.last_seq));
    let next_seq = made.map_or(0, |seq| seq + 1);
    Ok(StreamWriter { stage: Stage::new(view.next.clone(), dedup, settings.compress), active, next_seq })
}
