//! `millstream version`.

use serde_json::json;

use super::Verdict;
use crate::output::Output;
use crate::telemetry::VERSION;

pub(super) fn run(output: Output) -> Verdict {
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let document = json!({ "name": "millstream", "version": VERSION, "target": target });
    output.print(&document, || format!("millstream {VERSION} ({target})"));
    Ok(true)
}
