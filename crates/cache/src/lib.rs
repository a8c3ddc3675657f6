//! Live values that are kept for a while, and news that processes tell each other: in memory, or in Redis.
//!
//! Nothing here is the truth of anything: what is lost comes again with the next event. So no call waits for long, none
//! fails, and without Redis a process goes on with what it knows itself.

mod error;
mod keys;
mod memory;
mod redis;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use error::CacheError;
pub use keys::{LiveKey, PROCESSES, field};
pub use topics::Subscription;

/// The fields of one key, by name.
pub type Fields = BTreeMap<String, String>;

/// Time since an arbitrary start, that never goes back.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What hears of a topic. It is called by whoever publishes, or by the thread that hears from other processes: it must be
/// quick, and must not publish.
pub type Listener = Box<dyn Fn(&[u8]) + Send + Sync>;

/// How a cache is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// `memory` or `redis`.
    pub backend: &'static str,
    /// Why the server is left alone just now; `None` while it is used, and for memory.
    pub away: Option<String>,
    /// Keys in memory.
    pub keys: usize,
    /// Changes that wait for the server.
    pub waiting: usize,
    /// Changes that were dropped because too many waited or the server refuses them.
    pub dropped: u64,
}

/// Live values and news. No verb blocks for longer than 0.2 s, and none fails: what cannot be had is not there.
pub trait Cache: Send + Sync + 'static {
    /// Sets these fields of a key and leaves its others; all of it is forgotten after `ttl` without another change.
    fn put(&self, key: &str, fields: &[(&str, String)], ttl: Duration);

    /// Adds to fields that are whole numbers, from 0 on; several processes may add at once.
    fn add(&self, key: &str, fields: &[(&str, i64)], ttl: Duration);

    /// The fields of a key; `None` when it is unknown or forgotten. What this process has put is seen.
    fn get(&self, key: &str) -> Option<Fields>;

    /// Puts a member on a list for `ttl`.
    fn enlist(&self, list: &str, member: &str, ttl: Duration);

    /// Who is on a list, in order.
    fn listed(&self, list: &str) -> Vec<String>;

    /// Tells all listeners of a topic, once each, here and in other processes; those of other processes hear it when both
    /// reach the server.
    fn publish(&self, topic: &str, news: &[u8]);

    /// Hears of a topic until the subscription is dropped.
    fn subscribe(&self, topic: &str, listener: Listener) -> Subscription;

    /// How it is.
    fn status(&self) -> CacheStatus;
}

/// A cache in the memory of this process, of [`memory::KEYS_MAX`] keys at the most: those that would be forgotten first go
/// first.
pub fn open_memory(now: Now) -> Arc<dyn Cache> {
    Arc::new(memory::Memory::new(now))
}

/// A cache in Redis, `redis://[user:password@]host:port[/database]`, shared by all processes that name it. It need not be
/// there: until it is, and whenever it is away, this is a cache in memory.
///
/// # Errors
/// [`CacheError::Address`] when that is no address, [`CacheError::Thread`] when the system has no thread left.
pub fn open_redis(url: &str, now: Now) -> Result<Arc<dyn Cache>, CacheError> {
    Ok(Arc::new(redis::RedisCache::open(url, now)?))
}
