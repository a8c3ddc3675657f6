//! Numbers of as many bytes as they need: LEB128, seven bits a byte, lowest first; signed ones zigzag besides.

/// Writes a number behind what `out` holds: 1 to 10 bytes.
#[inline]
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// As [`put`], for a number that may be negative.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Reads what [`put`] wrote and moves past it; `None` when the bytes end before it does.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Reads what [`put_signed`] wrote.
#[inline]
pub fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let number = take(bytes)?;
    Some((number >> 1) as i64 ^ -((number & 1) as i64))
}

/// Reads so many bytes and moves past them; `None` when there are fewer.
#[inline]
pub fn take_bytes<'a>(bytes: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_a_cut_one_does_not() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, number);
            put_signed(&mut out, number as i64);
            let mut rest = &out[..];
            assert_eq!((take(&mut rest), take_signed(&mut rest)), (Some(number), Some(number as i64)));
            assert!(rest.is_empty());
            for cut in 0..out.len() {
                let mut rest = &out[..cut];
                assert!(take(&mut rest).and_then(|_| take(&mut rest)).is_none(), "{number} cut at {cut}");
            }
        }
        assert_eq!(take(&mut &[0x80; 20][..]), None);
        assert_eq!(take_bytes(&mut &[1, 2][..], u64::MAX), None);
    }
}
