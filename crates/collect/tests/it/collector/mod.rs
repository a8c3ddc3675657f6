//! The collector as its clients meet it: the status matrix, the event model, loads, and what it says about itself.

mod loads;
mod matrix;
mod model;
mod operations;
mod told;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use collect::{CollectorSettings, Intake};
use tower::ServiceExt;

use crate::house::{Answer, House};

/// A house with the collector in front.
pub(crate) struct Collector {
    pub(crate) house: House,
    router: Router,
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self::with(CollectorSettings::default())
    }

    pub(crate) fn with(settings: CollectorSettings) -> Self {
        let house = House::new();
        let router = router(house.intake.clone(), settings, None);
        Self { house, router }
    }

    /// Posts a body.
    pub(crate) async fn collect(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.send("POST", "/api/v1/collect", headers, body.into()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        send(&self.router, method, path, headers, body).await
    }
}

/// The collector's routes in front of an intake; `hindrance` is what keeps the process from its work.
fn router(intake: Arc<Intake>, settings: CollectorSettings, hindrance: Option<&'static str>) -> Router {
    let hindrance = Arc::new(move || hindrance.map(str::to_owned));
    let routes = collect::collector(intake, settings, hindrance).unwrap();
    api::with_manners(routes.doors.merge(routes.figures).merge(routes.open))
}

async fn send(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = router.clone().oneshot(request.body(body).unwrap()).await.unwrap().into_parts();
    let raw = to_bytes(body, 64 << 20).await.unwrap();
    let body = serde_json::from_slice(&raw).unwrap_or_else(|_| panic!("no JSON: {:?}", String::from_utf8_lossy(&raw)));
    Answer { status: head.status.as_u16(), headers: head.headers, body, raw }
}

/// The event of the interface's own README, with an id of this number.
fn event(number: u128) -> String {
    let id = uuid::Uuid::from_u128(number);
    format!(
        r#"{{"event_id":"{id}","learner_id":"learner_001","tenant_id":"tenant_alpha","event_type":"interaction","priority":"medium","timestamp":"2024-01-15T10:30:00Z","source_service":"learning-app","event_data":{{"action":"click"}},"metadata":{{"client":"web"}}}}"#
    )
}

/// The same with a member put in front, so that it stands there once when it is a new one.
fn event_with(number: u128, member: &str) -> String {
    event(number).replacen('{', &format!("{{{member},"), 1)
}

/// So many events as an array, the ids from `first` on.
fn events(first: u128, count: usize) -> String {
    let events: Vec<String> = (first..first + count as u128).map(event).collect();
    format!("[{}]", events.join(","))
}
