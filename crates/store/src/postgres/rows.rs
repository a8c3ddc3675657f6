//! A row's columns, read one after the other, as what they were before they were written.

use postgres::Row;
use postgres::types::FromSql;

use super::fault::Fault;
use super::text;
use crate::StoreError;

/// The columns of a row from the first one on: each reading takes the next.
pub(super) struct Cells<'a> {
    row: &'a Row,
    at: usize,
}

impl<'a> Cells<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, at: 0 }
    }

    /// The next column as it is.
    pub(super) fn raw<T: FromSql<'a>>(&mut self) -> Result<T, Fault> {
        let value = self.row.try_get(self.at)?;
        self.at += 1;
        Ok(value)
    }

    /// A text that [`text::to_text`] made.
    pub(super) fn text(&mut self) -> Result<String, Fault> {
        Ok(text::to_string(self.raw()?))
    }

    /// A word of a closed set.
    pub(super) fn word<T>(&mut self, parse: fn(&str) -> Option<T>) -> Result<T, Fault> {
        let word: &str = self.raw()?;
        let unknown = || StoreError::Unavailable(format!("the database is damaged: `{word}` is no word of ours"));
        Ok(parse(word).ok_or_else(unknown)?)
    }

    /// A time, or a row's number.
    pub(super) fn number(&mut self) -> Result<i64, Fault> {
        self.raw()
    }

    /// An offset or a count.
    pub(super) fn count(&mut self) -> Result<u64, Fault> {
        Ok(self.raw::<i64>()? as u64)
    }

    /// A number of tries.
    pub(super) fn tries(&mut self) -> Result<u32, Fault> {
        Ok(self.raw::<i64>()? as u32)
    }

    /// A partition.
    pub(super) fn small(&mut self) -> Result<u32, Fault> {
        Ok(self.raw::<i32>()? as u32)
    }

    /// Bytes; none for NULL.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(self.raw::<Option<&[u8]>>()?.unwrap_or_default().to_vec())
    }

    /// A payload from its two columns, see [`text::payload`]; `None` when both are NULL.
    pub(super) fn maybe_payload(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let (text, raw): (Option<&str>, Option<&[u8]>) = (self.raw()?, self.raw()?);
        Ok(text.map(str::as_bytes).or(raw))
    }

    /// A payload that is there.
    pub(super) fn payload(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(self.maybe_payload()?.unwrap_or_default().to_vec())
    }
}
