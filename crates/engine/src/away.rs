//! Patience with a log that others keep and that cannot be reached: it is tried again after delays that grow, and told once.

use std::time::Duration;

use breaker::{Breaker, BreakerSettings, Notice, Retry};
use metrics::{Counter, Gauge, counter, gauge};

/// The delays between tries while the breaker is closed.
const RETRY: Retry = Retry { base_ms: 10, max_ms: 1_000, attempts: u32::MAX };

/// A broker is back soon, or somebody sees to it; a try costs little.
const BREAKER: BreakerSettings = BreakerSettings { failures: 5, open_ms: 1_000, probes: 1 };

pub(crate) struct Away {
    breaker: Breaker,
    failures: u32,
    /// When it is tried again.
    until: Duration,
    /// Made with the first failure: a log on disk has none.
    meters: Option<(Gauge, Counter)>,
}

impl Default for Away {
    fn default() -> Self {
        Self { breaker: Breaker::new(BREAKER), failures: 0, until: Duration::ZERO, meters: None }
    }
}

impl Away {
    /// Whether it is too early for another try.
    pub(crate) fn waits(&self, now: Duration) -> bool {
        self.failures > 0 && now < self.until
    }

    /// It could not be read.
    pub(crate) fn failed(&mut self, now: Duration, cause: &str) {
        self.failures = self.failures.saturating_add(1);
        let at = now.as_millis() as u64;
        if self.breaker.failed(at) == Some(Notice::Opened) {
            tracing::warn!(cause, "the log cannot be reached; it is tried again from time to time until it can");
        } else {
            tracing::debug!(cause, failures = self.failures, "the log could not be read; it is tried again");
        }
        // What two processes make of it differs.
        let chance = f64::from(now.subsec_micros() % 1_000) / 1_000.0;
        let delay = RETRY.backoff_ms(self.failures, chance).max(self.breaker.wait_ms(at));
        self.until = now + Duration::from_millis(delay);
        let target = || {
            (
                gauge!("millstream_breaker_state", "target" => "log"),
                counter!("millstream_retries_total", "target" => "log"),
            )
        };
        let (state, retries) = self.meters.get_or_insert_with(target);
        state.set(self.breaker.state(at).as_gauge());
        retries.increment(1);
    }

    /// It was read.
    pub(crate) fn over(&mut self, now: Duration) {
        if self.failures == 0 {
            return;
        }
        self.failures = 0;
        let at = now.as_millis() as u64;
        if let Some(Notice::Recovered(ms)) = self.breaker.succeeded(at) {
            tracing::info!(outage_ms = ms, "the log is back");
        }
        if let Some((state, _)) = &self.meters {
            state.set(self.breaker.state(at).as_gauge());
        }
    }
}
