//! Tests of the store: what every back end must do (`conformance`, `pages`, `tenants`), and what is SQLite's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod conformance;
mod data;
mod kill;
mod model;
mod pages;
mod sqlite;
mod tenants;
mod upgrade;
