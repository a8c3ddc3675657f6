//! 64 bytes at a time: where names end, and where quotes and brackets are, as bits.

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// 64 consecutive bytes.
pub(super) type Block = [u8; BLOCK];

/// What a first look at a block tells. One bit for each byte, the first is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Colons right behind a quote.
    pub(super) ends: u64,
    /// Whether there is a backslash, or a colon behind white space: then a closer look is needed.
    pub(super) doubt: bool,
}

/// What a second look tells, likewise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) quotes: u64,
    /// Brackets of all four kinds. (And `Y`, `y` and `_`, which stand in strings only.)
    pub(super) brackets: u64,
}

/// Looks at a block for the first time; `before` are the bytes one place before.
#[inline]
pub(super) fn names(before: &Block, block: &Block) -> Names {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "a third of the time of all rules and windows goes into reading JSON without this")]
    // SAFETY: every x86-64 has SSE2. A test compares it with the other way on all kinds of bytes.
    unsafe {
        sse2::names(before, block)
    }
    #[cfg(not(target_arch = "x86_64"))]
    anywhere::names(before, block)
}

/// Looks at a block for the second time.
#[inline]
pub(super) fn shape(block: &Block) -> Shape {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "as above")]
    // SAFETY: every x86-64 has SSE2. A test compares it with the other way on all kinds of bytes.
    unsafe {
        sse2::shape(block)
    }
    #[cfg(not(target_arch = "x86_64"))]
    anywhere::shape(block)
}

/// Sixteen bytes at a step.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8, _mm_setzero_si128,
    };

    use super::{Block, Names, Shape};

    #[target_feature(enable = "sse2")]
    #[inline]
    fn lane(bytes: &[u8; 16]) -> __m128i {
        let whole = u128::from_le_bytes(*bytes);
        _mm_set_epi64x((whole >> 64) as i64, whole as i64)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn equal(bytes: __m128i, to: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(to as i8))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn bits(bytes: __m128i, place: usize) -> u64 {
        u64::from(_mm_movemask_epi8(bytes) as u32) << (16 * place)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn names(before: &Block, block: &Block) -> Names {
        let (mut ends, mut doubt) = (0, _mm_setzero_si128());
        let lanes = before.as_chunks().0.iter().zip(block.as_chunks().0).enumerate();
        for (place, (before, bytes)) in lanes {
            let (before, bytes) = (lane(before), lane(bytes));
            let colons = equal(bytes, b':');
            ends |= bits(_mm_and_si128(colons, equal(before, b'"')), place);
            // At most a space, as numbers without a sign.
            let blank = equal(_mm_max_epu8(before, _mm_set1_epi8(b' ' as i8)), b' ');
            doubt = _mm_or_si128(doubt, _mm_or_si128(equal(bytes, b'\\'), _mm_and_si128(colons, blank)));
        }
        Names { ends, doubt: _mm_movemask_epi8(doubt) != 0 }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn shape(block: &Block) -> Shape {
        let mut shape = Shape::default();
        for (place, bytes) in block.as_chunks().0.iter().enumerate() {
            let bytes = lane(bytes);
            shape.quotes |= bits(equal(bytes, b'"'), place);
            shape.brackets |= bits(equal(_mm_or_si128(bytes, _mm_set1_epi8(super::FOLD as i8)), 0x7f), place);
        }
        shape
    }
}

/// These bits make all brackets one number: 0x5b, 0x5d, 0x7b and 0x7d become 0x7f.
const FOLD: u8 = 0x26;

/// Eight bytes at a step, on any machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod anywhere {
    use super::{Block, FOLD, Names, Shape};

    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

    /// The highest bit of each byte that is equal.
    fn equal(bytes: u64, to: u8) -> u64 {
        let differ = bytes ^ (ONES * u64::from(to));
        !(((differ & LOW) + LOW) | differ | LOW)
    }

    /// Gathers the highest bits of all bytes.
    fn bits(bytes: u64, place: usize) -> u64 {
        ((bytes >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * place)
    }

    pub(super) fn names(before: &Block, block: &Block) -> Names {
        let (mut ends, mut doubt) = (0, 0);
        let words = before.as_chunks().0.iter().zip(block.as_chunks().0).enumerate();
        for (place, (before, bytes)) in words {
            let (before, bytes) = (u64::from_le_bytes(*before), u64::from_le_bytes(*bytes));
            let colons = equal(bytes, b':');
            ends |= bits(colons & equal(before, b'"'), place);
            // A byte above a space is at least 0x80 with 0x5f added, or is that by itself.
            let blank = !(((before & LOW) + ONES * 0x5f) | before) & HIGH;
            doubt |= equal(bytes, b'\\') | (colons & blank);
        }
        Names { ends, doubt: doubt != 0 }
    }

    pub(super) fn shape(block: &Block) -> Shape {
        let mut shape = Shape::default();
        for (place, bytes) in block.as_chunks().0.iter().enumerate() {
            let bytes = u64::from_le_bytes(*bytes);
            shape.quotes |= bits(equal(bytes, b'"'), place);
            shape.brackets |= bits(equal(bytes | (ONES * u64::from(FOLD)), 0x7f), place);
        }
        shape
    }
}

/// For every bit, whether the number of bits up to and with it is odd: between an opening quote and its partner.
#[inline]
pub(super) fn inside(quotes: u64) -> u64 {
    let mut bits = quotes;
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn looks_at_a_block_tell_what_is_in_it(
            mut bytes in prop::collection::vec(any::<u8>(), BLOCK + 1),
            json in "[{}\\[\\]\":,a \\n]{0,65}",
        ) {
            bytes[..json.len()].copy_from_slice(json.as_bytes());
            let (before, block): (&Block, &Block) = (bytes.first_chunk().unwrap(), bytes.last_chunk().unwrap());
            let of = |wanted: &dyn Fn(usize) -> bool| (0..BLOCK).filter(|i| wanted(*i)).map(|i| 1_u64 << i).sum::<u64>();
            let expected = Names {
                ends: of(&|i| block[i] == b':' && before[i] == b'"'),
                doubt: (0..BLOCK).any(|i| block[i] == b'\\' || (block[i] == b':' && before[i] <= b' ')),
            };
            prop_assert_eq!(names(before, block), expected);
            prop_assert_eq!(anywhere::names(before, block), expected);
            let expected = Shape {
                quotes: of(&|i| block[i] == b'"'),
                brackets: of(&|i| b"[]{}Yy_\x7f".contains(&block[i])),
            };
            prop_assert_eq!(shape(block), expected);
            prop_assert_eq!(anywhere::shape(block), expected);
        }

        #[test]
        fn what_is_inside_of_quotes_is_known(quotes in any::<u64>()) {
            let expected = (0..64).filter(|i| (quotes << (63 - i)).count_ones() % 2 == 1).map(|i| 1_u64 << i).sum::<u64>();
            prop_assert_eq!(inside(quotes), expected);
        }
    }
}
