//! The gRPC door over a real connection, with the client that the `.proto` makes.

mod around;
pub(crate) mod door;
mod publish;
mod refusals;
