//! The formula of pressure: how long a sender should be held back, from how full the queue is and how busy the machine.
//!
//! From the collision system's rules: pressure begins strictly above 80 % of the queue, 80 % of the processors or 85 % of
//! the memory, and the delay is `100 ^ max(pressures)` milliseconds, 1 to 100.

/// How many events the queue of the formula holds.
pub(super) const QUEUE_MAX: u64 = 10_000;
/// Above this many of them there is pressure.
const QUEUE_FROM: u64 = QUEUE_MAX * 8 / 10;
/// Above this much of the processors, 0 to 1, there is pressure.
const CPU_FROM: f64 = 0.80;
/// Above this much of the memory, 0 to 1, there is pressure.
const MEMORY_FROM: f64 = 0.85;
/// The longest delay in milliseconds; also the base of the formula.
const DELAY_MAX_MS: f64 = 100.0;
/// The estimate while nothing drains, in milliseconds.
const UNKNOWN_RATE_MS: u64 = 5_000;

/// Whether senders should be held back: `queue` in events of [`QUEUE_MAX`], the others from 0 to 1.
pub(super) fn is_under_pressure(queue: u64, cpu: f64, memory: f64) -> bool {
    queue > QUEUE_FROM || cpu > CPU_FROM || memory > MEMORY_FROM
}

/// For how many milliseconds: 0 without pressure, else 1 to 100.
pub(super) fn delay_ms(queue: u64, cpu: f64, memory: f64) -> u64 {
    if !is_under_pressure(queue, cpu, memory) {
        return 0;
    }
    let queue = (queue as f64 / QUEUE_MAX as f64).min(1.0);
    let cpu = ((cpu - CPU_FROM) / (1.0 - CPU_FROM)).clamp(0.0, 1.0);
    let memory = ((memory - MEMORY_FROM) / (1.0 - MEMORY_FROM)).clamp(0.0, 1.0);
    DELAY_MAX_MS.powf(queue.max(cpu).max(memory)).round() as u64
}

/// How long an event that comes now waits until it is processed, in milliseconds: 0 without pressure, 5000 while the
/// drain rate (events a second) is not known.
pub(super) fn processing_delay_ms(under_pressure: bool, queue: u64, rate: f64) -> u64 {
    match (under_pressure, rate > 0.0) {
        (false, _) => 0,
        (true, false) => UNKNOWN_RATE_MS,
        (true, true) => (queue as f64 / rate * 1_000.0).round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delay_is_that_of_the_published_vectors() {
        for (queue, cpu, memory, expected) in [
            (1_000, 0.5, 0.6, 0),
            (9_000, 0.5, 0.6, 63),
            (1_000, 0.9, 0.6, 10),
            (1_000, 0.5, 0.9, 5),
            (8_500, 0.85, 0.87, 50),
            (12_000, 0.95, 0.95, 100),
            (8_000, 0.80, 0.85, 0),
            (8_001, 0.0, 0.0, 40),
            (9_000, 0.9, 0.9, 63),
            (0, 1.0, 0.0, 100),
            (0, 0.81, 0.0, 1),
        ] {
            assert_eq!(delay_ms(queue, cpu, memory), expected, "{queue}, {cpu}, {memory}");
        }
    }

    #[test]
    fn the_estimate_is_that_of_the_published_vectors() {
        assert_eq!(processing_delay_ms(true, 9_000, 1_000.0), 9_000);
        assert_eq!(processing_delay_ms(true, 9_000, 0.0), 5_000);
        assert_eq!(processing_delay_ms(true, 9_000, -1.0), 5_000);
        assert_eq!(processing_delay_ms(false, 9_000, 1_000.0), 0);
    }

    proptest! {
        /// Property 13 of the collision system.
        #[test]
        fn pressure_delays_and_more_pressure_delays_no_less(queue in 0..15_000_u64, cpu in 0.0..=1.0, memory in 0.0..=1.0) {
            let delay = delay_ms(queue, cpu, memory);
            prop_assert_eq!(delay > 0, is_under_pressure(queue, cpu, memory));
            prop_assert!(delay <= 100);
            prop_assert!(delay_ms((queue + 2_000).min(15_000), cpu, memory) >= delay);
            prop_assert!(delay_ms(queue, (cpu + 0.1_f64).min(1.0), memory) >= delay);
            prop_assert!(delay_ms(queue, cpu, (memory + 0.1_f64).min(1.0)) >= delay);
        }
    }
}
