//! The door and the intake against a real log in a folder of its own: every test drives the router as a client would.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod ack;
mod bombs;
mod bytes_kept;
mod cloudevents;
mod collector;
mod document;
mod gate;
mod grpc;
mod house;
mod idempotency;
mod replay;
mod segment;
mod sift;
mod status;
mod tenants;
mod verdicts;
