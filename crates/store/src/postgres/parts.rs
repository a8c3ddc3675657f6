//! Many rows as parameters of one statement: a column is an array, and long lists are cut into parts.

use std::borrow::Cow;

/// A column of texts, as PostgreSQL can keep them.
pub(super) type Column<'a> = Vec<Cow<'a, str>>;

/// Rows of one statement at the most.
const ROWS: usize = 5_000;
/// Bytes after which a statement takes no more rows: client and server hold it in memory.
const BYTES: usize = 8 << 20;

/// Cuts rows into parts that one statement takes; `weight` gives the bytes of a row beyond a few.
pub(super) fn parts<T>(rows: &[T], weight: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&T| {
            bytes += weight(row);
            bytes <= BYTES
        };
        let count = rest.iter().take(ROWS).take_while(fits).count();
        let (part, behind) = rest.split_at_checked(count.max(1))?;
        rest = behind;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_by_rows_and_bytes_and_never_empty() {
        let sizes = |rows: &[usize]| parts(rows, |bytes| *bytes).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1; 3]), [3]);
        assert_eq!(sizes(&vec![0; 2 * ROWS + 1]), [ROWS, ROWS, 1]);
        assert_eq!(sizes(&[BYTES, 1, BYTES - 1, 1, 3 * BYTES, 1]), [1, 2, 1, 1, 1]);
    }
}
