//! Opening the log in Redis: what Redis is and promises, the seed, the streams, the threads. And the same asked only.

use std::collections::HashMap;
use std::sync::Arc;

use event::Catalog;
use parking_lot::Mutex;
use redis::{Connection, RedisResult};

use super::keys::{Keys, Scripts};
use super::link::Link;
use super::shared::{Known, Shared};
use super::writer::Writer;
use super::{RedisLog, RedisSettings, fresh_token, keeper, refresh, spawn};
use crate::{Clock, Extent, IdHasher, LogError};

/// Streams with ids that Redis counts on (`0-*`) came with this one.
const VERSION_MIN: u32 = 7;

/// What a Redis server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Promise {
    version: String,
    /// `appendonly`; empty where the server does not tell.
    appendonly: String,
    /// `appendfsync`; likewise.
    appendfsync: String,
    /// Whether it throws keys away when its memory is full.
    evicts: bool,
}

impl Promise {
    fn ask(connection: &mut Connection) -> RedisResult<Self> {
        let info: String = redis::cmd("INFO").arg("server").query(connection)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("").to_owned();
        // Not every provider lets one ask.
        let mut config = |name: &str| -> RedisResult<String> {
            let found = redis::cmd("CONFIG").arg("GET").arg(name).query::<HashMap<String, String>>(connection);
            match found {
                Ok(found) => Ok(found.into_values().next().unwrap_or_default()),
                Err(error) if super::link::is_away(&error) => Err(error),
                Err(_) => Ok(String::new()),
            }
        };
        let (appendonly, appendfsync) = (config("appendonly")?, config("appendfsync")?);
        let bounded = !matches!(config("maxmemory")?.as_str(), "" | "0");
        let evicts = bounded && !matches!(config("maxmemory-policy")?.as_str(), "" | "noeviction");
        Ok(Self { version, appendonly, appendfsync, evicts })
    }

    fn is_new_enough(&self) -> bool {
        self.version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_none_or(|major: u32| major >= VERSION_MIN)
    }

    /// What an answer of the log is worth.
    fn worth(&self) -> &'static str {
        match (self.appendonly.as_str(), self.appendfsync.as_str()) {
            ("yes", "always") => "what is answered is on its disk",
            ("yes", "no") => {
                "what is answered may be lost when its machine fails, as far back as the system has not written"
            }
            ("yes", _) => "up to a second of what is answered may be lost when its machine fails",
            ("", _) => "it does not tell whether it keeps what is answered",
            _ => "what is answered is lost when it stops: set `appendonly yes`",
        }
    }

    fn warn(&self) {
        match (self.appendonly.as_str(), self.appendfsync.as_str()) {
            ("yes", "always") => {}
            ("yes" | "", _) => tracing::warn!(
                appendonly = self.appendonly,
                appendfsync = self.appendfsync,
                "the log is as durable as Redis is set up to be: {}",
                self.worth()
            ),
            _ => tracing::error!(
                appendonly = self.appendonly,
                "REDIS DOES NOT KEEP THE LOG: appendonly is off, an answer says nothing of durability"
            ),
        }
        if self.evicts {
            tracing::error!("REDIS MAY THROW THE LOG AWAY: set `maxmemory-policy noeviction`");
        }
    }
}

/// Opens the log; see [`RedisLog::open`].
pub(super) fn open(
    catalog: Arc<Catalog>,
    settings: RedisSettings,
    clock: Arc<dyn Clock>,
) -> Result<RedisLog, LogError> {
    let link = Link::new(&settings.url)?;
    let keys = Keys { prefix: settings.prefix.clone() };
    let promise = link.call(Promise::ask)?;
    if !promise.is_new_enough() {
        return Err(too_old(&promise));
    }
    promise.warn();
    let fresh = fastrand::Rng::new().u64(..);
    let seed = link.call(|connection| {
        let key = keys.global("seed");
        redis::cmd("SET").arg(&key).arg(fresh).arg("NX").exec(connection)?;
        redis::cmd("GET").arg(&key).query(connection)
    })?;
    for (_, stream) in catalog.iter() {
        let key = keys.of_stream(&stream.name, "meta");
        let there: u32 = link.call(|connection| {
            redis::cmd("HSETNX").arg(&key).arg("partitions").arg(stream.partitions).exec(connection)?;
            redis::cmd("HGET").arg(&key).arg("partitions").query(connection)
        })?;
        if there != stream.partitions {
            let (stream, configured) = (stream.name.clone(), stream.partitions);
            return Err(LogError::Partitions { stream, on_disk: there, configured });
        }
    }
    let known = |partitions: u32| Known { extents: vec![Extent::default(); partitions as usize], ..Known::default() };
    let known = catalog.iter().map(|(_, stream)| known(stream.partitions)).collect();
    let shared = Arc::new(Shared {
        known: Mutex::new(known),
        hasher: IdHasher::new(seed),
        token: fresh_token(),
        commits: tokio::sync::watch::Sender::new(0),
        scripts: Scripts::default(),
        positions: Mutex::default(),
        unsaved: Mutex::default(),
        saving: Mutex::default(),
        queue: Default::default(),
        moment: Mutex::new(1),
        moved: Default::default(),
        due: Mutex::default(),
        work: Default::default(),
        owned: Mutex::default(),
        members: Mutex::default(),
        gave_up: Default::default(),
        closed: Default::default(),
        pauses: Mutex::default(),
        closing: Default::default(),
        catalog,
        clock,
        settings,
        link,
        keys,
    });
    shared.link.call(|connection| refresh::refresh(&shared, connection))?;
    start(shared)
}

fn start(shared: Arc<Shared>) -> Result<RedisLog, LogError> {
    let log = RedisLog { shared: shared.clone(), threads: Mutex::default() };
    let of = shared.clone();
    log.threads.lock().push(spawn("redis-writer", move || Writer::new(of).run())?);
    let of = shared.clone();
    log.threads.lock().push(spawn("redis-keeper", move || keeper::keep(&of))?);
    log.threads.lock().push(spawn("redis-news", move || keeper::hear(&shared))?);
    Ok(log)
}

/// See [`super::probe`].
pub(super) fn probe(settings: &RedisSettings) -> Result<String, LogError> {
    let link = Link::new(&settings.url)?;
    let promise = link.call(Promise::ask)?;
    if !promise.is_new_enough() {
        return Err(too_old(&promise));
    }
    let throws = if promise.evicts { "; it may throw records away when its memory is full" } else { "" };
    Ok(format!("Redis {} at {}: {}{throws}", promise.version, link.place(), promise.worth()))
}

fn too_old(promise: &Promise) -> LogError {
    LogError::Refused(format!("Redis {} is too old, the log needs {VERSION_MIN} or newer", promise.version))
}
