//! Why a request as a whole is not taken, and the HTTP answer for it.

use api::ApiError;
use axum::http::StatusCode;
use log::LogError;

/// Why a request as a whole is not taken. A single event that is not taken is a verdict, not an error.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntakeError {
    /// No stream of this name may be written. The sender's turn.
    #[error("there is no stream `{name}`; known streams: {}", known.join(", "))]
    UnknownStream {
        /// As asked for, at most 64 characters of it.
        name: String,
        /// The streams that may be written.
        known: Vec<String>,
    },
    /// A body without a byte in it, or of white space only. The sender's turn.
    #[error("the body is empty; expected a JSON object, an array of objects, or one object a line")]
    EmptyBody,
    /// An empty array. The sender's turn.
    #[error("the body holds no events; expected at least one")]
    NoEvents,
    /// The body is not JSON: says where and what was expected. The sender's turn.
    #[error("{0}")]
    Malformed(String),
    /// JSON, but not in a shape that this door reads. The sender's turn.
    #[error("{0}")]
    Shape(String),
    /// The sender's turn.
    #[error("the body holds more than {max} events; send them in several requests")]
    TooManyEvents {
        /// How many the door takes in one request.
        max: usize,
    },
    /// The log did not take the events.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        let message = error.to_string();
        match error {
            IntakeError::UnknownStream { .. } => Self::not_found("unknown_stream", message),
            IntakeError::EmptyBody => Self::bad_request("empty_body", message),
            IntakeError::NoEvents => Self::bad_request("no_events", message),
            IntakeError::Malformed(_) => Self::bad_request("invalid_json", message),
            IntakeError::Shape(_) => Self::bad_request("invalid_body", message),
            IntakeError::TooManyEvents { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", message),
            IntakeError::Log(error) => log_error(&error, message),
        }
    }
}

fn log_error(error: &LogError, message: String) -> ApiError {
    match error {
        LogError::Busy => ApiError::too_many(message, 1),
        LogError::Full(_) => ApiError::unavailable("disk_full", "the disk is full; nothing was taken", 10),
        LogError::Poisoned(_) => ApiError::unavailable("log_poisoned", message, 30),
        LogError::Closed => ApiError::unavailable("shutting_down", message, 5),
        LogError::Disk { .. } | LogError::Locked(_) | LogError::Partitions { .. } => ApiError::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_trouble_has_its_status() {
        for (error, status) in [
            (LogError::Busy, 429),
            (LogError::Full("ENOSPC".to_owned()), 503),
            (LogError::Poisoned("EIO".to_owned()), 503),
            (LogError::Closed, 503),
            (LogError::Locked("x".to_owned()), 500),
        ] {
            let answer = ApiError::from(IntakeError::Log(error.clone()));
            assert_eq!(answer.status().as_u16(), status, "{error}");
        }
    }
}
