//! `count`: so many records of one key within a stretch of event time.
//!
//! All in event time, and every verb is a function of the records in the log's order alone.
//!
//! - The *now* of a key is the newest time among its records that met the condition. Nobody else's records move it.
//! - A record older than *now* by more than the window is too late: it does not count and changes nothing.
//! - Every other record counts, also one that comes out of order. The count is the number of counted records in
//!   `now - within ..= now`: exactly `within` old still counts.
//! - The rule fires when the count is at least `at_least` and the cooldown has passed: `now >= fired + cooldown`, where
//!   `fired` is the *now* of the last firing.
//! - The sum is over the same records; one without a number adds nothing. It is exact: 0.1 and 0.2 give 0.3.
//!
//! How much must be kept? To decide, the newest `at_least` times would do: the count is that high exactly when the
//! oldest of these lies in the window; a new time replaces at most the oldest of them, so they can be kept up to date
//! without the others; and since *now* never goes back, a time that left the window never comes back. But after a
//! cooldown the count may be far above `at_least`, and anomalies tell it. So all times of the window are kept, up to
//! [`event::limits::RULE_COUNT_MAX`] (no `at_least` is above it), where the told count stops.

use event::measure::Total;
use event::{Millis, limits};

use super::times::{Timed, Times};
use super::{Asked, Memory};
use crate::expr::Expr;
use crate::keys::Track;
use crate::row::{Row, Told};
use crate::value::Value;
use crate::wire::{self, Reader};

/// What a rule of this kind can tell.
pub(crate) const NAMES: &[&str] = &["count", "within", "sum"];
/// The same when nothing is summed.
pub(crate) const NAMES_WITHOUT_SUM: &[&str] = &["count", "within"];

#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) at_least: u64,
    pub(crate) within_ms: Millis,
    pub(crate) sum: Option<Expr>,
    /// The window as people write it.
    pub(crate) within: String,
}

/// The memory of one key: the times that count.
#[derive(Clone, Debug)]
pub(crate) struct Counted<E> {
    /// Silent before this; `Millis::MIN` when it never fired.
    until: Millis,
    times: Times<E>,
}

impl Count {
    pub(crate) fn judge<'a>(
        &'a self,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
    ) -> Option<Told<'a>> {
        let (time, cooldown) = (row.record.time, asked.cooldown_ms);
        let (count, sum) = match memory {
            Memory::Count(keys) => {
                let (owner, hash) = asked.who(&row.record);
                let count = keys.update(asked.bounds, hash, owner, |track| track.take(time, self, cooldown))?;
                (count, Value::Missing)
            }
            Memory::Sum(keys) => {
                let amount = self.sum.as_ref().and_then(|sum| sum.eval(row).as_double()).unwrap_or(0.0);
                let (owner, hash) = asked.who(&row.record);
                keys.update(asked.bounds, hash, owner, |track| {
                    let count = track.take((time, amount), self, cooldown)?;
                    Some((count, total(track.times.iter().map(|(_, amount)| *amount))))
                })?
            }
            _ => return None,
        };
        Some([Value::Int(count.into()), Value::Str(self.within.as_str().into()), sum, Value::Missing])
    }
}

impl<E: Timed> Counted<E> {
    /// Takes a record; gives the count when the rule fires.
    #[inline]
    fn take(&mut self, entry: E, rule: &Count, cooldown_ms: Millis) -> Option<u64> {
        let newest = self.times.newest();
        if entry.time() < newest.saturating_sub(rule.within_ms) {
            return None;
        }
        let now = newest.max(entry.time());
        self.times.insert(entry, limits::RULE_COUNT_MAX);
        self.times.forget_before(now.saturating_sub(rule.within_ms));
        let count = self.times.len() as u64;
        if count < rule.at_least || now < self.until {
            return None;
        }
        self.until = now.saturating_add(cooldown_ms);
        Some(count)
    }
}

impl<E: Timed> Default for Counted<E> {
    fn default() -> Self {
        Self { until: Millis::MIN, times: Times::default() }
    }
}

/// The sum of numbers as people would add them, as exact as that of a window.
fn total(amounts: impl Iterator<Item = f64>) -> Value<'static> {
    let mut total = Total::default();
    amounts.filter_map(Total::units_of).for_each(|units| total.add(units));
    Value::Double(total.to_f64())
}

impl<E: Timed + Noted> Track for Counted<E> {
    fn weight(&self) -> usize {
        self.times.weight()
    }

    /// The newest time, the end of the silence, the number of times, and each as the step from the one before it, oldest
    /// first (the first from the newest backward).
    fn encode(&self, out: &mut Vec<u8>) {
        let newest = self.times.newest();
        wire::put_time(out, newest, 0);
        wire::put_time(out, self.until, newest);
        wire::put(out, self.times.len() as u64);
        let mut before = newest;
        for entry in self.times.iter() {
            wire::put_signed(out, entry.time().wrapping_sub(before));
            entry.note(out);
            before = entry.time();
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let newest = reader.time(0)?;
        let until = reader.time(newest)?;
        let mut times = Times::default();
        let mut before = newest;
        for _ in 0..reader.number()? {
            before = before.wrapping_add(reader.signed()?);
            times.insert(E::read(before, reader)?, limits::RULE_COUNT_MAX);
        }
        (times.newest() == newest).then_some(Self { until, times })
    }
}

/// What stands beside a time in a snapshot.
pub(crate) trait Noted: Sized {
    fn note(&self, out: &mut Vec<u8>);
    fn read(time: Millis, reader: &mut Reader<'_>) -> Option<Self>;
}

impl Noted for Millis {
    fn note(&self, _out: &mut Vec<u8>) {}

    fn read(time: Millis, _reader: &mut Reader<'_>) -> Option<Self> {
        Some(time)
    }
}

impl Noted for (Millis, f64) {
    fn note(&self, out: &mut Vec<u8>) {
        wire::put_double(out, self.1);
    }

    fn read(time: Millis, reader: &mut Reader<'_>) -> Option<Self> {
        Some((time, reader.double()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the times to a rule «at least 3 within 100, cooldown 50»; gives the counts told.
    fn check(times: &[Millis], expected: &[Option<u64>]) {
        let rule = Count { at_least: 3, within_ms: 100, sum: None, within: String::new() };
        let mut track = Counted::default();
        let told: Vec<_> = times.iter().map(|time| track.take(*time, &rule, 50)).collect();
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

    #[test]
    fn sums_are_what_people_expect() {
        let check = |amounts: &[f64], expected: &str| {
            let mut text = String::new();
            total(amounts.iter().copied()).write_text(&mut text);
            assert_eq!(text, expected, "{amounts:?}");
        };
        check(&[], "0");
        check(&[0.1, 0.2], "0.3");
        check(&[19.99; 100], "1999");
        check(&[123_456.78; 5], "617283.9");
        check(&[-5.5, 5.5, 0.25], "0.25");
        check(&[f64::NAN, 2.0], "2");
        check(&[900_719_925_474_099.0, 0.5], "900719925474099.5");
    }

    #[test]
    fn a_key_takes_little_memory() {
        assert_eq!(size_of::<Counted<Millis>>(), 40);
    }
}
