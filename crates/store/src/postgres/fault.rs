//! What went wrong with the database, and what follows from it: try again at once, tell the caller, or look whether it
//! happened after all.

use std::error::Error as _;

use postgres::error::SqlState;

use crate::StoreError;

/// Why a transaction ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// It met another one (a deadlock, a serialization failure): the same once more may succeed.
    Again(String),
    /// The connection is gone.
    Lost(String),
    /// A lock was not to be had in time.
    Locked(String),
    /// A row has no table for its stream and day: somebody dropped it since this process saw it.
    NoLeaf(String),
    /// What the caller is told.
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        let text = told(&error);
        match error.as_db_error() {
            Some(db) => classify(db.code(), db.constraint().is_some(), text),
            None if is_io(&error) => Self::Lost(text),
            // What cannot be encoded or read back is no fault of the data: the tables are not what we think.
            None => Self::Store(StoreError::Unavailable(text)),
        }
    }
}

impl From<std::io::Error> for Fault {
    /// Of a COPY, which hides the real cause one level down.
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<postgres::Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::Lost(error.to_string()),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Again(text) | Fault::Lost(text) | Fault::Locked(text) | Fault::NoLeaf(text) => {
                Self::Unavailable(text)
            }
        }
    }
}

/// Only what an operation's own data are to blame for is refused: the engine takes a refused record for a bad one, and
/// the rest of the log must not become dead letters because a disk is full or a table is missing.
fn classify(code: &SqlState, has_constraint: bool, text: String) -> Fault {
    let class = code.code().get(..2).unwrap_or_default();
    match code.code() {
        "40001" | "40P01" => return Fault::Again(text),
        // The server is going down, or somebody ended the session.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => return Fault::Lost(text),
        "55P03" => return Fault::Locked(text),
        // A row that fits no partition is told so too, but names no constraint.
        "23514" if !has_constraint => return Fault::NoLeaf(text),
        // A value too large for an index; raised by a trigger.
        "54000" | "P0001" => return Fault::Store(StoreError::Refused(text)),
        _ => {}
    }
    match class {
        "22" | "23" => Fault::Store(StoreError::Refused(text)),
        "08" => Fault::Lost(text),
        _ => Fault::Store(StoreError::Unavailable(text)),
    }
}

fn is_io(error: &postgres::Error) -> bool {
    error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}

/// An error with its causes, as one line. Values of rows stand in a detail, which is left out.
pub(super) fn told(error: &postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_data_is_refused() {
        let check = |codes: &[&str], expected: &str| {
            for code in codes {
                let fault = classify(&SqlState::from_code(code), true, String::new());
                let kind = match fault {
                    Fault::Again(_) => "again",
                    Fault::Lost(_) => "lost",
                    Fault::Locked(_) => "locked",
                    Fault::NoLeaf(_) => "no leaf",
                    Fault::Store(StoreError::Refused(_)) => "refused",
                    Fault::Store(StoreError::Unavailable(_)) => "unavailable",
                    Fault::Store(other) => panic!("{other}"),
                };
                assert_eq!(kind, expected, "{code}");
            }
        };
        check(&["40001", "40P01"], "again");
        check(&["08006", "08003", "57P01", "57P02", "57P03", "25P03"], "lost");
        check(&["55P03"], "locked");
        check(&["22001", "22021", "22P02", "23502", "23505", "23514", "54000", "P0001"], "refused");
        check(
            &["53100", "53200", "53300", "57014", "25006", "42P01", "42703", "28P01", "3D000", "XX000"],
            "unavailable",
        );
        check(&["54001", "58030", "42501", "40002"], "unavailable");
        assert!(matches!(classify(&SqlState::CHECK_VIOLATION, false, String::new()), Fault::NoLeaf(_)));
    }
}
