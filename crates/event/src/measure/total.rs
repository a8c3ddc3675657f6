//! An exact sum: fixed point in units of 10⁻¹², in 192 bits, so that no order of adding can round or overflow.

use super::number;

/// Units in 1.
const ONE: i128 = 1_000_000_000_000;

/// A sum of values, each rounded to 10⁻¹² before it is added. Sums of floating-point numbers depend on the order of the
/// values; this one does not: each value is below 2¹²⁷ units, and 2⁶⁴ of them fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Two's complement, lowest first. Not one `u128`, which would ask for an alignment of 16 bytes.
    low: u64,
    middle: u64,
    high: i64,
}

impl Total {
    /// A number as units, rounded half away from zero. One beyond ±1.7 × 10²⁶ counts as that; `None` for what is no
    /// finite number.
    ///
    /// The whole part and the fraction are converted apart: each step but the last rounding is exact.
    pub fn units_of(value: f64) -> Option<i128> {
        if !value.is_finite() {
            return None;
        }
        let whole = value.trunc(); // the cast saturates
        let fraction = ((value - whole) * ONE as f64).round();
        Some(bounded((whole as i128).saturating_mul(ONE).saturating_add(fraction as i128)))
    }

    /// An integer as units.
    pub fn units_of_int(value: i128) -> i128 {
        bounded(value.saturating_mul(ONE))
    }

    /// Adds a value in units.
    pub fn add(&mut self, units: i128) {
        self.join(units as u128, (units >> 127) as i64);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.join(other.lower(), other.high);
    }

    fn join(&mut self, lower: u128, high: i64) {
        let (sum, carry) = self.lower().overflowing_add(lower);
        (self.low, self.middle) = (sum as u64, (sum >> 64) as u64);
        self.high = self.high.wrapping_add(high).wrapping_add(i64::from(carry));
    }

    fn lower(&self) -> u128 {
        u128::from(self.middle) << 64 | u128::from(self.low)
    }

    /// The sum in units; one that is beyond an `i128` (± 1.7 × 10²⁶) is given as the end of it.
    pub fn units(&self) -> i128 {
        let units = self.lower() as i128;
        match self.high {
            high if high == (units >> 127) as i64 => units,
            high if high < 0 => i128::MIN,
            _ => i128::MAX,
        }
    }

    /// The `f64` that is nearest to the sum.
    pub fn to_f64(&self) -> f64 {
        self.decimal().parse().unwrap_or_default() // a decimal always parses
    }

    /// All digits.
    fn decimal(&self) -> String {
        let units = self.units();
        let (whole, fraction) = (units.unsigned_abs() / ONE as u128, units.unsigned_abs() % ONE as u128);
        format!("{}{whole}.{fraction:012}", if units < 0 { "-" } else { "" })
    }

    /// As a JSON number: all digits of a whole one; of another, the shortest that reads as the nearest `f64`.
    pub fn write_json(&self, out: &mut String) {
        let units = self.units();
        if units % ONE == 0 {
            out.push_str(&(units / ONE).to_string());
        } else {
            number::write_json(self.to_f64(), out);
        }
    }

    /// Its bytes, lowest first, without those that only repeat the sign; their number stands in front.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.low.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.middle.to_le_bytes());
        bytes[16..].copy_from_slice(&self.high.to_le_bytes());
        let sign = if self.high < 0 { 0xff } else { 0 };
        let repeats = |len: usize| bytes[len - 1] == sign && (len == 1 || (bytes[len - 2] ^ sign) & 0x80 == 0);
        let mut len = bytes.len();
        while len > 1 && repeats(len) {
            len -= 1;
        }
        out.push(len as u8);
        out.extend_from_slice(&bytes[..len]);
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first()?;
        let (given, rest) = rest.split_at_checked(usize::from(*len))?;
        let sign = if given.last()? & 0x80 != 0 { 0xff } else { 0 };
        let mut all = [sign; 24];
        all.get_mut(..given.len())?.copy_from_slice(given);
        *bytes = rest;
        let word = |at: usize| <[u8; 8]>::try_from(&all[at..at + 8]).unwrap_or_default();
        Some(Self {
            low: u64::from_le_bytes(word(0)),
            middle: u64::from_le_bytes(word(8)),
            high: i64::from_le_bytes(word(16)),
        })
    }
}

/// As far below zero as above, so that what is too large and its opposite add up to 0.
fn bounded(units: i128) -> i128 {
    units.max(-i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Total {
        let mut total = Total::default();
        values.iter().filter_map(|v| Total::units_of(*v)).for_each(|units| total.add(units));
        total
    }

    #[test]
    fn sums_print_as_people_write_them() {
        let check = |values: &[f64], expected: &str| {
            let mut out = String::new();
            sum(values).write_json(&mut out);
            assert_eq!(out, expected, "{values:?}");
        };
        check(&[], "0");
        check(&[1234.5], "1234.5");
        check(&[0.1, 0.2], "0.3");
        check(&[0.1; 10], "1");
        check(&[999_999.99], "999999.99");
        check(&[-0.5, 0.25], "-0.25");
        check(&[1e-12], "1e-12");
        check(&[4e-13, -0.0], "0");
        check(&[5e14, 0.5], "500000000000000.5");
        check(&[f64::NAN, f64::INFINITY, 7.0], "7");
        check(&[1e300, 1.0], "1.7014118346046923e26");
        check(&[1e300, -1e300, 2.5], "2.5");
    }

    #[test]
    fn integers_keep_every_digit() {
        let mut total = Total::default();
        total.add(Total::units_of_int(u64::MAX.into()));
        total.add(Total::units_of_int(u64::MAX.into()));
        let mut out = String::new();
        total.write_json(&mut out);
        assert_eq!(out, "36893488147419103230");
    }

    #[test]
    fn what_overflows_on_the_way_comes_back() {
        let (mut there, mut back) = (Total::default(), Total::default());
        for units in [i128::MAX, i128::MAX, i128::MIN, i128::MIN, 5] {
            there.add(units);
        }
        for units in [i128::MIN, 5, i128::MIN, i128::MAX, i128::MAX] {
            back.add(units);
        }
        assert_eq!((there, there.units()), (back, 3));
        there.add(i128::MAX);
        assert_eq!(there.units(), i128::MAX);
        let mut below = Total::default();
        below.add(i128::MIN);
        below.add(-1);
        assert_eq!(below.units(), i128::MIN);
    }

    #[test]
    fn totals_come_back_in_few_bytes() {
        for (units, len) in [(0, 1), (1, 1), (-1, 1), (127, 1), (128, 2), (-128, 1), (-129, 2), (i128::MIN, 16)] {
            let mut total = Total::default();
            total.add(units);
            for step in [0, i128::MAX, i128::MAX] {
                total.add(step);
                let mut out = Vec::new();
                total.encode(&mut out);
                assert!(step != 0 || out.len() == len + 1, "{units}: {out:?}");
                assert_eq!(Total::decode(&mut &out[..]), Some(total));
            }
        }
        assert_eq!(Total::decode(&mut &[0][..]), None);
        assert_eq!(Total::decode(&mut &[25; 26][..]), None);
    }
}
