//! `millstream demo`: the whole product on a fresh folder under its own load, with a summary at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::SystemClock;
use serde_json::{Map, Value, json};

use super::Verdict;
use super::emit::Load;
use super::folder::Folder;
use crate::config::{self, BadConfig, Settings, Source, units};
use crate::emitter::{Control, Emitter, Summary, Target};
use crate::figures::Figures;
use crate::output::{Output, note, table, thousands};
use crate::shutdown::Signals;
use crate::telemetry;
use crate::wiring::{self, Doors};

/// The built-in windows are of a minute and more, and a demo is short.
const CONFIGURATION: &str = "windows: [{ name: signals_each_second, stream: signals, sizes: [1s], by: [type], lateness: 1s, \
                             measures: { count: count(), users: distinct(user_id) } }]";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// For how long; until a signal when absent.
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration_flag)]
    duration: Option<Duration>,
    /// The folder of the log and the store; a temporary one, removed at the end, when absent.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let mut settings = load()?;
    let folder = Folder::new(args.data_dir.clone(), "demo")?;
    settings.data_dir = folder.path.clone();
    let recorder = telemetry::recorder()?;
    let runtime = wiring::runtime()?;
    let document = runtime.block_on(demo(args, settings, &folder, recorder));
    wiring::shut(runtime);
    let document = document?;
    output.print(&document, || text(&document));
    Ok(document["stored"] == document["accepted"])
}

fn load() -> Result<Settings, BadConfig> {
    config::load(&Source::given("demo", CONFIGURATION))
}

async fn demo(
    args: &Args,
    settings: Settings,
    folder: &Folder,
    recorder: metrics_exporter_prometheus::PrometheusHandle,
) -> anyhow::Result<Value> {
    let doors = Doors::bind(settings.listen, settings.admin, true).await?;
    let limit = settings.drain_timeout;
    let control = Arc::new(Control::new(args.load.rate(), args.load.burst()));
    let app = wiring::start(&settings, doors, Some(control.clone()), recorder, Box::new(load))?;
    let signals = Signals::new()?;
    super::serve::announce(&app);
    note(&format!("dashboard  http://{}/", app.address()));
    note(&format!(
        "data       {}{}",
        folder.path.display(),
        if folder.temporary { ", removed at the end" } else { "" }
    ));

    let target = Target::parse(&format!("http://{}", app.address())).map_err(anyhow::Error::msg)?;
    let plan = args.load.plan(target, args.duration);
    let mut emitter = Emitter::start(plan, control, Arc::new(SystemClock::default()))?;
    tokio::select! {
        () = emitter.over() => {}
        () = signals.requested() => {}
    }
    let emitted = emitter.finish().await;
    app.catch_up().await?;
    let document = summary(&app.figures, &emitted);
    app.drain(limit).await?;
    Ok(document)
}

fn summary(figures: &Figures, emitted: &Summary) -> Value {
    let live = figures.live();
    let anomalies: Map<String, Value> = live.anomalies.iter().map(|(rule, n)| (rule.clone(), json!(n))).collect();
    let round = |ms: f64| (ms * 100.0).round() / 100.0;
    let quantiles = |(p50, p99): (f64, f64)| json!({ "p50": round(p50), "p99": round(p99) });
    json!({
        "events_in": live.accepted + live.duplicates + live.rejected,
        "accepted": live.accepted,
        "duplicates": live.duplicates,
        "rejected": live.rejected,
        "stored": live.stored,
        "dead_letters": live.dead_letters,
        "anomalies": anomalies,
        "windows_closed": figures.windows_closed(),
        "ack_ms": quantiles(live.ack_ms),
        "end_to_end_ms": quantiles(live.end_to_end_ms),
        "duration_s": round(emitted.duration.as_secs_f64()),
        "emit": emitted.json(),
    })
}

fn text(document: &Value) -> String {
    let number = |key: &str| thousands(document[key].as_u64().unwrap_or(0));
    let mut rows: Vec<Vec<String>> = [
        ("events in", "events_in"),
        ("accepted", "accepted"),
        ("duplicates", "duplicates"),
        ("rejected", "rejected"),
        ("stored", "stored"),
        ("dead letters", "dead_letters"),
        ("windows closed", "windows_closed"),
    ]
    .map(|(label, key)| vec![label.to_owned(), number(key)])
    .into();
    if let Some(anomalies) = document["anomalies"].as_object() {
        let row = |(rule, n): (&String, &Value)| vec![rule.clone(), thousands(n.as_u64().unwrap_or(0))];
        rows.extend(anomalies.iter().map(row));
    }
    for (label, key) in [("ack", "ack_ms"), ("end to end", "end_to_end_ms")] {
        for quantile in ["p50", "p99"] {
            let ms = document[key][quantile].as_f64().unwrap_or(0.0);
            rows.push(vec![format!("{label} {quantile} ms"), format!("{ms:.2}")]);
        }
    }
    rows.push(vec!["events/s".to_owned(), format!("{:.1}", document["emit"]["rate"].as_f64().unwrap_or(0.0))]);
    rows.push(vec!["seconds".to_owned(), format!("{:.2}", document["duration_s"].as_f64().unwrap_or(0.0))]);
    table(&["demo", ""], &rows)
}
