//! Each server starts, answers, comes back where it was, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kafka;
mod left;
mod postgres;
mod redis;
mod timescale;
