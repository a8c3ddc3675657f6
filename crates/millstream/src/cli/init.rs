//! `millstream init`: a commented millstream.yaml to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use super::Verdict;
use crate::config::FILE;
use crate::output;

/// What is written; a test holds `check` to it.
const TEMPLATE: &str = include_str!("init.yaml");

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write.
    #[arg(default_value = FILE)]
    file: PathBuf,
    /// Replace the file when it is there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> Verdict {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).create_new(!args.force);
    #[expect(clippy::disallowed_methods, reason = "a file for a person, not data of the product")]
    let file = options.open(&args.file);
    let name = args.file.display();
    let hint = if args.force { "" } else { "; --force replaces it when it is there" };
    file.and_then(|mut file| file.write_all(TEMPLATE.as_bytes()))
        .with_context(|| format!("cannot write {name}{hint}"))?;
    output::note(&format!("wrote {name}; `millstream check` looks at it, `millstream serve` takes it"));
    Ok(true)
}
