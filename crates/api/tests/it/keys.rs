//! Keys in front of a router: who comes through, as whom, and what the others are told.

use std::sync::Arc;
use std::time::Instant;

use api::keys::{Guard, Key, Keys, Need, Role, hash_key};
use api::{Caller, with_manners};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use axum::routing::{get, post};
use tower::ServiceExt;

fn key(name: &str, tenant: Option<&str>, role: Role) -> Key {
    Key { name: name.to_owned(), tenant: tenant.map(Arc::from), role, hash: hash_key(name.as_bytes()) }
}

/// Every role, with a tenant (`acme-write`, …) and without (`house-write`, …).
fn keys() -> Vec<Key> {
    let of = |who: &str, tenant| Role::ALL.map(|role| key(&format!("{who}-{}", role.as_str()), tenant, role));
    of("acme", Some("acme")).into_iter().chain(of("house", None)).collect()
}

fn app(keys: Vec<Key>) -> Router {
    let keys = Arc::new(Keys::new(keys));
    let who = |caller: Caller| async move { format!("{}/{}", caller.writes_as(), caller.sees().unwrap_or("*")) };
    let around = |need, path: &str, route| Guard::new(keys.clone(), need).around(Router::new().route(path, route));
    let open = Router::new().route("/open", get(|| async { "open" }));
    with_manners(
        open.merge(around(Need::Write, "/write", post(who)))
            .merge(around(Need::Read, "/read", get(who)))
            .merge(around(Need::Repair, "/repair", get(who)))
            .merge(around(Need::Operate, "/operate", get(who)))
            .merge(around(Need::Command, "/command", post(who))),
    )
}

async fn ask(app: &Router, path: &str, key: Option<&str>) -> (u16, HeaderMap, String) {
    let method = if matches!(path, "/write" | "/command") { "POST" } else { "GET" };
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_role_comes_as_far_as_it_may_and_as_who_it_is() {
    let app = app(keys());
    for (key, write, read, repair, operate, command) in [
        ("acme-write", 200, 403, 403, 403, 403),
        ("acme-read", 403, 200, 403, 403, 403),
        ("acme-admin", 200, 200, 200, 403, 403),
        ("house-write", 200, 403, 403, 403, 403),
        ("house-read", 403, 200, 403, 200, 403),
        ("house-admin", 200, 200, 200, 200, 200),
        ("unknown", 401, 401, 401, 401, 401),
        // The hash that is kept is not a key.
        ("8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918", 401, 401, 401, 401, 401),
    ] {
        let paths =
            [("/write", write), ("/read", read), ("/repair", repair), ("/operate", operate), ("/command", command)];
        for (path, expected) in paths {
            let (status, headers, body) = ask(&app, path, Some(key)).await;
            assert_eq!(status, expected, "{key} at {path}: {body}");
            assert_eq!(headers.contains_key("www-authenticate"), status == 401, "{key} at {path}");
            let who = if key.starts_with("acme") { "acme/acme" } else { "/*" };
            let expected = match status {
                200 => who,
                403 => r#""error_code":"forbidden""#,
                _ => r#""error_code":"invalid_key""#,
            };
            assert!(body.contains(expected), "{key} at {path}: {body}");
            assert_eq!(ask(&app, "/open", Some(key)).await.0, 200);
        }
    }
}

/// A route that takes every method, as a service does, must not be reached by one that looks harmless.
#[tokio::test]
async fn no_method_goes_around_the_keys() {
    let any = Router::new().route("/any", axum::routing::any(|| async { "in" }));
    let app = with_manners(Guard::new(Arc::new(Keys::new(keys())), Need::Write).around(any));
    for method in ["OPTIONS", "HEAD", "GET", "POST", "PUT", "TRACE", "CONNECT", "ODD"] {
        let request = Request::builder().method(method).uri("/any").body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 401, "{method}");
    }
}

#[tokio::test]
async fn without_a_key_nobody_comes_in_and_without_keys_everybody() {
    let (closed, open) = (app(keys()), app(Vec::new()));
    for path in ["/write", "/read", "/operate", "/command"] {
        let (status, headers, body) = ask(&closed, path, None).await;
        assert_eq!((status, &headers["www-authenticate"]), (401, &"Bearer realm=\"millstream\"".parse().unwrap()));
        assert!(body.contains("missing_key") && body.contains("request_id"), "{body}");
        assert_eq!(ask(&open, path, None).await.2, "/*");
        assert_eq!(ask(&open, path, Some("anything")).await.2, "/*");
    }
    assert_eq!(ask(&closed, "/nothing", None).await.0, 404);
}

/// How much of a key is right must not show in how long it takes to refuse it. Interleaved, and by medians: a machine's
/// noise hits all of them alike. A comparison that stops at the first wrong byte of a long key differs by a multiple.
#[test]
fn the_time_to_refuse_a_key_does_not_tell_how_much_of_it_is_right() {
    let right = "k".repeat(4_096);
    let keys = Keys::new(vec![key(&right, None, Role::Admin)]);
    let first = format!("x{}", &right[1..]);
    let last = format!("{}x", &right[1..]);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..4_000 {
        for (wrong, times) in [&first, &last].into_iter().zip(&mut times) {
            #[expect(clippy::disallowed_methods, reason = "what is measured is the time itself")]
            let began = Instant::now();
            assert!(std::hint::black_box(keys.find(wrong.as_bytes())).is_none());
            times.push(began.elapsed().as_nanos());
        }
    }
    let median = |times: &mut Vec<u128>| {
        times.sort_unstable();
        times[times.len() / 2] as f64
    };
    let (first, last) = (median(&mut times[0]), median(&mut times[1]));
    assert!((first / last - 1.0).abs() < 0.2, "wrong at the begin: {first} ns, at the end: {last} ns");
    assert!(keys.find(right.as_bytes()).is_some());
}
