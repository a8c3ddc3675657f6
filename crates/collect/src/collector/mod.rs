//! The collector: batches of learning events in one fixed model, as the clients of that interface send them, into the
//! stream `events`. It checks more than the stream asks for, and answers in its own words; all else is the intake's.

mod door;
mod field;
mod health;
mod model;
mod openapi;
mod reply;
mod sample;
mod shape;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use event::StreamId;

use crate::sift::Sifter;
use crate::{Intake, IntakeError};
pub use model::CollectorSettings;
pub(crate) use model::Model;
pub(crate) use openapi::Collector;

/// The stream that collected events go to: the name that the interface has for its topic.
const STREAM: &str = "events";
/// Events of one request.
pub(crate) const EVENTS_MAX: usize = 1_000;

/// Says why this process cannot do its work; `None` when it can. Cheap, does not block.
pub type Hindrance = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the collector's routes share.
struct Desk {
    intake: Arc<Intake>,
    stream: StreamId,
    sifter: Sifter,
    hindrance: Hindrance,
}

/// The collector's routes, by what they ask of a key.
#[derive(Debug)]
pub struct CollectorRoutes {
    /// What brings events.
    pub doors: Router,
    /// What tells figures.
    pub figures: Router,
    /// What is open to all: health.
    pub open: Router,
}

/// The collector's routes.
///
/// # Errors
/// [`IntakeError::UnknownStream`] when the catalog has no stream `events`.
pub fn collector(
    intake: Arc<Intake>,
    settings: CollectorSettings,
    hindrance: Hindrance,
) -> Result<CollectorRoutes, IntakeError> {
    let stream = intake.find(STREAM)?;
    let catalog = intake.catalog();
    let sifter = Sifter::for_collector(stream, catalog.get(stream), catalog.refused(), settings);
    let timer = intake.clone();
    let desk = Arc::new(Desk { intake, stream, sifter, hindrance });
    let doors = Router::new()
        .route("/api/v1/collect", post(door::collect))
        .route("/api/v1/test/events", post(sample::test_events))
        .with_state(desk.clone());
    let figures = Router::new().route("/api/v1/metrics", get(health::metrics)).with_state(desk.clone());
    let open = Router::new().route("/api/v1/health", get(health::health)).with_state(desk);
    let timed = |routes: Router| routes.layer(from_fn_with_state(timer.clone(), timed));
    Ok(CollectorRoutes { doors: timed(doors), figures: timed(figures), open: timed(open) })
}

/// Adds `X-Process-Time`: the seconds from the request's head to its answer.
async fn timed(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response {
    let began = intake.clock().elapsed();
    let mut response = next.run(request).await;
    let took = intake.clock().elapsed().saturating_sub(began).as_secs_f64();
    if let Ok(value) = HeaderValue::from_str(&format!("{took:.6}")) {
        response.headers_mut().insert("x-process-time", value);
    }
    response
}
