//! What the configuration asks for, opened: the log on disk, on Kafka or on Redis, the store on SQLite or on PostgreSQL, the
//! cache in memory or on Redis. The one place that knows which there are.

mod late;
mod probe;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use cache::Cache;
use event::Catalog;
use log::disk::{DiskLog, DiskSettings};
use log::kafka::{KafkaLog, KafkaSettings};
use log::redis::{RedisLog, RedisSettings};
use log::spool::{SpoolSettings, Spooled};
use log::{Clock, Log, LogError, RealDisk};
use store::Store;
use store::postgres::{PostgresSettings, PostgresStore};
use store::sqlite::{SqliteSettings, SqliteStore};

pub(crate) use late::Late;
pub(crate) use probe::{Finding, probe};

use crate::config::{BadConfig, CacheBackend, Kafka, LogBackend, RedisStreams, Settings, StoreBackend, hidden_url};

/// What our keys in Redis begin with.
const PREFIX: &str = "millstream";

/// Opens the log. Where a broker keeps it, a process that takes events in has a spool in front of it.
///
/// # Errors
/// When another process has the folder, a stream has another number of partitions there, or it cannot be used.
pub(crate) fn open_log(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
    let catalog = settings.catalog.clone();
    match &settings.backends.log {
        LogBackend::Disk => Ok(open_disk(&settings.data_dir, catalog, clock)?),
        LogBackend::Kafka(kafka) => {
            let log = KafkaLog::open(catalog.clone(), kafka_settings(kafka, &catalog), clock.clone());
            let log = Arc::new(log.map_err(|error| told(error, "the log on Kafka"))?);
            if !settings.roles.collect {
                return Ok(log);
            }
            let dir = spool_dir(settings);
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
            let spooled =
                Spooled::open(log.clone(), log, &dir, catalog, Arc::new(RealDisk), clock, spool_settings(settings));
            Ok(Arc::new(spooled.map_err(|error| told(error, "the spool"))?))
        }
        LogBackend::Redis(redis) => {
            let log = RedisLog::open(catalog, redis_settings(redis), clock);
            Ok(Arc::new(log.map_err(|error| told(error, "the log on Redis"))?))
        }
    }
}

/// Opens the log of a data folder, and makes the folder when it is not there.
///
/// # Errors
/// When another process has it, when a stream has another number of partitions there, or when the disk refuses.
pub(crate) fn open_disk(data_dir: &Path, catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<DiskLog>> {
    let dir = data_dir.join("log");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let log = DiskLog::open(&dir, catalog, Arc::new(RealDisk), clock, DiskSettings::default());
    Ok(Arc::new(log.map_err(|error| told(error, "the log"))?))
}

/// Opens the store.
///
/// # Errors
/// When it is not ours, another process has it, or it cannot be reached.
pub(crate) fn open_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    match &settings.backends.store {
        StoreBackend::Sqlite => Ok(Arc::new(open_sqlite(&settings.data_dir, settings.catalog.clone())?)),
        StoreBackend::Postgres { url, pool } => Ok(Arc::new(open_postgres(url, *pool, settings.catalog.clone())?)),
    }
}

/// The same for a process that serves: a database that is away is waited for, and everything else goes on.
///
/// # Errors
/// When it is not ours, or another process has it.
pub(crate) fn store_to_serve(settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Store>> {
    let StoreBackend::Postgres { url, pool } = &settings.backends.store else { return open_store(settings) };
    let (url, pool, catalog) = (url.clone(), *pool, settings.catalog.clone());
    let open = move || -> anyhow::Result<Arc<dyn Store>> { Ok(Arc::new(open_postgres(&url, pool, catalog.clone())?)) };
    match open() {
        Err(error) => match late::away(&error) {
            Some(why) => Ok(Arc::new(Late::waiting(why, Box::new(open), clock.clone())?)),
            None => Err(error),
        },
        opened => opened,
    }
}

/// Opens the store of a data folder, and makes the folder when it is not there.
///
/// # Errors
/// When the file is not ours, or another process has it.
pub(crate) fn open_sqlite(data_dir: &Path, catalog: Arc<Catalog>) -> anyhow::Result<SqliteStore> {
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make the folder {}", data_dir.display()))?;
    let path = data_dir.join("store.sqlite");
    SqliteStore::open(&path, catalog, SqliteSettings::default())
        .with_context(|| format!("cannot open the store {}", path.display()))
}

/// Opens the store in a database, and makes its tables or brings them up to date.
///
/// # Errors
/// When the database cannot be reached, or its tables are not ours.
pub(crate) fn open_postgres(url: &str, pool: u32, catalog: Arc<Catalog>) -> anyhow::Result<PostgresStore> {
    let store = PostgresStore::open(catalog, postgres_settings(url, pool));
    store.with_context(|| format!("cannot open the store {}", hidden_url(url)))
}

/// Opens the cache. A server that is away is no hindrance.
///
/// # Errors
/// When its address is none.
pub(crate) fn open_cache(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Cache>> {
    let now: cache::Now = Arc::new(move || clock.elapsed());
    match &settings.backends.cache {
        CacheBackend::Memory => Ok(cache::open_memory(now)),
        CacheBackend::Redis { url } => {
            cache::open_redis(url, now).with_context(|| format!("cannot use the cache {}", hidden_url(url)))
        }
    }
}

/// Where what waits for the broker is.
pub(crate) fn spool_dir(settings: &Settings) -> PathBuf {
    settings.backends.spool.dir.clone().unwrap_or_else(|| settings.data_dir.join("spool"))
}

fn spool_settings(settings: &Settings) -> SpoolSettings {
    let spool = &settings.backends.spool;
    SpoolSettings { bytes_max: spool.bytes_max, age_max_ms: spool.age_max_ms }
}

fn kafka_settings(kafka: &Kafka, catalog: &Catalog) -> KafkaSettings {
    KafkaSettings { describe: collect::describe(catalog), ..kafka.settings() }
}

fn redis_settings(redis: &RedisStreams) -> RedisSettings {
    let RedisStreams { url, max_len, retention_ms } = redis.clone();
    RedisSettings { url, prefix: PREFIX.to_owned(), max_len, retention_ms }
}

pub(crate) fn postgres_settings(url: &str, pool: u32) -> PostgresSettings {
    PostgresSettings { url: url.to_owned(), pool, ..PostgresSettings::default() }
}

/// What keeps a log from being opened, with what can be done about it.
fn told(error: LogError, what: &str) -> anyhow::Error {
    match error {
        LogError::Locked(path) => {
            anyhow::anyhow!("{path} is in use by another process: stop it, or use another --data-dir")
        }
        LogError::Partitions { ref stream, on_disk, .. } => {
            let (path, hint) = (format!("streams.{stream}.partitions"), format!("write {on_disk}, or use another log"));
            BadConfig::one(&path, error.to_string(), hint).into()
        }
        error => anyhow::Error::new(error).context(format!("cannot open {what}")),
    }
}
