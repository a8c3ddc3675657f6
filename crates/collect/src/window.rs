//! A rate over the last seconds that every reader computes anew: nobody's look takes anything from the next one's.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The seconds that a rate looks back over, the one at hand included.
const SECONDS: u64 = 10;
/// A power of two above it: a second's slot is not taken again while it still counts.
const SLOTS: usize = 16;
const COUNT_BITS: u32 = 32;

/// Counts by second: the second in the upper half of a slot, its count in the lower, so that one atomic holds both.
#[derive(Debug, Default)]
pub(crate) struct Window {
    slots: [AtomicU64; SLOTS],
}

impl Window {
    /// Adds events at this time since the start.
    pub(crate) fn add(&self, at: Duration, events: u64) {
        let second = at.as_secs();
        let events = events.min(u64::from(u32::MAX));
        let slot = &self.slots[second as usize % SLOTS];
        let _ = slot.fetch_update(Relaxed, Relaxed, |now| {
            let fresh = now >> COUNT_BITS != second;
            Some(if fresh { second << COUNT_BITS | events } else { now + events })
        });
    }

    /// Events a second over the last [`SECONDS`], or since the start when that is later; at least over one second.
    pub(crate) fn per_second(&self, now: Duration) -> f64 {
        let oldest = (now.as_secs() + 1).saturating_sub(SECONDS);
        let slots = self.slots.iter().map(|slot| slot.load(Relaxed));
        let events: u64 = slots
            .filter(|slot| (oldest..=now.as_secs()).contains(&(slot >> COUNT_BITS)))
            .map(|slot| slot & u64::from(u32::MAX))
            .sum();
        events as f64 / (now.as_secs_f64() - oldest as f64).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_the_last_ten_seconds_and_reading_it_changes_nothing() {
        let window = Window::default();
        let ms = Duration::from_millis;
        assert_eq!(window.per_second(ms(0)), 0.0);
        window.add(ms(10), 50);
        window.add(ms(20), 50);
        // (asked at, rate): a poller that asks often and one that asks seldom see the same.
        for (at, rate) in [(20, 100.0), (20, 100.0), (500, 100.0), (2_000, 50.0), (9_999, 100.0 / 9.999), (10_000, 0.0)]
        {
            assert_eq!(window.per_second(ms(at)), rate, "at {at} ms");
        }
        for second in 1..100 {
            window.add(ms(second * 1_000), 7);
        }
        assert!((window.per_second(ms(99_999)) - 70.0 / 9.999).abs() < 1e-9, "ten slots of sixteen count");
        assert_eq!(window.per_second(ms(200_000)), 0.0, "long silence");
    }
}
