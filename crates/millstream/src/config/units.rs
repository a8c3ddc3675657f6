//! Durations as `5m` and sizes as `10GiB`, read and written.

use event::Millis;

const DURATIONS: [(&str, Millis); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads `250ms`, `30s`, `5m`, `1h`, `7d`: a whole number and one unit. Gives milliseconds.
///
/// # Errors
/// A sentence that says what was expected.
pub(crate) fn duration(text: &str) -> Result<Millis, String> {
    let expected = || format!("expected a duration such as 250ms, 30s, 5m, 1h or 7d, found `{text}`");
    let (number, unit) = split(text).ok_or_else(expected)?;
    let factor = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?.1;
    let number = Millis::try_from(number).ok().and_then(|n| n.checked_mul(factor)).ok_or_else(expected)?;
    Ok(number)
}

/// Reads `512MB`, `10GiB`, `100B`: a whole number and one unit. Gives bytes.
///
/// # Errors
/// A sentence that says what was expected.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as 512MB or 10GiB, found `{text}`");
    let (number, unit) = split(text).ok_or_else(expected)?;
    let factor = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(expected)?.1;
    number.checked_mul(factor).ok_or_else(expected)
}

/// Milliseconds in the largest unit that fits without a rest.
pub(crate) fn duration_text(ms: Millis) -> String {
    let (unit, factor) = DURATIONS.iter().find(|(_, f)| ms != 0 && ms % f == 0).unwrap_or(&("ms", 1));
    format!("{}{unit}", ms / factor)
}

/// Bytes in the unit that fits without a rest and gives the smallest number.
pub(crate) fn size_text(bytes: u64) -> String {
    let fits = SIZES.iter().filter(|(_, f)| bytes != 0 && bytes.is_multiple_of(*f));
    let (unit, factor) = fits.max_by_key(|(_, f)| *f).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

/// For clap: a duration flag.
///
/// # Errors
/// As [`duration`].
pub(crate) fn duration_flag(text: &str) -> Result<std::time::Duration, String> {
    duration(text).map(|ms| std::time::Duration::from_millis(ms.unsigned_abs()))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_come_back() {
        for text in ["250ms", "30s", "5m", "1h", "7d", "0ms", "90s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        for text in ["1B", "512MB", "10GiB", "3KiB", "0B"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
        assert_eq!(duration("1 h"), Ok(3_600_000));
        assert_eq!(size("10 gib"), Ok(10 << 30));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for bad in ["", "5", "m", "-1m", "1.5h", "5 minutes", "99999999999999999999d", "9999999999999d"] {
            assert!(duration(bad).unwrap_err().contains("such as"), "{bad:?}");
        }
        for bad in ["", "5", "GiB", "-1B", "99999999999TiB", "5 apples"] {
            assert!(size(bad).unwrap_err().contains("such as"), "{bad:?}");
        }
    }
}
