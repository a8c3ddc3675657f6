//! `millstream check`: every problem of a configuration at once.

use std::path::PathBuf;

use serde_json::json;

use super::Verdict;
use crate::config::{self, BadConfig, Settings, Source};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; millstream.yaml of this folder when it is there, else the defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Accept addresses that other machines can reach, as `serve --insecure` does.
    #[arg(long)]
    insecure: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    let source = Source::find(args.config.as_deref())?;
    match checked(&source, args.insecure) {
        Ok(settings) => {
            let streams = settings.catalog.iter().filter(|(_, stream)| !stream.name.starts_with('_')).count();
            let (rules, windows, alerts) = (settings.rules.len(), settings.windows.len(), settings.alerts.len());
            let document = json!({
                "ok": true, "source": source.name, "streams": streams, "rules": rules, "windows": windows,
                "alerts": alerts, "problems": [],
            });
            output.print(&document, || {
                format!(
                    "{}: in order; streams {streams}, rules {rules}, windows {windows}, alerts {alerts}",
                    source.name
                )
            });
            Ok(true)
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
