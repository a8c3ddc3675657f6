//! The OpenAPI description of everything that is read here.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

#[derive(OpenApi)]
#[openapi(
    info(title = "Millstream", description = "Reading: signals, events, anomalies, windows, alerts, figures."),
    paths(
        crate::signals::list_signals,
        crate::signals::list_anomalies,
        crate::signals::list_user_signals,
        crate::signals::list_user_anomalies,
        crate::summary::metrics,
        crate::events::list_events,
        crate::lineage::get_event,
        crate::anomalies::list_all_anomalies,
        crate::windows::list_windows,
        crate::alerts::list_alerts,
        crate::live::live,
        crate::health::health,
        crate::health::healthz,
        crate::health::readyz,
        crate::health::version,
    ),
    tags(
        (name = "signals", description = "Signals and their anomalies, in numbered pages."),
        (name = "query", description = "Events, anomalies, windows and alerts of any stream, by cursor."),
        (name = "operations", description = "Health and version."),
    )
)]
struct Description;

/// What asks for no key.
const OPEN: [&str; 4] = ["/health", "/healthz", "/readyz", "/version"];

/// The description, to be merged with that of the doors.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    for (path, item) in &mut description.paths.paths {
        if let Some(operation) = item.get.as_mut().filter(|_| !OPEN.contains(&path.as_str())) {
            put_refusals(operation);
        }
    }
    description
}

/// The answers that the guard in front of the routes gives, the same for all of them.
fn put_refusals(operation: &mut Operation) {
    let refusals = [
        ("401", "keys are asked for, and there is none with the request, or one that is not known"),
        ("403", "the key may not read this"),
    ];
    for (status, about) in refusals {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let answer = ResponseBuilder::new().description(about).content("application/json", content).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(answer));
    }
}
