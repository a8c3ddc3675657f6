//! `millstream check`: every problem of a configuration at once; how long the spool lasts; and with `--connect`, whether
//! what it names is there.

use std::path::PathBuf;
use std::time::Duration;

use log::RealDisk;
use log::disk::inspect;
use log::spool::lasts;
use serde_json::{Value, json};

use super::Verdict;
use super::remote::Server;
use crate::backends::{self, Finding};
use crate::config::{self, BadConfig, Settings, Source};
use crate::output::{Output, table, thousands};
use crate::wiring;

/// The load that a spool is measured by when nobody says another: 2 000 events of 384 bytes a second, each with what the
/// log adds to it. Compression makes it less.
const RATE: f64 = 2_000.0;
const EVENT_BYTES: f64 = 384.0 + 124.0;
/// How long a running server has to say its rate.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; millstream.yaml of this folder when it is there, else the defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Accept addresses that other machines can reach, as `serve --insecure` does.
    #[arg(long)]
    insecure: bool,
    /// Try broker, database and cache, and read every byte of a log on this machine. Changes nothing, and may run beside a
    /// server.
    #[arg(long)]
    connect: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    let source = Source::find(args.config.as_deref())?;
    match checked(&source, args.insecure) {
        Ok(settings) => {
            let spool = spool(&settings, args.connect);
            let findings = if args.connect { backends::probe(&settings) } else { Vec::new() };
            let ok = findings.iter().all(|finding| finding.ok);
            print(&settings, &source.name, spool, &findings, output);
            Ok(ok)
        }
        Err(bad) => {
            if output == Output::Json {
                let document = json!({ "ok": false, "source": bad.source_name, "problems": bad.problems });
                output.print(&document, String::new);
            }
            Err(bad.into())
        }
    }
}

fn checked(source: &Source, insecure: bool) -> Result<Settings, BadConfig> {
    let settings = config::load(source)?;
    config::refuse_open_doors(&settings, insecure, &source.name)?;
    Ok(settings)
}

fn print(settings: &Settings, source: &str, spool: Option<Spool>, findings: &[Finding], output: Output) {
    let streams = settings.catalog.iter().filter(|(_, stream)| !stream.name.starts_with('_')).count();
    let (rules, windows, alerts) = (settings.rules.len(), settings.windows.len(), settings.alerts.len());
    let mut document = json!({
        "ok": findings.iter().all(|finding| finding.ok), "source": source, "streams": streams, "rules": rules,
        "windows": windows, "alerts": alerts, "problems": [],
    });
    if let Some(spool) = &spool {
        document["spool"] = spool.json();
    }
    if !findings.is_empty() {
        document["connect"] = json!(findings);
    }
    output.print(&document, || {
        let mut text =
            format!("{source}: in order; streams {streams}, rules {rules}, windows {windows}, alerts {alerts}\n");
        if let Some(spool) = spool {
            text += &spool.text();
        }
        if !findings.is_empty() {
            let word = |ok| if ok { "ok" } else { "FAILED" }.to_owned();
            let rows = findings.iter().map(|f| vec![f.name.to_owned(), word(f.ok), f.message.clone()]);
            text += &table(&["", "", ""], &rows.collect::<Vec<_>>());
        }
        text
    });
}

/// How long the spool takes events while the broker is away.
struct Spool {
    bytes_max: u64,
    used: u64,
    rate: f64,
    /// Whether a running server said the rate.
    present: bool,
    lasts: Duration,
}

/// For a process that takes events in for a broker; `ask` whether a running server is asked for its rate.
fn spool(settings: &Settings, ask: bool) -> Option<Spool> {
    if !settings.backends.are_spooled() || !settings.roles.collect {
        return None;
    }
    let found = inspect(&RealDisk, &backends::spool_dir(settings)).ok();
    let used = found.map_or(0, |found| found.segments.iter().map(|segment| segment.bytes).sum());
    let said = if ask { present_rate(settings) } else { None };
    let (bytes_max, rate) = (settings.backends.spool.bytes_max, said.unwrap_or(RATE));
    let by_size = lasts(bytes_max, used, rate * EVENT_BYTES);
    let by_age = Duration::from_millis(settings.backends.spool.age_max_ms.unsigned_abs());
    Some(Spool { bytes_max, used, rate, present: said.is_some(), lasts: by_size.min(by_age) })
}

/// Events a second that a server with this configuration takes in just now; `None` when none answers, or takes none.
fn present_rate(settings: &Settings) -> Option<f64> {
    let server = Server::at(&format!("http://{}", settings.listen), std::env::var("MILLSTREAM_KEY").ok());
    let runtime = wiring::runtime().ok()?;
    let asked = runtime.block_on(async {
        let mut remote = server.connect().ok()?;
        tokio::time::timeout(ANSWER, remote.get("/api/v1/metrics")).await.ok()?.ok()
    });
    asked?["events_per_second"].as_f64().filter(|rate| *rate > 0.0)
}

impl Spool {
    fn json(&self) -> Value {
        json!({
            "max_bytes": self.bytes_max, "used_bytes": self.used, "rate": self.rate, "rate_is_present": self.present,
            "lasts_seconds": self.lasts.as_secs(),
        })
    }

    fn text(&self) -> String {
        let (seconds, mib) = (self.lasts.as_secs(), |bytes: u64| thousands(bytes >> 20));
        let lasts = match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => format!("{seconds} s"),
            (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
            (hours, minutes, _) => format!("{hours} h {minutes} min"),
        };
        let of = if self.present { "the present rate of" } else { "" };
        let (used, max, rate) = (mib(self.used), mib(self.bytes_max), thousands(self.rate.round() as u64));
        format!(
            "spool: {used} of {max} MiB are used; the rest lasts at least {lasts} without the broker, at {of} {rate} events of \
             384 bytes a second\n"
        )
        .replace("  ", " ")
    }
}
