//! `millstream verify`: the log run afresh, and compared with the store. For a log and a store that nothing works on.

use std::path::PathBuf;
use std::sync::Arc;

use engine::VerifyParts;
use event::{Stream, StreamId};
use log::SystemClock;
use serde_json::json;

use super::Verdict;
use crate::config::{self, Source};
use crate::output::{Output, progress, thousands};
use crate::{backends, processing, telemetry};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration that the data was made with.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the log and the store.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let mut settings = config::load(&Source::find(args.config.as_deref())?)?;
    settings.data_dir = args.data_dir.clone().unwrap_or(settings.data_dir);
    // Nothing is taken in, so nothing needs to wait for a broker.
    settings.roles.collect = false;
    let (shared, dir) = (settings.backends.are_shared(), &settings.data_dir);
    anyhow::ensure!(shared || dir.join("log").is_dir(), "there is no log in {}", dir.display());
    let clock = Arc::new(SystemClock::default());
    let log = backends::open_log(&settings, clock.clone())?;
    let store = backends::open_store(&settings)?;
    let parts = VerifyParts {
        catalog: settings.catalog,
        log,
        store,
        clock,
        programs: settings.programs,
        consumer: processing::CONSUMER.to_owned(),
    };
    let bar = progress(1, "{bar:30} {pos}/{len} records");
    let report = engine::verify(&parts, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report?;
    let pending = pending(&parts)?;
    let document = json!({
        "events": report.events, "anomalies": report.anomalies, "dead_letters": report.dead_letters,
        "pending": pending, "differences": report.differences, "details": report.details, "notes": report.notes,
    });
    output.print(&document, || {
        let counts =
            [("events", report.events), ("anomalies", report.anomalies), ("dead letters", report.dead_letters)];
        let counts = counts.map(|(name, n)| format!("{} {name}", thousands(n))).join(", ");
        let mut text = format!("{counts} compared; {} differences", thousands(report.differences));
        for line in report.details.iter().chain(&report.notes) {
            text += &format!("\n  {line}");
        }
        if pending > 0 {
            let pending = thousands(pending);
            text += &format!("\n{pending} records of the log are not in the store yet; the next `serve` brings them");
        }
        text
    });
    Ok(report.differences == 0)
}

/// Records of the log that the engine has not committed: after a crash there are some, and that is no difference.
fn pending(parts: &VerifyParts) -> anyhow::Result<u64> {
    let positions = parts.store.positions(&parts.consumer)?;
    let lag = |(id, stream): (StreamId, &Stream)| {
        let committed = |partition: u32, first: u64| {
            let position = positions.iter().find(|p| p.stream == stream.name && p.partition == partition);
            position.map_or(first, |p| p.offset.max(first))
        };
        let extents = parts.log.extents(id).into_iter().zip(0..);
        extents.map(|(extent, p)| extent.next.saturating_sub(committed(p, extent.first))).sum::<u64>()
    };
    Ok(parts.catalog.processed().map(lag).sum())
}
