//! What is told to others: notifications of anomalies to webhooks, and results of windows to streams.
//!
//! [`Targets`] makes notifications of what rules find; the engine commits them with the findings, in one transaction. So
//! the store is the outbox, and what is in it is told until somebody has it. A [`Courier`] empties it: notifications go
//! out signed as Standard Webhooks ask, each target in its own order and at its own pace; results of windows are appended
//! to their streams.
//!
//! A crash between the receiver's answer and the commit of it sends a notification again, with the same `webhook-id`: a
//! receiver that keeps the ids it has seen gets each once. A result of a window that is appended again has the same event
//! id: a stream that suppresses duplicates has each once.

mod body;
mod courier;
mod secret;
mod sign;
mod target;

pub use courier::{Courier, Parts, Settings};
pub use secret::{BadSecret, Secret};
pub use target::{BadTarget, TARGETS_MAX, Target, Targets};
