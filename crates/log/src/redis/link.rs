//! Connections to Redis: made when needed, kept while they are sound, dropped at the first trouble; and what an error of
//! Redis means to a log.

use std::time::Duration;

use parking_lot::Mutex;
use redis::{Client, Connection, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use crate::LogError;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long an answer may take: a script over the largest request, and the sync of what it wrote.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Connections that are kept for later.
const IDLE_MAX: usize = 16;

/// The way to one Redis server.
pub(super) struct Link {
    client: Client,
    idle: Mutex<Vec<Connection>>,
    away: Mutex<Option<String>>,
}

impl Link {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the address is none.
    pub(super) fn new(url: &str) -> Result<Self, LogError> {
        // The cause names the place in the address, not the address: there may be a password in it.
        let client = Client::open(url).map_err(|error| LogError::Refused(format!("the address of Redis: {error}")))?;
        Ok(Self { client, idle: Mutex::default(), away: Mutex::default() })
    }

    /// Where it is, without name and password.
    pub(super) fn place(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// Why it could not be reached the last time; `None` when it could.
    pub(super) fn away(&self) -> Option<String> {
        self.away.lock().clone()
    }

    /// A connection of the caller's own.
    ///
    /// # Errors
    /// [`LogError::Away`] when there is none to be had.
    pub(super) fn connect(&self) -> Result<Connection, LogError> {
        let connected = || -> RedisResult<Connection> {
            let connection = self.client.get_connection_with_timeout(CONNECT_WITHIN)?;
            connection.set_read_timeout(Some(ANSWER_WITHIN))?;
            connection.set_write_timeout(Some(ANSWER_WITHIN))?;
            Ok(connection)
        };
        connected().map_err(|error| self.note(&error))
    }

    /// Asks over a connection that is kept, or a new one. Where a kept one turns out to be dead, it is asked once more:
    /// what is asked must bear that.
    ///
    /// # Errors
    /// See [`told`].
    pub(super) fn call<T>(&self, mut ask: impl FnMut(&mut Connection) -> RedisResult<T>) -> Result<T, LogError> {
        let kept = self.idle.lock().pop();
        if let Some(mut connection) = kept {
            match ask(&mut connection) {
                Err(error) if is_away(&error) && !error.is_timeout() => self.idle.lock().clear(),
                answer => return self.done(connection, answer),
            }
        }
        let mut connection = self.connect()?;
        let answer = ask(&mut connection);
        self.done(connection, answer)
    }

    fn done<T>(&self, connection: Connection, answer: RedisResult<T>) -> Result<T, LogError> {
        match answer {
            Ok(value) => {
                self.reached();
                let mut idle = self.idle.lock();
                if idle.len() < IDLE_MAX {
                    idle.push(connection);
                }
                Ok(value)
            }
            Err(error) => Err(self.note(&error)),
        }
    }

    /// An answer came.
    pub(super) fn reached(&self) {
        let mut away = self.away.lock();
        if away.take().is_some() {
            tracing::info!("Redis can be reached again");
        }
    }

    /// Takes note of an error and says what it means.
    pub(super) fn note(&self, error: &RedisError) -> LogError {
        let told = told(error);
        if let LogError::Away(cause) = &told {
            self.idle.lock().clear();
            let mut away = self.away.lock();
            if away.is_none() {
                tracing::warn!(cause, "Redis cannot be reached");
            }
            *away = Some(cause.clone());
        }
        told
    }
}

/// Whether it is Redis that cannot serve just now, rather than what was asked.
pub(super) fn is_away(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoScript, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::Server(kind) => {
            matches!(kind, BusyLoading | ClusterDown | MasterDown | NoScript | ReadOnly | TryAgain)
        }
        _ => matches!(error.code(), Some("BUSY" | "UNBLOCKED")),
    }
}

/// What an error of Redis means to a log.
pub(super) fn told(error: &RedisError) -> LogError {
    let text = error.to_string();
    if is_away(error) {
        return LogError::Away(text);
    }
    // In a script the code of a command is in the text.
    let full = ["OOM ", "MISCONF ", "NOREPLICAS "].iter().any(|code| text.contains(code));
    if full || matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS")) {
        return LogError::Full(text);
    }
    LogError::Refused(text)
}
