//! What an emitter counts while it runs, and the summary it ends with.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::output::{table, thousands};

/// Running counts, in events unless said otherwise.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Sent in requests that were answered.
    pub(crate) sent: AtomicU64,
    /// Accepted.
    pub(crate) accepted: AtomicU64,
    /// Known already.
    pub(crate) duplicates: AtomicU64,
    /// Refused one by one.
    pub(crate) rejected: AtomicU64,
    /// Dropped, never answered, or refused as a whole request.
    pub(crate) errors: AtomicU64,
    /// Of the errors: never sent, because the queue was full.
    pub(crate) dropped: AtomicU64,
    /// Requests that had to be sent again.
    pub(crate) retries: AtomicU64,
    /// The first thing that went wrong, for people.
    first_error: Mutex<Option<String>>,
    /// Microseconds from the scheduled time of an event to the answer.
    latency_us: Mutex<Histogram<u64>>,
}

/// What an emitter did.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
    pub(crate) retries: u64,
    pub(crate) first_error: Option<String>,
    /// p50, p99 and p999.
    pub(crate) latency_ms: [f64; 3],
    pub(crate) rate_wanted: f64,
    pub(crate) duration: Duration,
}

impl Tally {
    /// All zero.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let zero = || AtomicU64::new(0);
        Ok(Self {
            sent: zero(),
            accepted: zero(),
            duplicates: zero(),
            rejected: zero(),
            errors: zero(),
            dropped: zero(),
            retries: zero(),
            first_error: Mutex::new(None),
            latency_us: Mutex::new(Histogram::new_with_bounds(1, 3_600_000_000, 3)?),
        })
    }

    /// Keeps the first message.
    pub(crate) fn complain(&self, message: impl FnOnce() -> String) {
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(message);
    }

    /// One request with this many events was answered.
    pub(crate) fn answered(&self, events: u64, latency: Duration) {
        self.sent.fetch_add(events, Relaxed);
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record_n(us.max(1), events);
    }

    /// The end of the count.
    pub(crate) fn summary(&self, rate_wanted: f64, duration: Duration) -> Summary {
        let histogram = self.latency_us.lock().unwrap_or_else(PoisonError::into_inner);
        let ms = |q| (histogram.value_at_quantile(q) as f64 / 10.0).round() / 100.0;
        Summary {
            sent: self.sent.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            errors: self.errors.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            retries: self.retries.load(Relaxed),
            first_error: self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            latency_ms: [ms(0.5), ms(0.99), ms(0.999)],
            rate_wanted,
            duration,
        }
    }
}

impl Summary {
    /// Events a second that were answered.
    pub(crate) fn rate(&self) -> f64 {
        (self.sent as f64 / self.duration.as_secs_f64().max(0.001) * 10.0).round() / 10.0
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        let [p50, p99, p999] = self.latency_ms;
        json!({
            "sent": self.sent, "accepted": self.accepted, "duplicates": self.duplicates, "rejected": self.rejected,
            "errors": self.errors, "dropped": self.dropped, "retries": self.retries, "first_error": self.first_error,
            "rate": self.rate(), "rate_wanted": self.rate_wanted, "duration_s": self.duration.as_secs_f64(),
            "latency_ms": { "p50": p50, "p99": p99, "p999": p999 },
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let [p50, p99, p999] = self.latency_ms;
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            row("sent", thousands(self.sent)),
            row("accepted", thousands(self.accepted)),
            row("duplicates", thousands(self.duplicates)),
            row("rejected", thousands(self.rejected)),
            row("errors", thousands(self.errors)),
            row("events/s", format!("{:.1}", self.rate())),
            row("wanted", format!("{:.1}", self.rate_wanted)),
            row("p50 ms", format!("{p50:.2}")),
            row("p99 ms", format!("{p99:.2}")),
            row("p99.9 ms", format!("{p999:.2}")),
        ];
        if self.retries > 0 {
            rows.insert(5, row("retries", thousands(self.retries)));
        }
        let mut text = table(&["emit", ""], &rows);
        if let Some(error) = &self.first_error {
            text.push_str(&format!("first error: {error}\n"));
        }
        text
    }
}
