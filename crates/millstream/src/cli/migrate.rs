//! `millstream migrate`: the store's tables made or brought up to date; with `--from`, what another store holds moved into
//! it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use event::Catalog;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use store::Moving;

use super::Verdict;
use crate::config::{self, BadConfig, LogBackend, Settings, Source, StoreBackend};
use crate::output::{Output, progress, table, thousands};
use crate::{backends, telemetry};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; millstream.yaml of this folder when it is there, else the defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Move what the SQLite store of this data folder holds into the PostgreSQL store of the configuration, which must be
    /// empty. Nothing may run on either; the folder stays as it is.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let settings = config::load(&Source::find(args.config.as_deref())?)?;
    match &args.from {
        None => upgrade(&settings, output),
        Some(dir) => move_from(dir, &settings, output),
    }
}

fn upgrade(settings: &Settings, output: Output) -> Verdict {
    let (backend, message) = match &settings.backends.store {
        StoreBackend::Sqlite => {
            drop(backends::open_sqlite(&settings.data_dir, settings.catalog.clone())?);
            ("sqlite", format!("{}: up to date", settings.data_dir.join("store.sqlite").display()))
        }
        StoreBackend::Postgres { url, pool } => {
            let done = store::postgres::migrate(&backends::postgres_settings(url, *pool))?;
            let (from, to) = (done.from, done.to);
            let what = match from {
                0 => format!("made, version {to}"),
                from if from == to => format!("up to date, version {to}"),
                from => format!("brought from version {from} to {to}"),
            };
            ("postgres", format!("{}: {what}", done.place))
        }
    };
    output.print(&json!({ "store": backend, "message": message }), || message.clone());
    Ok(true)
}

fn move_from(dir: &Path, settings: &Settings, output: Output) -> Verdict {
    let StoreBackend::Postgres { url, pool } = &settings.backends.store else {
        let hint = "write `store: { postgres: { url: … } }`, or set DATABASE_URL";
        return Err(BadConfig::one("store.backend", "a SQLite store is moved to PostgreSQL only", hint).into());
    };
    if settings.backends.log != LogBackend::Disk {
        // The positions, and the ids of events without one, are places in that log: in another they are other events.
        let message = "rows name places in the log on disk, and the log of this configuration is another";
        let hint = "keep `log: { backend: disk }` for this store; begin another log with an empty database";
        return Err(BadConfig::one("log.backend", message, hint).into());
    }
    let file = dir.join("store.sqlite");
    anyhow::ensure!(file.is_file(), "there is no store in {}", dir.display());
    let catalog: std::sync::Arc<Catalog> = settings.catalog.clone();
    let from = backends::open_sqlite(dir, catalog.clone())?;
    let to = backends::open_postgres(url, *pool, catalog)?;
    let bar = progress(1, "{msg:16} {bar:30} {pos}/{len} rows");
    let moved = store::move_all(&from, &to, |moving| show(&bar, moving));
    bar.finish_and_clear();
    let moved = moved.with_context(|| format!("nothing of {} was moved", file.display()))?;
    let rows: u64 = moved.tables.iter().map(|(_, rows)| rows).sum();
    let tables: Map<String, Value> =
        moved.tables.iter().map(|(name, rows)| ((*name).to_owned(), json!(rows))).collect();
    output.print(&json!({ "from": file.display().to_string(), "rows": rows, "tables": tables }), || {
        let lines = moved.tables.iter().map(|(name, rows)| vec![(*name).to_owned(), thousands(*rows)]);
        table(&["table", "rows"], &lines.collect::<Vec<_>>())
    });
    Ok(true)
}

fn show(bar: &ProgressBar, moving: Moving) {
    bar.set_message(moving.table);
    bar.set_length(moving.of.max(1));
    bar.set_position(moving.rows);
}
