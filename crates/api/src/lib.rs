//! The manners that every HTTP answer shares: the error body, the request id, keys and callers, time as text. No door
//! and no query lives here.

mod caller;
mod error;
mod grpc;
pub mod keys;
mod request;
pub mod time;

pub use caller::Caller;
pub use error::{ApiError, ErrorBody};
pub use grpc::is_grpc;
pub use request::{RequestId, with_manners};
