//! The product as its users meet it: the real binary, its ports, its files, its exit codes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on may panic")]

mod attacks;
mod bad_input;
mod clients;
mod cloudevents;
mod collector;
mod command_line;
mod configuration;
mod damage;
mod demo;
mod docs;
mod drain;
mod grpc;
mod http;
mod kill;
mod octokit;
mod product;
mod roles;
mod schemathesis;
mod tenants;
mod tls;
