//! The first page: whole by itself, and nothing else allowed.

use axum::http::StatusCode;

use crate::house::{House, send, text};

#[tokio::test]
async fn the_page_and_its_parts_are_served_with_a_strict_policy() {
    let router = House::open().router();
    let (_, html) = text(&router, "/").await;
    let mut paths = vec!["/"];
    paths.extend(html.split(['"']).filter(|part| part.starts_with("/assets/")));
    paths.extend(["/assets/chart.js", "/assets/text.js"]);
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        let response = send(&router, path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    assert_eq!(send(&router, "/assets/nope.js", None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(&router, "/assets/..%2FCargo.toml", None).await.status(), StatusCode::NOT_FOUND);
}

/// What events carry goes onto the page as text only; the policy would stop inline code, this keeps it from being tried.
#[tokio::test]
async fn no_part_reaches_outside_or_makes_html_of_text() {
    let router = House::open().router();
    for path in ["/", "/assets/page.js", "/assets/chart.js", "/assets/text.js", "/assets/page.css"] {
        let (_, body) = text(&router, path).await;
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "http://",
            "https://",
            "style=",
            "onclick=",
        ] {
            assert!(!body.contains(word), "{path} has {word}");
        }
    }
    let (_, html) = text(&router, "/").await;
    assert!(!html.contains("<script>") && !html.contains("<style"), "no inline code");
}
