//! `GET /api/v1/health` and `GET /api/v1/metrics`: how the collector feels and what it did, from what is counted where
//! it happens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use crate::gate::queue_fill;

/// A buffer fuller than this is worth a look.
const BUFFER_WARN: f64 = 0.8;

/// How the collector feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Feeling {
    /// Everything works.
    Healthy,
    /// Events are taken, but somebody should look: `reasons` says at what.
    Degraded,
    /// Events are not taken, or not worked on.
    Unhealthy,
}

/// Health in words and figures.
#[derive(Serialize, ToSchema)]
pub(super) struct CollectorHealth {
    status: Feeling,
    /// Why it is not healthy; empty when it is.
    reasons: Vec<String>,
    /// Whether the log takes events, and its broker, where it has one, is there.
    kafka_connected: bool,
    buffer_status: BufferStatus,
    throughput_metrics: Throughput,
    uptime_seconds: u64,
}

/// What waits to be written to the log, on disk for a broker that is away included.
#[derive(Serialize, ToSchema)]
pub(super) struct BufferStatus {
    /// Requests.
    buffered_batches: usize,
    /// Their events.
    buffered_events: u64,
    /// Their bytes, in units of a million.
    buffer_size_mb: f64,
    total_size_bytes: u64,
    /// From 0 to 1 of what one sender may have waiting, by requests or bytes, and of what the disk takes for a broker that
    /// is away, whichever is fuller; beyond it the answer is 429 or 503.
    utilization: f64,
}

/// How fast it goes.
#[derive(Serialize, ToSchema)]
pub(super) struct Throughput {
    /// Accepted events a second, over the last ten seconds.
    events_per_second: f64,
    /// The mean time from a body read to its answer, since the start.
    avg_processing_time_ms: f64,
}

/// What it did since the start of the process, over all doors.
#[derive(Serialize, ToSchema)]
pub(super) struct CollectorMetrics {
    /// Events that got a verdict.
    events_processed_total: u64,
    /// Accepted events a second, over the last ten seconds; the same for everybody who asks.
    events_per_second: f64,
    /// Events written to the log.
    kafka_writes_total: u64,
    /// Events that became dead letters.
    dlq_events_total: u64,
    /// Events that wait for the log.
    buffer_events_count: u64,
    /// The mean time from a body read to its answer.
    avg_processing_time_ms: f64,
    /// Of a hundred requests, ninety-nine were faster; within 4 %.
    p99_processing_time_ms: f64,
}

/// How it feels, looked at now.
pub(super) async fn health(State(desk): State<Arc<Desk>>) -> (StatusCode, Json<CollectorHealth>) {
    let (status, stats) = (desk.intake.log().status(), desk.intake.stats());
    let spool = status.spool.clone().unwrap_or_default();
    let utilization = queue_fill(&status).max(spool.bytes as f64 / spool.bytes_max.max(1) as f64);
    let full = stats.disk_full().then(|| "the disk has no room for events".to_owned());
    let stopped = status.poisoned.as_ref().map(|reason| format!("the log stopped writing: {reason}"));
    let takes_events = full.is_none() && stopped.is_none();
    // A log that stopped is a hindrance too; it need not be told twice.
    let hindrance = if stopped.is_none() { (desk.hindrance)() } else { None };
    let ills: Vec<String> = [stopped, full, hindrance].into_iter().flatten().collect();
    let mut notes = Vec::new();
    if utilization > BUFFER_WARN {
        notes.push(format!("{:.0} % of what may wait for the log does", utilization * 100.0));
    }
    let lost: u64 = status.damage.iter().map(|damage| damage.records_lost).sum();
    if lost > 0 {
        notes.push(format!("{lost} records were lost to damage of the disk"));
    }
    if let Some(why) = &status.away {
        notes.push(format!("the broker cannot be reached: {why}"));
    }
    let feeling = match (ills.is_empty(), notes.is_empty()) {
        (false, _) => Feeling::Unhealthy,
        (true, false) => Feeling::Degraded,
        (true, true) => Feeling::Healthy,
    };
    let (uptime, bytes) = (desk.intake.uptime(), status.queue_bytes as u64 + spool.bytes);
    let body = CollectorHealth {
        status: feeling,
        reasons: ills.into_iter().chain(notes).collect(),
        kafka_connected: takes_events && status.away.is_none(),
        buffer_status: BufferStatus {
            buffered_batches: status.queue_len,
            buffered_events: stats.waiting_events() + spool.records,
            buffer_size_mb: bytes as f64 / 1e6,
            total_size_bytes: bytes,
            utilization,
        },
        throughput_metrics: Throughput {
            events_per_second: stats.window.per_second(uptime),
            avg_processing_time_ms: stats.ack_mean_ms(),
        },
        uptime_seconds: uptime.as_secs(),
    };
    let code = if feeling == Feeling::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body))
}

/// What it did.
pub(super) async fn metrics(State(desk): State<Arc<Desk>>) -> Json<CollectorMetrics> {
    let stats = desk.intake.stats();
    Json(CollectorMetrics {
        events_processed_total: stats.accepted() + stats.duplicates() + stats.rejected(),
        events_per_second: stats.window.per_second(desk.intake.uptime()),
        kafka_writes_total: stats.accepted(),
        dlq_events_total: stats.rejected(),
        buffer_events_count: stats.waiting_events(),
        avg_processing_time_ms: stats.ack_mean_ms(),
        p99_processing_time_ms: stats.ack_ms().1,
    })
}
