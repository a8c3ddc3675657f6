//! Real servers for tests, private: Apache Kafka, PostgreSQL, TimescaleDB and Redis, on free ports, in folders that go with
//! them.
//!
//! Where their programs lie is told by environment variables, which `cargo xtask test` sets; without its variable a server
//! is [`Missing`]. Whatever is started here ends with the process that started it, however that ends: a [`guard`] of its
//! own sees to it. That is why a server may be a `static` that lives as long as the test program.

mod account;
mod guard;
mod kafka;
mod missing;
mod patience;
mod ports;
mod postgres;
mod redis;
mod server;
mod timescale;
mod wire;

use std::path::PathBuf;

pub use kafka::{Kafka, program as kafka_program};
pub use missing::Missing;
pub use ports::free as free_port;
pub use postgres::Postgres;
pub use redis::Redis;
pub use timescale::Timescale;

/// The program `kcat`, for tests that read and write Kafka's topics with a stock client.
///
/// # Errors
///
/// [`Missing::Untold`] without `MILLSTREAM_TEST_KCAT`.
pub fn kcat() -> Result<PathBuf, Missing> {
    Missing::unless_told("MILLSTREAM_TEST_KCAT")
}
