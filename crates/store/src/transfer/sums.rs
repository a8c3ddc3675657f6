//! What was read on one side, compared with what is there on the other: for each stream how many rows, the sum of every
//! number, and the bytes of everything else.

use std::collections::BTreeMap;

use super::tables::Kind;
use crate::StoreError;

/// The figures of one table, by its stream's name as PostgreSQL has it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sums {
    streams: BTreeMap<String, Vec<i128>>,
}

impl Sums {
    /// The figures of a stream, the first one that of its rows: for a new row.
    pub(super) fn row(&mut self, stream: &str, columns: usize) -> &mut [i128] {
        if !self.streams.contains_key(stream) {
            self.streams.insert(stream.to_owned(), vec![0; columns + 1]);
        }
        let figures = self.streams.get_mut(stream).map_or(&mut [][..], |figures| figures);
        if let Some(rows) = figures.first_mut() {
            *rows += 1;
        }
        figures
    }

    /// How many rows there were.
    pub(super) fn rows(&self) -> u64 {
        self.streams.values().filter_map(|figures| figures.first()).sum::<i128>() as u64
    }

    /// The question for the same figures.
    pub(super) fn sql(table: &str, columns: &[(&str, Kind)]) -> String {
        let figure = |(name, kind): &(&str, Kind)| match kind {
            Kind::Number | Kind::Small => format!("coalesce(sum({name}), 0)::text"),
            Kind::Flag => format!("(count(*) FILTER (WHERE {name}))::text"),
            Kind::Json => format!("coalesce(sum(octet_length({name}::text)), 0)::text"),
            Kind::Text | Kind::Bytes => format!("coalesce(sum(octet_length({name})), 0)::text"),
            Kind::Payload => {
                format!("(coalesce(sum(octet_length({name})), 0) + coalesce(sum(octet_length({name}_raw)), 0))::text")
            }
        };
        let figures: Vec<_> = columns.iter().map(figure).collect();
        format!("SELECT stream, count(*)::text, {} FROM {table} GROUP BY stream", figures.join(", "))
    }

    /// Compares with what that question gave.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the first difference.
    pub(super) fn check(&self, table: &str, columns: &[(&str, Kind)], found: &[Vec<String>]) -> Result<(), StoreError> {
        let mut there = Self::default();
        for row in found {
            let figures = row[1..].iter().map(|figure| figure.parse().unwrap_or(i128::MIN)).collect();
            there.streams.insert(row[0].clone(), figures);
        }
        if there == *self {
            return Ok(());
        }
        let of = |sums: &Self, stream: &str, at: usize| {
            sums.streams.get(stream).and_then(|figures| figures.get(at)).copied().unwrap_or(0)
        };
        for stream in self.streams.keys().chain(there.streams.keys()) {
            for at in 0..=columns.len() {
                let (read, kept) = (of(self, stream, at), of(&there, stream, at));
                if read != kept {
                    let what = if at == 0 { "rows" } else { columns[at - 1].0 };
                    return Err(StoreError::Unavailable(format!(
                        "the check of `{table}` failed, nothing was moved: {what} of stream {stream} are {kept} in PostgreSQL, {read} in SQLite"
                    )));
                }
            }
        }
        Ok(())
    }
}
