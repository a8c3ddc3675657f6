//! The whole chain: HTTP, log, rules, store, with the intake held back whenever the lag reaches its bound, so that what
//! is counted is what can be sustained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use axum::http::Method;
use bytes::Bytes;
use log::{Clock, SystemClock};
use serde_json::{Value, json};

use super::child::Serving;
use super::client::Run;
use super::collect::PATH;
use super::events::Template;
use super::{Figure, Setup, events, say};
use crate::emitter::{Client, Target};

/// Two rules over the measured stream, of both kinds.
const CONFIG: &str = r#"
rules:
  - { name: very_long, stream: events, when: event_data.duration_ms > 59400, severity: low }
  - { name: many_errors, stream: events, when: event_type == "error", count: { more_than: 10, within: 1m } }
"#;

/// Events that may wait between log and store; about one second's worth of what is expected.
const LAG_BOUND: u64 = 200_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The engine's caches and the first sealed chunk come before the count.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the engine may take until it stores what is sent: on a broker that a run before has used, its dead member's
/// partitions come after a while, and what that run left is worked off.
const READY: Duration = Duration::from_secs(120);

/// What the watcher saw: time, events committed, lag.
struct Look {
    at: Duration,
    committed: u64,
    lag: u64,
}

pub(super) fn measure(setup: &Setup) -> anyhow::Result<Figure> {
    say("e2e");
    let roles = if setup.processors == 0 { "collect,process,query" } else { "collect,query" };
    let serving = Serving::start(&setup.dir, roles, CONFIG)?;
    let processors = (0..setup.processors).map(|_| Serving::start(&setup.dir, "process", CONFIG));
    let _processors = processors.collect::<anyhow::Result<Vec<_>>>()?;
    let templates = events::requests(&serving.address.to_string(), PATH, 100, 600);
    ready(&serving, &templates[0])?;
    let run = Run::new(serving.address, templates);
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (run, stop, admin) = (run.clone(), stop.clone(), serving.admin);
        std::thread::spawn(move || watch(admin, &run, &stop))
    };
    let outcome = run.go(setup.connections, setup.seconds + WARM_UP);
    stop.store(true, Relaxed);
    let looks = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    let outcome = outcome?;

    let counted: Vec<&Look> = looks.iter().skip_while(|look| look.at < WARM_UP).collect();
    // From one change to another: how far other processes are is not asked at each look.
    let mut changes = counted.windows(2).filter(|pair| pair[0].committed != pair[1].committed).map(|pair| pair[1]);
    let (first, last) = changes.next().zip(changes.next_back()).context("the run was too short to count")?;
    let seconds = last.at.saturating_sub(first.at).as_secs_f64();
    let lag_mean = |looks: &[&Look]| looks.iter().map(|look| look.lag).sum::<u64>() / looks.len().max(1) as u64;
    let (early, late) = counted.split_at(counted.len() / 2);
    Ok(Figure {
        name: "e2e",
        value: (last.committed - first.committed) as f64 / seconds.max(0.001),
        unit: "events/s",
        p50_ms: Some(outcome.p50_ms),
        p99_ms: Some(outcome.p99_ms),
        rss_mib: serving.peak_rss_mib(),
        more: vec![
            ("lag_max_events", json!(counted.iter().map(|look| look.lag).max())),
            ("lag_mean_first_half", json!(lag_mean(early))),
            ("lag_mean_second_half", json!(lag_mean(late))),
            ("refused", json!(outcome.refused)),
        ],
    })
}

/// Asks a server, one question after the other.
struct Asking {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Asking {
    fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let target = Target::parse(&format!("http://{address}")).map_err(anyhow::Error::msg)?;
        Ok(Self { runtime, client: Client::new(target) })
    }

    fn ask(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let (_, body) = self.runtime.block_on(self.client.send(method, path, "application/json", body))?;
        serde_json::from_slice(&body).with_context(|| format!("{path} is no JSON"))
    }

    /// Events of the measured stream that are committed, and that are not yet; `None` while nobody knows.
    fn progress(&mut self) -> anyhow::Result<Option<(u64, u64)>> {
        Ok(stream_figures(&self.ask(Method::GET, "/debug", Bytes::new())?))
    }
}

/// Waits until what is sent is stored, and nothing else is left to do.
fn ready(serving: &Serving, template: &Template) -> anyhow::Result<()> {
    let (mut doors, mut figures) = (Asking::new(serving.address)?, Asking::new(serving.admin)?);
    let (clock, mut bytes) = (SystemClock::default(), template.bytes.clone());
    template.stamp(&mut bytes, events::first_id(clock.now()), clock.now());
    let body = Bytes::from(bytes).slice(template.body_at..);
    let (began, path) = (clock.elapsed(), format!("{PATH}?ack=stored"));
    while doors.ask(Method::POST, &path, body.clone())?["ack"] != "stored"
        || figures.progress()?.is_none_or(|(_, lag)| lag > 0)
    {
        anyhow::ensure!(clock.elapsed().saturating_sub(began) < READY, "nothing is stored within {READY:?}");
        clock.sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Looks at the lag over and over, and holds the client while it is at its bound.
fn watch(admin: SocketAddr, run: &Run, stop: &AtomicBool) -> anyhow::Result<Vec<Look>> {
    let (clock, mut figures, mut looks) = (SystemClock::default(), Asking::new(admin)?, Vec::new());
    while !stop.load(Relaxed) {
        let (committed, lag) = figures.progress()?.context("/debug does not tell the lag")?;
        // Hysteresis: released at half, so that the client does not stutter.
        let bound = if run.hold.load(Relaxed) { LAG_BOUND / 2 } else { LAG_BOUND };
        run.hold.store(lag >= bound, Relaxed);
        looks.push(Look { at: clock.elapsed(), committed, lag });
        clock.sleep(LOOK_EVERY);
    }
    Ok(looks)
}

/// Events of the measured stream that are committed, and that are not yet.
fn stream_figures(figures: &Value) -> Option<(u64, u64)> {
    let stream = figures["streams"].as_array()?.iter().find(|s| s["stream"] == "events")?;
    stream["partitions"].as_array()?.iter().try_fold((0, 0), |(committed, total), partition| {
        let (next, lag) = (partition["next"].as_u64()?, partition["lag_events"].as_u64()?);
        Some((committed + next - lag, total + lag))
    })
}
