//! The gate in front of all doors: pressure holds senders back, limits say how much a tenant may send.

mod formula;
mod limits;
mod pressure;

use std::sync::Arc;

use api::Caller;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::Intake;
pub use formula::{QUEUE_MAX, delay_ms, is_under_pressure, processing_delay_ms};
pub use limits::{Limit, Limits};
pub use pressure::{Overview, Pressure, Reading, queue_fill};

/// Puts the gate in front of doors. The keys must be in front of it: limits are a tenant's.
pub fn around(router: Router, intake: Arc<Intake>) -> Router {
    router.route_layer(from_fn_with_state(intake, pass))
}

async fn pass(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response {
    // Only what brings events.
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    // Before the body is read: so that what is held back lies with its sender.
    let caller = Caller::from_extensions(request.extensions());
    let delay = intake.pressure().delay(intake.lane(caller.writes_as()));
    if !delay.is_zero() {
        #[expect(clippy::disallowed_methods, reason = "to let time pass is what this is for")]
        tokio::time::sleep(delay).await;
    }
    let limits = intake.limits();
    if limits.is_empty() {
        return next.run(request).await;
    }
    let mut response = next.run(request).await;
    if let Some((policy, state)) = limits.headers(caller.writes_as()) {
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}
