//! Everything of one store into another: from SQLite to PostgreSQL, in one transaction on either side.
//!
//! What is moved is what the tables hold, and not what the port tells of it: times at which something was stored, numbers of
//! rows, tries to deliver, and the exact measures of windows come over as they are. A move that is interrupted leaves the
//! database empty, and is begun again.

mod sums;
mod tables;

use std::collections::HashSet;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Transaction};

use crate::StoreError;
use crate::postgres::{Piece, PostgresStore, Receiver};
use crate::sqlite::SqliteStore;
use sums::Sums;
use tables::{EVENTS, Kind, TABLES, Table};

/// Bytes that go over at once.
const PIECE_BYTES: usize = 4 << 20;

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The table, by its name in PostgreSQL.
    pub table: &'static str,
    /// Its rows that went over.
    pub rows: u64,
    /// All of its rows.
    pub of: u64,
}

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows of each table, by its name in PostgreSQL.
    pub tables: Vec<(&'static str, u64)>,
}

/// Moves everything: event rows, anomalies, dead letters, windows with their measures and counts of late events, the outbox,
/// rule state and positions. Nothing else may write to either store meanwhile; what is in `from` stays there. `progress` is
/// called from time to time. At the end, counts and sums of both sides are compared.
///
/// # Errors
/// [`StoreError::Incompatible`] when `to` is not empty. After any error `to` is as it was before, and the call may be
/// repeated.
pub fn move_all(from: &SqliteStore, to: &PostgresStore, mut progress: impl FnMut(Moving)) -> Result<Moved, StoreError> {
    to.receive(|receiver| {
        from.snapshot(|tx| {
            let mut moved = Moved::default();
            moved.tables.push(("events", move_events(tx, receiver, &mut progress)?));
            for table in &TABLES {
                moved.tables.push((table.name, move_table(tx, receiver, table, &mut progress)?));
            }
            Ok(moved)
        })
    })
}

fn move_events(
    tx: &Transaction<'_>,
    receiver: &mut Receiver<'_, '_>,
    progress: &mut dyn FnMut(Moving),
) -> Result<u64, StoreError> {
    let mut chunks = tx.prepare(
        "SELECT c.n, s.name, c.tenants, c.rows FROM chunks AS c JOIN streams AS s ON s.id = c.stream ORDER BY c.n",
    )?;
    let chunk = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let chunks: Vec<(i64, String, bool, i64)> = chunks.query_map([], chunk)?.collect::<Result<_, _>>()?;
    let of = chunks.iter().map(|(.., rows)| *rows as u64).sum();
    let mut copier = Copier::new("events", EVENTS, of);
    let mut owners = HashSet::new();
    for (n, stream, tenants, _) in &chunks {
        let mut statement = tx.prepare(&tables::chunk(*n, *tenants))?;
        let mut rows = statement.query([stream])?;
        while let Some(row) = rows.next()? {
            receiver.make_leaf(stream, row.get(5)?)?;
            let tenant = bytes_of(row.get_ref(1)?).unwrap_or_default();
            if !owners.contains(&(stream, tenant.to_vec())) {
                receiver.add_owner(stream.as_bytes(), tenant)?;
                owners.insert((stream, tenant.to_vec()));
            }
            copier.put(receiver, row, progress)?;
        }
    }
    let rows = copier.finish(receiver, progress)?;
    if rows == of {
        return Ok(rows);
    }
    Err(StoreError::Unavailable(format!("the file is damaged: {of} event rows are noted, {rows} are there")))
}

fn move_table(
    tx: &Transaction<'_>,
    receiver: &mut Receiver<'_, '_>,
    table: &Table,
    progress: &mut dyn FnMut(Moving),
) -> Result<u64, StoreError> {
    let of: i64 = tx.query_row(&format!("SELECT count(*) FROM ({})", table.from), [], |row| row.get(0))?;
    let mut copier = Copier::new(table.name, table.columns, of as u64);
    let mut statement = tx.prepare(table.from)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        copier.put(receiver, row, progress)?;
    }
    if let Some(numbers) = table.numbers {
        // Numbers that were given are not given again, not even those of rows that went.
        let sql = format!(
            "SELECT max((SELECT coalesce(max(n), 0) FROM {numbers}),
             coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{numbers}'), 0))"
        );
        receiver.go_on(table.name, tx.query_row(&sql, [], |row| row.get(0))?)?;
    }
    copier.finish(receiver, progress)
}

/// Takes the rows of one table over, piece by piece, and adds them up.
struct Copier {
    table: &'static str,
    columns: &'static [(&'static str, Kind)],
    into: String,
    piece: Piece,
    sums: Sums,
    of: u64,
}

impl Copier {
    fn new(table: &'static str, columns: &'static [(&'static str, Kind)], of: u64) -> Self {
        let mut names = Vec::new();
        for (name, kind) in columns {
            names.push((*name).to_owned());
            names.extend((*kind == Kind::Payload).then(|| format!("{name}_raw")));
        }
        let into = format!("{table} ({})", names.join(", "));
        Self { table, columns, into, piece: Piece::default(), sums: Sums::default(), of }
    }

    fn put(
        &mut self,
        receiver: &mut Receiver<'_, '_>,
        row: &Row<'_>,
        progress: &mut dyn FnMut(Moving),
    ) -> Result<(), StoreError> {
        let payloads = self.columns.iter().filter(|(_, kind)| *kind == Kind::Payload).count();
        self.piece.row(self.columns.len() + payloads);
        // Every table's first column is its stream: names have nothing that is written otherwise.
        let stream: String = row.get(0)?;
        let figures = self.sums.row(&stream, self.columns.len());
        for (at, (_, kind)) in self.columns.iter().enumerate() {
            figures[at + 1] += put_value(&mut self.piece, *kind, row.get_ref(at)?)?;
        }
        if self.piece.weight() >= PIECE_BYTES {
            self.send(receiver, progress)?;
        }
        Ok(())
    }

    fn send(&mut self, receiver: &mut Receiver<'_, '_>, progress: &mut dyn FnMut(Moving)) -> Result<(), StoreError> {
        receiver.take(&self.into, &mut self.piece)?;
        progress(Moving { table: self.table, rows: self.sums.rows(), of: self.of });
        Ok(())
    }

    /// Sends the rest, and asks the other side what it has.
    fn finish(mut self, receiver: &mut Receiver<'_, '_>, progress: &mut dyn FnMut(Moving)) -> Result<u64, StoreError> {
        self.send(receiver, progress)?;
        let found = receiver.texts(&Sums::sql(self.table, self.columns), self.columns.len() + 2)?;
        self.sums.check(self.table, self.columns, &found)?;
        Ok(self.sums.rows())
    }
}

/// Encodes a value; gives its figure: the number itself, or how many bytes it is.
fn put_value(piece: &mut Piece, kind: Kind, value: ValueRef<'_>) -> Result<i128, StoreError> {
    let bytes = bytes_of(value);
    let number = if let ValueRef::Integer(number) = value { Some(number) } else { None };
    let size = bytes.map_or(0, |bytes| bytes.len() as i128);
    match (kind, number, bytes) {
        (Kind::Number, Some(number), _) => piece.number(number),
        (Kind::Small, Some(number), _) => piece.small(number)?,
        (Kind::Flag, Some(number), _) => {
            piece.flag(number != 0)?;
            return Ok(i128::from(number != 0));
        }
        (Kind::Text, _, Some(bytes)) => return Ok(piece.text(bytes)? as i128),
        (Kind::Json | Kind::Bytes, _, Some(bytes)) => piece.bytes(Some(bytes))?,
        (Kind::Payload, ..) => piece.payload(bytes)?,
        // NULL, where the column allows it.
        (Kind::Number | Kind::Small | Kind::Flag | Kind::Text | Kind::Json | Kind::Bytes, ..) => piece.bytes(None)?,
    }
    Ok(number.map_or(size, i128::from))
}

fn bytes_of(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        _ => None,
    }
}
