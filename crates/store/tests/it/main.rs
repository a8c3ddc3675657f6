//! Tests of the store: what every back end must do (`conformance`, `expiry`, `letters`,
//! `outbox`, `pages`, `tenants`, `windows`), and what is SQLite's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod conformance;
mod data;
mod expiry;
mod kill;
mod letters;
mod model;
mod outbox;
mod pages;
mod sqlite;
mod tenants;
mod upgrade;
mod version_2;
mod windows;
