//! Segment's door, so that its SDKs can point here: `/v1/batch`, `/v1/track` and the other calls of its HTTP API, into the
//! built-in stream `segment`.
//!
//! The SDKs send their write key as the user name of basic authorization. Nothing here reads it, keeps it or logs it.

mod model;
mod openapi;

use std::sync::Arc;

use api::{ApiError, Caller, RequestId};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use event::Ack;

pub(crate) use model::{Model, batch};
pub(crate) use openapi::openapi;

use crate::http::{media_type, plain_body};
use crate::idempotency::{self, Key, Keyed};
use crate::reply::Answer;
use crate::sift::Format;
use crate::{Accept, Intake, Verdicts, reply};

/// The stream of this door.
pub(crate) const STREAM: &str = "segment";

/// The calls that send one event; each gives it its type.
const CALLS: [&str; 6] = ["track", "identify", "page", "screen", "group", "alias"];

/// The routes of this door.
pub(crate) fn router(intake: Arc<Intake>) -> Router {
    let door = |format: Format<'static>| {
        post(
            move |State(intake): State<Arc<Intake>>, request: Request| async move { take(&intake, request, format).await },
        )
    };
    let mut router = Router::new();
    for path in ["/v1/batch", "/v1/import"] {
        router = router.route(path, door(Format::SegmentBatch));
    }
    for call in CALLS {
        router = router.route(&format!("/v1/{call}"), door(Format::Segment(call)));
    }
    router.with_state(intake)
}

async fn take(intake: &Arc<Intake>, request: Request, format: Format<'static>) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let stream = intake.find(STREAM)?;
    if !media_type(&head.headers).is_none_or(|found| found.eq_ignore_ascii_case(b"application/json")) {
        let message = "content-type is not supported; send application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let key = Key::of(&head.headers)?;
    let caller = Caller::from_extensions(&head.extensions);
    let (tenant, ack) = (caller.writes_as(), Ack::Durable);
    let lane = intake.lane(tenant);
    intake.pressure().hold_back(lane).await;
    let mut held = intake.bodies().hold(lane);
    let body = plain_body(&head, body, &mut held).await?;
    let request_id = head.extensions.get::<RequestId>().map_or("", |id| &id.0);
    let turn = held.take_turn();
    let keyed = Keyed { key, tenant, path: head.uri.path(), ack, format, body };
    idempotency::once(intake, keyed, |body, ids| {
        let queued = intake.queue(Accept { tenant, stream, body, format, ack, request_id, ids })?;
        drop(turn);
        Ok(async move { answer(&queued.answer().await?) })
    })
    .await
}

/// 200 with `success` when any event was taken: an SDK repeats a request as a whole or not at all, and repeating it would
/// not make the refused ones better. 400 when none was: SDKs tell their users then, and do not repeat it.
fn answer(verdicts: &Verdicts) -> Result<Answer, ApiError> {
    let counts = reply::body(verdicts);
    if verdicts.accepted + verdicts.duplicates > 0 {
        let body = [b"{\"success\":true,", &counts[1..]].concat();
        return Ok(Answer { status: StatusCode::OK, body: body.into() });
    }
    let first = verdicts.listed.first().map_or("", |rejected| &rejected.message);
    let message = format!("no event was taken; the first: {first}");
    Err(ApiError::bad_request("all_rejected", message)
        .with_details(serde_json::from_slice(&counts).unwrap_or_default()))
}
