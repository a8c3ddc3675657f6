//! The log on disk: for each stream a folder of segment files in which its partitions interleave, one writer thread with
//! group commit for all of them, readers that see what is durable. Bytes: `format`; recovery: `recover`.

mod alone;
mod consumers;
mod cursor;
mod doctor;
mod format;
mod index;
mod manifest;
mod open;
mod place;
mod recover;
mod reserve;
mod retention;
mod search;
mod segment;
mod shared;
mod walk;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use event::{Batch, Catalog, Millis, Position, StreamId, limits};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use doctor::{Inspection, SegmentReport, Verification, inspect, verify};

use crate::disk_port::Disk;
use crate::queue::{Raise, Request};
use crate::{Append, Clock, Cursor, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending};
use shared::{Shared, View};

/// How the disk log behaves; the defaults are what a user wants.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// Bytes of a segment file; a smaller one makes retention finer and start-up slower.
    pub segment_bytes: u64,
    /// Whether bodies are compressed with LZ4.
    pub compress: bool,
    /// Bytes of the disk that the log leaves free: below, it refuses and says so, instead of meeting a disk that is
    /// full. The store, which shares the disk, and the log's own small files live on it meanwhile.
    pub reserve_bytes: u64,
}

impl Default for DiskSettings {
    fn default() -> Self {
        let (segment_bytes, reserve_bytes) = (limits::SEGMENT_BYTES, limits::DISK_RESERVE_BYTES);
        Self { segment_bytes, compress: true, reserve_bytes }
    }
}

/// A durable log in a folder.
pub struct DiskLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Box<dyn Send + Sync>,
}

impl DiskLog {
    /// Opens the log in a folder, makes it when there is none, and recovers whatever a crash left.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it; [`LogError::Partitions`] when a stream was made with another
    /// number of partitions; [`LogError::Disk`] when the folder cannot be used.
    pub fn open(
        dir: &Path,
        catalog: Arc<Catalog>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: DiskSettings,
    ) -> Result<Self, LogError> {
        open::open(dir, catalog, disk, clock, settings)
    }

    /// Finishes what waits, leaves every segment finished, stops the writer. Dropping does the same.
    pub fn close(&self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
        if let Err(error) = consumers::persist(&self.shared) {
            tracing::warn!(%error, "the consumers' positions were not kept; the store knows them");
        }
        // Whoever waits for a commit that cannot come any more looks again and sees the end.
        self.shared.commits.send_modify(|n| *n += 1);
    }

    /// Drops whole segments that every consumer is done with, whatever their stream's retention says; gives the bytes
    /// freed. For a log that is only on the way to another.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn drop_consumed(&self) -> Result<u64, LogError> {
        retention::drop_consumed(&self.shared)
    }

    fn usable(&self) -> Result<(), LogError> {
        match self.shared.poisoned.get() {
            Some(reason) => Err(LogError::Poisoned(reason.clone())),
            None if self.shared.closed.load(Ordering::Relaxed) => Err(LogError::Closed),
            None => Ok(()),
        }
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log for DiskLog {
    fn append(&self, append: Append) -> Result<Pending, LogError> {
        self.usable()?;
        let weight: usize = append.batches.iter().map(Batch::weight).sum();
        let since = self.shared.clock.elapsed();
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Request { append, weight, since, reply })?;
        Ok(Pending(answer))
    }

    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        Ok(Box::new(cursor::DiskCursor::new(self.shared.clone(), stream, from)))
    }

    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        let view = self.shared.stream(stream).view.read();
        view.first().into_iter().zip(&view.next).map(|(first, next)| Extent { first, next: *next }).collect()
    }

    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        search::offset_at(&self.shared, stream, partition, time)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let mut moment = self.shared.moment.lock();
        self.shared.moved.wait_while_for(&mut moment, |now| *now == seen, timeout);
        *moment
    }

    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
        let beyond = |p: &&Position| {
            let view = self.shared.stream(p.stream).view.read();
            view.next.get(p.partition as usize).is_some_and(|next| *next < p.offset)
        };
        let lost: Vec<Position> = positions.iter().filter(beyond).copied().collect();
        if !lost.is_empty() {
            tracing::warn!(
                consumer,
                partitions = lost.len(),
                "a consumer has seen offsets that the log has lost; the ends move up"
            );
            let (done, raised) = oneshot::channel();
            self.shared.queue.raise(Raise { ends: lost, done })?;
            raised.blocking_recv().map_err(|_| LogError::Closed)?;
        }
        consumers::commit(&self.shared, consumer, positions)
    }

    fn forget(&self, consumer: &str) -> Result<(), LogError> {
        consumers::forget(&self.shared, consumer)
    }

    fn consumers(&self) -> Vec<String> {
        consumers::names(&self.shared)
    }

    fn committed<'a>(
        &'a self,
        consumer: &'a str,
        positions: &'a [Position],
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>> {
        Box::pin(async move {
            let mut turns = self.shared.commits.subscribe();
            loop {
                turns.mark_unchanged();
                if consumers::reached(&self.shared, consumer, positions) {
                    return Ok(());
                }
                self.usable()?;
                turns.changed().await.map_err(|_| LogError::Closed)?;
            }
        })
    }

    fn trim(&self) -> Result<u64, LogError> {
        retention::trim(&self.shared)
    }

    fn find(&self, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
        search::find(&self.shared, stream, id_hash)
    }

    fn id_hasher(&self) -> IdHasher {
        self.shared.hasher
    }

    fn status(&self) -> LogStatus {
        let Shared { dir, disk, clock, queue, reserve, poisoned, .. } = &*self.shared;
        let load = queue.load(clock.elapsed());
        let mut status = LogStatus {
            poisoned: poisoned.get().cloned(),
            queue_len: load.len,
            queue_bytes: load.bytes,
            queue_age_ms: load.age.as_millis() as Millis,
            free_bytes: reserve.free(disk.as_ref(), dir, clock.elapsed()),
            reserve_bytes: reserve.bytes,
            damage: self.shared.damage.lock().clone(),
            ..LogStatus::default()
        };
        for state in &self.shared.streams {
            let view: &View = &state.view.read();
            status.segments += view.segments.len() as u64;
            status.bytes += view.segments.iter().map(|s| s.index.len).sum::<u64>();
            let oldest = view.segments.iter().map(|s| s.index.first_appended).find(|t| *t != Millis::MAX);
            status.oldest = [status.oldest, oldest].into_iter().flatten().min();
        }
        status
    }

    fn join(
        &self,
        _consumer: &str,
        streams: &[StreamId],
        owner: Arc<dyn Owner>,
    ) -> Result<Box<dyn Membership>, LogError> {
        self.usable()?;
        let mut all = Vec::new();
        for id in streams {
            let count = self.shared.stream(*id).view.read().next.len() as u32;
            all.extend((0..count).map(|partition| (*id, partition)));
        }
        Ok(Box::new(alone::Alone::new(all, owner)))
    }

    fn close(&self) {
        DiskLog::close(self);
    }
}
