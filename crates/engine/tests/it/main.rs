//! The engine over a real log and a real store, in a temporary folder.

#![expect(clippy::unwrap_used, reason = "a test whose house does not stand should say so and stop")]

mod house;
mod idle;
mod letters;
mod outage;
mod poison;
mod replay;
mod replayed;
mod run;
mod shared;
mod sparse;
mod tenants;
mod trouble;
mod verify;
mod windows;
