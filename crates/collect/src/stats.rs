//! What went through the doors, as counters that cost a request one relaxed addition each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::window::Window;

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct IntakeStats {
    requests: AtomicU64,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    rejected: AtomicU64,
    waiting: AtomicU64,
    disk_full: AtomicBool,
    /// Accepted events of the last seconds.
    pub(crate) window: Window,
    ack: Histogram,
    ack_us: AtomicU64,
}

impl IntakeStats {
    /// Requests that were answered with verdicts.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Events that went into their stream.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Events that were known already.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }

    /// Events that were refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// From a body read to its answer, in milliseconds: p50 and p99 since the start, within 4 %; 0 when there was none.
    pub fn ack_ms(&self) -> (f64, f64) {
        (self.ack.quantile_ms(0.50), self.ack.quantile_ms(0.99))
    }

    /// The mean of the same, in milliseconds; 0 when there was none.
    pub(crate) fn ack_mean_ms(&self) -> f64 {
        self.ack_us.load(Relaxed) as f64 / 1_000.0 / self.requests().max(1) as f64
    }

    /// Events, good ones and refused ones, that the log has not answered yet.
    pub(crate) fn waiting_events(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Whether the disk had no room for the request that the log answered last.
    pub fn disk_full(&self) -> bool {
        self.disk_full.load(Relaxed)
    }

    pub(crate) fn waiting(&self, events: u64) {
        self.waiting.fetch_add(events, Relaxed);
    }

    /// The log found no room, at once.
    pub(crate) fn found_no_room(&self) {
        self.disk_full.store(true, Relaxed);
    }

    pub(crate) fn settled(&self, events: u64, disk_full: bool) {
        self.waiting.fetch_sub(events, Relaxed);
        // Mostly it stays as it is: then the line is not written, and the cores share it.
        if self.disk_full.load(Relaxed) != disk_full {
            self.disk_full.store(disk_full, Relaxed);
        }
    }

    pub(crate) fn count(&self, accepted: u64, duplicates: u64, rejected: u64) {
        self.accepted.fetch_add(accepted, Relaxed);
        if duplicates > 0 {
            self.duplicates.fetch_add(duplicates, Relaxed);
        }
        if rejected > 0 {
            self.rejected.fetch_add(rejected, Relaxed);
        }
    }

    pub(crate) fn answered(&self, took: Duration) {
        self.requests.fetch_add(1, Relaxed);
        self.ack.record(took);
        self.ack_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// Sixteen buckets for each doubling.
const STEPS_LOG: u32 = 4;
const STEPS: usize = 1 << STEPS_LOG;
/// Up to 2³² µs, about 70 minutes; longer ones count there.
const DOUBLINGS: usize = 32 - STEPS_LOG as usize;

/// A log-linear histogram of microseconds: 464 counters, no lock, an error of at most 1/32.
#[derive(Debug)]
struct Histogram {
    buckets: [AtomicU64; STEPS * (DOUBLINGS + 1)],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; STEPS * (DOUBLINGS + 1)] }
    }
}

impl Histogram {
    fn record(&self, duration: Duration) {
        let us = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket.map_or(0.0, |bucket| middle_us(bucket) / 1_000.0)
    }
}

/// Below 16 µs each has its own bucket; above, the four bits behind the highest one choose among sixteen.
fn bucket_of(us: u32) -> usize {
    if us < STEPS as u32 {
        return us as usize;
    }
    let doubling = us.ilog2() - STEPS_LOG;
    let step = (us >> doubling) as usize - STEPS;
    STEPS * (doubling as usize + 1) + step
}

/// The middle of a bucket.
fn middle_us(bucket: usize) -> f64 {
    if bucket < STEPS {
        return bucket as f64;
    }
    let (doubling, step) = (bucket / STEPS - 1, bucket % STEPS);
    let width = (1u64 << doubling) as f64;
    (STEPS + step) as f64 * width + width / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_four_percent() {
        let stats = IntakeStats::default();
        assert_eq!(stats.ack_ms(), (0.0, 0.0));
        for us in 1..=100_000 {
            stats.count(2, 0, 1);
            stats.answered(Duration::from_micros(us));
        }
        let (p50, p99) = stats.ack_ms();
        assert!((p50 / 50.0 - 1.0).abs() < 0.04, "{p50}");
        assert!((p99 / 99.0 - 1.0).abs() < 0.04, "{p99}");
        assert_eq!((stats.requests(), stats.accepted(), stats.rejected()), (100_000, 200_000, 100_000));
    }

    #[test]
    fn every_duration_has_a_bucket_that_holds_it() {
        for us in [0, 1, 15, 16, 17, 31, 32, 1_000, 123_456, u32::MAX - 1, u32::MAX] {
            let middle = middle_us(bucket_of(us));
            assert!((middle - f64::from(us)).abs() <= f64::from(us) / 32.0 + 0.5, "{us} is told as {middle}");
        }
        Histogram::default().record(Duration::MAX);
    }
}
