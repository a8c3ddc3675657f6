//! The tables of a database: made, brought up to date, or refused when they are newer or not ours.

use postgres::Row;
use xxhash_rust::xxh3::xxh3_128;

use super::fault::Fault;
use super::pool::{Conn, Maker, Tx};
use super::settings::PostgresSettings;
use crate::StoreError;

/// The least server that we know, as `server_version_num`.
const SERVER_MIN: i32 = 150_000;
/// Of the advisory lock that only one process changes the tables under. Any number, but the same for ever.
const LOCK: i64 = 0x4d6c_5374_0000_0001;
/// What must not be there in a database that is not ours yet.
const TABLES: &str = "ARRAY['events', 'owners', 'positions', 'snapshots', 'anomaly', 'dead_letter', 'windows',
    'late_events', 'outbox', 'millstream_settings', 'signals', 'anomalies', 'processing_stats', 'failed_events', 'system_info']";

/// How event rows are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By PostgreSQL itself: a table for each stream and day.
    Native,
    /// By TimescaleDB: a hypertable in chunks of a day.
    Timescale,
}

impl Layout {
    fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Timescale => "timescale",
        }
    }
}

/// One step from a version of the tables to the next: its SQL is fixed once it is released.
struct Step {
    version: i32,
    name: &'static str,
    native: &'static str,
    timescale: &'static str,
}

const STEPS: [Step; 2] = [
    Step {
        version: 1,
        name: "tables",
        native: include_str!("schema/0001_tables.sql"),
        timescale: include_str!("schema/0001_tables.sql"),
    },
    Step {
        version: 2,
        name: "events",
        native: include_str!("schema/0002_events_native.sql"),
        timescale: include_str!("schema/0002_events_timescale.sql"),
    },
];

/// Views and functions for people: replaced as a whole whenever they are others than those that are there.
const VIEWS: &str = include_str!("schema/views.sql");

/// What [`migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version of the tables before; 0 when there were none.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// How event rows are divided.
    pub layout: Layout,
    /// Where: user, host, port and database.
    pub place: String,
}

/// Makes the tables, or brings them up to date, in one transaction. Processes that do so at the same time wait for each
/// other.
///
/// # Errors
/// [`StoreError::Incompatible`] when the tables are newer, were changed, or are somebody else's, and when the server is
/// too old; [`StoreError::Unavailable`] when it cannot be reached or may not do it.
pub fn migrate(settings: &PostgresSettings) -> Result<Migrated, StoreError> {
    let maker = Maker::new(settings)?;
    let place = maker.place();
    let at_place = |fault: Fault| match fault.into() {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{place}: {text}")),
        StoreError::Refused(text) => StoreError::Unavailable(format!("{place}: the tables cannot be made: {text}")),
        StoreError::Incompatible(text) => StoreError::Incompatible(format!("{place}: {text}")),
        other => other,
    };
    let mut conn = maker.connect().map_err(|e| at_place(e.into()))?;
    check_server(&mut conn.alone()).map_err(at_place)?;
    if !install_timescale(&mut conn) {
        // A server that would have to load it first ends the session.
        conn = maker.connect().map_err(|e| at_place(e.into()))?;
    }
    let (from, layout) = apply(&mut conn).map_err(at_place)?;
    let to = STEPS[STEPS.len() - 1].version as u32;
    if from != to {
        tracing::info!(%place, from, to, layout = layout.as_str(), "the store's tables were brought up to date");
    }
    Ok(Migrated { from, to, layout, place })
}

/// Asks the server who it is: a sentence for people, with its version, TimescaleDB's, and that of the tables.
///
/// # Errors
/// As [`migrate`], but nothing is changed.
pub fn probe(settings: &PostgresSettings) -> Result<String, StoreError> {
    let maker = Maker::new(settings)?;
    let place = maker.place();
    let ask = || -> Result<String, Fault> {
        let mut conn = maker.connect()?;
        let mut tx = conn.alone();
        check_server(&mut tx)?;
        let server: String = tx.query_one("SELECT current_setting('server_version')", &[])?.try_get(0)?;
        let timescale = timescale_version(&mut tx)?;
        let tables = match version(&mut tx)? {
            0 => "no tables yet".to_owned(),
            version => format!("tables of version {version}"),
        };
        let with = timescale.map(|version| format!(" with TimescaleDB {version}")).unwrap_or_default();
        Ok(format!("PostgreSQL {server}{with}, {tables}"))
    };
    ask().map(|sentence| format!("{place}: {sentence}")).map_err(|fault| match fault.into() {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{place}: {text}")),
        StoreError::Incompatible(text) => StoreError::Incompatible(format!("{place}: {text}")),
        other => other,
    })
}

fn check_server(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding')";
    let row = tx.query_one(sql, &[])?;
    let (number, version, encoding): (i32, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if number < SERVER_MIN {
        return Err(incompatible(format!("the server is PostgreSQL {version}, expected 15 or newer")));
    }
    if encoding != "UTF8" {
        return Err(incompatible(format!("the database is encoded in {encoding}, expected UTF8")));
    }
    Ok(())
}

fn incompatible(text: String) -> Fault {
    StoreError::Incompatible(text).into()
}

fn timescale_version(tx: &mut Tx<'_>) -> Result<Option<String>, Fault> {
    let row = tx.query_opt("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'", &[])?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Installs TimescaleDB where the server has it and there are no tables yet; `false` when that cost the connection.
fn install_timescale(conn: &mut Conn) -> bool {
    let mut tx = conn.alone();
    let mut install = || -> Result<(), Fault> {
        let wanted = "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb' AND installed_version IS NULL
            AND to_regclass('millstream_versions') IS NULL";
        if tx.query_opt(wanted, &[])?.is_some() {
            tx.batch("CREATE EXTENSION IF NOT EXISTS timescaledb")?;
        }
        Ok(())
    };
    if let Err(fault) = install() {
        let error: StoreError = fault.into();
        tracing::info!(%error, "TimescaleDB is there, but cannot be used; PostgreSQL's own partitions are");
    }
    conn.is_usable()
}

fn apply(conn: &mut Conn) -> Result<(u32, Layout), Fault> {
    let done = conn.begin("BEGIN").and_then(|mut tx| bring_up(&mut tx)).and_then(|done| conn.commit().map(|()| done));
    if done.is_err() {
        conn.rollback();
    }
    done
}

fn bring_up(tx: &mut Tx<'_>) -> Result<(u32, Layout), Fault> {
    tx.batch("SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning")?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    let from = version(tx)?;
    let newest = STEPS[STEPS.len() - 1].version;
    if from > newest {
        return Err(incompatible(format!(
            "the tables were made by a newer version: they are of version {from}, this program knows {newest}"
        )));
    }
    if from == 0 {
        begin_tables(tx)?;
    }
    let layout = layout(tx)?;
    let applied = tx.query("SELECT version, checksum FROM millstream_versions", &[])?;
    for step in &STEPS {
        let sql = if layout == Layout::Timescale { step.timescale } else { step.native };
        let checksum = checksum(sql);
        match applied.iter().find(|row| row.get::<_, i32>(0) == step.version) {
            Some(row) if is_same(row, &checksum)? => {}
            Some(_) => {
                return Err(incompatible(format!(
                    "step {} ({}) of the tables is not the one that this program knows",
                    step.version, step.name
                )));
            }
            None => {
                tx.batch(sql)?;
                let note = "INSERT INTO millstream_versions VALUES ($1, $2, $3, now())";
                tx.execute(note, &[&step.version, &step.name, &checksum])?;
            }
        }
    }
    refresh_views(tx)?;
    Ok((from as u32, layout))
}

fn is_same(row: &Row, checksum: &str) -> Result<bool, Fault> {
    Ok(row.try_get::<_, String>(1)? == checksum)
}

fn checksum(sql: &str) -> String {
    format!("{:032x}", xxh3_128(sql.as_bytes()))
}

/// The version of the tables, 0 when there are none.
fn version(tx: &mut Tx<'_>) -> Result<i32, Fault> {
    // Not to_regclass: it remembers what was not there, however long the lock was waited for.
    let there = "SELECT 1 FROM pg_class WHERE relname = 'millstream_versions' AND pg_table_is_visible(oid)";
    if tx.query_opt(there, &[])?.is_none() {
        return Ok(0);
    }
    Ok(tx.query_one("SELECT coalesce(max(version), 0) FROM millstream_versions", &[])?.try_get(0)?)
}

fn begin_tables(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let sql = format!(
        "SELECT relname::text FROM pg_class WHERE relname = ANY ({TABLES}) AND pg_table_is_visible(oid) LIMIT 1"
    );
    if let Some(row) = tx.query_opt(&sql, &[])? {
        let name: String = row.try_get(0)?;
        return Err(incompatible(format!(
            "there is a table `{name}` already that is not Millstream's: give it a database or a schema of its own"
        )));
    }
    tx.batch(
        "CREATE TABLE IF NOT EXISTS millstream_versions (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
           applied_at timestamptz NOT NULL);
         CREATE TABLE millstream_settings (name text PRIMARY KEY, value text NOT NULL)",
    )?;
    let layout = if timescale_version(tx)?.is_some() { Layout::Timescale } else { Layout::Native };
    tx.execute("INSERT INTO millstream_settings VALUES ('layout', $1)", &[&layout.as_str()])?;
    Ok(())
}

/// As the database was begun: TimescaleDB that comes later changes nothing.
fn layout(tx: &mut Tx<'_>) -> Result<Layout, Fault> {
    let row = tx.query_opt("SELECT value FROM millstream_settings WHERE name = 'layout'", &[])?;
    let word: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    let known = |layout: &Layout| Some(layout.as_str()) == word.as_deref();
    let found = [Layout::Native, Layout::Timescale].into_iter().find(known);
    found.ok_or_else(|| incompatible("the tables do not say how they are laid out".to_owned()))
}

fn refresh_views(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let checksum = checksum(VIEWS);
    let sql = "SELECT 1 FROM millstream_settings WHERE name = 'views' AND value = $1";
    if tx.query_opt(sql, &[&checksum])?.is_none() {
        tx.batch(VIEWS)?;
        let note = "INSERT INTO millstream_settings VALUES ('views', $1) ON CONFLICT (name) DO UPDATE SET value = $1";
        tx.execute(note, &[&checksum])?;
    }
    Ok(())
}
