//! The courier against real receivers over HTTP, a real log on disk, and an outbox that fails when it is told to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod house;
mod outage;
mod receiver;
mod shelf;
mod sqlite;
mod streams;
mod webhooks;
