//! Databases on real servers for the tests: one server a test binary, and a wiped database a test.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use postgres::{Client, NoTls};
use services::{Postgres, Timescale};
use store::Store;
use store::postgres::{PostgresSettings, PostgresStore};

use crate::data::*;

/// Everything that tests put into a database.
const TABLES: &str = "events, owners, positions, snapshots, anomaly, dead_letter, windows, late_events, outbox, batch_stats, event_counts";

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().unwrap_or_else(|missing| panic!("{missing}")));
/// Databases that no test uses now.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// One connection at a time: a test has it for as long as it runs.
static TIMESCALE: LazyLock<Mutex<Timescale>> =
    LazyLock::new(|| Mutex::new(Timescale::start().unwrap_or_else(|missing| panic!("{missing}"))));

/// A database on a server.
pub(crate) struct Live {
    pub(crate) settings: PostgresSettings,
    turn: Option<MutexGuard<'static, Timescale>>,
}

impl Live {
    /// An empty database on PostgreSQL.
    pub(crate) fn postgres() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let url = free.unwrap_or_else(|| POSTGRES.database());
        Self { settings: PostgresSettings { url, pool: 4, ..PostgresSettings::default() }, turn: None }.wiped()
    }

    /// An empty database on TimescaleDB, which only this test has.
    pub(crate) fn timescale() -> Self {
        let turn = TIMESCALE.lock().unwrap_or_else(PoisonError::into_inner);
        let settings =
            PostgresSettings { url: turn.url(), pool: 1, acquire_timeout_ms: 60_000, ..PostgresSettings::default() };
        Self { settings, turn: Some(turn) }.wiped()
    }

    fn wiped(self) -> Self {
        let mut shell = self.shell();
        let made: bool = shell.query_one("SELECT to_regclass('events') IS NOT NULL", &[]).unwrap().get(0);
        if made {
            shell.batch_execute(&format!("TRUNCATE {TABLES} RESTART IDENTITY")).unwrap();
        }
        self
    }

    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::open(catalog(), self.settings.clone()).unwrap()
    }

    /// Another program's connection. On TimescaleDB only while no store is open.
    pub(crate) fn shell(&self) -> Client {
        Client::connect(&self.settings.url, NoTls).unwrap()
    }
}

impl Database for Live {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.turn.is_none() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.settings.url.clone());
        }
    }
}

pub(crate) fn postgres(_: Shape) -> Box<dyn Database> {
    Box::new(Live::postgres())
}

pub(crate) fn timescale(_: Shape) -> Box<dyn Database> {
    Box::new(Live::timescale())
}
