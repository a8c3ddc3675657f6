//! When to try again, and when to leave a target alone for a while. Pure decisions: the time comes from the caller, and
//! so does chance.

mod circuit;
mod retry;

pub use circuit::{Breaker, BreakerSettings, BreakerState, Notice};
pub use retry::Retry;
