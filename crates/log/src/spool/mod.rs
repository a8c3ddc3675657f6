//! Store and forward: while the broker that keeps a log is away, the disk takes what comes.
//!
//! [`Spooled`] is a log around a broker's. As long as the broker answers, it only keeps requests until they have their
//! answers (`way`, `core`). When the broker is away, those without one go to a log on disk, in order, and so does all that
//! comes, answered once it is durable there; offsets are not known then, so such an answer has no ranges. When the broker is
//! back, the disk is drained (`drain`): in order within each partition, position by position, and what comes goes on to the
//! disk, behind it. For the last moment what comes waits, some milliseconds; then it goes to the broker again.
//!
//! Nothing is sent twice for all that is known: every record can be told (`identity`), what may be with the broker without
//! our knowing is looked for there before it is sent ([`Tail`]), and what is about to be sent is kept on disk before
//! (`progress`). What is left is a request that a broker takes late, after it was given up; readers leave such copies out.
//!
//! The bounds are [`SpoolSettings`]: a spool that is full, or whose broker has been away for too long, refuses. What has
//! waited for too long when the broker is back becomes a dead letter. Nothing is ever deleted without.
//!
//! How much it takes, measured with signals of 384 bytes over 6 partitions as LZ4 leaves them. A request of one event is a
//! frame of its own when nobody else sends, and so small that it stays as it is: that is the worst case, and the default of
//! 2 GiB holds 30 minutes of it. zstd was not chosen: the worst case would be no better, and the others have room enough.
//!
//! | at 2 000 events a second | requests of 1 event | of 10 | of 100 |
//! |---|---|---|---|
//! | a million events | 503 MB | 191 MB | 133 MB |
//! | 30 minutes | 1.81 GB | 0.69 GB | 0.48 GB |
//! | an hour | 3.6 GB | 1.4 GB | 0.96 GB |
//! | 100 MB last for | 1 min 39 s | 4 min 21 s | 6 min 15 s |

mod bounds;
mod core;
mod drain;
mod figures;
mod floors;
mod identity;
mod open;
mod progress;
mod ready;
mod way;
mod window;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use event::{Batch, Catalog, Millis, Position, StreamId};
use parking_lot::Mutex;

use crate::{
    Append, Clock, Cursor, Disk, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending, SpoolStatus,
};
pub use bounds::{SpoolSettings, lasts};
use core::Core;
pub use identity::{Identity, ORIGIN, Origins, Tail};
use way::Way;

/// A log that a broker keeps, with a spool in front of it.
pub struct Spooled {
    core: Arc<Core>,
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
}

impl Spooled {
    /// Puts a spool in this folder in front of a broker's log. What waits in the folder is drained once the broker is there.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has the folder; [`LogError::Partitions`] when something waits there for a
    /// stream with another number of partitions; [`LogError::Disk`] when the folder cannot be used.
    pub fn open(
        inner: Arc<dyn Log>,
        tail: Arc<dyn Tail>,
        dir: &Path,
        catalog: Arc<Catalog>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: SpoolSettings,
    ) -> Result<Self, LogError> {
        let core = Arc::new(open::open(inner, tail, dir, catalog, disk, clock, settings)?);
        let (relay, drain) = (core.clone(), core.clone());
        let failed =
            |error: std::io::Error| LogError::Disk { path: dir.display().to_string(), message: error.to_string() };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let drain = thread("spool-drain").spawn(move || drain::run(&drain)).map_err(failed)?;
        let relay = thread("spool-relay").spawn(move || relay.relay()).map_err(failed)?;
        Ok(Self { core, threads: Mutex::new(Some([drain, relay])) })
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.close();
    }
}

/// Where the broker's partitions end, as far as it is there to tell.
fn ends(inner: &dyn Log, catalog: &Catalog) -> floors::Offsets {
    let there = inner.status().away.is_none();
    let of = |(id, stream): (StreamId, &event::Stream)| {
        let extents = if there { inner.extents(id) } else { Vec::new() };
        (0..stream.partitions as usize).map(|p| extents.get(p).map(|extent| extent.next)).collect()
    };
    catalog.iter().map(of).collect()
}

impl Log for Spooled {
    fn append(&self, request: Append) -> Result<Pending, LogError> {
        self.core.append(request)
    }

    fn publish(&self, batch: Batch) -> Result<Pending, LogError> {
        // Not into the spool: who publishes keeps it and asks again.
        self.core.inner.publish(batch)
    }

    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        self.core.inner.read(stream, from)
    }

    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        self.core.inner.extents(stream)
    }

    fn knows_extents(&self, stream: StreamId) -> bool {
        self.core.inner.knows_extents(stream)
    }

    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        self.core.inner.offset_at(stream, partition, time)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.core.inner.wait(seen, timeout)
    }

    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
        self.core.inner.commit(consumer, positions)
    }

    fn forget(&self, consumer: &str) -> Result<(), LogError> {
        self.core.inner.forget(consumer)
    }

    fn consumers(&self) -> Vec<String> {
        self.core.inner.consumers()
    }

    fn committed<'a>(
        &'a self,
        consumer: &'a str,
        positions: &'a [Position],
    ) -> Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>> {
        // Without positions the events may be in the spool, or were a moment ago; with some, their first copies may be.
        if positions.is_empty() || self.core.undrained() > 0 {
            return Box::pin(std::future::ready(Err(LogError::Away("events wait in the spool".to_owned()))));
        }
        self.core.inner.committed(consumer, positions)
    }

    fn trim(&self) -> Result<u64, LogError> {
        self.core.inner.trim()
    }

    fn find(&self, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
        self.core.inner.find(stream, id_hash)
    }

    fn id_hasher(&self) -> IdHasher {
        self.core.inner.id_hasher()
    }

    fn status(&self) -> LogStatus {
        let core = &*self.core;
        let (mut status, disk) = (core.inner.status(), core.spool.status());
        let records = core.undrained();
        let (spooling, draining, (len, bytes, since)) = {
            let state = core.state.lock();
            (state.way == Way::Disk, state.draining, state.load())
        };
        status.queue_len += len + disk.queue_len;
        status.queue_bytes += bytes + disk.queue_bytes;
        let age =
            since.map_or(Duration::ZERO, |since| core.clock.elapsed().saturating_sub(since)).as_millis() as Millis;
        status.queue_age_ms = status.queue_age_ms.max(age);
        status.damage.extend(disk.damage);
        if spooling {
            // Only now does what befalls this disk befall the log.
            status.poisoned = status.poisoned.or(disk.poisoned.map(|reason| format!("the spool failed: {reason}")));
            (status.free_bytes, status.reserve_bytes) = (disk.free_bytes, disk.reserve_bytes);
        }
        status.spool = Some(SpoolStatus {
            bytes: disk.bytes,
            bytes_max: core.settings.bytes_max,
            records,
            oldest: core.oldest().filter(|_| records > 0),
            draining,
        });
        status
    }

    fn is_dense(&self) -> bool {
        self.core.inner.is_dense()
    }

    fn join(
        &self,
        consumer: &str,
        streams: &[StreamId],
        owner: Arc<dyn Owner>,
    ) -> Result<Box<dyn Membership>, LogError> {
        self.core.inner.join(consumer, streams, owner)
    }

    fn close(&self) {
        let Some([drain, relay]) = self.threads.lock().take() else { return };
        self.core.stop_drain();
        let drained = drain.join();
        self.core.finish();
        if drained.and_then(|()| relay.join()).is_err() {
            tracing::error!("a thread of the spool panicked");
        }
        self.core.spool.close();
        self.core.inner.close();
    }
}
