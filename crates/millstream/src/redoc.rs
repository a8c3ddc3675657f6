//! `/redoc`: the same description as `/docs`, as one long page. The script is a copy of Redoc's own bundle (npm `redoc`
//! 2.5.4, MIT, unchanged, its licences beside it), so that the page works without the Internet.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Redoc starts by itself where it finds its element. Its badge has a picture from elsewhere, which is not shown.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Millstream API</title>
<style>body { margin: 0; padding: 0 } a[href^="https://redocly.com"] img { display: none }</style>
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script src="/redoc/redoc.standalone.js"></script>
</body>
</html>
"#;
const SCRIPT: &str = include_str!("../assets/redoc/redoc.standalone.js");
/// Nothing from anywhere else. Redoc writes its styles into the page, and searches in a worker that it makes itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its script.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/redoc", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/redoc/redoc.standalone.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let lines: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in lines {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        for part in PAGE.split(['"', ' ']).filter(|part| part.contains("://")) {
            assert_eq!(part, "https://redocly.com", "only the rule that hides the badge's picture names another host");
        }
        assert!(SCRIPT.contains("ReDoc") || SCRIPT.contains("Redoc"), "the bundle is there");
    }
}
