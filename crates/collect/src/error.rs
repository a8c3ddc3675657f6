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
    /// Its tenant has sent as much as it may for now. The sender's turn, later.
    #[error("the tenant's limit of {limit} events (`{policy}`) is reached; try again in {retry_after_s} s")]
    Limited {
        /// Which limit.
        policy: &'static str,
        /// How many events it allows.
        limit: u32,
        /// When so many events fit again, in seconds.
        retry_after_s: u32,
    },
    /// More events than its tenant may ever send at once. The sender's turn.
    #[error(
        "the request holds {events} events, and the tenant's limit `{policy}` is {limit}; send them in several requests"
    )]
    OverBurst {
        /// Which limit.
        policy: &'static str,
        /// How many events it allows.
        limit: u32,
        /// How many the request holds.
        events: u32,
    },
    /// The queue is full. The sender's turn, later.
    #[error("more is waiting to be written than may; try again in {retry_after_s} s")]
    Busy {
        /// When it is worth a try, in seconds.
        retry_after_s: u32,
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
            IntakeError::Limited { retry_after_s, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message).retry_after(retry_after_s)
            }
            IntakeError::OverBurst { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", message),
            IntakeError::Busy { retry_after_s } => Self::too_many(message, retry_after_s),
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
        LogError::Away(_) => ApiError::unavailable("broker_away", "the broker cannot be reached; try again soon", 5),
        LogError::Refused(_) | LogError::Disk { .. } | LogError::Locked(_) | LogError::Partitions { .. } => {
            ApiError::internal(error)
        }
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
            (LogError::Away("no route".to_owned()), 503),
            (LogError::Locked("x".to_owned()), 500),
        ] {
            let answer = ApiError::from(IntakeError::Log(error.clone()));
            assert_eq!(answer.status().as_u16(), status, "{error}");
        }
    }
}
