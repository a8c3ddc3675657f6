//! Connections, and transactions over them.
//!
//! A server that was restarted leaves connections behind that look sound. Nothing has happened yet when BEGIN fails, so
//! it is tried on the next connection; to ask every connection first whether it is well would cost each call a round trip.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, CopyInWriter, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{Fault, told};
use super::settings::{PostgresSettings, Target};
use super::tls;
use crate::StoreError;

/// Statements that a connection keeps prepared; with more, all are dropped and the next ones kept.
const STATEMENTS: usize = 256;
/// How often a transaction is tried that meets others.
const TRIES: usize = 8;
/// How long the server waits for the next statement of a transaction: one of a process that stands still must not hold
/// its rows for ever.
const IDLE_MS: u64 = 10_000;

const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Makes connections.
pub(super) struct Maker {
    target: Target,
    tls: Option<MakeRustlsConnect>,
    statement_timeout_ms: u64,
}

impl Maker {
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let target = Target::of(settings)?;
        let tls = tls::connector(&target.security)?;
        Ok(Self { target, tls, statement_timeout_ms: settings.statement_timeout_ms })
    }

    pub(super) fn place(&self) -> String {
        self.target.place()
    }

    pub(super) fn connect(&self) -> Result<Conn, postgres::Error> {
        let mut client = match &self.tls {
            Some(tls) => self.target.config.connect(tls.clone())?,
            None => self.target.config.connect(NoTls)?,
        };
        client.batch_execute(&format!(
            "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {IDLE_MS}; SET jit = off",
            self.statement_timeout_ms
        ))?;
        Ok(Conn { client, statements: HashMap::new(), is_open: false, is_broken: false })
    }
}

impl r2d2::ManageConnection for Maker {
    type Connection = Conn;
    type Error = Told;

    fn connect(&self) -> Result<Conn, Told> {
        Self::connect(self).map_err(|e| Told(told(&e)))
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), Told> {
        if self.has_broken(conn) { Err(Told("the connection is closed".to_owned())) } else { Ok(()) }
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.is_open || !conn.is_usable()
    }
}

/// An error with its causes: the pool keeps the last one as text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Told(String);

/// A connection with its prepared statements.
pub(super) struct Conn {
    client: Client,
    statements: HashMap<String, Statement>,
    /// Whether a transaction was begun and not ended: then the connection is of no use to anybody else.
    is_open: bool,
    /// Whether client and server may have lost track of each other.
    is_broken: bool,
}

impl Conn {
    pub(super) fn begin(&mut self, sql: &str) -> Result<Tx<'_>, Fault> {
        let begun = self.client.batch_execute(sql);
        self.noted(begun)?;
        self.is_open = true;
        Ok(Tx { conn: self })
    }

    /// Runs SQL by itself, outside of any transaction.
    pub(super) fn alone(&mut self) -> Tx<'_> {
        Tx { conn: self }
    }

    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        let ended = self.client.batch_execute("COMMIT");
        self.noted(ended)?;
        self.is_open = false;
        Ok(())
    }

    pub(super) fn rollback(&mut self) {
        // When this fails the connection stays marked, and is thrown away.
        if self.is_usable() && self.client.batch_execute("ROLLBACK").is_ok() {
            self.is_open = false;
        }
    }

    /// Whether the server still listens.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_broken && !self.client.is_closed()
    }

    /// What the server itself did not say may leave the connection in the middle of a conversation.
    fn noted<T>(&mut self, done: Result<T, postgres::Error>) -> Result<T, Fault> {
        if let Err(error) = &done {
            self.is_broken |= error.as_db_error().is_none();
        }
        Ok(done?)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let prepared = self.client.prepare(sql);
        let statement = self.noted(prepared)?;
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// A transaction. Its end is its owner's: see [`Pool::read`] and [`Pool::write`].
pub(super) struct Tx<'a> {
    conn: &'a mut Conn,
}

impl Tx<'_> {
    /// All rows of a question. Its statement is kept by the connection under its text.
    pub(super) fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.conn.statement(sql)?;
        let done = self.conn.client.query(&statement, params);
        self.conn.noted(done)
    }

    /// The one row of a question; an error when there is none or another.
    pub(super) fn query_one(&mut self, sql: &str, params: Params<'_>) -> Result<Row, Fault> {
        let statement = self.conn.statement(sql)?;
        let done = self.conn.client.query_one(&statement, params);
        self.conn.noted(done)
    }

    /// The one row of a question, if there is one.
    pub(super) fn query_opt(&mut self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Fault> {
        let statement = self.conn.statement(sql)?;
        let done = self.conn.client.query_opt(&statement, params);
        self.conn.noted(done)
    }

    /// Runs a statement; gives how many rows it touched.
    pub(super) fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, Fault> {
        let statement = self.conn.statement(sql)?;
        let done = self.conn.client.execute(&statement, params);
        self.conn.noted(done)
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let done = self.conn.client.batch_execute(sql);
        self.conn.noted(done)
    }

    /// Calls `each` for every row of a question as it comes, until it breaks.
    pub(super) fn each(
        &mut self,
        sql: &str,
        params: Params<'_>,
        each: &mut dyn FnMut(Row) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let statement = self.conn.statement(sql)?;
        let mut rows = self.conn.client.query_raw(&statement, params.iter().copied())?;
        while let Some(row) = rows.next()? {
            if each(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Begins a COPY into a table.
    pub(super) fn copy_in(&mut self, sql: &str) -> Result<CopyInWriter<'_>, Fault> {
        let statement = self.conn.statement(sql)?;
        // When the server will not even begin, the client library counts its answers wrong from then on.
        self.conn.is_broken = true;
        let writer = self.conn.client.copy_in(&statement)?;
        self.conn.is_broken = false;
        Ok(writer)
    }
}

/// Some connections, made when they are needed, at most so many at a time.
pub(super) struct Pool {
    // `None` only while it is dropped.
    inner: Option<r2d2::Pool<Maker>>,
    place: String,
    size: usize,
}

impl Pool {
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let size = settings.pool.max(1);
        let maker = Maker::new(settings)?;
        let place = maker.place();
        let inner = r2d2::Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_millis(settings.acquire_timeout_ms.max(1)))
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(maker);
        Ok(Self { inner: Some(inner), place, size: size as usize })
    }

    /// Where the database is, for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Lends a connection. It goes back when dropped, or away when it is broken.
    pub(super) fn lend(&self) -> Result<r2d2::PooledConnection<Maker>, StoreError> {
        let none = || StoreError::Unavailable("the store is closed".to_owned());
        let inner = self.inner.as_ref().ok_or_else(none)?;
        inner.get().map_err(|e| StoreError::Unavailable(format!("{}: {e}", self.place)))
    }

    /// Runs a question in a transaction that sees the database as of one moment.
    pub(super) fn read<T>(&self, mut question: impl FnMut(&mut Tx<'_>) -> Result<T, Fault>) -> Result<T, StoreError> {
        // A question changes nothing, so it may be asked again however it ended.
        self.again(|conn| {
            run(conn, BEGIN_READ, &mut question).map_err(|failed| match failed {
                Attempt::Failed(fault @ Fault::Lost(_)) => Attempt::Undone(fault),
                other => other,
            })
        })
    }

    /// Runs a change in a transaction, as often as it meets others. The closure must begin afresh each time.
    pub(super) fn write<T>(&self, mut change: impl FnMut(&mut Tx<'_>) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.again(|conn| run(conn, BEGIN_WRITE, &mut change))
    }

    /// Tries something a few times while it meets other transactions, and on another connection while one turns out to
    /// be gone before anything was done with it.
    pub(super) fn again<T>(&self, mut attempt: impl FnMut(&mut Conn) -> Result<T, Attempt>) -> Result<T, StoreError> {
        let (mut meetings, mut stale, mut undone) = (0, 0, 0);
        loop {
            let mut conn = self.lend()?;
            match attempt(&mut conn) {
                Ok(done) => return Ok(done),
                Err(Attempt::NotBegun(_)) if stale <= self.size => stale += 1,
                Err(Attempt::Failed(Fault::Again(_))) if meetings < TRIES => meetings += 1,
                Err(Attempt::Undone(_)) if undone == 0 => undone += 1,
                Err(Attempt::NotBegun(fault) | Attempt::Undone(fault) | Attempt::Failed(fault)) => {
                    return Err(self.told(fault));
                }
            }
        }
    }

    pub(super) fn told(&self, fault: Fault) -> StoreError {
        match fault.into() {
            StoreError::Unavailable(text) => StoreError::Unavailable(format!("{}: {text}", self.place)),
            other => other,
        }
    }
}

impl Drop for Pool {
    /// Closing a connection waits for the network, which a thread that serves others must not: it would panic.
    fn drop(&mut self) {
        let inner = self.inner.take();
        if let Ok(thread) = std::thread::Builder::new().name("store-close".to_owned()).spawn(move || drop(inner)) {
            let _ = thread.join();
        }
    }
}

/// How an attempt failed.
pub(super) enum Attempt {
    /// The connection was gone already, nothing has happened.
    NotBegun(Fault),
    /// The connection went away while nothing was committed yet.
    Undone(Fault),
    /// It failed otherwise.
    Failed(Fault),
}

/// What the end of a transaction's body means, before COMMIT was sent.
pub(super) fn before_commit(fault: Fault) -> Attempt {
    match fault {
        Fault::Lost(_) => Attempt::Undone(fault),
        fault => Attempt::Failed(fault),
    }
}

/// Begins a transaction.
pub(super) fn begin<'a>(conn: &'a mut Conn, sql: &str) -> Result<Tx<'a>, Attempt> {
    conn.begin(sql).map_err(|fault| match fault {
        Fault::Lost(_) => Attempt::NotBegun(fault),
        fault => Attempt::Failed(fault),
    })
}

/// Begins a transaction that writes.
pub(super) fn begin_write(conn: &mut Conn) -> Result<Tx<'_>, Attempt> {
    begin(conn, BEGIN_WRITE)
}

fn run<T>(conn: &mut Conn, sql: &str, body: &mut dyn FnMut(&mut Tx<'_>) -> Result<T, Fault>) -> Result<T, Attempt> {
    let done = body(&mut begin(conn, sql)?).map_err(before_commit);
    let ended = done.and_then(|value| conn.commit().map(|()| value).map_err(Attempt::Failed));
    if ended.is_err() {
        conn.rollback();
    }
    ended
}
