//! The gate in front of all doors: pressure holds senders back, before a body is read; limits say how much a tenant may
//! send, once it is counted.

mod formula;
mod limits;
mod pressure;

use std::sync::Arc;

use api::Caller;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::Intake;
pub use limits::{Limit, Limits};
pub use pressure::{Pressure, Reading, queue_fill};

/// Puts the headers of limits on what doors answer. The keys must be in front of it: limits are a tenant's. Needless, and not
/// free, where nobody has any.
pub fn around(router: Router, intake: Arc<Intake>) -> Router {
    router.route_layer(from_fn_with_state(intake, tell))
}

async fn tell(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response {
    let caller = Caller::from_extensions(request.extensions());
    let mut response = next.run(request).await;
    if let Some((policy, state)) = intake.limits().headers(caller.writes_as()) {
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}
