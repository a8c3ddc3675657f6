//! The manners that every HTTP answer shares: the error body, the request id, time as text. No door and no query lives
//! here.

mod error;
mod grpc;
mod request;
pub mod time;

pub use error::{ApiError, ErrorBody};
pub use grpc::is_grpc;
pub use request::{RequestId, with_manners};
