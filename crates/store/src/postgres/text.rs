//! Text as PostgreSQL can keep it: any bytes, in an order of bytes that stays the same for all that is UTF-8.
//!
//! PostgreSQL's `text` has no NUL and nothing that is not UTF-8; keys, types and ids of events may have both. The byte 0x01
//! leads an escape: NUL is `01 01`, 0x01 itself `01 02`, and a byte that is no part of UTF-8 is 0x01 and the character of
//! this number (U+0080 to U+00FF). Everything else, which is everything in practice, stays as it is.

use std::borrow::Cow;

use crate::StoreError;

const LEAD: u8 = 1;

/// Bytes as text for a column or a parameter.
pub(super) fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.iter().any(|byte| *byte <= LEAD) => Cow::Borrowed(text),
        _ => Cow::Owned(escape(bytes)),
    }
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0' => out.push_str("\u{1}\u{1}"),
                '\u{1}' => out.push_str("\u{1}\u{2}"),
                _ => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.extend(['\u{1}', char::from(*byte)]);
        }
    }
    out
}

/// The bytes that [`to_text`] made a text of.
pub(super) fn to_bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.as_bytes().contains(&LEAD) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\u{1}') {
            (_, false) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            (_, true) => match chars.next() {
                Some('\u{1}') => out.push(0),
                Some('\u{2}') | None => out.push(LEAD),
                Some(c) => out.push(u32::from(c) as u8),
            },
        }
    }
    Cow::Owned(out)
}

/// A text as a string; what is not UTF-8 comes as U+FFFD.
pub(super) fn to_string(text: &str) -> String {
    String::from_utf8_lossy(&to_bytes(text)).into_owned()
}

/// A payload as the columns `data` and `data_raw`: text where PostgreSQL can keep it as it is, so that SQL can use its JSON
/// functions on it, else bytes.
pub(super) fn payload(bytes: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => (Some(text), None),
        _ => (None, Some(bytes)),
    }
}

/// An offset, or a count, as PostgreSQL's signed integer.
pub(super) fn to_sql(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Refused(format!("{number} is beyond the largest integer of PostgreSQL")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_usual_stays_as_it_is() {
        for text in ["", "key-1", "κλειδί-🔑", "a\u{2}b", "\u{80}\u{ff}"] {
            assert!(matches!(to_text(text.as_bytes()), Cow::Borrowed(same) if same == text));
            assert!(matches!(to_bytes(text), Cow::Borrowed(same) if same == text.as_bytes()));
        }
        assert_eq!(payload(b"{}"), (Some("{}"), None));
        assert_eq!(payload(b"a\0"), (None, Some(&b"a\0"[..])));
        assert_eq!(payload(b"\xff"), (None, Some(&b"\xff"[..])));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..40)) {
            let text = to_text(&bytes);
            prop_assert!(!text.as_bytes().contains(&0));
            prop_assert_eq!(&*to_bytes(&text), &*bytes);
        }

        #[test]
        fn texts_keep_their_order(a in "[\0-\u{3}aé]{0,6}", b in "[\0-\u{3}aé]{0,6}") {
            prop_assert_eq!(to_text(a.as_bytes()).cmp(&to_text(b.as_bytes())), a.cmp(&b));
        }
    }
}
