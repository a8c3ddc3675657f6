//! One second of figures, as subscribers see it.

use event::{Millis, limits};
use log::LogStatus;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Live;
use crate::rows::counts;

/// What a subscriber can ask for.
pub(super) const TOPICS: [&str; 9] =
    ["rates", "lag", "latency", "log", "pressure", "breakers", "anomalies", "windows", "history"];

/// One second of figures. A topic that was not asked for is absent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Frame {
    /// When it was taken, milliseconds since the epoch.
    pub(super) time: Millis,
    /// Seconds since the process started.
    uptime_seconds: u64,
    /// How many processes these are the figures of.
    processes: u64,
    /// Counts since the process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) totals: Option<Counts<u64>>,
    /// The same a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rates: Option<Counts<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lag: Option<Lag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) anomalies: Option<Anomalies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) windows: Option<Windows>,
    /// The circuit breakers by target: `closed`, `half-open` or `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    breakers: Option<Map<String, Value>>,
    /// Whether the process shuts down and no frame follows.
    #[serde(skip)]
    pub(super) last: bool,
}

/// The counts that flow through the house.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(super) struct Counts<T> {
    /// Accepted at the doors.
    pub(super) accepted: T,
    /// Known already.
    pub(super) duplicates: T,
    /// Refused.
    pub(super) rejected: T,
    /// Committed to the store.
    pub(super) stored: T,
    /// Refused, and kept as dead letters in the store.
    pub(super) dead_letters: T,
    /// Anomalies raised.
    pub(super) anomalies: T,
    /// Came after their window was closed.
    pub(super) late: T,
    /// Dead letters given up for good.
    pub(super) quarantined: T,
}

/// Work that waits for the engine.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Lag {
    /// Records in the log that are not committed to the store.
    pub(super) events: u64,
}

/// Two percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

/// Latencies of the recent past.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Latency {
    /// From request to answer.
    ack_ms: Percentiles,
    /// From append to commit.
    end_to_end_ms: Percentiles,
}

/// The log on disk.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct LogSize {
    bytes: u64,
}

/// What waits for the log's writer; at the bound the doors answer 429.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Pressure {
    queue_len: usize,
    queue_bytes: usize,
    queue_bytes_max: usize,
}

/// Anomalies of this process.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Anomalies {
    /// Raised since the process started, by rule.
    #[serde(serialize_with = "counts")]
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    by_rule: Vec<(String, u64)>,
    /// The latest in the store, newest event time first, as in `/v1/anomalies` but without the event's own JSON.
    #[schema(value_type = Vec<Object>)]
    latest: Box<RawValue>,
}

/// Windows of this process.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Windows {
    /// Closed since the start; corrections do not count.
    pub(super) closed: u64,
    /// The latest in the store, newest start first, as in `/v1/windows`.
    #[schema(value_type = Vec<Object>)]
    latest: Box<RawValue>,
}

/// The latest rows of the store that a frame shows, as JSON.
#[derive(Clone, Debug)]
pub(super) struct LatestRows {
    pub(super) anomalies: Box<RawValue>,
    pub(super) windows: Box<RawValue>,
}

impl Default for LatestRows {
    fn default() -> Self {
        Self { anomalies: RawValue::NULL.to_owned(), windows: RawValue::NULL.to_owned() }
    }
}

/// One second as a caller with a tenant sees it: no figures of the process.
#[derive(Serialize)]
pub(super) struct OwnFrame<'a> {
    time: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    anomalies: Option<Own<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    windows: Option<Own<'a>>,
}

#[derive(Serialize)]
struct Own<'a> {
    latest: &'a RawValue,
}

impl OwnFrame<'_> {
    /// As JSON; with what of the tenant's latest rows is wanted.
    pub(super) fn text(time: Millis, latest: &LatestRows, topics: &[&str]) -> String {
        let own = |topic, latest| topics.contains(&topic).then_some(Own { latest });
        let (anomalies, windows) = (own("anomalies", &*latest.anomalies), own("windows", &*latest.windows));
        serde_json::to_string(&OwnFrame { time, anomalies, windows }).unwrap_or_default()
    }
}

impl Frame {
    pub(super) fn new(time: Millis, live: Live, rates: Counts<f64>, status: &LogStatus, latest: LatestRows) -> Self {
        // Three decimals of a millisecond are what a clock can tell.
        let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
        let percentiles = |(p50, p99): (f64, f64)| Percentiles { p50: round(p50), p99: round(p99) };
        Self {
            time,
            uptime_seconds: live.uptime_seconds,
            processes: live.processes,
            totals: Some(Counts::of(&live)),
            rates: Some(rates),
            lag: Some(Lag { events: live.lag_events }),
            latency: Some(Latency { ack_ms: percentiles(live.ack_ms), end_to_end_ms: percentiles(live.end_to_end_ms) }),
            log: Some(LogSize { bytes: live.log_bytes }),
            pressure: Some(Pressure {
                queue_len: status.queue_len,
                queue_bytes: status.queue_bytes,
                queue_bytes_max: limits::APPEND_QUEUE_BYTES,
            }),
            last: live.draining,
            anomalies: Some(Anomalies { by_rule: live.anomalies, latest: latest.anomalies }),
            windows: Some(Windows { closed: live.windows, latest: latest.windows }),
            breakers: Some(live.breakers.into_iter().map(|(target, state)| (target, state.into())).collect()),
        }
    }

    /// See [`Counts::yielded`].
    pub(super) fn yielded(&self) -> (u64, u64) {
        let closed = self.windows.as_ref().map_or(0, |windows| windows.closed);
        self.totals.unwrap_or_default().yielded(closed)
    }

    /// The frame as JSON, with these topics only.
    pub(super) fn text(&self, topics: &[&str]) -> String {
        let mut part = self.clone();
        let asked = |topic| topics.contains(&topic);
        if !asked("rates") {
            (part.totals, part.rates) = (None, None);
        }
        part.lag = part.lag.filter(|_| asked("lag"));
        part.latency = part.latency.filter(|_| asked("latency"));
        part.log = part.log.filter(|_| asked("log"));
        part.pressure = part.pressure.filter(|_| asked("pressure"));
        part.breakers = part.breakers.filter(|_| asked("breakers"));
        part.anomalies = part.anomalies.filter(|_| asked("anomalies"));
        part.windows = part.windows.filter(|_| asked("windows"));
        serde_json::to_string(&part).unwrap_or_default()
    }
}

impl Counts<u64> {
    pub(super) fn of(live: &Live) -> Self {
        Self {
            accepted: live.accepted,
            duplicates: live.duplicates,
            rejected: live.rejected,
            stored: live.stored,
            dead_letters: live.dead_letters,
            anomalies: live.anomalies.iter().map(|(_, count)| count).sum(),
            late: live.late,
            quarantined: live.quarantined,
        }
    }

    /// Anomalies, and changes of windows, late ones included: when either grows, there are new rows to show.
    pub(super) fn yielded(self, closed: u64) -> (u64, u64) {
        (self.anomalies, closed.saturating_add(self.late))
    }

    /// The difference to an earlier moment, a second. A count that went back counts as standing still.
    pub(super) fn rates_since(self, before: Self, seconds: f64) -> Counts<f64> {
        let rate = |now: u64, before: u64| {
            let rate = now.saturating_sub(before) as f64 / seconds;
            // One decimal is what anybody reads.
            if seconds > 0.0 { (rate * 10.0).round() / 10.0 } else { 0.0 }
        };
        Counts {
            accepted: rate(self.accepted, before.accepted),
            duplicates: rate(self.duplicates, before.duplicates),
            rejected: rate(self.rejected, before.rejected),
            stored: rate(self.stored, before.stored),
            dead_letters: rate(self.dead_letters, before.dead_letters),
            anomalies: rate(self.anomalies, before.anomalies),
            late: rate(self.late, before.late),
            quarantined: rate(self.quarantined, before.quarantined),
        }
    }
}
