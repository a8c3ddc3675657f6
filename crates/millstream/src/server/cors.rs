//! Which pages in browsers may use the doors (CORS).

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser remembers what it may do: Chrome's own bound is two hours.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// An origin that cannot be one. The operator's turn.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://app.example.com, or *, found `{0}`")]
pub(crate) struct BadOrigin(pub(crate) String);

/// A layer that lets pages of these origins use the doors: `scheme://host[:port]` each, or `*` for all pages. It answers
/// every preflight itself, so put it outside of whatever asks for keys. Credentials of the browser (cookies) are never let
/// through: keys come in headers.
///
/// With no origins there is nothing to let through: use no layer then, so that answers have no such headers.
///
/// # Errors
/// The first origin that is none.
pub(crate) fn layer(origins: &[String]) -> Result<CorsLayer, BadOrigin> {
    let known: Vec<HeaderValue> = origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?;
    let allowed = match known.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(known),
    };
    let named = HeaderName::from_static;
    Ok(CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            CONTENT_TYPE,
            CONTENT_ENCODING,
            AUTHORIZATION,
            named("x-api-key"),
            named("x-request-id"),
            named("idempotency-key"),
            named("traceparent"),
        ])
        .expose_headers([
            RETRY_AFTER,
            named("x-request-id"),
            named("ratelimit"),
            named("ratelimit-policy"),
            named("x-process-time"),
        ])
        .max_age(REMEMBERED))
}

/// An origin as browsers send it: lower case, no path, no default port.
///
/// # Errors
/// When no browser would send it.
pub(crate) fn origin(text: &str) -> Result<HeaderValue, BadOrigin> {
    let bad = || BadOrigin(text.to_owned());
    let value = HeaderValue::from_str(text).map_err(|_| bad())?;
    if text == "*" {
        return Ok(value);
    }
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(bad()) };
    let port = match (scheme, authority.port_u16()) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let sent = format!("{scheme}://{}{port}", authority.host()).to_ascii_lowercase();
    if sent == text && !authority.host().contains('*') { Ok(value) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, Response};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn ask(origins: &[&str], method: Method, path: &str, from: &str) -> Response<Body> {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let router = Router::new().route("/here", get(async || "ok")).layer(layer(&origins).unwrap());
        let preflight = Request::builder().method(method).uri(path).header("origin", from);
        let preflight = preflight.header("access-control-request-method", "POST");
        router.oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap()
    }

    fn header(answer: &Response<Body>, name: &str) -> String {
        answer.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn pages_of_known_origins_are_let_through_and_others_are_not() {
        let (a, b) = ("https://a.example", "http://localhost:3000");
        for (origins, from, allowed) in [
            (&[a, b][..], a, a),
            (&[a, b], b, b),
            (&[a], "https://a.example:444", ""),
            (&[a], "http://a.example", ""),
            (&[a], "https://a.example.evil.example", ""),
            (&["*"], "https://anything.example", "*"),
        ] {
            for (method, path) in [(Method::OPTIONS, "/here"), (Method::OPTIONS, "/nowhere"), (Method::GET, "/here")] {
                let answer = ask(origins, method.clone(), path, from).await;
                assert_eq!(header(&answer, "access-control-allow-origin"), allowed, "{origins:?} {from} {method}");
                assert_eq!(answer.status(), 200);
                assert_eq!(header(&answer, "access-control-allow-credentials"), "");
            }
        }
    }

    #[tokio::test]
    async fn a_preflight_says_what_may_be_sent_and_an_answer_what_may_be_read() {
        let origin = "https://a.example";
        let preflight = ask(&[origin], Method::OPTIONS, "/here", origin).await;
        assert_eq!(header(&preflight, "access-control-allow-methods"), "GET,POST,DELETE,OPTIONS");
        let headers = "content-type,content-encoding,authorization,x-api-key,x-request-id,idempotency-key,traceparent";
        assert_eq!(header(&preflight, "access-control-allow-headers"), headers);
        let answer = ask(&[origin], Method::GET, "/here", origin).await;
        let exposed = "retry-after,x-request-id,ratelimit,ratelimit-policy,x-process-time";
        assert_eq!(header(&answer, "access-control-expose-headers"), exposed);
    }

    #[test]
    fn what_no_browser_would_send_is_no_origin() {
        let of = |origin: &str| layer(&[origin.to_owned()]).map(drop);
        for origin in ["https://a.example", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:80800", "*"] {
            let expected = if origin.ends_with("80800") { Err(BadOrigin(origin.to_owned())) } else { Ok(()) };
            assert_eq!(of(origin), expected, "{origin}");
        }
        for origin in [
            "",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/page",
            "https://a.example?x",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://user@a.example",
            "https://*.example",
            "https://a example",
            "https://a.example\n",
        ] {
            assert_eq!(of(origin), Err(BadOrigin(origin.to_owned())), "{origin:?}");
        }
    }
}
