//! The description of the desk's paths.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

#[derive(OpenApi)]
#[openapi(
    info(title = "Millstream", description = "Repairs: dead letters and replays."),
    paths(
        super::letters::list,
        super::letters::show,
        super::letters::edit,
        super::letters::restore,
        super::letters::replay,
        super::letters::discard,
        super::letters::replay_all,
        super::letters::discard_all,
        super::replays::start,
        super::replays::list,
        super::replays::show,
        super::replays::swap,
        super::replays::cancel,
        super::replays::start_events,
    ),
    tags((name = "repairs", description = "Dead letters, and the log run afresh."))
)]
struct Description;

/// The description, to be merged with the others.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
        operations.into_iter().flatten().for_each(put_refusals);
    }
    description
}

/// The answers that the guard in front of the routes gives, and that of a desk at which too many stand.
fn put_refusals(operation: &mut Operation) {
    let refusals = [
        ("401", "keys are asked for, and there is none with the request, or one that is not known"),
        ("403", "the key may not do this"),
        ("429", "too many requests like this one are being worked on"),
    ];
    for (status, about) in refusals {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let answer = ResponseBuilder::new().description(about).content("application/json", content).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(answer));
    }
}
