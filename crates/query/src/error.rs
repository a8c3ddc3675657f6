//! What can go wrong with a question, and how it is answered.

use api::ApiError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use log::LogError;
use serde_json::json;
use store::StoreError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// A parameter has a value that cannot be. The caller's turn.
    #[error("parameter `{name}` is {found}; expected {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was there, in words.
        found: String,
        /// What can be there.
        expected: String,
    },
    /// A parameter that this path does not have: most likely a slip of the pen, so never ignored.
    #[error("parameter `{name}` is not known here; known: {known}")]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// The parameters of this path.
        known: String,
    },
    /// A stream that is not configured.
    #[error("there is no stream `{name}`; known: {known}")]
    UnknownStream {
        /// The stream.
        name: String,
        /// The streams that there are.
        known: String,
    },
    /// Nothing is there under this id.
    #[error("there is no event `{0}`, neither in the store nor in the log")]
    NoEvent(String),
    /// Figures of the whole process, asked for with a tenant's key.
    #[error("the metrics of the process are for operators: they are at the admin port")]
    NotYours,
    /// No part of the first page.
    #[error("there is no asset `{0}`")]
    NoAsset(String),
    /// As many questions are being answered as the process allows.
    #[error("too many queries at once; try again soon")]
    Busy,
    /// It took too long.
    #[error("the query took over {0} s; ask for a shorter time range, a key or a type")]
    Timeout(u64),
    /// The store did not answer.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The log did not answer.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl QueryError {
    /// A parameter with a value that cannot be. What was found is shortened, so that an answer stays small.
    pub(crate) fn parameter(name: &'static str, found: &str, expected: impl Into<String>) -> Self {
        Self::Parameter { name, found: format!("`{}`", shorten(found)), expected: expected.into() }
    }
}

/// At most 64 characters of a text from outside.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::Parameter { name, found, expected } => Self::unprocessable("invalid_parameter", message)
                .with_details(json!({"parameter": name, "found": found, "expected": expected})),
            QueryError::UnknownParameter { name, .. } => {
                Self::unprocessable("unknown_parameter", message).with_details(json!({"parameter": name}))
            }
            QueryError::UnknownStream { .. } => Self::not_found("unknown_stream", message),
            QueryError::NoEvent(_) => Self::not_found("event_not_found", message),
            QueryError::NotYours => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            QueryError::NoAsset(_) => Self::not_found("not_found", message),
            QueryError::Busy => Self::too_many(message, 1),
            // Not 503: the service is ready, this one question is too big for its time.
            QueryError::Timeout(_) => Self::new(StatusCode::GATEWAY_TIMEOUT, "query_timeout", message),
            QueryError::Store(StoreError::Unavailable(_)) => Self::unavailable("store_unavailable", message, 1),
            QueryError::Log(LogError::Closed | LogError::Poisoned(_) | LogError::Away(_)) => {
                Self::unavailable("log_unavailable", message, 5)
            }
            QueryError::Store(_) | QueryError::Log(_) | QueryError::Internal(_) => Self::internal(&message),
        }
    }
}

impl IntoResponse for QueryError {
    fn into_response(self) -> Response {
        ApiError::from(self).into_response()
    }
}
