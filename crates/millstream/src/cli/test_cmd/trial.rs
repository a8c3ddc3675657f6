//! The run of a test: the real parts on a temporary folder, and a clock that goes where the events say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use collect::Intake;
use event::{Catalog, Millis, Retention, Stream, StreamId};
use http_body_util::BodyExt;
use log::clock::ManualClock;
use log::{Clock, Log, SystemClock};
use process::{Program, RuleKind, WindowKind};
use store::Store;
use tower::ServiceExt;

use super::events::Sent;
use super::judge::Found;
use super::rows;
use crate::backends;
use crate::cli::folder::Folder;
use crate::config::Definitions;
use crate::processing::{CONSUMER, Processing, Specs};

/// Events that arrive within so long of each other go in one request, which arrives with the last of them.
const TOGETHER_MS: Millis = 1_000;
/// Events of one request at the most.
const REQUEST_EVENTS: usize = 1_000;
/// How often it is looked whether processing has come to its end, and after how many looks that is given up.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOKS: usize = 12_000;
/// While it has not, the clock goes on by this much every so many looks: an engine looks after idle partitions once a
/// second of it.
const TURN_MS: Millis = 1_001;
const TURN_EVERY: usize = 20;

/// What became of a test's events.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) events: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    pub(super) found: Found,
}

/// Sends the events, lets time pass until nothing more can come out, and collects what was found.
///
/// # Errors
/// When a part cannot be made, or fails.
pub(super) async fn run(definitions: Definitions, sent: Vec<Sent>) -> anyhow::Result<Tried> {
    let folder = Folder::new(None, "test")?;
    let catalog = Arc::new(unbounded(&definitions.catalog)?);
    let clock = ManualClock::at(sent.first().map_or(0, |sent| sent.arrives));
    let port: Arc<dyn Clock> = Arc::new(clock.clone());
    let log = backends::open_disk(&folder.path, catalog.clone(), port.clone())?;
    let store: Arc<dyn Store> = Arc::new(backends::open_sqlite(&folder.path, catalog.clone())?);
    let specs = Specs { rules: definitions.rules, windows: definitions.windows };
    let programs = specs.programs(&catalog)?;
    let horizon = horizon(&specs);
    let alerts = Arc::new(|_: &[event::Anomaly]| Vec::new());
    let processing = Processing::new(catalog.clone(), log.clone(), store.clone(), port.clone(), alerts, 1);
    processing.start(specs)?;
    let door = collect::router(Intake::new(catalog.clone(), log.clone(), port, CONSUMER));

    let mut tried = Tried { events: sent.len() as u64, ..Tried::default() };
    for request in requests(&sent) {
        let arrives = request.last().map_or(0, |sent| sent.arrives);
        clock.advance((arrives - clock.now()).max(0));
        send(&door, &catalog, request, &mut tried).await?;
    }
    let end = End { catalog: &catalog, programs, log: &*log, store: &*store, processing: &processing };
    tokio::task::block_in_place(|| end.wait(&clock, horizon))?;
    tokio::task::block_in_place(|| processing.stop())?;
    log.close();
    tried.found = rows::collect(&*store)?;
    Ok(tried)
}

/// The same streams without retention: nothing of a test is too old.
fn unbounded(catalog: &Catalog) -> anyhow::Result<Catalog> {
    let streams = catalog.iter().map(|(_, stream)| stream).filter(|stream| !stream.name.starts_with('_'));
    let retention = Retention { age_ms: None, size_bytes: None };
    Catalog::new(streams.map(|stream| Stream { retention, ..stream.clone() }).collect()).context("the streams")
}

/// How long after the last event something may still come out, in milliseconds.
fn horizon(specs: &Specs) -> Millis {
    let rules = specs.rules.iter().map(|rule| match rule.kind {
        RuleKind::Absence { after_ms } => after_ms,
        _ => 0,
    });
    let windows = specs.windows.iter().map(|window| {
        let length = match &window.kind {
            WindowKind::Tumbling(sizes) => sizes.iter().copied().max().unwrap_or(0),
            WindowKind::Hopping { size_ms, .. } => *size_ms,
            WindowKind::Session { gap_ms } => *gap_ms,
        };
        length.saturating_add(window.lateness_ms)
    });
    rules.chain(windows).max().unwrap_or(0)
}

/// Events of one stream that arrive about together, in order.
fn requests(sent: &[Sent]) -> impl Iterator<Item = &[Sent]> {
    let mut rest = sent;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let together = |sent: &&Sent| sent.stream == first.stream && sent.arrives - first.arrives < TOGETHER_MS;
        let count = rest.iter().take(REQUEST_EVENTS).take_while(together).count();
        let (request, behind) = rest.split_at(count);
        rest = behind;
        Some(request)
    })
}

async fn send(door: &Router, catalog: &Catalog, request: &[Sent], tried: &mut Tried) -> anyhow::Result<()> {
    let Some(first) = request.first() else { return Ok(()) };
    let lines: Vec<&[u8]> = request.iter().map(|sent| sent.line.as_slice()).collect();
    let url = format!("/v1/streams/{}/events", catalog.get(first.stream).name);
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::from(lines.join(&b'\n')))
        .context("a request")?;
    let answer = door.clone().oneshot(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("an answer")?.to_bytes();
    let verdicts: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let count = |name: &str| verdicts[name].as_u64();
    let (Some(accepted), Some(duplicates), Some(rejected)) =
        (count("accepted_count"), count("duplicate_count"), count("rejected_count"))
    else {
        anyhow::bail!("the intake answered {status}: {}", String::from_utf8_lossy(&body));
    };
    tried.accepted += accepted;
    tried.duplicates += duplicates;
    tried.rejected += rejected;
    Ok(())
}

/// What tells whether processing has come to its end.
struct End<'a> {
    catalog: &'a Catalog,
    programs: Vec<(StreamId, Program)>,
    log: &'a dyn Log,
    store: &'a dyn Store,
    processing: &'a Processing,
}

impl End<'_> {
    /// Waits until everything is committed, lets time pass, and waits until no partition holds anything that time alone
    /// would bring out.
    fn wait(&self, clock: &ManualClock, horizon: Millis) -> anyhow::Result<()> {
        let caught_up = || self.processing.stats().is_none_or(|stats| stats.lag_events() == 0);
        self.until(|_| Ok(caught_up()))?;
        // Idle partitions are closed by the clock: it goes beyond the longest that anything waits for.
        let idle_after_ms = engine::Settings::default().idle_after_ms;
        clock.advance(horizon + idle_after_ms + TURN_MS);
        self.until(|look| {
            let Some(due) = self.due()? else { return Ok(false) };
            // Something waits longer than was foreseen, an event of the future for example; or the engine has just looked.
            let missing = due.map_or(0, |due| due + idle_after_ms - clock.now()).max(0);
            if due.is_some() && (missing > 0 || look.is_multiple_of(TURN_EVERY)) {
                clock.advance(missing + TURN_MS);
            }
            Ok(due.is_none() && caught_up())
        })
    }

    /// Looks again and again until something holds.
    fn until(&self, mut holds: impl FnMut(usize) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let pause = SystemClock::default();
        for look in 1..LOOKS {
            if let Some(reason) = self.processing.failed() {
                anyhow::bail!("processing failed: {reason}");
            }
            if holds(look)? {
                return Ok(());
            }
            pause.sleep(LOOK_EVERY);
        }
        anyhow::bail!("processing did not come to its end")
    }

    /// The time of what would come out first, if anything would; `None` while there are states that are not written down.
    fn due(&self) -> anyhow::Result<Option<Option<Millis>>> {
        let snapshots = self.store.snapshots()?;
        let mut first: Option<Millis> = None;
        for (id, program) in &self.programs {
            let stream = &self.catalog.get(*id).name;
            for (partition, extent) in (0..).zip(self.log.extents(*id)).filter(|(_, extent)| extent.next > 0) {
                let snapshot = snapshots
                    .iter()
                    .map(|snapshot| (&snapshot.position, snapshot))
                    .find(|(at, _)| at.stream == *stream && at.partition == partition && at.offset == extent.next);
                let Some((_, snapshot)) = snapshot else { return Ok(None) };
                let restored = program.decode(&snapshot.state).map_err(|error| anyhow::anyhow!("{error}"))?;
                let due = program.due(&restored.state);
                first = first.into_iter().chain(due).min();
            }
        }
        Ok(Some(first))
    }
}
