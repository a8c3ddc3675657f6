//! The product as its users meet it: the real binary, its ports, its files, its exit codes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on may panic")]

mod alerts;
mod alerts_tls;
mod attacks;
mod away;
mod backends;
mod bad_input;
mod clients;
mod cloudevents;
mod collector;
mod command_line;
mod configuration;
mod damage;
mod demo;
mod deploy;
mod dlq;
mod docs;
mod drain;
mod grpc;
mod http;
mod java_clients;
mod kill;
mod many;
mod octokit;
mod outage;
mod pairs;
mod poison;
mod product;
mod receiver;
mod replay;
mod roles;
mod schemathesis;
mod shadow;
mod signals;
mod stack;
mod tenants;
mod tls;
mod trial;
