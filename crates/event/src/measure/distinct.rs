//! How many different values there were: HyperLogLog, merged exactly.
//!
//! Sources: Flajolet, Fusy, Gandouet, Meunier, «HyperLogLog» (2007); the sparse form of Heule, Nunkesser, Hall,
//! «HyperLogLog in practice» (2013); the estimate of Ertl, «New cardinality estimation algorithms for HyperLogLog
//! sketches» (2017), which needs no table of corrections. Our own code and not a library's, because the form must follow
//! from the set of values alone: the same values in whatever order and pieces give the same bytes.
//!
//! Few values are kept as 25 bits of their hash each; from [`SPARSE_MAX`] on there are 4 096 registers. A set of entries
//! only grows, so however it is put together it is dense at the end exactly when it is larger than that.

use smallvec::SmallVec;

use crate::varint;

/// Registers have an index of so many bits: the standard error is 1.04 / √2¹² = 1.6 %.
const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// Bits of the hash that an entry of the sparse form is told apart by.
const SPARSE_PRECISION: u32 = 25;
/// The bits that the sparse form knows beyond a register's index.
const FINER: u32 = SPARSE_PRECISION - PRECISION;
/// Entries of the sparse form at the most: it takes what the packed registers would.
const SPARSE_MAX: usize = 768;
/// The largest rank: all bits behind the index are 0.
const RANK_MAX: u8 = (64 - PRECISION + 1) as u8;
/// The same behind the index of the sparse form.
const SPARSE_RANK_MAX: u32 = 64 - SPARSE_PRECISION + 1;
/// Bytes of the registers, written down in 6 bits each.
const PACKED_BYTES: usize = REGISTERS * 6 / 8;

/// The values seen, as far as their number can be told: exactly up to 768 but for two hashes that share 25 bits (1 in
/// 100 sets of that size has such a pair), then with a standard error of 1.6 %.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct(Form);

/// A few lie in the measure itself.
type Entries = SmallVec<[u32; 4]>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Ascending; an entry is 25 bits of the hash, then the rank behind them when the last 13 of these are 0, else 0.
    Sparse(Entries),
    /// The largest rank of each register.
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self(Form::Sparse(Entries::new()))
    }
}

impl Distinct {
    /// Takes a value by its hash; equal values have equal hashes.
    pub fn add(&mut self, hash: u64) {
        match &mut self.0 {
            Form::Dense(registers) => {
                let rank = (hash << PRECISION).leading_zeros().min(64 - PRECISION) as u8 + 1;
                let register = &mut registers[(hash >> (64 - PRECISION)) as usize];
                *register = rank.max(*register);
            }
            Form::Sparse(entries) => {
                let index = (hash >> (64 - SPARSE_PRECISION)) as u32;
                let unknown = index.trailing_zeros() >= FINER;
                let rank = (hash << SPARSE_PRECISION).leading_zeros().min(SPARSE_RANK_MAX - 1) + 1;
                insert(entries, index << 6 | if unknown { rank } else { 0 });
                if entries.len() > SPARSE_MAX {
                    self.0 = Form::Dense(dense(entries));
                }
            }
        }
    }

    /// Adds the values of another one.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Form::Dense(mine), Form::Dense(theirs)) => {
                mine.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
            }
            (Form::Dense(mine), Form::Sparse(theirs)) => theirs.iter().for_each(|entry| raise(mine, *entry)),
            (Form::Sparse(mine), Form::Dense(theirs)) => {
                let mut registers = theirs.clone();
                mine.iter().for_each(|entry| raise(&mut registers, *entry));
                self.0 = Form::Dense(registers);
            }
            (Form::Sparse(mine), Form::Sparse(theirs)) => {
                theirs.iter().for_each(|entry| insert(mine, *entry));
                if mine.len() > SPARSE_MAX {
                    self.0 = Form::Dense(dense(mine));
                }
            }
        }
    }

    /// About how many different values there were.
    pub fn estimate(&self) -> u64 {
        match &self.0 {
            // Linear counting over 2²⁵ places would add less than a hundredth.
            Form::Sparse(entries) => entries.len() as u64,
            Form::Dense(registers) => estimate(registers).round() as u64,
        }
    }

    /// How many bytes it takes besides itself: follows from what it holds.
    pub(super) fn weight(&self) -> usize {
        match &self.0 {
            Form::Sparse(entries) => entries.len() * size_of::<u32>(),
            Form::Dense(_) => REGISTERS,
        }
    }

    /// Sparse: 1 + the number of entries, and each as the step from the one before. Dense: 0, and 6 bits a register.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Sparse(entries) => {
                varint::put(out, entries.len() as u64 + 1);
                let mut before = 0;
                for entry in entries {
                    varint::put(out, u64::from(entry - before));
                    before = *entry;
                }
            }
            Form::Dense(registers) => {
                varint::put(out, 0);
                for four in registers.chunks_exact(4) {
                    let packed = four.iter().rev().fold(0_u32, |bits, rank| bits << 6 | u32::from(*rank));
                    out.extend_from_slice(&packed.to_le_bytes()[..3]);
                }
            }
        }
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let Some(count) = varint::take(bytes)?.checked_sub(1) else {
            let mut registers = Box::new([0; REGISTERS]);
            let packed = varint::take_bytes(bytes, PACKED_BYTES as u64)?;
            for (four, packed) in registers.chunks_exact_mut(4).zip(packed.chunks_exact(3)) {
                let bits = u32::from_le_bytes([packed[0], packed[1], packed[2], 0]);
                four.iter_mut().enumerate().for_each(|(i, rank)| *rank = (bits >> (6 * i)) as u8 & 63);
            }
            return registers.iter().all(|rank| *rank <= RANK_MAX).then_some(Self(Form::Dense(registers)));
        };
        let count = usize::try_from(count).ok().filter(|count| *count <= SPARSE_MAX)?;
        let mut entries = Entries::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let before = entries.last().copied().unwrap_or_default();
            let entry = u32::try_from(varint::take(bytes)?).ok()?.checked_add(before)?;
            let sound = entries.is_empty() || entry >> 6 > before >> 6;
            let rank_is_sound = match (entry >> 6).trailing_zeros() >= FINER {
                true => (1..=SPARSE_RANK_MAX).contains(&(entry & 63)),
                false => entry & 63 == 0,
            };
            if !sound || !rank_is_sound || entry >> (6 + SPARSE_PRECISION) != 0 {
                return None;
            }
            entries.push(entry);
        }
        Some(Self(Form::Sparse(entries)))
    }
}

/// Puts an entry in its place; of two with one index the larger rank stays.
fn insert(entries: &mut Entries, entry: u32) {
    match entries.binary_search_by_key(&(entry >> 6), |known| known >> 6) {
        Ok(at) => entries[at] = entries[at].max(entry),
        Err(at) => entries.insert(at, entry),
    }
}

fn dense(entries: &[u32]) -> Box<[u8; REGISTERS]> {
    let mut registers = Box::new([0; REGISTERS]);
    entries.iter().for_each(|entry| raise(&mut registers, *entry));
    registers
}

/// What an entry says of its register.
fn raise(registers: &mut [u8; REGISTERS], entry: u32) {
    let index = entry >> 6;
    let finer = index & ((1 << FINER) - 1);
    let rank = if finer == 0 { FINER + (entry & 63) } else { finer.leading_zeros() - (32 - FINER) + 1 };
    let register = &mut registers[(index >> FINER) as usize % REGISTERS];
    *register = (*register).max(rank as u8);
}

/// Ertl's improved raw estimator. Only +, ×, ÷ and √ of IEEE 754: every machine gives the same.
fn estimate(registers: &[u8; REGISTERS]) -> f64 {
    let mut counts = [0_u32; RANK_MAX as usize + 1];
    for rank in registers {
        counts[usize::from((*rank).min(RANK_MAX))] += 1;
    }
    let all = REGISTERS as f64;
    let mut z = all * tau(1.0 - f64::from(counts[usize::from(RANK_MAX)]) / all);
    for count in counts[1..usize::from(RANK_MAX)].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += all * sigma(f64::from(counts[0]) / all);
    // 1 / (2 ln 2)
    0.721_347_520_444_481_7 * all * all / z
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(value: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes())
    }

    fn of(values: impl IntoIterator<Item = u64>) -> Distinct {
        let mut distinct = Distinct::default();
        values.into_iter().for_each(|value| distinct.add(hash(value)));
        distinct
    }

    #[test]
    fn few_are_counted_and_many_estimated_within_the_error() {
        for (values, slack) in
            [(0, 0.0), (1, 0.0), (768, 0.002), (769, 0.05), (2_000, 0.05), (20_000, 0.05), (1_000_000, 0.05)]
        {
            let told = of((0..values).chain(0..values)).estimate() as f64;
            assert!((told - values as f64).abs() <= values as f64 * slack, "{values}: {told}");
        }
    }

    /// Three standard errors of the mean over independent sets: the estimate has no bias to speak of.
    #[test]
    fn the_estimate_is_right_on_average() {
        for size in [800, 3_000, 12_000, 60_000] {
            let errors: Vec<_> = (0..40_u64)
                .map(|set| of((0..size).map(|i| set << 32 | i)).estimate() as f64 / size as f64 - 1.0)
                .collect();
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            let deviation = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
            assert!(mean.abs() < 0.008 && deviation < 0.0225, "{size}: mean {mean}, deviation {deviation}");
        }
    }

    #[test]
    fn both_forms_tell_the_same_of_every_hash() {
        for zeros in 0..=64 {
            let hash = u64::MAX.checked_shr(zeros).unwrap_or_default();
            for hash in [hash, hash >> 1 | 1 << 63, hash & !(1 << 38)] {
                let mut from_sparse = Distinct::default();
                from_sparse.add(hash);
                let mut direct = Distinct(Form::Dense(Box::new([0; REGISTERS])));
                direct.merge(&from_sparse);
                let mut plain = Distinct(Form::Dense(Box::new([0; REGISTERS])));
                plain.add(hash);
                assert_eq!(direct, plain, "{hash:x}");
            }
        }
    }

    #[test]
    fn a_dense_one_takes_three_kilobytes_and_comes_back() {
        for values in [3, 768, 769, 50_000] {
            let distinct = of(0..values);
            let mut out = Vec::new();
            distinct.encode(&mut out);
            assert!(out.len() <= PACKED_BYTES + 1, "{values}: {}", out.len());
            assert_eq!(Distinct::decode(&mut &out[..]), Some(distinct));
            for cut in (0..out.len()).step_by(97) {
                assert_eq!(Distinct::decode(&mut &out[..cut]), None, "{values} cut at {cut}");
            }
        }
    }
}
