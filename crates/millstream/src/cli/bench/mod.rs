//! `millstream bench`: what this machine does, measured with the client on the same machine, as a table or JSON.
//!
//! The doors are measured from outside: a child process serves a fresh folder, and a closed-loop client sends bodies
//! that are all different, with a fresh event id in every event. Log and store are measured in this process.

mod child;
mod client;
mod collect;
mod e2e;
mod events;
mod grpc;
mod machine;
mod process;
mod signals;
mod storage;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Verdict;
use crate::output::{Output, note, table, thousands};
use crate::telemetry;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The HTTP door, fsynced before each answer: one event a request, batches of 100, batches of 1000; and the gRPC
    /// door with batches of 100.
    Collect,
    /// Appending to the log, and reading it.
    Log,
    /// Committing to the SQLite store, and with `--postgres` to that one.
    Store,
    /// The rules and windows of the signals over the log, on one thread; and snapshots of a million keys.
    Process,
    /// HTTP to log to rules to store, as fast as the lag stays flat; on Kafka and PostgreSQL where the environment names
    /// them.
    E2e,
    /// Everything.
    #[default]
    All,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to measure.
    #[arg(value_enum, default_value_t)]
    what: What,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections of the client.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,
    /// Where temporary data folders go: the disk that is measured.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A PostgreSQL database that the store is measured on as well; the rows stay in it.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// The whole chain on Kafka and PostgreSQL: how many processes work the log off, beside one that takes events in and
    /// answers. 0 means one process for everything.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=32))]
    processors: u8,
}

/// How each measurement is taken.
#[derive(Clone, Debug)]
struct Setup {
    seconds: Duration,
    connections: usize,
    dir: PathBuf,
    postgres: Option<String>,
    processors: u8,
}

/// One figure.
#[derive(Debug, Default)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    rss_mib: Option<f64>,
    more: Vec<(&'static str, Value)>,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let (seconds, connections) = (Duration::from_secs(args.seconds), usize::from(args.connections));
    let setup = Setup { seconds, connections, dir, postgres: args.postgres.clone(), processors: args.processors };
    let machine = machine::describe(&setup.dir)?;
    let wanted = |what| args.what == What::All || args.what == what;
    let mut figures = Vec::new();
    if wanted(What::Collect) {
        figures.extend(collect::measure(&setup)?);
        figures.push(grpc::measure(&setup)?);
    }
    if wanted(What::Log) || wanted(What::Store) {
        let measured = storage::measure(&setup, wanted(What::Log), wanted(What::Store))?;
        figures.extend(measured);
    }
    if wanted(What::Process) {
        figures.extend(process::measure(&setup)?);
    }
    if wanted(What::E2e) {
        figures.push(e2e::measure(&setup)?);
    }
    let settings = json!({
        "seconds": args.seconds, "connections": args.connections, "processors": args.processors, "dir": setup.dir.display().to_string(),
        "version": telemetry::VERSION, "build": if cfg!(debug_assertions) { "debug" } else { "release" },
    });
    let document = json!({
        "machine": machine, "settings": settings, "results": figures.iter().map(Figure::json).collect::<Vec<_>>(),
    });
    output.print(&document, || text(&document, &figures));
    Ok(true)
}

impl Figure {
    fn json(&self) -> Value {
        let mut out = Map::new();
        out.insert("name".to_owned(), json!(self.name));
        out.insert("value".to_owned(), json!(self.value.round()));
        out.insert("unit".to_owned(), json!(self.unit));
        let quantities = [("p50_ms", self.p50_ms), ("p99_ms", self.p99_ms), ("rss_mib", self.rss_mib)];
        for (name, value) in quantities {
            if let Some(value) = value {
                out.insert(name.to_owned(), json!((value * 100.0).round() / 100.0));
            }
        }
        out.extend(self.more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(out)
    }
}

fn text(document: &Value, figures: &[Figure]) -> String {
    let machine = &document["machine"];
    let head = format!(
        "{} cores · {} · {} MiB · {} · fdatasync {} ms\n\n",
        machine["cores"],
        machine["cpu"].as_str().unwrap_or("?"),
        machine["memory_mib"],
        machine["os"].as_str().unwrap_or("?"),
        machine["fdatasync_ms"],
    );
    let ms = |value: Option<f64>| value.map_or_else(String::new, |ms| format!("{ms:.2}"));
    let row = |f: &Figure| {
        let more = f.more.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
        let rss = f.rss_mib.map_or_else(String::new, |mib| format!("{mib:.0}"));
        let value = thousands(f.value.round() as u64);
        vec![f.name.to_owned(), value, f.unit.to_owned(), ms(f.p50_ms), ms(f.p99_ms), rss, more]
    };
    let rows: Vec<_> = figures.iter().map(row).collect();
    head + &table(&["name", "value", "unit", "p50 ms", "p99 ms", "rss MiB", "more"], &rows)
}

/// Tells a person what goes on: a bench is silent for seconds.
fn say(what: &str) {
    note(&format!("measuring {what} …"));
}
