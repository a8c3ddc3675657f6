//! `millstream test`: users' own rules and windows tried out. Given events go the way of all events, through the intake, the
//! log, the engine and the store, in a temporary folder and with a clock of its own; what comes out is compared with what
//! is expected.

mod events;
mod expected;
mod file;
mod judge;
mod report;
mod rows;
mod trial;

use std::path::PathBuf;

use super::Verdict;
use crate::output::Output;
use crate::{telemetry, wiring};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The test: events, and what is expected of them.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let file = file::TestFile::read(&args.file)?;
    let runtime = wiring::runtime()?;
    let tried = runtime.block_on(trial::run(file.definitions, file.events));
    wiring::shut(runtime);
    let tried = tried?;
    let judgement = judge::judge(&file.expected, &tried.found);
    let report = report::Report { source: &file.name, tried: &tried, judgement: &judgement, expected: &file.expected };
    output.print(&report.json(), || report.text());
    Ok(judgement.is_as_expected())
}
