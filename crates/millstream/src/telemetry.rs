//! The process's own voice: log lines to the standard error, and the Prometheus recorder with its families.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How often old samples are folded away; unread histograms grow until then.
const UPKEEP: Duration = Duration::from_secs(5);

/// Seconds: from a memory answer to an overloaded disk.
const SECONDS: [f64; 14] = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `MILLSTREAM_LOG` filters, as `debug` or `info,engine=debug`; the default is `default`.
pub(crate) fn log_lines(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_env("MILLSTREAM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Tests of this crate may start it twice; the first stays.
    let started = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    drop(started);
}

/// Installs the recorder that all crates count into. Once a process.
///
/// # Errors
/// When there is one already.
pub(crate) fn recorder() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("the histogram buckets")?
        .install_recorder()
        .context("the metrics recorder")?;
    describe();
    gauge!("millstream_build_info", "version" => VERSION).set(1.0);
    Ok(handle)
}

/// Keeps the recorder's memory flat, for as long as the runtime lives.
pub(crate) fn keep_up(handle: PrometheusHandle) {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            handle.run_upkeep();
        }
    });
}

/// What each family means, once, in the exposition's own help lines.
fn describe() {
    for (name, unit, help) in COUNTERS {
        describe_counter!(*name, *unit, *help);
    }
    for (name, unit, help) in GAUGES {
        describe_gauge!(*name, *unit, *help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(*name, Unit::Seconds, *help);
    }
}

type Family = (&'static str, Unit, &'static str);

const COUNTERS: &[Family] = &[
    (
        "millstream_ingest_events_total",
        Unit::Count,
        "Events by stream and verdict: accepted, duplicate, rejected, shed",
    ),
    ("millstream_dead_letters_total", Unit::Count, "Refused events kept as dead letters, by stream and code"),
    ("dlq_messages_replayed_total", Unit::Count, "Dead letters that were appended to their streams again"),
    ("dlq_messages_failed_total", Unit::Count, "Replays of dead letters that their streams refused, by failure_type"),
    ("millstream_quarantined_total", Unit::Count, "Dead letters that are never replayed again"),
    ("millstream_anomalies_total", Unit::Count, "Anomalies by rule"),
    ("millstream_log_damage_total", Unit::Count, "Damaged places met in the log, by kind"),
    ("millstream_retries_total", Unit::Count, "Repeated calls, by target"),
    ("millstream_alerts_total", Unit::Count, "Tries to notify, by target and result: delivered, retried, failed"),
    (
        "outbox_events_total",
        Unit::Count,
        "Notifications and results of windows taken from the outbox for the first time",
    ),
    (
        "millstream_log_duplicates_dropped_total",
        Unit::Count,
        "Copies of events that readers of the log left out, by stream",
    ),
    ("millstream_spool_drained_total", Unit::Count, "Events that waited in the spool and are with the broker now"),
    ("millstream_spool_expired_total", Unit::Count, "Events that waited too long and became dead letters"),
    (
        "millstream_spool_refused_total",
        Unit::Count,
        "Events that the spool did not take: full, or the broker away too long",
    ),
    ("millstream_spool_known_total", Unit::Count, "Events of the spool that the broker had already"),
    ("outbox_write_failures_total", Unit::Count, "Outcomes of deliveries that the store did not keep; tried again"),
];

const GAUGES: &[Family] = &[
    ("millstream_build_info", Unit::Count, "1, with the version as a label"),
    ("millstream_log_bytes", Unit::Bytes, "Bytes of the log on disk"),
    ("millstream_log_oldest_age_seconds", Unit::Seconds, "Age of the oldest record of the log"),
    ("millstream_consumer_lag_events", Unit::Count, "Records appended and not committed yet, by stream and partition"),
    ("millstream_breaker_state", Unit::Count, "Circuit breakers by target: 0 closed, 1 half-open, 2 open"),
    ("millstream_log_away", Unit::Count, "1 while the broker that keeps the log cannot be reached"),
    ("millstream_spool_bytes", Unit::Bytes, "Bytes that wait for the broker"),
    ("millstream_spool_used_ratio", Unit::Count, "The part of the spool that is used, from 0 to 1"),
    ("millstream_spool_records", Unit::Count, "Events that wait for the broker"),
    ("millstream_spool_oldest_age_seconds", Unit::Seconds, "Age of the oldest event that waits for the broker"),
    ("millstream_spool_state", Unit::Count, "0 events go to the broker, 1 to the spool, 2 the spool is drained"),
    ("millstream_consumer_lag_seconds", Unit::Seconds, "Age of the oldest record that is not committed yet"),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    ("millstream_ack_latency_seconds", "From the last byte of a request to its answer"),
    ("millstream_log_fsync_seconds", "One fsync of the log: a group commit"),
    ("millstream_pipeline_batch_seconds", "Rules over one engine batch"),
    ("millstream_commit_seconds", "One transaction of the store"),
    ("millstream_end_to_end_seconds", "From append to commit"),
];
