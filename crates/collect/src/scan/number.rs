//! JSON numbers: their grammar, not their value.

use super::Flaw;

/// Checks the number that begins at `at`; gives the place behind it.
#[inline]
pub(super) fn number(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    let mut at = at + usize::from(bytes.get(at) == Some(&b'-'));
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(bytes, at + 1 + usize::from(sign))?;
    }
    match bytes.get(at) {
        Some(b'0'..=b'9') => Err(Flaw::new(at, "no digit after a leading zero")),
        _ => Ok(at),
    }
}

#[inline]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Flaw> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    if at == start { Err(Flaw::new(at, "a digit")) } else { Ok(at) }
}

/// Whether a valid number is an integer that an `i64` holds, without fraction or exponent.
pub(crate) fn is_integer(number: &[u8]) -> bool {
    std::str::from_utf8(number).is_ok_and(|text| text.parse::<i64>().is_ok())
}
