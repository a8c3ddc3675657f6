//! The header `Idempotency-Key`, and what a key stands for.

use api::ApiError;
use axum::http::HeaderMap;
use event::Ack;
use event::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use log::IdHasher;

use crate::cloudevents;
use crate::sift::Format;

const NAME: &str = "idempotency-key";
/// Scopes for hashes; no tenant is called so.
const KEYS: &[u8] = b"\0idempotency-keys";
const IDS: &[u8] = b"\0idempotency-ids";

/// A key as its sender chose it: 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(super) String);

impl Key {
    /// The key of a request; `None` when it has none.
    ///
    /// # Errors
    /// 400 when there are several, or one that is not a key.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(NAME).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = if values.next().is_none() { read(value.as_bytes()) } else { None };
        key.map(|key| Some(Self(key))).ok_or_else(|| {
            let message = format!(
                "header Idempotency-Key: expected 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, plain or as a \
                 string in double quotes, once"
            );
            ApiError::bad_request("invalid_idempotency_key", message)
        })
    }
}

/// Plain, or as a string of RFC 9651: both name the same key.
fn read(value: &[u8]) -> Option<String> {
    let text = match value.strip_prefix(b"\"") {
        Some(rest) => unquoted(rest)?,
        None => value.to_vec(),
    };
    let sound = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    String::from_utf8(text).ok().filter(|_| sound)
}

/// What comes behind the opening quote, up to the closing one, which must be the last.
fn unquoted(rest: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    loop {
        match bytes.next()? {
            b'"' => return bytes.as_slice().is_empty().then_some(text),
            b'\\' => text.push(*bytes.next().filter(|byte| matches!(byte, b'"' | b'\\'))?),
            byte => text.push(*byte),
        }
    }
}

/// Where a key counts: with its tenant, at its path.
pub(super) fn scope(hasher: IdHasher, tenant: &[u8], path: &[u8], key: &[u8]) -> u128 {
    hasher.scoped(KEYS).scoped(tenant).scoped(path).hash(key)
}

/// What makes two requests the same: the plain body, and all else that the answer depends on.
pub(super) fn fingerprint(hasher: IdHasher, ack: Ack, format: Format<'_>, body: &[u8]) -> u128 {
    let (format, attributes) = match format {
        Format::Json => (0, Vec::new()),
        Format::Ndjson => (1, Vec::new()),
        Format::CloudEvent => (2, Vec::new()),
        Format::CloudEvents => (3, Vec::new()),
        Format::BinaryCloudEvent(headers) => (4, cloudevents::all_attributes(headers)),
        // The call is in the path.
        Format::Segment(_) => (5, Vec::new()),
        Format::SegmentBatch => (6, Vec::new()),
    };
    hasher.scoped(KEYS).scoped(&[ack as u8, format]).scoped(&attributes).hash(body)
}

/// Makes ids for the events of a request that have none.
pub(super) fn ids(hasher: IdHasher, scope: u128, fingerprint: u128) -> IdHasher {
    hasher.scoped(IDS).scoped(&scope.to_le_bytes()).scoped(&fingerprint.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_plain_or_quoted() {
        let longest = "k".repeat(IDEMPOTENCY_KEY_BYTES_MAX);
        let too_long = format!("{longest}k");
        for (value, expected) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", Some("8e03978e-40d5-43dd-bc93-6894a57f9324")),
            (r#""8e03978e""#, Some("8e03978e")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r#"a"b;c=1"#, Some(r#"a"b;c=1"#)),
            (&longest, Some(&*longest)),
            (&format!("\"{longest}\""), Some(&*longest)),
            (&too_long, None),
            ("", None),
            (r#""""#, None),
            (r#"""#, None),
            (r#""open"#, None),
            (r#""a"b""#, None),
            (r#""a";p=1"#, None),
            (r#""a\x""#, None),
            (r#""a\"#, None),
            ("two words", None),
            (r#""two words""#, None),
            ("schlüssel", None),
        ] {
            assert_eq!(read(value.as_bytes()).as_deref(), expected, "{value}");
        }
        assert_eq!(read(b"\xff"), None);
    }
}
