//! Time as text: RFC 3339 in UTC with milliseconds outward; RFC 3339 or epoch milliseconds inward.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Milliseconds since the epoch as `2026-11-20T10:00:00.123Z`. A time out of the calendar's range becomes its nearest
/// end.
pub fn to_rfc3339(ms: i64) -> String {
    let (min, max) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    let timestamp = Timestamp::from_millisecond(ms.clamp(min, max)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// RFC 3339 text as milliseconds since the epoch; text without an offset is read as UTC.
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let parsed = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(parsed.as_millisecond())
}

/// A time as a person or a script gives it: RFC 3339, a date, or epoch milliseconds.
pub fn from_text(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().or_else(|| from_rfc3339(text))
}

/// The time now, for answers only.
pub(crate) fn now() -> String {
    to_rfc3339(Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for text in ["2026-11-20T10:00:00.123Z", "1970-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z"] {
            assert_eq!(to_rfc3339(from_rfc3339(text).unwrap()), text);
        }
        assert_eq!(from_rfc3339("2026-11-20T10:00:00+02:00"), from_rfc3339("2026-11-20T08:00:00Z"));
        assert_eq!(from_rfc3339("2026-11-20T10:00:00"), from_rfc3339("2026-11-20T10:00:00Z"));
        assert_eq!(from_text("1000"), Some(1000));
        assert_eq!(from_text("2026-11-20"), from_rfc3339("2026-11-20T00:00:00Z"));
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-20T25:00:00Z"] {
            assert_eq!(from_text(bad), None, "{bad:?}");
        }
        assert_eq!(to_rfc3339(i64::MAX).len(), to_rfc3339(i64::MAX).trim().len());
    }
}
