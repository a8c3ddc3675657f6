//! Health, probes, version, Prometheus, the admin port.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use http_body_util::BodyExt;
use query::Query;
use store::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};
use store::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

use crate::house::{House, json, ok, send, text};

/// A store that cannot be reached.
struct Gone;

fn gone<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the disk is gone".to_owned()))
}

impl Answers for Gone {
    fn events(&self, _: &EventQuery) -> Result<EventPage, StoreError> {
        gone()
    }
    fn anomalies(&self, _: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        gone()
    }
    fn dead_letters(&self, _: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        gone()
    }
    fn summary(&self, _: &str, _: Option<&str>, _: i64) -> Result<Summary, StoreError> {
        gone()
    }
    fn windows(&self, _: &WindowQuery) -> Result<WindowPage, StoreError> {
        gone()
    }
    fn alerts(&self, _: &AlertQuery) -> Result<AlertPage, StoreError> {
        gone()
    }
}

impl Store for Gone {
    fn commit(&self, _: &Commit<'_>) -> Result<(), StoreError> {
        gone()
    }
    fn positions(&self, _: &str) -> Result<Vec<StoredPosition>, StoreError> {
        gone()
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        gone()
    }
    fn outbox(&self, _: i64, _: usize) -> Result<Vec<Outgoing>, StoreError> {
        gone()
    }
    fn expire(&self, _: &str, _: i64) -> Result<u64, StoreError> {
        gone()
    }
    fn scan(&self, _: &str, _: ScanFn<'_>) -> Result<(), StoreError> {
        gone()
    }
}

#[tokio::test]
async fn health_follows_the_engine() {
    let house = House::open();
    house.figures.lock().unwrap().uptime_seconds = 42;
    let router = house.router();
    let healthy = ok(&router, "/health").await;
    let expected = serde_json::json!({
        "status": "healthy", "service": "event-pipeline-api", "database": "connected", "log": "ok",
        "engine": "running", "uptime_seconds": 42, "version": "1.2.3",
    });
    assert_eq!(healthy, expected);
    assert_eq!(text(&router, "/readyz").await, (StatusCode::OK, "ready\n".to_owned()));

    house.ready.store(false, Ordering::SeqCst);
    let (status, body) = json(&router, "/health").await;
    assert_eq!((status, &body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &"unhealthy".into()));
    assert_eq!(body["engine"], "the engine is starting");
    let (status, body) = json(&router, "/readyz").await;
    assert_eq!((status, &body["error_message"]), (StatusCode::SERVICE_UNAVAILABLE, &"the engine is starting".into()));
    assert_eq!(text(&router, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()), "alive all the same");
}

#[tokio::test]
async fn a_store_that_takes_no_commits_degrades_and_the_process_stays_ready() {
    let house = House::open();
    let router = house.router();
    for (state, status) in [("open", "degraded"), ("half-open", "degraded"), ("closed", "healthy")] {
        house.figures.lock().unwrap().breakers = vec![("pager".to_owned(), "open"), ("store".to_owned(), state)];
        let health = ok(&router, "/health").await;
        assert_eq!(health["status"], status, "{state}");
        let database = if status == "healthy" {
            "connected"
        } else {
            "it can be read, but takes no commits; they are tried again"
        };
        assert_eq!(health["database"], database);
        assert_eq!(ok(&router, "/metrics").await["store_breaker"], state);
        assert_eq!(text(&router, "/readyz").await.0, StatusCode::OK);
        let debug = ok(&api::with_manners(query::admin_router(Arc::new(house.query()))), "/debug").await;
        assert_eq!(debug["breakers"], serde_json::json!({"pager": "open", "store": state}));
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_unhealthy_until_there_is_room() {
    let house = House::open();
    let router = house.router();
    for (free, status, log) in [
        (100 << 20, StatusCode::SERVICE_UNAVAILABLE, "the disk is nearly full: events are refused until there is room"),
        (900 << 20, StatusCode::OK, "ok"),
    ] {
        house.disk.tell_free(Some(free));
        house.clock.advance(1_000);
        let (answered, body) = json(&router, "/health").await;
        assert_eq!((answered, &body["log"]), (status, &log.into()), "{body}");
        let debug = ok(&api::with_manners(query::admin_router(Arc::new(house.query()))), "/debug").await;
        let figures = [&debug["log"]["disk_free_bytes"], &debug["log"]["disk_reserve_bytes"]];
        assert_eq!(figures, [free, 256 << 20]);
        assert_eq!(debug["log"]["queue_age_ms"], 0);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unhealthy_and_queries_say_so() {
    let house = House::open();
    let broken = Query { store: Arc::new(Gone), ..house.query() };
    let broken = Arc::new(broken);
    let router = api::with_manners(query::router(broken.clone()).merge(query::public_router(broken)));
    let (status, body) = json(&router, "/health").await;
    assert_eq!((status, &body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &"unhealthy".into()));
    assert!(body["database"].as_str().unwrap().contains("the disk is gone"), "{body}");
    for path in [
        "/signals",
        "/anomalies",
        "/v1/events",
        "/v1/anomalies",
        "/v1/windows",
        "/v1/alerts",
        "/v1/events/x",
        "/metrics",
    ] {
        let response = send(&router, path, None).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(response.headers().contains_key("retry-after"), "{path}");
    }
    assert_eq!(text(&router, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_prometheus_text_when_accept_names_it() {
    let router = House::open().router();
    let scraper = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    let table = [
        (None, false),
        (Some("*/*"), false),
        (Some("text/html,application/xhtml+xml,*/*;q=0.8"), false),
        (Some("application/json"), false),
        (Some("text/plain"), true),
        (Some("Text/Plain; version=0.0.4"), true),
        (Some(scraper), true),
    ];
    for (accept, prometheus) in table {
        let response = send(&router, "/metrics", accept).await;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        let content_type = if prometheus { "text/plain; version=0.0.4; charset=utf-8" } else { "application/json" };
        assert_eq!(response.headers()["content-type"], content_type, "{accept:?}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.starts_with(b"# TYPE"), prometheus, "{accept:?}");
    }
}

#[tokio::test]
async fn the_admin_port_has_metrics_probes_and_debug() {
    let house = House::open();
    house.figures.lock().unwrap().lag_by_partition = vec![("signals".to_owned(), 2, 17)];
    house.append("signals", 2, &[crate::house::Sent::signal(1, "login", 5, "{}")]).await;
    let query = Arc::new(house.query());
    let router = api::with_manners(query::admin_router(query.clone()).merge(query::probes_router(query)));
    assert_eq!(text(&router, "/metrics").await.1, "# TYPE up gauge\nup 1\n");
    assert_eq!(text(&router, "/healthz").await.0, StatusCode::OK);
    assert_eq!(text(&router, "/readyz").await.0, StatusCode::OK);
    let debug = ok(&router, "/debug").await;
    let partition = serde_json::json!({"partition": 2, "first": 0, "next": 1, "lag_events": 17});
    assert_eq!(debug["streams"][0]["partitions"][2], partition);
    assert_eq!(debug["log"]["damage"], serde_json::json!([]));
    assert!(debug["memory_rss_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(ok(&house.router(), "/version").await, serde_json::json!({"name": "millstream", "version": "1.2.3"}));
}
