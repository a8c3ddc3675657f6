//! Event time as senders write it: a number in the stream's unit, or RFC 3339 text.

use event::{Millis, TimeUnit};

/// 0001-01-01T00:00:00Z: nothing that sends events was there before.
const MIN: Millis = -62_135_596_800_000;
/// 9999-12-31T23:59:59.999Z, the last that RFC 3339 can write.
const MAX: Millis = 253_402_300_799_999;

/// A JSON number as milliseconds; fractions below are cut off. `None` when it is out of the calendar's range, or when
/// the unit is text.
pub(crate) fn from_number(text: &[u8], unit: TimeUnit) -> Option<Millis> {
    let shift = match unit {
        TimeUnit::Seconds => 3,
        TimeUnit::Millis | TimeUnit::Auto => 0,
        TimeUnit::Micros => -3,
        TimeUnit::Rfc3339 => return None,
    };
    let ms = decimal(text, shift).or_else(|| float(text, shift))?;
    (MIN..=MAX).contains(&ms).then_some(ms)
}

/// `text × 10^shift`, towards zero, for a decimal without exponent; exact, as no float is.
fn decimal(text: &[u8], shift: i32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match memchr::memchr(b'.', digits) {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &[][..]),
    };
    let mut value = 0i64;
    for &byte in whole {
        value = value.checked_mul(10)?.checked_add(digit(byte)?)?;
    }
    // The fraction's digits move in front of the point, or the last ones of the whole part move behind it.
    let moved = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(shift.max(0) as usize);
    for byte in moved {
        value = value.checked_mul(10)?.checked_add(digit(byte)?)?;
    }
    let rest_is_digits = fraction.iter().all(u8::is_ascii_digit);
    value /= 10i64.pow((-shift).max(0) as u32);
    rest_is_digits.then_some(if negative { -value } else { value })
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

fn float(text: &[u8], shift: i32) -> Option<i64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let ms = value * 10f64.powi(shift);
    (MIN as f64..=MAX as f64).contains(&ms).then_some(ms as i64)
}

/// RFC 3339 text as milliseconds; without an offset it is read as UTC. `None` when it is none, or before year 1.
pub(crate) fn from_text(text: &[u8]) -> Option<Millis> {
    let ms = common_form(text).or_else(|| api::time::from_rfc3339(std::str::from_utf8(text).ok()?))?;
    (MIN..=MAX).contains(&ms).then_some(ms)
}

/// `YYYY-MM-DDTHH:MM:SS[.f{1,9}](Z|±hh:mm)`, what nearly all senders write, ten times as fast as the full parser; `None`
/// leaves the text to that one.
fn common_form(text: &[u8]) -> Option<Millis> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let [b'0'..=b'9', .., b'0'..=b'9'] = date_time else { return None };
    let separators = [date_time[4], date_time[7], date_time[10], date_time[13], date_time[16]];
    if separators != *b"--T::" {
        return None;
    }
    let two = |at: usize| Some(digit(date_time[at])? * 10 + digit(date_time[at + 1])?);
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if day < 1 || day > days_in_month(year, month)? {
        return None;
    }
    let (nanos, rest) = fraction(rest)?;
    let offset_s = offset(rest)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    // Towards zero, as the full parser does.
    let below_ms = nanos % 1_000_000 != 0 && seconds < 0;
    Some(seconds * 1_000 + nanos / 1_000_000 + i64::from(below_ms))
}

/// `.f{1,9}` as nanoseconds, when there is one.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 || length > 9 {
        return None;
    }
    let value = text[..length].iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    Some((value * 10i64.pow(9 - length as u32), &text[length..]))
}

/// `Z` or `±hh:mm` as seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *text {
        [b'Z'] => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, (h1, h2), (m1, m2)),
        [b'-', h1, h2, b':', m1, m2] => (-1, (h1, h2), (m1, m2)),
        _ => return None,
    };
    let (hours, minutes) = (digit(hours.0)? * 10 + digit(hours.1)?, digit(minutes.0)? * 10 + digit(minutes.1)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28 + i64::from(leap)),
        _ => None,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_in_their_unit() {
        let cases: [(&str, TimeUnit, Option<Millis>); 15] = [
            ("1700000000", TimeUnit::Seconds, Some(1_700_000_000_000)),
            ("1700000000.1239", TimeUnit::Seconds, Some(1_700_000_000_123)),
            ("1700000000.5", TimeUnit::Seconds, Some(1_700_000_000_500)),
            ("1.7e9", TimeUnit::Seconds, Some(1_700_000_000_000)),
            ("1700000000123", TimeUnit::Millis, Some(1_700_000_000_123)),
            ("1700000000123.9", TimeUnit::Auto, Some(1_700_000_000_123)),
            ("1700000000123999", TimeUnit::Micros, Some(1_700_000_000_123)),
            ("-1", TimeUnit::Millis, Some(-1)),
            ("-0.0019", TimeUnit::Seconds, Some(-1)),
            ("0", TimeUnit::Seconds, Some(0)),
            ("1700000000", TimeUnit::Rfc3339, None),
            ("-62135596800001", TimeUnit::Millis, None),
            ("9223372036854775807", TimeUnit::Seconds, None),
            ("99999999999999999999999", TimeUnit::Micros, None),
            ("1e999", TimeUnit::Millis, None),
        ];
        for (text, unit, expected) in cases {
            assert_eq!(from_number(text.as_bytes(), unit), expected, "{text} {unit:?}");
        }
    }

    #[test]
    fn uncommon_forms_are_left_to_the_full_parser() {
        for (text, same_as) in [
            ("2026-11-20T10:00:00", "2026-11-20T10:00:00Z"),
            ("2026-11-20t10:00:00z", "2026-11-20T10:00:00Z"),
            ("2026-11-20 10:00:00Z", "2026-11-20T10:00:00Z"),
            ("20261120T100000Z", "2026-11-20T10:00:00Z"),
        ] {
            assert_eq!(common_form(text.as_bytes()), None, "{text}");
            assert_eq!(from_text(text.as_bytes()), common_form(same_as.as_bytes()), "{text}");
        }
        for bad in [
            "",
            "now",
            "2026-02-29T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T10:00:00+26:00",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(from_text(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_common_form_is_read_as_the_full_parser_reads_it(
            year in 0..=10_000u32, month in 0..=13u32, day in 0..=32u32, hour in 0..=24u32, minute in 0..=60u32,
            second in 0..=59u32, fraction in "(\\.[0-9]{1,9})?", zone in "Z|[+-]([01][0-9]|2[0-3]):[0-6][0-9]",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let ours = common_form(text.as_bytes());
            let theirs = api::time::from_rfc3339(&text);
            if ours.is_some() {
                prop_assert_eq!(ours, theirs, "{}", text);
            } else if (1..=9999).contains(&year) {
                prop_assert_eq!(theirs, None, "{} was left to the full parser", text);
            }
        }
    }
}
