//! Between SQLite's values and ours: bytes, offsets, errors.

use rusqlite::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::StoreError;

/// Bytes as TEXT, unchecked and uncopied. For keys, types and ids: doors take them from JSON, so they are UTF-8; should
/// they not be, SQLite keeps and compares them byte for byte all the same.
pub(super) fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

/// A payload: TEXT when it is UTF-8, so that SQL can use its JSON functions on it, else BLOB. Byte for byte either way.
pub(super) fn payload(bytes: &[u8]) -> ToSqlOutput<'_> {
    match std::str::from_utf8(bytes) {
        Ok(_) => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
        Err(_) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
    }
}

/// The bytes of a TEXT or BLOB; nothing for NULL and numbers.
pub(super) fn bytes_of(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

/// A TEXT as a string; bytes that are not UTF-8 come as U+FFFD.
pub(super) fn string_of(value: ValueRef<'_>) -> String {
    String::from_utf8_lossy(bytes_of(value)).into_owned()
}

/// An offset, or a count, as SQLite's signed integer.
pub(super) fn to_sql(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Refused(format!("{number} is beyond the largest integer of SQLite")))
}

/// The hash by which a chunk finds an id; `None` for no id. Fixed for ever: it is on disk. 32 bits are enough to tell
/// the rows of one chunk apart, nearly always (the id itself is compared besides), and half the bytes.
pub(super) fn id_hash(id: &[u8]) -> Option<i64> {
    (!id.is_empty()).then(|| i64::from(xxhash_rust::xxh3::xxh3_64(id) as i32))
}

/// Only what an operation's own data are to blame for is refused: the engine takes a refused record for a bad one, and
/// the rest of the log must not become dead letters because a disk is full or a file is damaged.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                // A trigger's RAISE is a constraint too, and so is a value of another type than a STRICT table wants.
                ErrorCode::ConstraintViolation
                | ErrorCode::TooBig
                | ErrorCode::TypeMismatch
                | ErrorCode::ParameterOutOfRange => Self::Refused(text),
                ErrorCode::NotADatabase => Self::Incompatible(text),
                _ => Self::Unavailable(text),
            },
            rusqlite::Error::ToSqlConversionFailure(_) => Self::Refused(text),
            // What cannot be read back is the file's fault.
            _ => Self::Unavailable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn only_what_concerns_the_data_is_refused() {
        let kind = |code: i32| match rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into() {
            StoreError::Refused(_) => "refused",
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Incompatible(_) => "incompatible",
            StoreError::Fenced { .. } | StoreError::Claimed { .. } => "fenced",
        };
        for code in [
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_CONSTRAINT_TRIGGER,
            ffi::SQLITE_CONSTRAINT_DATATYPE,
            ffi::SQLITE_TOOBIG,
            ffi::SQLITE_MISMATCH,
            ffi::SQLITE_RANGE,
        ] {
            assert_eq!(kind(code), "refused", "{code}");
        }
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_READONLY_DBMOVED,
            ffi::SQLITE_PERM,
            ffi::SQLITE_AUTH,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_INTERRUPT,
            ffi::SQLITE_PROTOCOL,
            ffi::SQLITE_SCHEMA,
            ffi::SQLITE_MISUSE,
            ffi::SQLITE_INTERNAL,
            ffi::SQLITE_NOLFS,
            ffi::SQLITE_ERROR,
        ] {
            assert_eq!(kind(code), "unavailable", "{code}");
        }
        assert_eq!(kind(ffi::SQLITE_NOTADB), "incompatible");
        assert!(matches!(rusqlite::Error::InvalidQuery.into(), StoreError::Unavailable(_)));
    }
}
