//! The cache from outside: one suite for both back ends, and Redis taken away.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod outage;
mod rig;
mod suite;
