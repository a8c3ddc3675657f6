//! `GET /`: the first page and its parts, built into the binary. Nothing on it comes from anywhere else, and the
//! browser is told to allow nothing else.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::error::QueryError;

const INDEX: &str = include_str!("../assets/index.html");
/// Scripts and styles are files of their own, so that the policy below needs no exception for inline code.
const ASSETS: [(&str, &str, &str); 5] = [
    ("page.css", "text/css; charset=utf-8", include_str!("../assets/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("../assets/page.js")),
    ("chart.js", "text/javascript; charset=utf-8", include_str!("../assets/chart.js")),
    ("text.js", "text/javascript; charset=utf-8", include_str!("../assets/text.js")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The first page.
pub(crate) async fn index() -> Response {
    file("text/html; charset=utf-8", INDEX)
}

/// A part of the first page.
pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response, QueryError> {
    let found = ASSETS.iter().find(|(n, _, _)| *n == name);
    found.map(|(_, content_type, text)| file(content_type, text)).ok_or(QueryError::NoAsset(name))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    let lines = [
        (header::CONTENT_TYPE, content_type),
        // Always asked for again: after an update nobody sees the page of yesterday with the script of today.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in lines {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
