//! Measures of a window that merge exactly: in whatever order values and pieces come, the result is the same, to the
//! byte.
//!
//! | measure | holds | told | error |
//! |---|---|---|---|
//! | count | a number | a whole number | none |
//! | sum | 192 bits of fixed point | a number; 0 without values | each value is rounded to 10⁻¹² |
//! | min, max | an `f64` | a number, `null` without values | none |
//! | mean | sum and count | an `f64`, `null` without values | as sum, then one rounding |
//! | distinct | HyperLogLog of 2¹² registers, at most 4 KiB | a whole number | none up to 768 values (but for 1 set in 100), then 1.6 % (standard error) |
//! | quantile | DDSketch, 8 bytes a bucket | an `f64`, `null` without values | 1 % of the value |

mod codec;
mod distinct;
mod number;
mod quantile;
mod total;

pub use distinct::Distinct;
pub use number::write_json as write_number;
pub use quantile::{Bucket, Sketch};
pub use total::Total;
use xxhash_rust::xxh3::xxh3_64;

/// One measure, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// How many.
    Count(u64),
    /// Their sum.
    Sum(Total),
    /// The smallest; `None` without values. Never NaN, and never −0.
    Min(Option<f64>),
    /// The largest, likewise.
    Max(Option<f64>),
    /// Their mean.
    Mean {
        /// Their sum.
        total: Total,
        /// How many they are.
        count: u64,
    },
    /// How many different ones.
    Distinct(Distinct),
    /// A quantile.
    Quantile {
        /// Which: 0 is the smallest, 1 the largest.
        q: f64,
        /// The values.
        sketch: Sketch,
    },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// How many.
    Count,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their mean.
    Mean,
    /// How many different ones.
    Distinct,
    /// The quantile at this place, 0 to 1.
    Quantile(f64),
}

/// A value, made ready once for all windows that it goes into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// No value, or none that the measure can take: changes nothing.
    Skip,
    /// One more to count.
    One,
    /// To sum up.
    Units(i128),
    /// To compare.
    Number(f64),
    /// To tell from others.
    Hash(u64),
    /// To rank.
    Bucket(Bucket),
}

impl Shape {
    /// The measure before the first value.
    pub fn empty(self) -> Measure {
        match self {
            Self::Count => Measure::Count(0),
            Self::Sum => Measure::Sum(Total::default()),
            Self::Min => Measure::Min(None),
            Self::Max => Measure::Max(None),
            Self::Mean => Measure::Mean { total: Total::default(), count: 0 },
            Self::Distinct => Measure::Distinct(Distinct::default()),
            Self::Quantile(q) => Measure::Quantile { q, sketch: Sketch::default() },
        }
    }

    /// Makes an integer ready.
    pub fn step_of_int(self, value: i128) -> Step {
        match self {
            Self::Count => Step::One,
            Self::Sum | Self::Mean => Step::Units(Total::units_of_int(value)),
            Self::Distinct => Step::Hash(hash_of_int(value)),
            Self::Min | Self::Max => Step::Number(value as f64),
            Self::Quantile(_) => Step::Bucket(Bucket::of(value as f64)),
        }
    }

    /// Makes a number ready; one that is not finite is no value.
    pub fn step_of_f64(self, value: f64) -> Step {
        if !value.is_finite() {
            return Step::Skip;
        }
        match self {
            Self::Count => Step::One,
            Self::Sum | Self::Mean => Total::units_of(value).map_or(Step::Skip, Step::Units),
            Self::Distinct => Step::Hash(hash_of_f64(value)),
            Self::Min | Self::Max => Step::Number(value + 0.0), // -0 is 0
            Self::Quantile(_) => Step::Bucket(Bucket::of(value)),
        }
    }

    /// Makes a text ready: it can be counted, and told from others.
    pub fn step_of_text(self, value: &[u8]) -> Step {
        match self {
            Self::Count => Step::One,
            Self::Distinct => Step::Hash(xxh3_64(value)),
            _ => Step::Skip,
        }
    }
}

/// xxh3 of its decimal text, so that 1, 1.0 and "1" are one value, on every machine and for ever.
fn hash_of_int(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(small) => xxh3_64(number::Decimal::<40>::new(small).as_bytes()), // several times as fast
        Err(_) => xxh3_64(number::Decimal::<40>::new(value).as_bytes()),
    }
}

fn hash_of_f64(value: f64) -> u64 {
    xxh3_64(number::Decimal::<400>::new(value + 0.0).as_bytes())
}

impl Measure {
    /// What it measures.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Count(_) => Shape::Count,
            Self::Sum(_) => Shape::Sum,
            Self::Min(_) => Shape::Min,
            Self::Max(_) => Shape::Max,
            Self::Mean { .. } => Shape::Mean,
            Self::Distinct(_) => Shape::Distinct,
            Self::Quantile { q, .. } => Shape::Quantile(*q),
        }
    }

    /// Adds a value that was made ready for this measure. One of another is passed over.
    #[inline]
    pub fn add(&mut self, step: Step) {
        match (self, step) {
            (Self::Count(count), Step::One) => *count = count.saturating_add(1),
            (Self::Sum(total), Step::Units(units)) => total.add(units),
            (Self::Min(mine), Step::Number(value)) => *mine = Some(mine.map_or(value, |known| known.min(value))),
            (Self::Max(mine), Step::Number(value)) => *mine = Some(mine.map_or(value, |known| known.max(value))),
            (Self::Mean { total, count }, Step::Units(units)) => {
                total.add(units);
                *count = count.saturating_add(1);
            }
            (Self::Distinct(distinct), Step::Hash(hash)) => distinct.add(hash),
            (Self::Quantile { sketch, .. }, Step::Bucket(bucket)) => sketch.add(bucket),
            _ => {}
        }
    }

    /// Adds another piece of the same measure. One of another kind is passed over.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(mine), Self::Count(theirs)) => *mine = mine.saturating_add(*theirs),
            (Self::Sum(mine), Self::Sum(theirs)) => mine.merge(theirs),
            (mine @ Self::Min(_), Self::Min(Some(theirs))) | (mine @ Self::Max(_), Self::Max(Some(theirs))) => {
                mine.add(Step::Number(*theirs));
            }
            (Self::Mean { total, count }, Self::Mean { total: others, count: more }) => {
                total.merge(others);
                *count = count.saturating_add(*more);
            }
            (Self::Distinct(mine), Self::Distinct(theirs)) => mine.merge(theirs),
            (Self::Quantile { q, sketch }, Self::Quantile { q: other, sketch: theirs }) if q == other => {
                sketch.merge(theirs);
            }
            _ => {}
        }
    }

    /// How many bytes it takes besides itself. Follows from what it holds, not from how it came to it.
    #[inline]
    pub fn weight(&self) -> usize {
        match self {
            Self::Distinct(distinct) => distinct.weight(),
            Self::Quantile { sketch, .. } => sketch.weight(),
            _ => 0,
        }
    }

    /// Its value as JSON: a number, or `null` when there is none.
    pub fn write_json(&self, out: &mut String) {
        let number = match self {
            Self::Count(count) => return out.push_str(&count.to_string()),
            Self::Sum(total) => return total.write_json(out),
            Self::Distinct(distinct) => return out.push_str(&distinct.estimate().to_string()),
            Self::Min(value) | Self::Max(value) => *value,
            Self::Mean { total, count } => (*count > 0).then(|| total.to_f64() / *count as f64),
            Self::Quantile { q, sketch } => sketch.quantile(*q),
        };
        match number {
            Some(number) => write_number(number, out),
            None => out.push_str("null"),
        }
    }
}

#[cfg(test)]
mod tests;
