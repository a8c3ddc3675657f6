//! Every back end tried, for who checks a configuration: each with what there is, or why it cannot be used.

use std::sync::Arc;
use std::time::Duration;

use log::{Clock, RealDisk, SystemClock, disk};
use serde::Serialize;

use super::{kafka_settings, open_cache, postgres_settings, redis_settings, spool_dir};
use crate::config::{CacheBackend, LogBackend, Settings, StoreBackend, hidden_url};

/// How long a cache has for its answer.
const CACHE: Duration = Duration::from_secs(3);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// What was found of one of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was tried.
    pub(crate) name: &'static str,
    /// Whether it can be used.
    pub(crate) ok: bool,
    /// What there is, or why it cannot.
    pub(crate) message: String,
}

impl Finding {
    fn of(name: &'static str, found: Result<String, String>) -> Self {
        let (ok, message) = found.map_or_else(|why| (false, why), |what| (true, what));
        Self { name, ok, message }
    }
}

/// Tries broker, database and cache, and reads every byte of what is on this machine. Makes nothing, and may run beside a
/// server.
pub(crate) fn probe(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![log(settings)];
    if settings.backends.are_spooled() && settings.roles.collect {
        findings.push(Finding::of("spool", folder(&spool_dir(settings), "nothing waits")));
    }
    findings.push(store(settings));
    findings.push(cache(settings));
    findings
}

fn log(settings: &Settings) -> Finding {
    let found = match &settings.backends.log {
        LogBackend::Disk => folder(&settings.data_dir.join("log"), "empty; `serve` makes it"),
        LogBackend::Kafka(kafka) => {
            log::kafka::probe(&kafka_settings(kafka, &settings.catalog)).map_err(|error| error.to_string())
        }
        LogBackend::Redis(redis) => log::redis::probe(&redis_settings(redis)).map_err(|error| error.to_string()),
    };
    Finding::of("log", found)
}

/// A log's folder, verified.
fn folder(dir: &std::path::Path, empty: &str) -> Result<String, String> {
    if !dir.is_dir() {
        return Ok(format!("{}: {empty}", dir.display()));
    }
    let verified = disk::verify(&RealDisk, dir, &mut |_, _| {}).map_err(|error| error.to_string())?;
    let (segments, records, damaged) = (verified.segments, verified.records, verified.damaged.len());
    let found = format!("{}: {segments} segments, {records} records", dir.display());
    if damaged == 0 {
        Ok(found)
    } else {
        Err(format!("{found}, {damaged} damaged places; `millstream log verify` names them"))
    }
}

fn store(settings: &Settings) -> Finding {
    let found = match &settings.backends.store {
        StoreBackend::Sqlite => {
            let path = settings.data_dir.join("store.sqlite");
            let there = if path.is_file() { "there" } else { "not there; `serve` makes it" };
            Ok(format!("{}: {there}", path.display()))
        }
        StoreBackend::Postgres { url, pool } => {
            store::postgres::probe(&postgres_settings(url, *pool)).map_err(|error| error.to_string())
        }
    };
    Finding::of("store", found)
}

fn cache(settings: &Settings) -> Finding {
    let CacheBackend::Redis { url } = &settings.backends.cache else {
        return Finding::of("cache", Ok("in memory".to_owned()));
    };
    let shown = hidden_url(url);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let found = open_cache(settings, clock.clone()).map_err(|error| format!("{error:#}")).and_then(|cache| {
        // It connects by itself, beside us.
        loop {
            match cache.status().away {
                None => return Ok(format!("{shown}: there")),
                Some(why) if clock.elapsed() > CACHE => return Err(format!("{shown}: {why}")),
                Some(_) => clock.sleep(LOOK),
            }
        }
    });
    Finding::of("cache", found)
}
