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

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable(text),
            Some(ErrorCode::NotADatabase) => Self::Incompatible(text),
            _ => Self::Refused(text),
        }
    }
}
