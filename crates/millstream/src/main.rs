//! Millstream: events in over HTTP, a durable log, rules, a store, and answers. One binary, one verb at a time.

mod alerting;
mod backends;
mod cli;
mod config;
mod desk;
mod docs;
mod emitter;
mod figures;
mod gauges;
mod in_force;
mod leading;
mod output;
mod processing;
mod quotas;
mod redoc;
mod reload;
mod routes;
mod server;
mod shutdown;
mod telemetry;
mod together;
mod wiring;

/// mimalloc: batches of bytes come and go on many threads, which the system's allocator is slow at. On Linux it is that of the
/// C libraries in the binary, too (its feature `override`): librdkafka makes its messages with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
