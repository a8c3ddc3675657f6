//! A database takes everything of another store, in one transaction: it is empty before, and has all of it or nothing after.

use std::collections::HashSet;
use std::io::Write;

use super::PostgresStore;
use super::copy::{END, HEADER, put_bytes, put_number, put_text};
use super::fault::Fault;
use super::migrate::Layout;
use super::places::DAY_MS;
use super::pool::Tx;
use super::text::{payload, to_text};
use crate::StoreError;

/// Tables that must be empty.
const TABLES: [&str; 9] =
    ["events", "owners", "positions", "snapshots", "anomaly", "dead_letter", "windows", "late_events", "outbox"];

/// Rows of one table, encoded.
#[derive(Default)]
pub(crate) struct Piece {
    out: Vec<u8>,
}

impl Piece {
    /// Begins a row.
    pub(crate) fn row(&mut self, columns: usize) {
        if self.out.is_empty() {
            self.out.extend_from_slice(HEADER);
        }
        self.out.extend_from_slice(&(columns as i16).to_be_bytes());
    }

    pub(crate) fn number(&mut self, number: i64) {
        put_number(number, &mut self.out);
    }

    pub(crate) fn small(&mut self, number: i64) -> Result<(), StoreError> {
        let too_large = |_| StoreError::Refused(format!("{number} is no partition"));
        put_bytes(Some(&i32::try_from(number).map_err(too_large)?.to_be_bytes()), &mut self.out)
    }

    pub(crate) fn flag(&mut self, flag: bool) -> Result<(), StoreError> {
        put_bytes(Some(&[u8::from(flag)]), &mut self.out)
    }

    /// Gives how many bytes it is.
    pub(crate) fn text(&mut self, bytes: &[u8]) -> Result<usize, StoreError> {
        put_text(bytes, &mut self.out)?;
        Ok(to_text(bytes).len())
    }

    pub(crate) fn bytes(&mut self, bytes: Option<&[u8]>) -> Result<(), StoreError> {
        put_bytes(bytes, &mut self.out)
    }

    /// Two columns.
    pub(crate) fn payload(&mut self, bytes: Option<&[u8]>) -> Result<(), StoreError> {
        let (text, raw) = bytes.map(payload).unwrap_or_default();
        put_bytes(text.map(str::as_bytes), &mut self.out)?;
        put_bytes(raw, &mut self.out)
    }

    pub(crate) fn weight(&self) -> usize {
        self.out.len()
    }
}

/// The transaction that takes it.
pub(crate) struct Receiver<'a, 'b> {
    tx: &'a mut Tx<'b>,
    layout: Layout,
    leaves: HashSet<(String, i64)>,
}

impl PostgresStore {
    /// Calls `fill` with a transaction over the empty database; what it did is kept when it gives no error. It is called
    /// again when the transaction met another one.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] when the database is not empty.
    pub(crate) fn receive<T>(
        &self,
        mut fill: impl FnMut(&mut Receiver<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.pool.write(|tx| {
            tx.batch(
                "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
                 LOCK TABLE positions IN EXCLUSIVE MODE",
            )?;
            for table in TABLES {
                if tx.query_opt(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])?.is_some() {
                    let text = format!("the table `{table}` is not empty: a store is moved to an empty database only");
                    return Err(StoreError::Incompatible(text).into());
                }
            }
            let mut receiver = Receiver { tx, layout: self.layout, leaves: HashSet::new() };
            let done = fill(&mut receiver)?;
            tx.batch(
                "INSERT INTO event_counts SELECT stream, floor(received_at / 3600000.0)::bigint, partition, tenant, kind,
                 count(*), min(event_time), max(event_time) FROM events GROUP BY 1, 2, 3, 4, 5",
            )?;
            Ok(done)
        })
    }
}

impl Receiver<'_, '_> {
    /// Takes the rows of a piece into a table, and empties the piece.
    pub(crate) fn take(&mut self, into: &str, piece: &mut Piece) -> Result<(), StoreError> {
        if piece.out.is_empty() {
            return Ok(());
        }
        piece.out.extend_from_slice(&END.to_be_bytes());
        let mut copy = || -> Result<(), Fault> {
            let mut writer = self.tx.copy_in(&format!("COPY {into} FROM STDIN BINARY"))?;
            let sent = writer.write_all(&piece.out);
            writer.finish()?;
            Ok(sent?)
        };
        copy()?;
        piece.out.clear();
        Ok(())
    }

    /// Makes the table for rows of a stream that were received then.
    pub(crate) fn make_leaf(&mut self, stream: &str, received_at: i64) -> Result<(), StoreError> {
        let day = received_at.div_euclid(DAY_MS);
        if self.layout == Layout::Native && self.leaves.insert((stream.to_owned(), day)) {
            self.run("SELECT millstream_leaf($1, $2)", &[&stream, &day])?;
        }
        Ok(())
    }

    pub(crate) fn add_owner(&mut self, stream: &[u8], tenant: &[u8]) -> Result<(), StoreError> {
        self.run("INSERT INTO owners VALUES ($1, $2)", &[&to_text(stream), &to_text(tenant)])
    }

    /// Lets the numbers of new rows go on behind this one.
    pub(crate) fn go_on(&mut self, table: &str, last: i64) -> Result<(), StoreError> {
        if last == 0 {
            return Ok(());
        }
        self.run("SELECT setval(pg_get_serial_sequence($1::text, 'n'), $2)", &[&table, &last])
    }

    /// The rows of a question whose columns are all texts.
    pub(crate) fn texts(&mut self, sql: &str, columns: usize) -> Result<Vec<Vec<String>>, StoreError> {
        let rows = self.tx.query(sql, &[])?;
        let texts = |row: &postgres::Row| (0..columns).map(|at| row.try_get(at)).collect::<Result<_, _>>();
        Ok(rows.iter().map(texts).collect::<Result<_, _>>().map_err(Fault::from)?)
    }

    fn run(&mut self, sql: &str, params: super::pool::Params<'_>) -> Result<(), StoreError> {
        self.tx.execute(sql, params)?;
        Ok(())
    }
}
