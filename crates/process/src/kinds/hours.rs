//! `hours`: a time of day, in a time zone.
//!
//! The zone's rules come from the tz database that is built in, so that every machine finds the same. What is asked of
//! them is the offset, and until when it holds: nearly every record is judged by arithmetic alone.

use event::Millis;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::row::{TOLD_NOTHING, Told};
use crate::value::Value;

/// What a rule of this kind can tell, both of the zone's clock.
pub(crate) const NAMES: &[&str] = &["hour", "minute"];

const MINUTE_MS: Millis = 60_000;
const DAY_MINUTES: Millis = 24 * 60;

#[derive(Debug)]
pub(crate) struct Hours {
    pub(crate) from_minute: u16,
    pub(crate) to_minute: u16,
    pub(crate) zone: TimeZone,
}

/// A stretch of time in which a zone's offset stays the same; the one of the last record. Never written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    from: Millis,
    /// Inclusive.
    to: Millis,
    offset_ms: Millis,
}

impl Default for Stretch {
    fn default() -> Self {
        Self { from: Millis::MAX, to: Millis::MIN, offset_ms: 0 }
    }
}

impl Hours {
    /// The hour and minute of a time, when it lies between the two.
    pub(crate) fn judge(&self, time: Millis, stretch: &mut Stretch) -> Option<Told<'static>> {
        if !(stretch.from..=stretch.to).contains(&time) {
            *stretch = self.stretch_of(time);
        }
        let local = time.saturating_add(stretch.offset_ms);
        let minute = local.div_euclid(MINUTE_MS).rem_euclid(DAY_MINUTES);
        let (from, to) = (Millis::from(self.from_minute), Millis::from(self.to_minute));
        let inside = if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to };
        inside.then(|| {
            let mut told = TOLD_NOTHING;
            (told[0], told[1]) = (Value::Int((minute / 60).into()), Value::Int((minute % 60).into()));
            told
        })
    }

    /// Times beyond the years that a calendar knows have the offset of its ends.
    fn stretch_of(&self, time: Millis) -> Stretch {
        let (first, last) = (Timestamp::MIN.as_millisecond() + 1, Timestamp::MAX.as_millisecond() - 1);
        let Ok(at) = Timestamp::from_millisecond(time.clamp(first, last)) else {
            return Stretch { from: time, to: time, offset_ms: 0 };
        };
        // What comes before «at» does not include it, so one more millisecond is asked for.
        let behind = Timestamp::from_millisecond(at.as_millisecond() + 1).unwrap_or(at);
        let change = self.zone.preceding(behind).next();
        let next = self.zone.following(at).next();
        Stretch {
            from: change.map_or(Millis::MIN, |change| change.timestamp().as_millisecond()),
            to: next.map_or(Millis::MAX, |next| next.timestamp().as_millisecond() - 1),
            offset_ms: Millis::from(self.zone.to_offset(at).seconds()) * 1_000,
        }
    }
}

/// The zone of a name.
///
/// # Errors
/// A sentence, with the name that was perhaps meant.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    let database = TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| {
        let score = |known: &str| {
            let place = known.rsplit('/').next().unwrap_or(known);
            let like = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
            like(known).max(like(place))
        };
        let near = database.available().map(|known| (score(known.as_str()), known.to_string()));
        let near = near.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = near.map_or_else(
            || "expected an IANA name such as `UTC` or `Europe/Berlin`".to_owned(),
            |(_, near)| format!("did you mean `{near}`?"),
        );
        format!("there is no time zone `{name}`; {hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(zone_name: &str, time: &str, stretch: &mut Stretch) -> (i64, i64) {
        let zone = zone(zone_name).unwrap_or_else(|error| panic!("{error}"));
        let time: Timestamp = time.parse().unwrap_or_else(|error| panic!("{error}"));
        let told = Hours { from_minute: 0, to_minute: 1_440, zone }.judge(time.as_millisecond(), stretch);
        match told {
            Some([Value::Int(hour), Value::Int(minute), ..]) => (hour as i64, minute as i64),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn local_time_follows_the_zone_through_its_changes_in_any_order() {
        let vectors = [
            ("Europe/Berlin", "2026-03-29T00:59:59.999Z", (1, 59)),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", (3, 0)),
            ("Europe/Berlin", "2026-10-25T00:59:59.999Z", (2, 59)),
            ("Europe/Berlin", "2026-10-25T01:00:00Z", (2, 0)),
            ("Europe/Berlin", "2026-07-01T12:00:00Z", (14, 0)),
            ("America/New_York", "2026-11-01T05:59:59Z", (1, 59)),
            ("America/New_York", "2026-11-01T06:00:00Z", (1, 0)),
            ("Asia/Kathmandu", "2026-01-01T00:00:00Z", (5, 45)),
            ("UTC", "1969-12-31T23:59:59.999Z", (23, 59)),
            ("Pacific/Apia", "2011-12-30T10:00:00Z", (0, 0)),
        ];
        let zones: std::collections::BTreeSet<_> = vectors.iter().map(|(zone, ..)| *zone).collect();
        for zone in zones {
            let mine: Vec<_> = vectors.iter().filter(|v| v.0 == zone).collect();
            // One stretch for all of them: forward, then backward.
            let mut stretch = Stretch::default();
            for (zone, time, expected) in mine.iter().chain(mine.iter().rev()) {
                assert_eq!(minute(zone, time, &mut stretch), *expected, "{zone} {time}");
            }
        }
    }

    #[test]
    fn a_stretch_is_exact_and_times_without_a_calendar_do_not_panic() {
        let zone = zone("Europe/Berlin").unwrap_or_else(|error| panic!("{error}"));
        let hours = Hours { from_minute: 0, to_minute: 1_440, zone };
        let change = "2026-03-29T01:00:00Z".parse::<Timestamp>().map_or(0, |t| t.as_millisecond());
        let (before, after) = (hours.stretch_of(change - 1), hours.stretch_of(change));
        assert_eq!((before.to, after.from), (change - 1, change));
        assert_eq!((before.offset_ms, after.offset_ms), (3_600_000, 7_200_000));
        for time in [Millis::MIN, Millis::MIN + 1, Millis::MAX - 1, Millis::MAX] {
            assert!(hours.judge(time, &mut Stretch::default()).is_some(), "{time}");
        }
    }

    #[test]
    fn an_unknown_zone_is_refused_with_the_one_that_was_meant() {
        for (name, words) in [
            ("Europe/Berln", "did you mean `Europe/Berlin`"),
            ("berlin", "did you mean `Europe/Berlin`"),
            ("xyz123", "expected an IANA name"),
        ] {
            let error = zone(name).err().unwrap_or_default();
            assert!(error.contains(words), "{name}: {error}");
        }
    }
}
