//! `millstream config show`: the configuration in force, defaults and environment included.

use std::path::PathBuf;

use clap::Subcommand;

use super::Verdict;
use crate::config::{self, Source};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print the resolved configuration as YAML that `check` accepts (or as JSON).
    Show {
        /// The configuration; millstream.yaml of this folder when it is there, else the defaults.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(super) fn run(verb: &Verb, output: Output) -> Verdict {
    let Verb::Show { config } = verb;
    let settings = config::load(&Source::find(config.as_deref())?)?;
    let document = config::show(&settings);
    let yaml = serde_saphyr::to_string(&document)?;
    output.print(&document, || yaml);
    Ok(true)
}
