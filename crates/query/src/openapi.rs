//! The OpenAPI description of everything that is read here.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(title = "Millstream", description = "Reading: signals, events, anomalies, figures."),
    paths(
        crate::signals::list_signals,
        crate::signals::list_anomalies,
        crate::signals::list_user_signals,
        crate::signals::list_user_anomalies,
        crate::summary::metrics,
        crate::events::list_events,
        crate::lineage::get_event,
        crate::anomalies::list_all_anomalies,
        crate::live::live,
        crate::health::health,
        crate::health::healthz,
        crate::health::readyz,
        crate::health::version,
    ),
    tags(
        (name = "signals", description = "Signals and their anomalies, in numbered pages."),
        (name = "query", description = "Events and anomalies of any stream, by cursor."),
        (name = "operations", description = "Health and version."),
    )
)]
struct Description;

/// The description, to be merged with that of the doors.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
