//! The log on Redis Streams: a key for each partition, a consumer group for each consumer.
//!
//! `writer` and `pack` take requests in, `cursor` and `entries` give records out, `keeper` keeps positions and hears what
//! other processes do, `members` shares partitions among processes. What must not be torn is a script: see `keys`.
//!
//! An answer is as durable as Redis is set up to be (`appendonly`, `appendfsync`): opening says so. One server, with
//! replicas or without; no Redis Cluster, since a request may go to several streams at once.

mod cursor;
mod entries;
mod keeper;
mod keys;
mod link;
mod members;
mod open;
mod pack;
mod refresh;
mod search;
mod shared;
mod trim;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use event::{Batch, Catalog, Millis, Position, StreamId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::queue::Request;
use crate::{Append, Clock, Cursor, Extent, IdHasher, Log, LogError, LogStatus, Membership, Owner, Pending};
use shared::Shared;

/// How the log in Redis behaves. Shown for looking at it, the address is without name and password.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://…` for TLS.
    pub url: String,
    /// What all keys begin with.
    pub prefix: String,
    /// Records of a stream that may wait to be processed: with so many, an append is [`LogError::Busy`]. 0 sets no bound.
    pub max_len: u64,
    /// How long records are kept, in milliseconds, where their stream does not say less. What a consumer has not come past
    /// is kept longer.
    pub retention_ms: Millis,
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, prefix, max_len, retention_ms } = self;
        // Of an address of a socket the password stands behind the question mark.
        let place = url.split('?').next().and_then(|rest| rest.rsplit('@').next()).unwrap_or_default();
        f.debug_struct("RedisSettings")
            .field("place", &place)
            .field("prefix", prefix)
            .field("max_len", max_len)
            .field("retention_ms", retention_ms)
            .finish()
    }
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            prefix: "millstream".to_owned(),
            max_len: 50_000,
            retention_ms: 3 * 24 * 3_600 * 1_000,
        }
    }
}

/// A log in Redis; several processes may have it open at once.
pub struct RedisLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl RedisLog {
    /// Opens the log, makes it when there is none.
    ///
    /// # Errors
    /// [`LogError::Away`] when Redis does not answer; [`LogError::Refused`] when the address is none or Redis is older than
    /// 7; [`LogError::Partitions`] when a stream was made with another number of partitions.
    pub fn open(catalog: Arc<Catalog>, settings: RedisSettings, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        open::open(catalog, settings, clock)
    }
}

/// What Redis is there, and what an answer of a log in it is worth, as a sentence.
///
/// # Errors
/// As [`RedisLog::open`].
pub fn probe(settings: &RedisSettings) -> Result<String, LogError> {
    open::probe(settings)
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log for RedisLog {
    fn append(&self, append: Append) -> Result<Pending, LogError> {
        self.shared.usable()?;
        let weight: usize = append.batches.iter().map(Batch::weight).sum();
        let since = self.shared.clock.elapsed();
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Request { append, weight, since, reply })?;
        Ok(Pending(answer))
    }

    fn read(&self, stream: StreamId, from: &[(u32, u64)]) -> Result<Box<dyn Cursor>, LogError> {
        Ok(Box::new(cursor::RedisCursor::new(self.shared.clone(), stream, from)))
    }

    fn extents(&self, stream: StreamId) -> Vec<Extent> {
        self.shared.known.lock()[usize::from(stream.0)].extents.clone()
    }

    fn offset_at(&self, stream: StreamId, partition: u32, time: Millis) -> Result<u64, LogError> {
        search::offset_at(&self.shared, stream, partition, time)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let mut moment = self.shared.moment.lock();
        self.shared.moved.wait_while_for(&mut moment, |now| *now == seen && !self.shared.is_closed(), timeout);
        *moment
    }

    fn commit(&self, consumer: &str, positions: &[Position]) -> Result<(), LogError> {
        if self.shared.is_closed() {
            return Err(LogError::Closed);
        }
        for (id, stream) in self.shared.catalog.iter() {
            let extents = self.extents(id);
            let beyond = |p: &&Position| extents.get(p.partition as usize).is_some_and(|extent| extent.next < p.offset);
            let of = positions.iter().filter(|p| p.stream == id);
            let ends: Vec<_> = of.filter(beyond).map(|p| (p.partition, p.offset)).collect();
            if ends.is_empty() {
                continue;
            }
            // Others may have appended what is not known here yet: the script knows.
            self.shared.link.call(|connection| refresh::raise(&self.shared, connection, &stream.name, &ends))?;
            self.shared.note_ends(id, ends.into_iter());
        }
        self.shared.note_commit(consumer, positions);
        Ok(())
    }

    fn forget(&self, consumer: &str) -> Result<(), LogError> {
        let _saving = self.shared.saving.lock();
        self.shared.unsaved.lock().remove(consumer);
        if self.shared.positions.lock().remove(consumer).is_none() {
            return Ok(());
        }
        self.shared.link.call(|connection| {
            let mut call = self.shared.scripts.forget.prepare_invoke();
            call.key(&self.shared.keys.prefix).arg(consumer);
            for (_, stream) in self.shared.catalog.iter() {
                call.arg(&stream.name).arg(stream.partitions);
            }
            call.invoke::<()>(connection)
        })
    }

    fn consumers(&self) -> Vec<String> {
        self.shared.positions.lock().keys().cloned().collect()
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
                if self.shared.has_reached(consumer, positions) {
                    return Ok(());
                }
                if self.shared.is_closed() {
                    return Err(LogError::Closed);
                }
                turns.changed().await.map_err(|_| LogError::Closed)?;
            }
        })
    }

    fn trim(&self) -> Result<u64, LogError> {
        trim::trim(&self.shared)
    }

    fn find(&self, stream: StreamId, id_hash: u128) -> Result<Option<Position>, LogError> {
        search::find(&self.shared, stream, id_hash)
    }

    fn id_hasher(&self) -> IdHasher {
        self.shared.hasher
    }

    fn status(&self) -> LogStatus {
        let load = self.shared.queue.load(self.shared.clock.elapsed());
        let known = self.shared.known.lock();
        LogStatus {
            bytes: known.iter().map(|stream| stream.bytes).sum(),
            oldest: known.iter().filter_map(|stream| stream.oldest).min(),
            queue_len: load.len,
            queue_bytes: load.bytes,
            queue_age_ms: load.age.as_millis() as Millis,
            away: self.shared.link.away(),
            ..LogStatus::default()
        }
    }

    fn join(
        &self,
        consumer: &str,
        streams: &[StreamId],
        owner: Arc<dyn Owner>,
    ) -> Result<Box<dyn Membership>, LogError> {
        if self.shared.is_closed() {
            return Err(LogError::Closed);
        }
        members::join(&self.shared, consumer, streams, owner)
    }

    fn close(&self) {
        // What waits is written before anything else stops.
        self.shared.queue.close();
        let mut threads: Vec<_> = self.threads.lock().drain(..).collect();
        if threads.is_empty() {
            return;
        }
        let others = threads.split_off(1);
        join_all(threads);
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.closing.notify_all();
        self.shared.wake_keeper();
        // Who listens for news hears that it is over.
        let news = self.shared.keys.global("news");
        if self.shared.link.away().is_none()
            && let Err(error) =
                self.shared.link.call(|connection| redis::cmd("PUBLISH").arg(&news).arg("x").exec(connection))
        {
            tracing::debug!(%error, "the last news did not get through");
        }
        join_all(others);
        self.shared.publish();
        self.shared.commits.send_modify(|n| *n += 1);
    }
}

fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the log in Redis panicked");
        }
    }
}

/// Tells processes and members apart.
fn fresh_token() -> String {
    format!("{:016x}", fastrand::Rng::new().u64(..))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LogError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| LogError::Refused(format!("a thread for Redis: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shown_without_the_password() {
        for (url, place) in [
            ("redis://me:sec@ret@there:6379/2", "there:6379/2"),
            ("redis+unix:///run/redis.sock?pass=sec@ret", "redis+unix:///run/redis.sock"),
            ("redis://there:6379", "redis://there:6379"),
        ] {
            let shown = format!("{:?}", RedisSettings { url: url.to_owned(), ..RedisSettings::default() });
            assert!(shown.contains(&format!("place: \"{place}\", prefix")), "{shown}");
        }
    }
}
