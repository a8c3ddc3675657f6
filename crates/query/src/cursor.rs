//! Cursors: where the next page starts, as a word that callers carry and do not read.
//!
//! A cursor is base64url of a hash (8 bytes), then the place. The hash covers the filters and the place, so a cursor
//! that is used with other filters, or was altered, is refused instead of answered with a page of something else.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use event::WindowId;
use store::query::After;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::QueryError;

/// A place between two anomalies: newest first, the store knows only how many to skip, so the place is the time of the
/// last one seen and how many of that very time were seen. New anomalies then do not shift the pages behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AfterAnomaly {
    pub(crate) time: i64,
    pub(crate) seen: u64,
}

/// A cursor behind this event, good for the given filters only.
pub(crate) fn encode_event(filters: &str, after: &After) -> String {
    let mut place = Vec::with_capacity(20 + after.stream.len());
    place.extend_from_slice(&after.time.to_le_bytes());
    place.extend_from_slice(&after.partition.to_le_bytes());
    place.extend_from_slice(&after.offset.to_le_bytes());
    place.extend_from_slice(after.stream.as_bytes());
    seal(filters, &place)
}

/// The place of an event cursor.
pub(crate) fn decode_event(filters: &str, cursor: &str) -> Result<After, QueryError> {
    let place = open(filters, cursor)?;
    let read = || {
        let (time, rest) = place.split_first_chunk::<8>()?;
        let (partition, rest) = rest.split_first_chunk::<4>()?;
        let (offset, stream) = rest.split_first_chunk::<8>()?;
        Some(After {
            time: i64::from_le_bytes(*time),
            stream: std::str::from_utf8(stream).ok()?.to_owned(),
            partition: u32::from_le_bytes(*partition),
            offset: u64::from_le_bytes(*offset),
        })
    };
    read().ok_or_else(|| refuse(cursor))
}

/// A cursor behind this anomaly, good for the given filters only.
pub(crate) fn encode_anomaly(filters: &str, after: AfterAnomaly) -> String {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&after.time.to_le_bytes());
    place[8..].copy_from_slice(&after.seen.to_le_bytes());
    seal(filters, &place)
}

/// The place of an anomaly cursor.
pub(crate) fn decode_anomaly(filters: &str, cursor: &str) -> Result<AfterAnomaly, QueryError> {
    let place = open(filters, cursor)?;
    let read = || {
        let (time, rest) = place.split_first_chunk::<8>()?;
        let seen = rest.first_chunk::<8>()?;
        Some(AfterAnomaly { time: i64::from_le_bytes(*time), seen: u64::from_le_bytes(*seen) })
    };
    read().ok_or_else(|| refuse(cursor))
}

/// A cursor behind this window, good for the given filters only.
pub(crate) fn encode_window(filters: &str, after: &WindowId) -> String {
    let WindowId { tenant, stream, window, size_ms, start, key } = after;
    let place = serde_json::to_vec(&(tenant, stream, window, size_ms, start, key)).unwrap_or_default();
    seal(filters, &place)
}

/// The place of a window cursor.
pub(crate) fn decode_window(filters: &str, cursor: &str) -> Result<WindowId, QueryError> {
    let place = open(filters, cursor)?;
    let (tenant, stream, window, size_ms, start, key) = serde_json::from_slice(&place).map_err(|_| refuse(cursor))?;
    Ok(WindowId { tenant, stream, window, size_ms, start, key })
}

/// A cursor behind a row with this number, good for the given filters only.
pub(crate) fn encode_row(filters: &str, row: i64) -> String {
    seal(filters, &row.to_le_bytes())
}

/// The number of a row cursor.
pub(crate) fn decode_row(filters: &str, cursor: &str) -> Result<i64, QueryError> {
    let place = open(filters, cursor)?;
    place.first_chunk::<8>().map(|row| i64::from_le_bytes(*row)).ok_or_else(|| refuse(cursor))
}

fn seal(filters: &str, place: &[u8]) -> String {
    let mut bytes = hash(filters, place).to_le_bytes().to_vec();
    bytes.extend_from_slice(place);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn open(filters: &str, cursor: &str) -> Result<Vec<u8>, QueryError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
    match bytes.split_first_chunk::<8>() {
        Some((sum, place)) if u64::from_le_bytes(*sum) == hash(filters, place) => Ok(place.to_vec()),
        _ => Err(refuse(cursor)),
    }
}

fn hash(filters: &str, place: &[u8]) -> u64 {
    xxh3_64(&[filters.as_bytes(), &[0], place].concat())
}

fn refuse(cursor: &str) -> QueryError {
    QueryError::parameter("cursor", cursor, "the `next_cursor` of an answer to the same filters, unchanged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_for_its_own_filters_and_is_refused_for_others_or_when_altered() {
        let after = After { time: -5, stream: "signals".to_owned(), partition: 3, offset: u64::MAX };
        let cursor = encode_event("a", &after);
        assert_eq!(decode_event("a", &cursor).unwrap(), after);
        assert!(decode_event("b", &cursor).is_err());
        for i in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[i] = if altered[i] == b'A' { b'B' } else { b'A' };
            assert!(decode_event("a", std::str::from_utf8(&altered).unwrap()).is_err(), "letter {i}");
        }
        for bad in ["", "x", "\u{e4}", "AAAAAAAAAAAAAAAAAAAA"] {
            assert!(decode_event("a", bad).is_err(), "{bad:?}");
        }
        let place = AfterAnomaly { time: 9, seen: 2 };
        assert_eq!(decode_anomaly("a", &encode_anomaly("a", place)).unwrap(), place);
        assert_eq!(decode_row("a", &encode_row("a", -3)).unwrap(), -3);
        let text = |text: &str| text.to_owned();
        let (tenant, stream, window, key) = (text("acme"), text("s"), text("w"), text(r#"{"a":"ä"}"#));
        let place = WindowId { tenant, stream, window, size_ms: 60_000, start: -1, key };
        assert_eq!(decode_window("a", &encode_window("a", &place)).unwrap(), place);
    }
}
