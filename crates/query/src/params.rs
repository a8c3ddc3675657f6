//! Query parameters, read strictly: an unknown or repeated one, or a value out of range, is refused by name.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use event::{Catalog, Millis, StreamId, limits};

use crate::error::{QueryError, shorten};

/// The query parameters of a request, in order, percent-decoded.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Pairs of strings can be read from any query string, so there is nothing to reject here.
        Ok(Self(Query::try_from_uri(&parts.uri).map(|Query(pairs)| pairs).unwrap_or_default()))
    }
}

impl Params {
    /// Refuses what is not in the list, and what is there twice.
    pub(crate) fn only(&self, known: &[&'static str]) -> Result<(), QueryError> {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let Some(&name) = known.iter().find(|k| *k == name) else {
                return Err(QueryError::UnknownParameter { name: shorten(name), known: list(known) });
            };
            if self.0[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(QueryError::parameter(name, value, "it once, not twice"));
            }
        }
        Ok(())
    }

    /// The value as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A text that is compared with a key, type or id.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, QueryError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        if value.is_empty() || value.len() > limits::KEY_BYTES_MAX {
            return Err(QueryError::parameter(name, value, format!("a text of 1 to {} bytes", limits::KEY_BYTES_MAX)));
        }
        Ok(Some(value.to_owned()))
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, name: &'static str, min: u64, max: u64, default: u64) -> Result<u64, QueryError> {
        let Some(value) = self.raw(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|n| (min..=max).contains(n));
        number.ok_or_else(|| QueryError::parameter(name, value, format!("a whole number from {min} to {max}")))
    }

    /// One of a few words.
    pub(crate) fn choice(&self, name: &'static str, words: &[&str]) -> Result<Option<String>, QueryError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        if !words.contains(&value) {
            return Err(QueryError::parameter(name, value, format!("one of {}", list(words))));
        }
        Ok(Some(value.to_owned()))
    }

    /// A time: milliseconds since the epoch, or RFC 3339.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<Millis>, QueryError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let expected = "milliseconds since the epoch, or RFC 3339 as 2026-11-20T10:00:00Z (a `+` is written %2B)";
        api::time::from_text(value).map(Some).ok_or_else(|| QueryError::parameter(name, value, expected))
    }

    /// A length of time in milliseconds: `1m`, `250ms`, or a plain number of them.
    pub(crate) fn length(&self, name: &'static str) -> Result<Option<Millis>, QueryError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let expected = "a length as 250ms, 30s, 5m, 1h or 1d, or as milliseconds";
        read_length(value).map(Some).ok_or_else(|| QueryError::parameter(name, value, expected))
    }

    /// Two times of which the first is not after the second.
    pub(crate) fn time_range(
        &self,
        from: &'static str,
        to: &'static str,
    ) -> Result<(Option<Millis>, Option<Millis>), QueryError> {
        let (start, end) = (self.time(from)?, self.time(to)?);
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            let found = self.raw(from).unwrap_or_default();
            return Err(QueryError::parameter(from, found, format!("a time not after `{to}` ({end})")));
        }
        Ok((start, end))
    }

    /// A stream that may be looked at.
    pub(crate) fn stream(&self, name: &'static str, catalog: &Catalog) -> Result<Option<StreamId>, QueryError> {
        self.raw(name).map(|value| stream(catalog, value)).transpose()
    }
}

const UNITS: [(&str, Millis); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn read_length(text: &str) -> Option<Millis> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = if unit.is_empty() { 1 } else { UNITS.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<Millis>().ok()?.checked_mul(unit_ms)
}

/// A length as [`Params::length`] reads it, in the largest unit that fits.
pub(crate) fn length_text(ms: Millis) -> String {
    let fits = |(_, unit_ms): &&(&str, Millis)| ms >= *unit_ms && ms % unit_ms == 0;
    UNITS.iter().rev().find(fits).map_or(format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

/// The id of a user: the key of the stream `signals`, a whole number.
pub(crate) fn user_id(value: &str) -> Result<String, QueryError> {
    let id: Result<i64, _> = value.parse();
    id.map(|id| id.to_string()).map_err(|_| QueryError::parameter("user_id", value, "a whole number"))
}

/// The stream of this name, unless it is an internal one.
pub(crate) fn stream(catalog: &Catalog, name: &str) -> Result<StreamId, QueryError> {
    let visible = !name.starts_with('_');
    catalog.find(name).filter(|_| visible).ok_or_else(|| {
        let known: Vec<&str> = public_streams(catalog).map(|(_, name)| name).collect();
        QueryError::UnknownStream { name: shorten(name), known: list(&known) }
    })
}

/// The streams that a client may look at: internal ones are for the engine.
pub(crate) fn public_streams(catalog: &Catalog) -> impl Iterator<Item = (StreamId, &str)> {
    catalog.iter().filter(|(_, s)| !s.name.starts_with('_')).map(|(id, s)| (id, s.name.as_str()))
}

/// Words for a message: `a`, `b`, `c`.
pub(crate) fn list(words: &[&str]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written_in_their_unit() {
        for (text, ms, back) in [
            ("1m", 60_000, "1m"),
            ("60s", 60_000, "1m"),
            ("90s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("250ms", 250, "250ms"),
            ("300000", 300_000, "5m"),
            ("0", 0, "0ms"),
        ] {
            assert_eq!(read_length(text), Some(ms), "{text}");
            assert_eq!(length_text(ms), back, "{text}");
        }
        for bad in ["", "m", "1 m", "-1m", "1.5h", "1w", "99999999999999999999", "9223372036854775807d"] {
            assert_eq!(read_length(bad), None, "{bad}");
        }
    }
}
