//! Where JSON breaks, and how that is told.

use std::borrow::Cow;

/// The first place where the bytes are not what JSON asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The byte's place in the scanned bytes; their length when they end too soon.
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

impl Flaw {
    pub(crate) fn new(at: usize, expected: &'static str) -> Self {
        Self { at, expected }
    }

    /// `expected X, found Y`.
    pub(crate) fn describe(self, bytes: &[u8]) -> String {
        let found = match bytes.get(self.at) {
            None => Cow::Borrowed("the end"),
            Some(byte @ 0x21..=0x7e) => format!("`{}`", char::from(*byte)).into(),
            Some(b' ') => "a space".into(),
            Some(b'\n') => "the end of the line".into(),
            Some(byte) => format!("byte 0x{byte:02x}").into(),
        };
        format!("expected {}, found {found}", self.expected)
    }
}

/// `byte 17 (line 2, column 5)`: the offset from 0, line and column from 1, columns in bytes.
pub(crate) fn place(bytes: &[u8], at: usize) -> String {
    let before = &bytes[..at.min(bytes.len())];
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1;
    format!("byte {} (line {line}, column {column})", before.len())
}

/// The beginning of a value for a message: at most 64 bytes, cut between characters.
pub(crate) fn excerpt(bytes: &[u8]) -> Cow<'_, str> {
    const BYTES_MAX: usize = 64;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES_MAX)]);
    if bytes.len() <= BYTES_MAX { text } else { Cow::Owned(format!("{}…", text.trim_end_matches('\u{fffd}'))) }
}
