//! Numbers and bytes as snapshots have them: LEB128, with zigzag where a number may be negative.

use event::{Millis, varint};

pub(crate) use event::varint::{put, put_signed};

pub(crate) fn put_double(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A time that may not be there yet (`Millis::MIN`): 0, or 1 and the step from `base`.
pub(crate) fn put_time(out: &mut Vec<u8>, time: Millis, base: Millis) {
    out.push(u8::from(time != Millis::MIN));
    if time != Millis::MIN {
        put_signed(out, time.wrapping_sub(base));
    }
}

/// Reads what the functions above wrote; `None` when the bytes are something else.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        varint::take(&mut self.0)
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        varint::take_signed(&mut self.0)
    }

    pub(crate) fn double(&mut self) -> Option<f64> {
        self.fixed().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len)
    }

    pub(crate) fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        varint::take_bytes(&mut self.0, len)
    }

    pub(crate) fn time(&mut self, base: Millis) -> Option<Millis> {
        match self.fixed::<1>()? {
            [0] => Some(Millis::MIN),
            [1] => Some(base.wrapping_add(self.signed()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(n in any::<u64>(), i in any::<i64>(), base in any::<i64>(), d in any::<f64>(), text in ".*") {
            let mut bytes = Vec::new();
            put(&mut bytes, n);
            put_signed(&mut bytes, i);
            put_time(&mut bytes, i, base);
            put_time(&mut bytes, Millis::MIN, base);
            put_double(&mut bytes, d);
            put_bytes(&mut bytes, text.as_bytes());
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.number(), Some(n));
            prop_assert_eq!(reader.signed(), Some(i));
            prop_assert_eq!(reader.time(base), Some(i));
            prop_assert_eq!(reader.time(base), Some(Millis::MIN));
            prop_assert_eq!(reader.double().map(f64::to_bits), Some(d.to_bits()));
            prop_assert_eq!(reader.bytes(), Some(text.as_bytes()));
            prop_assert!(reader.0.is_empty());
            for cut in 0..bytes.len() {
                let mut reader = Reader(&bytes[..cut]);
                let whole = (|| Some((reader.number()?, reader.signed()?, reader.time(base)?, reader.time(base)?,
                    reader.double()?, reader.bytes()?)))();
                prop_assert!(whole.is_none());
            }
        }
    }
}
