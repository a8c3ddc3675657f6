//! The gRPC door over a real connection, with the client that the `.proto` makes.

mod around;
mod door;
mod publish;
mod refusals;
