//! Tests of the store: what every back end must do (`conformance`, `expiry`, `letters`, `outbox`, `pages`, `tenants`,
//! `windows`), run over each of them by `backends`, and what is one back end's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod backends;
mod conformance;
mod counts;
mod data;
mod expiry;
mod kill;
mod letters;
mod model;
mod outbox;
mod pages;
mod postgres;
mod postgres_outage;
mod postgres_shared;
mod postgres_tls;
mod servers;
mod sqlite;
mod tenants;
mod timescale;
mod transfer;
mod upgrade;
mod version_2;
mod views;
mod windows;
