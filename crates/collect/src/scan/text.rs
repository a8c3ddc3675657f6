//! JSON strings: checked eight bytes at a time, and unescaped when somebody needs their text.

use super::Flaw;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Checks the string whose first byte behind the quote is at `start`. Gives the place of its closing quote, and whether
/// it has escapes.
#[inline(always)]
pub(super) fn string(bytes: &[u8], start: usize) -> Result<(usize, bool), Flaw> {
    let mut seen = 0;
    let at = plain(bytes, start, &mut seen);
    if bytes.get(at) == Some(&b'"') && seen & HIGHS == 0 {
        return Ok((at, false));
    }
    rich(bytes, start, at, seen)
}

/// The same from `at` on, for the few strings that have escapes or other than ASCII, or are broken.
#[cold]
#[inline(never)]
fn rich(bytes: &[u8], start: usize, mut at: usize, mut seen: u64) -> Result<(usize, bool), Flaw> {
    let mut escaped = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                at = escape(bytes, at)?;
            }
            Some(_) => return Err(Flaw::new(at, "no control character in a string (write it as an escape)")),
            None => return Err(Flaw::new(at, "a closing quote")),
        }
        at = plain(bytes, at, &mut seen);
    }
    if seen & HIGHS != 0
        && let Err(error) = std::str::from_utf8(&bytes[start..at])
    {
        return Err(Flaw::new(start + error.valid_up_to(), "valid UTF-8"));
    }
    Ok((at, escaped))
}

/// Skips bytes that need no look: all but quote, backslash and control characters. Gathers the skipped bytes' bits
/// (and maybe those of a few bytes behind them) in `seen`.
#[inline(always)]
fn plain(bytes: &[u8], mut at: usize, seen: &mut u64) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        *seen |= word;
        // The classic test for a zero byte (or one below n), exact for the lowest byte that it finds.
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
        let stop = (below(quote, 1) | below(slash, 1) | below(word, 0x20)) & HIGHS;
        if stop != 0 {
            return at + stop.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at).filter(|b| !matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        *seen |= u64::from(byte);
        at += 1;
    }
    at
}

/// Checks the escape whose backslash is at `at`; gives the place behind it.
fn escape(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = hex4(bytes, at + 2)?;
            if !(0xd800..0xe000).contains(&unit) {
                return Ok(at + 6);
            }
            let low = bytes.get(at + 6..at + 8) == Some(b"\\u");
            if unit < 0xdc00 && low && (0xdc00..0xe000).contains(&hex4(bytes, at + 8)?) {
                return Ok(at + 12);
            }
            Err(Flaw::new(at, "a surrogate pair (a lone surrogate is no character)"))
        }
        _ => Err(Flaw::new(at, "an escape: one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX")),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, Flaw> {
    (at..at + 4).try_fold(0, |unit, i| {
        let digit = bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        digit.map(|digit| unit << 4 | digit).ok_or(Flaw::new(i, "four hexadecimal digits"))
    })
}

/// Appends the text of a string that [`string`] has checked, given as it stands between the quotes.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        let simple = match raw.get(at + 1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                at += unicode(&raw[at..], out);
                continue;
            }
            Some(&other) => other,
            None => return,
        };
        out.push(simple);
        at += 2;
    }
}

/// Appends the character of a `\u` escape or pair; gives its length as written.
fn unicode(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = hex4(raw, 2).unwrap_or(0xfffd);
    let (code, length) = match (unit, hex4(raw, 8)) {
        (0xd800..0xdc00, Ok(low)) => (0x1_0000 + ((unit - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff), 12),
        _ => (unit, 6),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    length
}
