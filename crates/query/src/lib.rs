//! The read side over HTTP: signals and anomalies in pages, events, windows and alerts by cursor, one event with its
//! lineage, summary, health, the live stream, and the first page. It reads the store and the log; it never writes.

mod alerts;
mod anomalies;
mod cursor;
mod debug;
mod desk;
mod error;
mod events;
mod group;
mod health;
mod lineage;
mod live;
mod openapi;
mod page;
mod params;
mod rows;
mod scope;
mod shares;
mod signals;
mod summary;
mod windows;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use event::{Catalog, WindowId};
use log::{Clock, Log};
use store::Store;
use store::query::EventRow;

use desk::Desk;
pub use openapi::openapi;

/// What the read side reads from.
pub struct Query {
    /// The streams of this process.
    pub catalog: Arc<Catalog>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// Whether there is one: a process that only takes events in needs none.
    pub has_store: bool,
    /// The log, for events that are not in the store yet and for figures.
    pub log: Arc<dyn Log>,
    /// The time, for «the last n hours» and for rates.
    pub clock: Arc<dyn Clock>,
    /// The names of the rules in force: the anomaly types that a filter may name.
    pub rules: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The names of the windows in force, which a filter may name.
    pub windows: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The windows in force that an event falls into. Of a session the start is the event's own time: where it begins is
    /// known once it has ended.
    pub windows_of: WindowsOf,
    /// The figures of this moment. Called once a second and by health and debug, so it must be cheap and not block.
    pub live: Arc<dyn Fn() -> Live + Send + Sync>,
    /// Whether this process can do its work now. Cheap, does not block.
    pub ready: Arc<dyn Fn() -> Ready + Send + Sync>,
    /// All metrics in Prometheus' text format. Cheap, does not block.
    pub prometheus: Arc<dyn Fn() -> String + Send + Sync>,
    /// The version of this build.
    pub version: &'static str,
}

/// Tells the windows of an event.
pub type WindowsOf = Arc<dyn Fn(&EventRow) -> Vec<WindowId> + Send + Sync>;

/// Figures of one moment, of this process or of all that share a log. Counts are totals since the start of each process;
/// rates are differences between two of them.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// How many processes these are the figures of.
    pub processes: u64,
    /// Events accepted at the doors.
    pub accepted: u64,
    /// Events known already.
    pub duplicates: u64,
    /// Events refused.
    pub rejected: u64,
    /// Event rows committed to the store.
    pub stored: u64,
    /// Dead letters committed to the store.
    pub dead_letters: u64,
    /// Dead letters that were given up for good: as many replays as there may be have failed.
    pub quarantined: u64,
    /// Events that came after their window was closed.
    pub late: u64,
    /// Windows that were closed; corrections do not count. The live stream reads the latest again when this grows, or
    /// when `late` does.
    pub windows: u64,
    /// The circuit breakers by target, `store` among them: `closed`, `half-open` or `open`.
    pub breakers: Vec<(String, &'static str)>,
    /// Anomalies committed to the store, by rule. The live stream reads the latest again when this grows.
    pub anomalies: Vec<(String, u64)>,
    /// Records in the log that the engine has not committed yet.
    pub lag_events: u64,
    /// The same by stream and partition.
    pub lag_by_partition: Vec<(String, u32, u64)>,
    /// Bytes of log on disk.
    pub log_bytes: u64,
    /// From request to answer at the doors, in milliseconds: p50 and p99 of the recent past.
    pub ack_ms: (f64, f64),
    /// From append to commit, in milliseconds: p50 and p99 of the recent past.
    pub end_to_end_ms: (f64, f64),
    /// Seconds since the process started.
    pub uptime_seconds: u64,
    /// Whether the process is shutting down: live streams end, so that they do not hold it up.
    pub draining: bool,
}

impl Live {
    /// The store's breaker; closed when this process has none.
    pub(crate) fn store_breaker(&self) -> &'static str {
        self.breakers.iter().find(|(target, _)| target == "store").map_or("closed", |(_, state)| *state)
    }
}

/// Whether this process can do its work, and why not.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Whether it can.
    pub ready: bool,
    /// When it cannot: why, in words for the operator.
    pub reason: String,
}

/// The routes for clients that read, each answered for the [`api::Caller`] of its request. Call it inside a Tokio
/// runtime: it starts the ticker behind the live stream, which ends when the router is dropped.
pub fn router(query: Arc<Query>) -> Router {
    let desk = Desk::new(query);
    live::start(&desk);
    Router::new()
        .route("/signals", get(signals::list_signals))
        .route("/anomalies", get(signals::list_anomalies))
        .route("/users/{user_id}/signals", get(signals::list_user_signals))
        .route("/users/{user_id}/anomalies", get(signals::list_user_anomalies))
        .route("/metrics", get(summary::metrics))
        .route("/v1/events", get(events::list_events))
        .route("/v1/events/{id}", get(lineage::get_event))
        .route("/v1/anomalies", get(anomalies::list_all_anomalies))
        .route("/v1/windows", get(windows::list_windows))
        .route("/v1/alerts", get(alerts::list_alerts))
        .route("/v1/live", get(live::live))
        .with_state(desk)
}

/// The routes for everybody: health, version, and the first page with what it loads.
pub fn public_router(query: Arc<Query>) -> Router {
    let routes = Router::new()
        .route("/health", get(health::health))
        .route("/version", get(health::version))
        .route("/", get(page::index))
        .route("/assets/{name}", get(page::asset));
    routes.with_state(Desk::new(query.clone())).merge(probes_router(query))
}

/// Whether the process lives, and whether it can work: for whoever keeps it running.
pub fn probes_router(query: Arc<Query>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(Desk::new(query))
}

/// The routes for operators, on a port of their own: metrics and `/debug`.
pub fn admin_router(query: Arc<Query>) -> Router {
    Router::new()
        .route("/metrics", get(summary::prometheus))
        .route("/debug", get(debug::debug))
        .with_state(Desk::new(query))
}
