//! Request ids, and the last touch on every answer: the id echoed, errors in the one shape; unknown paths, wrong methods
//! and a handler's panic answered in it too.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tonic::Status;

use crate::{ApiError, is_grpc};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ID_BYTES_MAX: usize = 128;

/// The id of the request at hand, an extension of every request: the caller's `X-Request-ID` (up to 128 visible ASCII
/// characters), or a fresh UUIDv7.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// Puts the shared manners around a finished router.
pub fn with_manners(router: Router) -> Router {
    router.fallback(unknown_path).method_not_allowed_fallback(wrong_method).layer(from_fn(manners))
}

async fn manners(mut request: Request, next: Next) -> Response {
    let (id, value) = request_id(&request);
    request.extensions_mut().insert(id.clone());
    let grpc = is_grpc(request.headers());
    let mut response = guarded(next.run(request)).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        // What a layer has put on the answer stays on it.
        let headers = std::mem::take(response.headers_mut());
        response = if grpc { Status::from(error).into_http() } else { error.render(&id.0) };
        response.headers_mut().extend(headers);
    }
    response.headers_mut().insert(X_REQUEST_ID, value);
    response
}

/// A handler that panics is one failed request, not a broken connection. It is dropped, so nobody sees what it left.
async fn guarded(answer: impl Future<Output = Response>) -> Response {
    let mut answer = pin!(answer);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(_) => Poll::Ready(ApiError::internal(&"a handler panicked").into_response()),
    })
    .await
}

fn request_id(request: &Request) -> (RequestId, HeaderValue) {
    let word =
        |v: &&HeaderValue| (1..=ID_BYTES_MAX).contains(&v.len()) && v.as_bytes().iter().all(u8::is_ascii_graphic);
    if let Some(value) = request.headers().get(X_REQUEST_ID).filter(word)
        && let Ok(text) = value.to_str()
    {
        return (RequestId(text.into()), value.clone());
    }
    let mut buffer = uuid::Uuid::encode_buffer();
    let text: &str = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    let value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"));
    (RequestId(text.into()), value)
}

async fn unknown_path(uri: Uri) -> Response {
    ApiError::not_found("not_found", format!("there is nothing at {}; see /docs", uri.path())).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}; see /docs", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response()
}
