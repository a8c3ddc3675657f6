//! The cache in Redis: changes go through a queue and a thread, so that nobody waits for them; questions go straight there,
//! with a short bound. All that this process knows itself is in memory too, and serves while Redis is away.

mod changes;
mod news;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use redis::{Client, Connection, RedisError, RedisResult};

use crate::memory::Memory;
use crate::{Cache, CacheError, CacheStatus, Fields, Listener, Now, Subscription};
use changes::{Change, Changes};

/// How long a question may take, and a connection: half of what a call may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);
/// How long a question waits for what this process has put before.
const OWN_WITHIN: Duration = Duration::from_millis(50);
/// Connections that are kept for questions.
const IDLE_MAX: usize = 8;
/// Who is on a list, by the clock of Redis.
const LISTED: &str = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZRANGE', KEYS[1], 0, -1)";

/// What the threads share.
struct Shared {
    client: Client,
    memory: Memory,
    now: Now,
    changes: Changes,
    idle: Mutex<Vec<Connection>>,
    /// Why Redis is left alone: only the thread of changes tries then.
    away: Mutex<Option<String>>,
    /// This process among those that publish.
    token: [u8; 16],
    closed: AtomicBool,
    pauses: Mutex<()>,
    closing: Condvar,
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(ANSWER_WITHIN)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        connection.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(connection)
    }

    /// Takes note of trouble.
    fn lost(&self, error: &RedisError) {
        self.idle.lock().clear();
        let mut away = self.away.lock();
        if away.is_none() {
            tracing::warn!(%error, "Redis cannot be reached; live values come from memory");
        }
        *away = Some(error.to_string());
    }

    fn reached(&self) {
        if self.away.lock().take().is_some() {
            tracing::info!("Redis can be reached again; live values are shared");
        }
    }

    /// Asks Redis, unless it is away.
    fn ask<T>(&self, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> Option<T> {
        if self.away.lock().is_some() || !self.changes.wait_done(OWN_WITHIN) {
            return None;
        }
        let kept = self.idle.lock().pop();
        let asked = |connection: RedisResult<Connection>| {
            let mut connection = connection?;
            let value = ask(&mut connection)?;
            let mut idle = self.idle.lock();
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
            Ok(value)
        };
        let answer: RedisResult<T> = asked(kept.map_or_else(|| self.connect(), Ok));
        answer.inspect_err(|error| self.lost(error)).ok()
    }

    fn pause(&self, duration: Duration) {
        let mut pauses = self.pauses.lock();
        if !self.is_closed() {
            self.closing.wait_for(&mut pauses, duration);
        }
    }
}

pub(crate) struct RedisCache {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl RedisCache {
    /// Makes no connection itself.
    pub(crate) fn open(url: &str, now: Now) -> Result<Self, CacheError> {
        let client = Client::open(url).map_err(|error| CacheError::Address(error.to_string()))?;
        let shared = Arc::new(Shared {
            client,
            memory: Memory::new(now.clone()),
            now,
            changes: Changes::default(),
            idle: Mutex::default(),
            // Until the thread of changes has reached it.
            away: Mutex::new(Some("it was not reached yet".to_owned())),
            token: fresh_token(),
            closed: AtomicBool::new(false),
            pauses: Mutex::default(),
            closing: Condvar::new(),
        });
        let mut cache = Self { shared: shared.clone(), threads: Vec::new() };
        // The first connection is made here when it can be had at once: what is asked next finds Redis.
        match shared.connect() {
            Ok(connection) => {
                shared.idle.lock().push(connection);
                shared.reached();
            }
            Err(error) => shared.lost(&error),
        }
        let of = shared.clone();
        cache.threads.push(spawn("cache-changes", move || changes::send(&of))?);
        cache.threads.push(spawn("cache-news", move || news::hear(&shared))?);
        Ok(cache)
    }

    fn change(&self, change: Change) {
        self.shared.changes.push((self.shared.now)(), change);
    }
}

impl Cache for RedisCache {
    fn put(&self, key: &str, fields: &[(&str, String)], ttl: Duration) {
        self.shared.memory.put(key, fields, ttl);
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.change(Change::Put { key: key.to_owned(), fields, ttl });
    }

    fn add(&self, key: &str, fields: &[(&str, i64)], ttl: Duration) {
        self.shared.memory.add(key, fields, ttl);
        let fields = fields.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect();
        self.change(Change::Add { key: key.to_owned(), fields, ttl });
    }

    fn get(&self, key: &str) -> Option<Fields> {
        let found = self.shared.ask(|connection| redis::cmd("HGETALL").arg(key).query::<Fields>(connection));
        found.map_or_else(|| self.shared.memory.get(key), |fields| Some(fields).filter(|fields| !fields.is_empty()))
    }

    fn enlist(&self, list: &str, member: &str, ttl: Duration) {
        self.shared.memory.enlist(list, member, ttl);
        self.change(Change::Enlist { list: list.to_owned(), member: member.to_owned(), ttl });
    }

    fn listed(&self, list: &str) -> Vec<String> {
        let asked = |connection: &mut Connection| {
            redis::cmd("EVAL").arg(LISTED).arg(1).arg(list).query::<Vec<String>>(connection)
        };
        let members = self.shared.ask(asked).map(|mut members| {
            members.sort_unstable();
            members
        });
        members.unwrap_or_else(|| self.shared.memory.listed(list))
    }

    fn publish(&self, topic: &str, news: &[u8]) {
        self.shared.memory.publish(topic, news);
        let mut signed = self.shared.token.to_vec();
        signed.extend_from_slice(news);
        self.change(Change::Publish { channel: news::channel(topic), signed });
    }

    fn subscribe(&self, topic: &str, listener: Listener) -> Subscription {
        self.shared.memory.subscribe(topic, listener)
    }

    fn status(&self) -> CacheStatus {
        let (waiting, dropped) = self.shared.changes.load();
        let away = self.shared.away.lock().clone();
        CacheStatus { backend: "redis", away, waiting, dropped, ..self.shared.memory.status() }
    }
}

impl Drop for RedisCache {
    /// What waits is sent once more, if Redis is there.
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.closing.notify_all();
        self.shared.changes.wake();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the cache panicked");
            }
        }
    }
}

/// 16 hexadecimal digits that no other process has.
fn fresh_token() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher};
    let chance = std::hash::RandomState::new().build_hasher().finish();
    let mut token = [0; 16];
    token.copy_from_slice(format!("{chance:016x}").as_bytes());
    token
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, CacheError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| CacheError::Thread(error.to_string()))
}
