//! Numbers as text.

use std::fmt::Write;

/// Writes a finite number as JSON, in the fewest digits that read as the same `f64`: `1234.5`, `2000`, `1e-12`.
pub fn write_json(value: f64, out: &mut String) {
    let value = value + 0.0; // -0 is 0
    let size = value.abs();
    // Writing to a String cannot fail.
    let _ = match value {
        _ if !value.is_finite() => write!(out, "null"),
        _ if size != 0.0 && !(1e-6..1e21).contains(&size) => write!(out, "{value:e}"),
        _ => write!(out, "{value}"),
    };
}

/// A number as decimal text without an allocation, so that 1 and 1.0 are one text. Room for `N` bytes: 40 are enough for
/// every integer, 400 for every `f64` (the longest have 309 digits before the point, or 341 bytes behind it).
pub(super) struct Decimal<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Decimal<N> {
    pub(super) fn new(number: impl std::fmt::Display) -> Self {
        let mut text = Self { bytes: [0; N], len: 0 };
        let _ = write!(text, "{number}"); // what does not fit is left out
        text
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> Write for Decimal<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_are_json() {
        let check = |value: f64, expected: &str| {
            let mut out = String::new();
            write_json(value, &mut out);
            assert_eq!(out, expected);
        };
        check(0.0, "0");
        check(-0.0, "0");
        check(2000.0, "2000");
        check(-1.25, "-1.25");
        check(1e300, "1e300");
        check(1e-7, "1e-7");
        check(123_456_789_012.5, "123456789012.5");
        check(f64::NAN, "null");
    }

    #[test]
    fn every_number_has_room() {
        for number in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -1.797e308, 0.1] {
            assert_eq!(Decimal::<400>::new(number).as_bytes(), number.to_string().as_bytes());
        }
        assert_eq!(Decimal::<40>::new(i128::MIN).as_bytes(), i128::MIN.to_string().as_bytes());
        assert_eq!(Decimal::<400>::new(1.0).as_bytes(), Decimal::<40>::new(1).as_bytes());
    }
}
