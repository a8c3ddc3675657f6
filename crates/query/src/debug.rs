//! `GET /debug` on the admin port: the log, the lag and the memory of this process, for whoever looks into a problem.

use std::sync::Arc;

use api::time::to_rfc3339;
use axum::extract::State;
use axum::response::Response;
use event::limits;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Query;
use crate::desk::Desk;
use crate::error::QueryError;

/// Damaged places that are listed; the rest are counted.
const DAMAGE_LISTED_MAX: usize = 100;

#[derive(Serialize)]
struct Debug {
    version: &'static str,
    uptime_seconds: u64,
    ready: bool,
    ready_reason: String,
    /// Null where the system does not tell.
    memory_rss_bytes: Option<u64>,
    /// The circuit breakers by target.
    breakers: Map<String, Value>,
    late_events: u64,
    quarantined: u64,
    windows: u64,
    log: LogFigures,
    streams: Vec<StreamFigures>,
}

#[derive(Serialize)]
struct LogFigures {
    poisoned: Option<String>,
    bytes: u64,
    segments: u64,
    oldest: Option<String>,
    queue_len: usize,
    queue_len_max: usize,
    queue_bytes: usize,
    queue_bytes_max: usize,
    queue_age_ms: i64,
    /// Null where the system does not tell.
    disk_free_bytes: Option<u64>,
    disk_reserve_bytes: u64,
    damaged_places: usize,
    damage: Vec<DamageFigures>,
}

#[derive(Serialize)]
struct DamageFigures {
    stream: String,
    file: String,
    offset: u64,
    kind: &'static str,
    records_lost: u64,
}

#[derive(Serialize)]
struct StreamFigures {
    stream: String,
    partitions: Vec<PartitionFigures>,
}

#[derive(Serialize)]
struct PartitionFigures {
    partition: u32,
    /// The oldest offset in the log.
    first: u64,
    /// The offset that the next record gets.
    next: u64,
    /// Records that the engine has not committed; null when it does not say.
    lag_events: Option<u64>,
}

/// The figures behind health and metrics, with what those must not name: files and partitions.
pub(crate) async fn debug(State(desk): State<Arc<Desk>>) -> Result<Response, QueryError> {
    desk.answer(|query| Ok(figures(query))).await
}

fn figures(query: &Query) -> Debug {
    let (live, ready) = ((query.live)(), (query.ready)());
    let lag = |stream: &str, partition: u32| {
        let mut of = live.lag_by_partition.iter();
        of.find(|(name, number, _)| name == stream && *number == partition).map(|(_, _, events)| *events)
    };
    let streams = query.catalog.iter().map(|(id, stream)| {
        let extents = query.log.extents(id).into_iter().zip(0..);
        let partitions = extents.map(|(extent, partition)| PartitionFigures {
            partition,
            first: extent.first,
            next: extent.next,
            lag_events: lag(&stream.name, partition),
        });
        StreamFigures { stream: stream.name.clone(), partitions: partitions.collect() }
    });
    Debug {
        version: query.version,
        uptime_seconds: live.uptime_seconds,
        ready: ready.ready,
        ready_reason: ready.reason,
        memory_rss_bytes: memory_rss_bytes(),
        breakers: live.breakers.iter().map(|(target, state)| (target.clone(), (*state).into())).collect(),
        late_events: live.late,
        quarantined: live.quarantined,
        windows: live.windows,
        log: log_figures(query),
        streams: streams.collect(),
    }
}

fn log_figures(query: &Query) -> LogFigures {
    let status = query.log.status();
    let damage = status.damage.iter().take(DAMAGE_LISTED_MAX).map(|damage| DamageFigures {
        stream: damage.stream.clone(),
        file: damage.file.clone(),
        offset: damage.offset,
        kind: damage.kind.as_str(),
        records_lost: damage.records_lost,
    });
    LogFigures {
        poisoned: status.poisoned.clone(),
        bytes: status.bytes,
        segments: status.segments,
        oldest: status.oldest.map(to_rfc3339),
        queue_len: status.queue_len,
        queue_len_max: limits::APPEND_QUEUE_LEN,
        queue_bytes: status.queue_bytes,
        queue_bytes_max: limits::APPEND_QUEUE_BYTES,
        queue_age_ms: status.queue_age_ms,
        disk_free_bytes: status.free_bytes,
        disk_reserve_bytes: status.reserve_bytes,
        damaged_places: status.damage.len(),
        damage: damage.collect(),
    }
}

/// Memory that this process really holds, as Linux tells it. `/proc` is no disk, so it does not come through the disk
/// port.
fn memory_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
