//! A log in Redis over one server that all tests share, each with keys of its own; and plain commands to look with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use event::{Catalog, Retention};
use log::SystemClock;
use log::clock::ManualClock;
use log::redis::{RedisLog, RedisSettings};
use services::Redis;

use crate::rig::{PARTITIONS, catalog};

/// The server that nobody stops.
pub(crate) static REDIS: LazyLock<Redis> = LazyLock::new(|| Redis::start().unwrap());

/// Keys that nobody else has, and a clock; the log is opened over them as often as a test likes, as by many processes.
pub(crate) struct RedisRig {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: RedisSettings,
    pub(crate) clock: ManualClock,
}

impl RedisRig {
    /// Over the shared server.
    pub(crate) fn new() -> Self {
        Self::at(&REDIS.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings { url: url.to_owned(), prefix, max_len: 0, ..RedisSettings::default() };
        let retention = Retention { age_ms: None, size_bytes: None };
        Self { catalog: catalog(PARTITIONS, retention), settings, clock: ManualClock::at(1_000_000_000) }
    }

    pub(crate) fn open(&self) -> RedisLog {
        let clock = Arc::new(self.clock.clone());
        RedisLog::open(self.catalog.clone(), self.settings.clone(), clock).unwrap()
    }

    /// The key of a partition of the stream of the tests.
    pub(crate) fn key(&self, partition: u32) -> String {
        format!("{}:{{things}}:{partition}", self.settings.prefix)
    }

    /// What a plain client is told.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = redis::Client::open(self.settings.url.as_str()).unwrap().get_connection().unwrap();
        let mut ask = redis::cmd(words[0]);
        for word in &words[1..] {
            ask.arg(word);
        }
        ask.query(&mut connection).unwrap()
    }

    /// A figure of the group of a consumer in a partition: `pending`, `lag`; -1 while there is no such group.
    pub(crate) fn group(&self, partition: u32, consumer: &str, figure: &str) -> i64 {
        let groups: Vec<std::collections::HashMap<String, redis::Value>> =
            self.ask(&["XINFO", "GROUPS", &self.key(partition)]);
        let named = |group: &&std::collections::HashMap<String, redis::Value>| {
            redis::from_redis_value_ref::<String>(&group["name"]).unwrap() == consumer
        };
        groups.iter().find(named).map_or(-1, |group| redis::from_redis_value_ref(&group[figure]).unwrap())
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, so: impl FnMut() -> bool) {
    crate::kafka_rig::until(what, Duration::from_secs(30), so);
}

/// An empty log over the shared server, of these streams.
pub(crate) fn fresh(catalog: Arc<Catalog>) -> RedisLog {
    RedisLog::open(catalog, RedisRig::new().settings, Arc::new(SystemClock::default())).unwrap()
}
