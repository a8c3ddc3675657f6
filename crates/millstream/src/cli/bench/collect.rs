//! The HTTP door, durable: one event a request, batches of 100, batches of 1000.

use serde_json::json;

use super::child::Serving;
use super::client::Run;
use super::{Figure, Setup, events, say};

/// The path that bodies are posted to.
pub(super) const PATH: &str = "/v1/streams/events/events";

/// Name, events of a request, different requests, what is counted.
const CASES: [(&str, usize, usize, &str); 3] = [
    ("collect_single", 1, 20_000, "requests/s"),
    ("collect_batch100", 100, 600, "events/s"),
    ("collect_batch1000", 1_000, 60, "events/s"),
];

pub(super) fn measure(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    CASES.into_iter().map(|case| one(setup, case)).collect()
}

fn one(
    setup: &Setup,
    (name, batch, count, unit): (&'static str, usize, usize, &'static str),
) -> anyhow::Result<Figure> {
    say(name);
    let serving = Serving::start(&setup.dir, "collect", "")?;
    let templates = events::requests(&serving.address.to_string(), PATH, batch, count);
    let outcome = Run::new(serving.address, templates).go(setup.connections, setup.seconds)?;
    let value = if batch == 1 { outcome.requests_per_second } else { outcome.events_per_second };
    Ok(Figure {
        name,
        value,
        unit,
        p50_ms: Some(outcome.p50_ms),
        p99_ms: Some(outcome.p99_ms),
        rss_mib: serving.peak_rss_mib(),
        more: vec![("refused", json!(outcome.refused))],
    })
}
