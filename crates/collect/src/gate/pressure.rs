//! Pressure as it is now: what was measured, and how long senders are held back for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use log::LogStatus;
use metrics::{Gauge, gauge};

use super::formula::{self, QUEUE_MAX};
use crate::body::{LANES, slot};

/// How far processing may lag behind before busy processors count as pressure: a machine that works at full load and
/// keeps up is not overloaded, it is well used.
const LAG_FROM: Duration = Duration::from_secs(2);
/// The longest `Retry-After`, in seconds.
const RETRY_MAX_S: u64 = 30;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// How full the log's queue is, from 0 to 1.
    pub queue: f64,
    /// How long the oldest request in it has waited.
    pub queue_age: Duration,
    /// How busy the machine's processors are, from 0 to 1.
    pub machine_cpu: f64,
    /// What this process has of that, from 0 to 1.
    pub process_cpu: f64,
    /// How much of the memory is used that this process may use, from 0 to 1.
    pub memory: f64,
    /// Events in the log that are not processed yet.
    pub lag_events: u64,
    /// Events processed a second.
    pub drain_rate: f64,
}

/// The controller. Doors ask it for every request, so what they need is in atomics.
#[derive(Debug)]
pub struct Pressure {
    delay_ms: AtomicU64,
    retry_after_s: AtomicU64,
    lanes: [Lane; LANES],
    gauges: Gauges,
}

/// What a lane sends.
#[derive(Debug)]
struct Lane {
    /// Events since the last reading.
    sent: AtomicU64,
    /// Whether it sent as much as the mean of those that sent anything, before the last reading: it is such lanes that
    /// pressure comes from, and such lanes that are held back for it.
    loud: AtomicBool,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            delay_ms: AtomicU64::new(0),
            retry_after_s: AtomicU64::new(1),
            lanes: [const { Lane { sent: AtomicU64::new(0), loud: AtomicBool::new(true) } }; LANES],
            gauges: Gauges::new(),
        }
    }
}

impl Pressure {
    /// Takes a new reading.
    pub fn update(&self, reading: Reading) {
        let (delay_ms, processing_delay_ms) = delays_ms(&reading);
        self.look_at_lanes();
        self.delay_ms.store(delay_ms, Relaxed);
        // What waited for that long will take about that long to go; never less than a second.
        let retry = reading.queue_age.as_millis().div_ceil(1_000) as u64;
        self.retry_after_s.store(retry.clamp(1, RETRY_MAX_S), Relaxed);
        self.gauges.tell(&reading, Duration::from_millis(delay_ms), Duration::from_millis(processing_delay_ms));
    }

    fn look_at_lanes(&self) {
        let sent = self.lanes.each_ref().map(|lane| lane.sent.swap(0, Relaxed));
        let active = sent.iter().filter(|sent| **sent > 0).count() as u64;
        let mean = sent.iter().sum::<u64>() / active.max(1);
        for (lane, sent) in self.lanes.iter().zip(sent) {
            lane.loud.store(sent >= mean, Relaxed);
        }
    }

    /// Takes note of what a lane sends.
    pub(crate) fn sent(&self, lane: u32, events: u64) {
        self.lanes[slot(lane)].sent.fetch_add(events, Relaxed);
    }

    /// Holds a request of this lane back. Before its body is read: so that what is held back lies with its sender.
    pub(crate) async fn hold_back(&self, lane: u32) {
        let delay = self.delay(lane);
        if !delay.is_zero() {
            #[expect(clippy::disallowed_methods, reason = "to let time pass is what this is for")]
            tokio::time::sleep(delay).await;
        }
    }

    /// For how long a request of this lane is held back now.
    pub fn delay(&self, lane: u32) -> Duration {
        let delay_ms = self.delay_ms.load(Relaxed);
        // Mostly there is none, and then nothing else is looked at.
        let held = delay_ms > 0 && self.lanes[slot(lane)].loud.load(Relaxed);
        Duration::from_millis(if held { delay_ms } else { 0 })
    }

    /// After how many seconds a refused sender should come again.
    pub fn retry_after_s(&self) -> u32 {
        self.retry_after_s.load(Relaxed).clamp(1, RETRY_MAX_S) as u32
    }
}

/// For how many milliseconds senders are held back, and how long an event that comes now waits until it is processed.
fn delays_ms(reading: &Reading) -> (u64, u64) {
    let queue = (reading.queue * QUEUE_MAX as f64).round() as u64;
    let behind = reading.lag_events as f64 > reading.drain_rate * LAG_FROM.as_secs_f64() && reading.lag_events > 0;
    let cpu = if behind { reading.machine_cpu.max(reading.process_cpu) } else { 0.0 };
    let delay_ms = formula::delay_ms(queue, cpu, reading.memory);
    (delay_ms, formula::processing_delay_ms(delay_ms > 0, reading.lag_events, reading.drain_rate))
}

/// What was measured and what follows from it, for whoever watches.
#[derive(Debug)]
struct Gauges {
    delay_seconds: Gauge,
    processing_delay_seconds: Gauge,
    queue: Gauge,
    machine_cpu: Gauge,
    process_cpu: Gauge,
    memory: Gauge,
    drain_rate: Gauge,
}

impl Gauges {
    fn new() -> Self {
        Self {
            delay_seconds: gauge!("millstream_pressure_delay_seconds"),
            processing_delay_seconds: gauge!("millstream_processing_delay_seconds"),
            queue: gauge!("millstream_pressure_queue_ratio"),
            machine_cpu: gauge!("millstream_machine_cpu_ratio"),
            process_cpu: gauge!("millstream_process_cpu_ratio"),
            memory: gauge!("millstream_memory_ratio"),
            drain_rate: gauge!("millstream_drain_events_per_second"),
        }
    }

    fn tell(&self, reading: &Reading, delay: Duration, processing_delay: Duration) {
        self.delay_seconds.set(delay.as_secs_f64());
        self.processing_delay_seconds.set(processing_delay.as_secs_f64());
        self.queue.set(reading.queue);
        self.machine_cpu.set(reading.machine_cpu);
        self.process_cpu.set(reading.process_cpu);
        self.memory.set(reading.memory);
        self.drain_rate.set(reading.drain_rate);
    }
}

/// How full a log's queue is, from 0 to 1: the hard limit of a single sender is half of what all may have.
pub fn queue_fill(status: &LogStatus) -> f64 {
    use event::limits::{APPEND_QUEUE_BYTES, APPEND_QUEUE_LEN};
    let of = |used: usize, all: usize| used as f64 / (all / 2) as f64;
    of(status.queue_bytes, APPEND_QUEUE_BYTES).max(of(status.queue_len, APPEND_QUEUE_LEN)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reading: Reading, delay_ms: u64, retry_after_s: u32) {
        let pressure = Pressure::default();
        pressure.update(reading);
        assert_eq!(
            (pressure.delay(0), pressure.retry_after_s()),
            (Duration::from_millis(delay_ms), retry_after_s),
            "{reading:?}"
        );
    }

    #[test]
    fn a_full_queue_holds_back_and_its_age_says_when_to_come_again() {
        let age = Duration::from_millis;
        check(Reading::default(), 0, 1);
        check(Reading { queue: 0.8, ..Reading::default() }, 0, 1);
        check(Reading { queue: 0.9, queue_age: age(1_001), ..Reading::default() }, 63, 2);
        check(Reading { queue: 1.0, queue_age: age(600_000), ..Reading::default() }, 100, 30);
        check(Reading { memory: 0.9, ..Reading::default() }, 5, 1);
    }

    #[test]
    fn those_are_held_back_whom_it_comes_from() {
        let pressure = Pressure::default();
        let full = Reading { queue: 1.0, ..Reading::default() };
        let held = |pressure: &Pressure| [1, 2, 3].map(|lane| !pressure.delay(lane).is_zero());
        pressure.sent(1, 1_000);
        pressure.sent(2, 10);
        pressure.update(full);
        assert_eq!(held(&pressure), [true, false, false]);
        (1..3).for_each(|lane| pressure.sent(lane, 500));
        pressure.update(full);
        assert_eq!(held(&pressure), [true, true, false]);
        pressure.update(full);
        assert_eq!(held(&pressure), [true; 3], "nobody sent anything: whoever comes is held back");
        pressure.update(Reading::default());
        assert_eq!(held(&pressure), [false; 3]);
    }

    #[test]
    fn busy_processors_count_once_processing_falls_behind() {
        let busy = Reading { machine_cpu: 1.0, process_cpu: 0.6, drain_rate: 1_000.0, ..Reading::default() };
        check(busy, 0, 1);
        check(Reading { lag_events: 2_000, ..busy }, 0, 1);
        check(Reading { lag_events: 2_001, ..busy }, 100, 1);
        check(Reading { lag_events: 1, drain_rate: 0.0, machine_cpu: 0.9, ..busy }, 10, 1);
        assert_eq!(delays_ms(&Reading { lag_events: 9_000, ..busy }), (100, 9_000));
    }
}
