//! The manners, driven through a router as a door would use them.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod keys;

use api::{ApiError, RequestId, with_manners};
use axum::body::{Body, to_bytes};
use axum::extract::Extension;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower::ServiceExt;

fn app() -> Router {
    let errors = Router::new()
        .route("/bad", get(|| async { ApiError::bad_request("invalid_json", "byte 3: expected `:`") }))
        .route("/missing", get(|| async { ApiError::not_found("unknown_stream", "no stream `x`") }))
        .route("/large", get(|| async { ApiError::too_large("too large") }))
        .route("/range", get(|| async { ApiError::unprocessable("invalid_parameter", "size: 1 to 1000") }))
        .route("/busy", get(|| async { ApiError::too_many("try again", 1) }))
        .route("/full", get(|| async { ApiError::unavailable("disk_full", "the disk is full", 10) }))
        .route("/broken", get(|| async { ApiError::internal(&"the password is hunter2") }))
        .route("/details", get(|| async { ApiError::bad_request("x", "y").with_details(json!({"known": ["a"]})) }))
        .route("/panic", get(panics));
    let fine = Router::new()
        .route("/id", get(|Extension(id): Extension<RequestId>| async move { id.0.to_string() }))
        .route("/fine", get(|| async { Json(json!({"ok": true})) }))
        .route("/post", post(|| async {}));
    with_manners(errors.merge(fine))
}

async fn panics() -> StatusCode {
    panic!("a handler's mistake")
}

async fn send(request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = app().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn every_error_has_the_one_shape() {
    for (path, status, code, retry_after) in [
        ("/bad", 400, "invalid_json", None),
        ("/missing", 404, "unknown_stream", None),
        ("/large", 413, "payload_too_large", None),
        ("/range", 422, "invalid_parameter", None),
        ("/busy", 429, "overloaded", Some("1")),
        ("/full", 503, "disk_full", Some("10")),
        ("/broken", 500, "internal_error", None),
        ("/panic", 500, "internal_error", None),
        ("/nothing/here", 404, "not_found", None),
        ("/post", 405, "method_not_allowed", None),
    ] {
        let (got, headers, body) = send(request(path)).await;
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
        assert_eq!((got.as_u16(), body["error_code"].as_str()), (status, Some(code)), "{path}");
        assert_eq!(headers.get("retry-after").map(|v| v.to_str().unwrap()), retry_after, "{path}");
        assert_eq!(headers["content-type"], "application/json", "{path}");
        assert_eq!(headers["x-request-id"], body["request_id"].as_str().unwrap(), "{path}");
        assert!(!body["error_message"].as_str().unwrap().is_empty(), "{path}");
        assert!(api::time::from_rfc3339(body["timestamp"].as_str().unwrap()).is_some(), "{path}");
        assert_eq!(body.as_object().unwrap().len(), 4, "{path}: no details unless there are some");
    }
}

#[tokio::test]
async fn an_internal_error_keeps_its_cause_to_the_log() {
    for path in ["/broken", "/panic"] {
        let (_, _, body) = send(request(path)).await;
        assert!(!body.contains("hunter2") && !body.contains("mistake"), "{body}");
    }
}

#[tokio::test]
async fn details_are_there_when_given() {
    let (_, _, body) = send(request("/details")).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["details"], json!({"known": ["a"]}));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let (status, headers, _) = send(request("/post")).await;
    assert_eq!(
        (status, headers.get("allow").map(|v| v.to_str().unwrap())),
        (StatusCode::METHOD_NOT_ALLOWED, Some("POST"))
    );
}

#[tokio::test]
async fn a_callers_request_id_is_taken_and_echoed() {
    let longest = "a".repeat(128);
    for id in ["abc-123", "0", longest.as_str()] {
        let mut request = request("/id");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        let (_, headers, body) = send(request).await;
        assert_eq!((headers["x-request-id"].to_str().unwrap(), body.as_str()), (id, id));
    }
}

#[tokio::test]
async fn a_request_id_that_is_no_word_is_replaced() {
    let long = "a".repeat(129);
    for id in [&b""[..], b"two words", b"tab\there", b"\xc3\xa9", b"\xff", long.as_bytes()] {
        let mut request = request("/id");
        request.headers_mut().insert("x-request-id", axum::http::HeaderValue::from_bytes(id).unwrap());
        let (_, headers, body) = send(request).await;
        assert_eq!(headers["x-request-id"], body, "the handler sees the id that is echoed");
        assert_eq!(uuid::Uuid::parse_str(&body).unwrap().get_version_num(), 7, "{id:?} was taken");
    }
}

#[tokio::test]
async fn every_request_has_its_own_id() {
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..100 {
        ids.push(send(request("/id")).await.2);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn a_good_answer_is_left_alone() {
    let (status, headers, body) = send(request("/fine")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"ok":true}"#));
    assert!(headers.contains_key("x-request-id"));
}
