//! The one error body: `{"error_code","error_message","request_id","timestamp","details"?}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::time;

/// An answer that is not what the caller hoped for. It becomes a body in [`crate::with_manners`], which knows the
/// request id.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Parts>);

/// Behind a box: results that are mostly good stay small.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    details: Option<serde_json::Value>,
    pub(crate) retry_after_s: Option<u32>,
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// A stable word for programs.
    pub error_code: String,
    /// A sentence for people: what is wrong, where, and what was expected.
    pub error_message: String,
    /// The request's id, as in the header `X-Request-ID`.
    pub request_id: String,
    /// When it was answered, RFC 3339.
    pub timestamp: String,
    /// More, for some codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl ApiError {
    /// An error of any status.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts { status, code, message: message.into(), details: None, retry_after_s: None }))
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// 422: readable, but a value is out of range or unknown. Name the field in the message.
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 429 with `Retry-After`.
    pub fn too_many(message: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message).retry_after(retry_after_s)
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(code: &'static str, message: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(retry_after_s)
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// 500; the cause goes to the log, not to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "an internal error; see the server's log")
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// The status it will be sent with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// Says in the message where it happened, for a caller that sent several things at once.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    pub(crate) fn into_parts(self) -> Parts {
        *self.0
    }

    /// The finished answer.
    pub(crate) fn render(self, request_id: &str) -> Response {
        let Parts { status, code, message, details, retry_after_s } = *self.0;
        let body = ErrorBody {
            error_code: code.to_owned(),
            error_message: message,
            request_id: request_id.to_owned(),
            timestamp: time::now(),
            details,
        };
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
