//! The open loop: events are due by a schedule that does not wait for answers. What cannot be sent in time waits in a
//! bounded queue, and what does not fit there is dropped and counted; the rate is never lowered in silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use indicatif::ProgressBar;
use log::Clock;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::control::Control;
use super::signal::Generator;
use super::tally::Tally;
use crate::config::EmitSettings;

/// A request that is due.
pub(crate) struct Job {
    /// One event a line.
    pub(crate) body: Bytes,
    /// The ids of the events, in order.
    pub(crate) ids: Vec<Uuid>,
    /// When it was due, by the clock's elapsed time: latency counts from here.
    pub(crate) due: Duration,
}

/// The state of the schedule.
pub(crate) struct Pacer {
    pub(crate) settings: EmitSettings,
    pub(crate) control: Arc<Control>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tally: Arc<Tally>,
    /// Events that wait in the queue.
    pub(crate) queued: Arc<AtomicUsize>,
    pub(crate) jobs: mpsc::UnboundedSender<Job>,
    pub(crate) generator: Generator,
    /// Chance of bursts, apart from the generator so that bursts do not change the signals.
    pub(crate) rng: Rng,
    pub(crate) duration: Option<Duration>,
    pub(crate) count: Option<u64>,
    pub(crate) bar: ProgressBar,
}

/// Events of one tick: a tenth of the rate, so that there are at least ten ticks a second above ten events a second.
pub(crate) fn tick_batch(rate: f64) -> usize {
    ((rate / 10.0) as usize).clamp(1, 1_000)
}

impl Pacer {
    /// Runs the schedule until its time or count is over, or it is told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let start = self.clock.elapsed();
        let end = self.duration.map_or(Duration::MAX, |d| start + d);
        let (mut due, mut made) = (start, 0_u64);
        loop {
            // The last tick's own length belongs to the run: without it the rate would look too good.
            if !self.wait_until(due.min(end), &mut stop).await || due >= end || self.count.is_some_and(|n| made >= n) {
                break;
            }
            let rate = self.control.rate(self.clock.elapsed());
            let tick = self.settings.batch.unwrap_or_else(|| tick_batch(rate));
            let mut n = tick as u64;
            if self.control.burst() && self.rng.f64() < 0.10 {
                n += 5 * tick as u64;
            }
            let n = self.count.map_or(n, |count| n.min(count - made));
            self.offer(n as usize, due);
            made += n;
            due += Duration::from_secs_f64(tick as f64 / rate);
            self.show(due.saturating_sub(start));
        }
    }

    /// Waits for a tick; `false` when told to stop.
    async fn wait_until(&self, due: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        let wait = due.saturating_sub(self.clock.elapsed());
        #[expect(clippy::disallowed_methods, reason = "pacing is what this file is for")]
        let sleep = tokio::time::sleep(wait);
        tokio::select! {
            biased;
            _ = stop.changed() => false,
            () = sleep => true,
        }
    }

    /// Queues events that are due, in requests of at most `flush_every`.
    fn offer(&mut self, mut n: usize, due: Duration) {
        while n > 0 {
            let size = n.min(self.settings.flush_every);
            n -= size;
            if self.queued.load(Relaxed) + size > self.settings.queue_max {
                self.tally.dropped.fetch_add(size as u64, Relaxed);
                self.tally.errors.fetch_add(size as u64, Relaxed);
                self.tally.complain(|| "the queue was full: events were dropped before they were sent".to_owned());
                continue;
            }
            let now = self.clock.now();
            let (mut body, mut ids) = (Vec::with_capacity(size * 320), Vec::with_capacity(size));
            ids.extend((0..size).map(|_| self.generator.line(now, &mut body)));
            self.queued.fetch_add(size, Relaxed);
            // The workers are gone only when everything is being stopped.
            drop(self.jobs.send(Job { body: body.into(), ids, due }));
        }
    }

    fn show(&self, elapsed: Duration) {
        let sent = self.tally.sent.load(Relaxed);
        let errors = self.tally.errors.load(Relaxed);
        let rate = sent as f64 / elapsed.as_secs_f64().max(0.001);
        self.bar.set_position(elapsed.as_millis() as u64);
        self.bar.set_message(format!("{sent} sent · {rate:.0}/s · {errors} errors"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_tenth_of_the_rate_within_bounds() {
        for (rate, batch) in [(0.5, 1), (10.0, 1), (25.0, 2), (5_000.0, 500), (10_000.0, 1_000), (200_000.0, 1_000)] {
            assert_eq!(tick_batch(rate), batch, "{rate}");
        }
    }
}
