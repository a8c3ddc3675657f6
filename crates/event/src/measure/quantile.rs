//! Quantiles within a relative error: DDSketch, merged exactly.
//!
//! Source: Masson, Rim, Lee, «DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees»
//! (2019), with the quadratically interpolated logarithm of its reference implementation. Our own code and not a
//! library's, because buckets must not depend on the machine's logarithm, and the form must follow from the values alone:
//! the same values in whatever order and pieces give the same bytes.

use smallvec::SmallVec;

use crate::varint;

/// Buckets in a doubling of the value. The interpolated logarithm is at its flattest 4/3 a step of e, so a bucket's ends
/// are apart by a factor of at most e^(3 / (4 × 38)) = 1.0199: its middle is within 0.99 % of both.
const BUCKETS_PER_DOUBLING: i32 = 38;
/// Magnitudes below 2⁻⁴⁰ (9 × 10⁻¹³) count as 0.
const SMALLEST_EXPONENT: i32 = -40;
/// Magnitudes from 2⁶⁴ (1.8 × 10¹⁹) on share the last bucket.
const LARGEST_EXPONENT: i32 = 63;
/// Buckets of one sign.
const BUCKETS: i32 = (LARGEST_EXPONENT - SMALLEST_EXPONENT + 1) * BUCKETS_PER_DOUBLING;
/// Counts stop here, in the low bits of a bucket.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const COUNT_BITS: u32 = 48;

/// The bucket of a value, in the order of values: 0 for zero, negative for negative ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(i16);

impl Bucket {
    /// Of a number that is not NaN.
    pub fn of(value: f64) -> Self {
        let size = value.abs();
        let bits = size.to_bits();
        let exponent = (bits >> 52) as i32 - 1023;
        if exponent < SMALLEST_EXPONENT {
            return Self(0);
        }
        let index = if exponent > LARGEST_EXPONENT {
            BUCKETS
        } else {
            // 1 ≤ s < 2; the parabola goes through 0 at 1 and 1 at 2, like the logarithm.
            let s = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
            let part = (s - 1.0) * (5.0 - s) / 3.0 * f64::from(BUCKETS_PER_DOUBLING);
            let part = (part as i32).min(BUCKETS_PER_DOUBLING - 1); // rounding may reach the next doubling
            1 + (exponent - SMALLEST_EXPONENT) * BUCKETS_PER_DOUBLING + part
        };
        Self(if value < 0.0 { -index } else { index } as i16)
    }

    /// The value that stands for all of the bucket: the harmonic mean of its ends, which is off by the same share of both.
    fn value(self) -> f64 {
        let index = i32::from(self.0).abs() - 1;
        if index < 0 {
            return 0.0;
        }
        let (low, high) = (lower_end(index), lower_end(index + 1));
        let value = 2.0 * low * high / (low + high);
        if self.0 < 0 { -value } else { value }
    }

    /// As the high bits of a number that sorts like it.
    fn key(self) -> u64 {
        u64::from(self.0 as u16 ^ 0x8000)
    }

    fn from_key(key: u64) -> Self {
        Self((key as u16 ^ 0x8000) as i16)
    }
}

/// The parabola, inverted: only √, × and −, so every machine gives the same.
fn lower_end(index: i32) -> f64 {
    let exponent = index / BUCKETS_PER_DOUBLING + SMALLEST_EXPONENT;
    let part = f64::from(index % BUCKETS_PER_DOUBLING) / f64::from(BUCKETS_PER_DOUBLING);
    let s = 3.0 - (4.0 - 3.0 * part).sqrt();
    s * f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// A few lie in the measure itself.
type Buckets = SmallVec<[u64; 2]>;

/// Values in buckets, enough to tell a quantile within 1 % of the value. Bounded: 7 905 buckets of 8 bytes, a few hundred
/// of them in practice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Ascending; the bucket in the high 16 bits, how many values it has in the low 48.
    buckets: Buckets,
}

impl Sketch {
    /// Takes a value by its bucket.
    pub fn add(&mut self, bucket: Bucket) {
        self.put(bucket.key() << COUNT_BITS | 1);
    }

    fn put(&mut self, packed: u64) {
        match self.buckets.binary_search_by_key(&(packed >> COUNT_BITS), |known| known >> COUNT_BITS) {
            Ok(at) => self.buckets[at] = joined(self.buckets[at], packed),
            Err(at) => self.buckets.insert(at, packed),
        }
    }

    /// Adds the values of another one.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        other.buckets.iter().for_each(|packed| self.put(*packed));
    }

    /// The value of rank `⌊q × (n − 1)⌋` among `n` in ascending order, within 1 % (values below 10⁻¹² are told as 0,
    /// those above 1.8 × 10¹⁹ as about that). `None` without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count: u64 = self.buckets.iter().map(|packed| packed & COUNT_MAX).sum();
        let mut rank = (q * count.checked_sub(1)? as f64) as u64;
        for packed in &self.buckets {
            let here = packed & COUNT_MAX;
            if rank < here {
                return Some(Bucket::from_key(packed >> COUNT_BITS).value());
            }
            rank -= here;
        }
        self.buckets.last().map(|packed| Bucket::from_key(packed >> COUNT_BITS).value())
    }

    /// How many bytes it takes besides itself: follows from what it holds.
    pub(super) fn weight(&self) -> usize {
        self.buckets.len() * size_of::<u64>()
    }

    /// The number of buckets; for each the step from the one before, and its count.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.buckets.len() as u64);
        let mut before = 0;
        for packed in &self.buckets {
            let key = packed >> COUNT_BITS;
            varint::put(out, key - before);
            varint::put(out, packed & COUNT_MAX);
            before = key;
        }
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let count = usize::try_from(varint::take(bytes)?).ok()?;
        if count > 2 * BUCKETS as usize + 1 {
            return None;
        }
        let mut buckets = Buckets::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let before = buckets.last().map(|packed| packed >> COUNT_BITS);
            let key = varint::take(bytes)?.checked_add(before.unwrap_or_default())?;
            let here = varint::take(bytes)?;
            let inside = key <= u64::from(u16::MAX) && i32::from(Bucket::from_key(key).0).abs() <= BUCKETS;
            if !inside || before.is_some_and(|before| key <= before) || !(1..=COUNT_MAX).contains(&here) {
                return None;
            }
            buckets.push(key << COUNT_BITS | here);
        }
        Some(Self { buckets })
    }
}

/// Two counts of one bucket; the sum stops at the largest.
fn joined(a: u64, b: u64) -> u64 {
    let count = ((a & COUNT_MAX) + (b & COUNT_MAX)).min(COUNT_MAX);
    a & !COUNT_MAX | count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(Bucket::of(*value)));
        sketch
    }

    #[test]
    fn every_value_is_told_within_one_per_cent_and_in_order() {
        let mut value = 1e-12;
        let mut before = Bucket(0);
        while value < 1.8e19 {
            for signed in [value, -value] {
                let told = Bucket::of(signed).value();
                assert!((told - signed).abs() <= 0.01 * value, "{signed} is told as {told}");
            }
            assert!(Bucket::of(value) >= before && Bucket::of(-value) == Bucket(-Bucket::of(value).0));
            before = Bucket::of(value);
            value *= 1.000_7;
        }
        for exponent in SMALLEST_EXPONENT..LARGEST_EXPONENT {
            let power = 2_f64.powi(exponent + 1);
            let below = f64::from_bits(power.to_bits() - 1);
            assert_eq!(Bucket::of(below).0 + 1, Bucket::of(power).0, "at 2^{}", exponent + 1);
        }
    }

    #[test]
    fn zero_and_extremes_have_their_buckets() {
        for zero in [0.0, -0.0, 5e-324, 1e-13] {
            assert_eq!(Bucket::of(zero), Bucket(0), "{zero}");
        }
        assert_eq!(Bucket::of(f64::MAX), Bucket::of(2e19));
        assert_eq!(Bucket::of(f64::NEG_INFINITY).0, -Bucket::of(f64::MAX).0);
        assert!((Bucket::of(f64::MAX).value() / 1.8e19 - 1.0).abs() < 0.03);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let check = |values: &[f64], q: f64, expected: f64| {
            let told = of(values).quantile(q).unwrap();
            assert!((told - expected).abs() <= 0.01 * expected.abs(), "{q} of {values:?}: {told}");
        };
        let hundred: Vec<_> = (1..=100).map(f64::from).collect();
        check(&hundred, 0.0, 1.0);
        check(&hundred, 0.5, 50.0);
        check(&hundred, 0.95, 95.0);
        check(&hundred, 1.0, 100.0);
        check(&[-5.0, 0.0, 5.0], 0.0, -5.0);
        check(&[-5.0, 0.0, 5.0], 0.5, 0.0);
        check(&[-1.0, -2.0, -300.0, 7.0], 0.34, -2.0);
        assert_eq!(Sketch::default().quantile(0.5), None);
    }

    #[test]
    fn counts_stop_at_the_largest_and_come_back() {
        let mut sketch = of(&[1.0, -3.0]);
        for _ in 0..60 {
            let twin = sketch.clone();
            sketch.merge(&twin);
        }
        let mut out = Vec::new();
        sketch.encode(&mut out);
        assert_eq!(Sketch::decode(&mut &out[..]), Some(sketch.clone()));
        assert!(sketch.buckets.iter().all(|packed| packed & COUNT_MAX == COUNT_MAX));
        assert_eq!(Sketch::decode(&mut &[1, 0, 1][..]), None, "a bucket that no value has");
        assert_eq!(Sketch::decode(&mut &[0xff, 0xff, 0x7f][..]), None, "more than there are");
    }
}
