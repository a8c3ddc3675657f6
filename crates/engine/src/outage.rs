//! Patience with a store that is away: delays that grow, and a breaker that leaves it alone for a while. What waits is in
//! memory, two batches of a lane at the most; the log takes more meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker::{Breaker, BreakerSettings, Notice, Retry};
use log::Clock;
use metrics::{Counter, Gauge, counter, gauge};

use crate::shared::Shared;
use crate::{EngineError, EngineStats};

/// The delays between tries while the breaker is closed.
const RETRY: Retry = Retry { base_ms: 10, max_ms: 1_000, attempts: u32::MAX };
/// How long a wait sleeps before it looks whether the engine is told to stop.
const SLICE: Duration = Duration::from_millis(20);

/// What all committers share.
struct All {
    breaker: Breaker,
    /// How many of them the store failed last.
    failing: usize,
}

/// One committer's; the breaker is that of all.
#[derive(Clone)]
pub(crate) struct Outage {
    clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Arc<EngineStats>,
    all: Arc<Mutex<All>>,
    failures: u32,
    state: Gauge,
    retries: Counter,
}

impl Outage {
    pub(crate) fn new(
        settings: BreakerSettings,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        stats: Arc<EngineStats>,
    ) -> Self {
        let outage = Self {
            clock,
            shared,
            stats,
            all: Arc::new(Mutex::new(All { breaker: Breaker::new(settings), failing: 0 })),
            failures: 0,
            state: gauge!("millstream_breaker_state", "target" => "store"),
            retries: counter!("millstream_retries_total", "target" => "store"),
        };
        outage.tell();
        outage
    }

    /// The store did what was asked.
    pub(crate) fn over(&mut self) {
        if self.failures == 0 {
            return;
        }
        self.failures = 0;
        let mut all = self.all();
        all.failing -= 1;
        // While it fails another one it is not back.
        let notice = if all.failing == 0 { all.breaker.succeeded(self.now_ms()) } else { None };
        drop(all);
        if let Some(Notice::Recovered(ms)) = notice {
            tracing::info!(outage_ms = ms, "the store is back");
        }
        self.tell();
    }

    /// The store did not: waits until it is time for the next try.
    ///
    /// # Errors
    /// [`EngineError::Unfinished`] as soon as the engine is told to stop.
    pub(crate) fn wait(&mut self, cause: &str) -> Result<(), EngineError> {
        let (now, mut all) = (self.now_ms(), self.all());
        all.failing += usize::from(self.failures == 0);
        let notice = all.breaker.failed(now);
        drop(all);
        self.failures = self.failures.saturating_add(1);
        match notice {
            Some(Notice::Opened) => {
                tracing::warn!(cause, "the store is not available; it is tried again from time to time until it is");
            }
            _ => tracing::debug!(cause, failures = self.failures, "the store did not take a commit; it is tried again"),
        }
        self.tell();
        let delay = RETRY.backoff_ms(self.failures, self.chance()).max(self.all().breaker.wait_ms(now));
        let until = self.clock.elapsed() + Duration::from_millis(delay);
        loop {
            if self.shared.stopping() {
                return Err(EngineError::Unfinished(cause.to_owned()));
            }
            let left = until.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                break;
            }
            self.clock.sleep(left.min(SLICE));
        }
        self.stats.note_retry();
        self.retries.increment(1);
        self.tell();
        Ok(())
    }

    /// Between 0 and 1, by chance: what two processes make of it differs.
    pub(crate) fn chance(&self) -> f64 {
        f64::from(self.clock.elapsed().subsec_micros() % 1_000) / 1_000.0
    }

    fn tell(&self) {
        let state = self.all().breaker.state(self.now_ms());
        self.state.set(state.as_gauge());
        self.stats.note_breaker(state);
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }
}
