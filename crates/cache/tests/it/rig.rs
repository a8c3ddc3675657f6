//! Caches to test, and a clock that tests turn where the back end lets them.
#![expect(clippy::disallowed_methods, reason = "tests wait for servers")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cache::{Cache, Now};
use services::Redis;

/// The server that nobody stops.
pub(crate) static REDIS: LazyLock<Redis> = LazyLock::new(|| Redis::start().unwrap());

/// A clock in milliseconds that is turned by hand.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn turn(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Now {
        let of = self.0.clone();
        Arc::new(move || Duration::from_millis(of.load(Ordering::SeqCst)))
    }
}

/// The system's clock.
pub(crate) fn real() -> Now {
    let start = Instant::now();
    Arc::new(move || start.elapsed())
}

pub(crate) fn in_redis(url: &str) -> Arc<dyn Cache> {
    cache::open_redis(url, real()).unwrap()
}

/// A name that no other test uses.
pub(crate) fn fresh(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long something takes.
pub(crate) fn time<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = what();
    (value, start.elapsed())
}
