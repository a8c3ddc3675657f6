//! The same errors for callers that speak gRPC: a status with details where others get a body.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::ApiError;
use crate::error::Parts;

/// Whose error codes they are.
const DOMAIN: &str = "millstream";
/// Bytes of a message: it travels in a header, and clients take some kilobytes of those.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// Whether a request is a gRPC call, by its content type.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let rest = value.strip_prefix(b"application/grpc");
    // `application/grpc-web` is another protocol.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

impl From<ApiError> for Status {
    /// The code that gRPC has for the status; `error_code` as the reason of a `google.rpc.ErrorInfo`, and `Retry-After`
    /// as `google.rpc.RetryInfo`.
    fn from(error: ApiError) -> Self {
        let Parts { status, code, mut message, retry_after_s, .. } = error.into_parts();
        let mut details = ErrorDetails::with_error_info(code, DOMAIN, []);
        if let Some(seconds) = retry_after_s {
            details.set_retry_info(Some(Duration::from_secs(u64::from(seconds))));
        }
        let whole = |end: &usize| message.is_char_boundary(*end);
        message.truncate((0..=MESSAGE_BYTES_MAX.min(message.len())).rev().find(whole).unwrap_or(0));
        Self::with_error_details(code_of(status, code), message, details)
    }
}

fn code_of(status: StatusCode, code: &str) -> Code {
    match (status.as_u16(), code) {
        // There is nothing at the path: no such method, and not no such stream.
        (404, "not_found") | (405, _) => Code::Unimplemented,
        (404, _) => Code::NotFound,
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (409, _) => Code::Aborted,
        (429, _) => Code::ResourceExhausted,
        (400..=499, _) => Code::InvalidArgument,
        (503, _) => Code::Unavailable,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_error_has_one_status_in_each_protocol() {
        for (error, code, retry_s) in [
            (ApiError::not_found("not_found", "m"), Code::Unimplemented, None),
            (ApiError::not_found("unknown_stream", "m"), Code::NotFound, None),
            (ApiError::new(StatusCode::UNAUTHORIZED, "no_key", "m"), Code::Unauthenticated, None),
            (ApiError::new(StatusCode::FORBIDDEN, "wrong_role", "m"), Code::PermissionDenied, None),
            (ApiError::bad_request("invalid_json", "m"), Code::InvalidArgument, None),
            (ApiError::too_large("m"), Code::InvalidArgument, None),
            (ApiError::too_many("m", 7), Code::ResourceExhausted, Some(7)),
            (ApiError::unavailable("disk_full", "m", 10), Code::Unavailable, Some(10)),
            (ApiError::internal(&"cause"), Code::Internal, None),
        ] {
            let reason = error.code();
            let status = Status::from(error);
            assert_eq!(status.code(), code, "{status:?}");
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert_eq!(retry.map(|delay| delay.as_secs()), retry_s, "{status:?}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let status = Status::from(ApiError::bad_request("c", "é".repeat(1_000)));
        assert_eq!(status.message(), "é".repeat(512));
    }

    #[test]
    fn a_call_is_told_by_its_content_type() {
        for (value, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_grpc(&headers), is, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
