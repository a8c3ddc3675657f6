//! What a rule remembers of one key, and the decision of a count rule.
//!
//! All in event time, and every verb is a function of the records in the log's order alone.
//!
//! - The *now* of a key is the newest time among its records that met the condition. Nobody else's records move it.
//! - A record older than *now* by more than the window is too late: it does not count and changes nothing.
//! - Every other record counts, also one that comes out of order. The count is the number of counted records in
//!   `now - within ..= now`: exactly `within` old still counts.
//! - The rule fires when the count is above `more_than` and the cooldown has passed: `now >= fired + cooldown`, where
//!   `fired` is the *now* of the last firing.
//!
//! How much must be kept? To decide, the newest `more_than + 1` times would do: the count is above `more_than` exactly
//! when the oldest of these lies in the window; a new time replaces at most the oldest of them, so they can be kept up
//! to date without the others; and since *now* never goes back, a time that left the window never comes back. But
//! after a cooldown the count may be far above `more_than + 1`, and anomalies tell it. So all times of the window are
//! kept, up to [`event::limits::RULE_COUNT_MAX`] (more than any `more_than`), where the told count stops.

use std::collections::VecDeque;

use event::{Millis, limits};

/// The memory of one key under one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    /// The key's *now*; `i64::MIN` before the first record.
    pub(crate) newest: Millis,
    /// Silent before this; `None` when it never fired.
    pub(crate) quiet_until: Option<Millis>,
    /// The times that count, in ascending order.
    pub(crate) times: VecDeque<Millis>,
}

impl Default for Track {
    fn default() -> Self {
        Self { newest: Millis::MIN, quiet_until: None, times: VecDeque::new() }
    }
}

impl Track {
    /// Takes a record of a count rule; gives the count when the rule fires.
    pub(crate) fn count(
        &mut self,
        time: Millis,
        more_than: u64,
        within_ms: Millis,
        cooldown_ms: Millis,
    ) -> Option<u64> {
        if time < self.newest.saturating_sub(within_ms) {
            return None;
        }
        self.newest = self.newest.max(time);
        self.insert(time);
        let start = self.newest.saturating_sub(within_ms);
        while self.times.front().is_some_and(|oldest| *oldest < start) {
            self.times.pop_front();
        }
        if self.times.capacity() > 64 && self.times.len() < self.times.capacity() / 8 {
            self.times.shrink_to(self.times.len() * 2); // the burst is over
        }
        let count = self.times.len() as u64;
        (count > more_than && self.fire(cooldown_ms)).then_some(count)
    }

    /// Takes a record of a predicate with a cooldown; says whether the rule fires.
    pub(crate) fn hit(&mut self, time: Millis, cooldown_ms: Millis) -> bool {
        self.newest = self.newest.max(time);
        self.fire(cooldown_ms)
    }

    fn insert(&mut self, time: Millis) {
        if self.times.back().is_none_or(|newest| *newest <= time) {
            self.times.push_back(time);
        } else {
            let at = self.times.partition_point(|known| *known <= time);
            self.times.insert(at, time);
        }
        if self.times.len() > limits::RULE_COUNT_MAX {
            self.times.pop_front();
        }
    }

    fn fire(&mut self, cooldown_ms: Millis) -> bool {
        let loud = self.quiet_until.is_none_or(|until| self.newest >= until);
        if loud {
            self.quiet_until = Some(self.newest.saturating_add(cooldown_ms));
        }
        loud
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the times to a rule «more than 2 within 100, cooldown 50»; gives the counts told.
    fn check(times: &[Millis], expected: &[Option<u64>]) {
        let mut track = Track::default();
        let told: Vec<_> = times.iter().map(|time| track.count(*time, 2, 100, 50)).collect();
        assert_eq!(told, expected, "{times:?}");
    }

    #[test]
    fn a_window_slides_with_the_newest_time() {
        check(&[0, 50, 100], &[None, None, Some(3)]);
        check(&[0, 50, 101], &[None, None, None]);
        check(&[0, 50, 101, 102], &[None, None, None, Some(3)]);
    }

    #[test]
    fn a_firing_is_followed_by_silence_for_the_cooldown() {
        check(&[0, 1, 2, 51, 52, 53], &[None, None, Some(3), None, Some(5), None]);
    }

    #[test]
    fn a_record_out_of_order_counts_and_one_too_late_does_not() {
        check(&[0, 100, 50], &[None, None, Some(3)]);
        check(&[1, 101, 0], &[None, None, None]);
        check(&[101, 0, 1, 102], &[None, None, None, None]);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        check(&[Millis::MAX, Millis::MAX, Millis::MAX, Millis::MIN], &[None, None, Some(3), None]);
        check(&[Millis::MIN + 1, Millis::MIN + 1, Millis::MAX], &[None, None, None]);
    }
}
