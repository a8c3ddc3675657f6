//! The read API against a real log and a real store in a temporary folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod alerts;
mod events;
mod house;
mod lineage;
mod live;
mod operations;
mod page;
mod refusals;
mod signals;
mod tenants;
mod windows;
