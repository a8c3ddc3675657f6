//! `/openapi.json`, `/docs` and `/redoc`: the description of every door and every question, merged.

use axum::Router;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_swagger_ui::SwaggerUi;

use crate::telemetry::VERSION;
use crate::{desk, redoc};

/// The routes.
pub(crate) fn router() -> Router {
    Router::from(SwaggerUi::new("/docs").url("/openapi.json", description())).merge(redoc::router())
}

fn description() -> OpenApi {
    let licence = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Millstream")
        .version(VERSION)
        .description(Some("Events in, durably; rules over them; answers."))
        .license(Some(licence))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    document.merge(collect::openapi());
    document.merge(query::openapi());
    document.merge(desk::openapi());
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_holds_doors_and_questions() {
        let document = serde_json::to_value(description()).unwrap();
        assert_eq!(document["info"]["title"], "Millstream");
        for path in ["/v1/streams/{stream}/events", "/v1/events", "/signals", "/health", "/v1/dlq/{id}", "/v1/replays"]
        {
            assert!(document["paths"][path].is_object(), "{path}");
        }
    }
}
