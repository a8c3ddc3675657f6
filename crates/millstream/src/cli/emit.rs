//! `millstream emit`: load at a rate that is kept, with a summary at the end.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use log::SystemClock;

use super::Verdict;
use crate::config::{EmitSettings, units};
use crate::emitter::{Control, Emitter, Mix, Plan, Target};
use crate::output::{Output, progress};
use crate::shutdown::Signals;
use crate::{telemetry, wiring};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The collector.
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: String,
    /// A key that may write, where keys are asked for.
    #[arg(long, env = "MILLSTREAM_KEY", hide_env_values = true)]
    key: Option<String>,
    /// What is emitted.
    #[arg(long, value_enum, default_value_t)]
    pack: Pack,
    /// For how long; until a signal when neither this nor --count is given.
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration_flag)]
    duration: Option<Duration>,
    /// How many events.
    #[arg(long)]
    count: Option<u64>,
    /// Append the id of every acknowledged event to this file, one a line, right after the answer.
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Pack {
    /// Logins, purchases, clicks, API calls and file accesses of 1000 users.
    #[default]
    Signals,
}

/// What `emit` and `demo` share.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Load {
    /// Events a second.
    #[arg(long, env = "SIGNALS_PER_SECOND", default_value_t = 1_000.0, value_parser = rate)]
    rate: f64,
    /// Burst mode: one tick in ten sends five times its events besides.
    #[arg(long, env = "BURST_MODE", value_parser = clap::builder::FalseyValueParser::new())]
    burst: bool,
    /// Connections that send at the same time.
    #[arg(long, env = "EMITTER_WORKERS", default_value_t = 4, value_parser = at_least_one)]
    workers: usize,
    /// Events that may wait to be sent; a second's worth when absent, 10000 at the least.
    #[arg(long, env = "EMITTER_QUEUE_MAXSIZE", value_parser = at_least_one)]
    queue_max: Option<usize>,
    /// Events of one request at the most.
    #[arg(long, env = "EMITTER_FLUSH_EVERY", default_value_t = 1_000, value_parser = request_events)]
    flush_every: usize,
    /// Events of one tick; a tenth of the rate when absent, 1 to 1000.
    #[arg(long, env = "BATCH_SIZE", value_parser = request_events)]
    batch: Option<usize>,
    /// Percent of events that repeat an earlier one, id included.
    #[arg(long, value_name = "PCT", default_value_t = 0.0, value_parser = percent)]
    duplicates: f64,
    /// Percent of events that must be refused.
    #[arg(long, value_name = "PCT", default_value_t = 0.0, value_parser = percent)]
    invalid: f64,
    /// Percent of events that happened 1 to 10 minutes ago.
    #[arg(long, value_name = "PCT", default_value_t = 0.0, value_parser = percent)]
    late: f64,
    /// The seed of all chance; the same seed gives the same events, ids included.
    #[arg(long)]
    seed: Option<u64>,
}

impl Load {
    /// Events a second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether burst mode is on.
    pub(super) fn burst(&self) -> bool {
        self.burst
    }

    /// As the emitter takes it.
    pub(super) fn plan(&self, target: Target, duration: Option<Duration>) -> Plan {
        let settings = EmitSettings {
            rate: self.rate,
            burst: self.burst,
            workers: self.workers,
            queue_max: self.queue_max.unwrap_or((self.rate as usize).max(EmitSettings::default().queue_max)),
            flush_every: self.flush_every,
            batch: self.batch,
        };
        let share = |pct: f64| pct / 100.0;
        let mix = Mix { duplicates: share(self.duplicates), invalid: share(self.invalid), late: share(self.late) };
        let bar = match duration {
            Some(time) => progress(time.as_millis() as u64, "{bar:30} {elapsed} {msg}"),
            None => progress(0, "{spinner} {elapsed} {msg}"),
        };
        Plan { settings, mix, seed: self.seed, duration, count: None, acks: None, target, bar }
    }
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let Pack::Signals = args.pack;
    let target = Target::parse(&args.url).and_then(|target| target.with_key(args.key.as_deref()));
    let target = target.map_err(anyhow::Error::msg)?;
    let mut plan = args.load.plan(target, args.duration);
    plan.count = args.count;
    plan.acks = args.acks.as_deref().map(append_to).transpose()?;
    let summary = wiring::runtime()?.block_on(async {
        let signals = Signals::new()?;
        let control = Arc::new(Control::new(plan.settings.rate, plan.settings.burst));
        let mut emitter = Emitter::start(plan, control, Arc::new(SystemClock::default()))?;
        tokio::select! {
            () = emitter.over() => {}
            () = signals.requested() => {}
        }
        anyhow::Ok(emitter.finish().await)
    })?;
    output.print(&summary.json(), || summary.text());
    // What went wrong is in the summary; it is a failure only when nothing got through.
    Ok(summary.sent > 0 || summary.errors == 0)
}

fn append_to(path: &Path) -> anyhow::Result<File> {
    #[expect(clippy::disallowed_methods, reason = "a list for a person or a test, not data of the product")]
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

fn rate(text: &str) -> Result<f64, String> {
    bounded(text, 0.1, 10_000_000.0)
}

fn percent(text: &str) -> Result<f64, String> {
    bounded(text.trim_end_matches('%'), 0.0, 100.0)
}

fn bounded(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| (low..=high).contains(n));
    number.ok_or_else(|| format!("expected a number from {low} to {high}"))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number from 1 up".to_owned())
}

fn request_events(text: &str) -> Result<usize, String> {
    let most = event::limits::REQUEST_EVENTS_MAX;
    let number = text.parse().ok().filter(|n| (1..=most).contains(n));
    number.ok_or_else(|| format!("expected a whole number from 1 to {most}"))
}
