//! The clock as a port: the only room that asks the system for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event::Millis;

/// Tells the time, and lets it pass.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time in milliseconds since the epoch. May jump.
    fn now(&self) -> Millis;
    /// Time since an arbitrary start that never goes back, for measuring.
    fn elapsed(&self) -> Duration;
    /// Blocks the thread for this long; for retry delays and pacing, never to wait for an event.
    fn sleep(&self, duration: Duration);
}

/// The system's clock.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
        let start = Instant::now();
        Self { start }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
        std::thread::sleep(duration);
    }
}

/// A clock that tests turn by hand; sleeping turns it too.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that stands at this time.
    pub fn at(now: Millis) -> Self {
        Self { now: Arc::new(AtomicI64::new(now)) }
    }

    /// Turns it forward.
    pub fn advance(&self, by_ms: Millis) {
        self.now.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.now.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().max(0) as u64)
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration.as_millis() as Millis);
    }
}
