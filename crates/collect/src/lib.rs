//! The doors where events come in, and the one intake behind them: check, judge, append, answer. What happens to an
//! event afterwards is not known here.

mod answer;
mod body;
mod cloudevents;
mod collector;
mod decode;
mod describe;
mod error;
pub mod gate;
pub mod grpc;
mod http;
mod idempotency;
mod intake;
mod openapi;
mod pace;
mod refused;
mod replay;
mod reply;
mod scan;
mod segment;
mod sift;
mod stats;
mod time;
mod verdict;
mod window;

pub use collector::{CollectorRoutes, CollectorSettings, Hindrance, collector};
pub use describe::describe;
pub use error::IntakeError;
pub use http::router;
pub use intake::Intake;
pub(crate) use intake::{Accept, Verdicts};
pub use openapi::openapi;
pub use refused::Rejected;
pub use replay::{Rejection, Replay, Replayed};
pub use sift::{Envelope, Format, Sifted, Sifter};
pub use stats::IntakeStats;
