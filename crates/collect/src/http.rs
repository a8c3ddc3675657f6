//! The HTTP door: `POST /v1/streams/{stream}/events`. It reads, the intake decides.

use std::sync::Arc;

use api::{ApiError, Caller, RequestId};
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use event::Ack;

use crate::body::Held;
use crate::decode::{Encoding, decode};
use crate::idempotency::{self, Key, Keyed};
use crate::intake::off_worker;
use crate::sift::Format;
use crate::{Accept, Intake, body, cloudevents, reply, segment};

/// Compressed bodies above this are decompressed outside of the async workers: they can hold megabytes.
const HEAVY_BYTES: usize = 16 << 10;

/// The routes of this door.
pub fn router(intake: Arc<Intake>) -> Router {
    let door = Router::new().route("/v1/streams/{stream}/events", post(post_events)).with_state(intake.clone());
    door.merge(segment::router(intake))
}

async fn post_events(
    State(intake): State<Arc<Intake>>,
    stream: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    // All that the head alone decides comes before the body is read.
    let Path(stream) = stream.map_err(|error| ApiError::bad_request("invalid_path", error.body_text()))?;
    let stream = intake.find(&stream)?;
    let ack = ack_of(&head.uri)?;
    let format = format_of(&head.headers)?;
    let key = Key::of(&head.headers)?;
    let caller = Caller::from_extensions(&head.extensions);
    let tenant = caller.writes_as();
    let lane = intake.lane(tenant);
    intake.pressure().hold_back(lane).await;
    let mut held = intake.bodies().hold(lane);
    let body = plain_body(&head, body, &mut held).await?;
    let request_id = head.extensions.get::<RequestId>().map_or("", |id| &id.0);
    let turn = held.take_turn();
    let keyed = Keyed { key, tenant, path: head.uri.path(), ack, format, body };
    idempotency::once(&intake, keyed, |body, ids| {
        let queued = intake.queue(Accept { tenant, stream, body, format, ack, request_id, ids })?;
        drop(turn);
        Ok(async move { Ok(reply::answer(&queued.answer().await?)) })
    })
    .await
}

/// Reads a request's body and makes it plain.
pub(crate) async fn plain_body(head: &Parts, body: Body, held: &mut Held<'_>) -> Result<Bytes, ApiError> {
    let encoding = Encoding::of(&head.headers)?;
    body::check_declared(&head.headers)?;
    let body = body::read(&head.headers, body, held).await?;
    // Nothing is nothing, however it is encoded.
    if body.is_empty() {
        return Ok(body);
    }
    held.wait_turn(&body).await;
    let heavy = encoding != Encoding::Identity && body.len() > HEAVY_BYTES;
    off_worker(heavy, || decode(encoding, body, held))
}

fn ack_of(uri: &Uri) -> Result<Ack, ApiError> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix("ack="));
    let value = values.next().unwrap_or("durable");
    let known = [Ack::Memory, Ack::Durable, Ack::Stored];
    let ack = known.into_iter().find(|ack| reply::ack_name(*ack) == value);
    match (ack, values.next()) {
        (Some(ack), None) => Ok(ack),
        _ => {
            let message = "query parameter `ack`: expected one of memory, durable, stored, once";
            Err(ApiError::bad_request("invalid_parameter", message))
        }
    }
}

/// The media type of a body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    Some(value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
}

/// The media type decides, and whether there are attributes of a CloudEvent; none of both means JSON.
fn format_of(headers: &HeaderMap) -> Result<Format<'_>, ApiError> {
    if let Some(format) = cloudevents::mode(headers)? {
        return Ok(format);
    }
    let Some(media_type) = media_type(headers) else { return Ok(Format::Json) };
    let known: [(&[u8], Format<'_>); 4] = [
        (b"application/json", Format::Json),
        (b"application/x-ndjson", Format::Ndjson),
        (b"application/ndjson", Format::Ndjson),
        (b"application/jsonl", Format::Ndjson),
    ];
    let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type));
    found.map(|(_, format)| format).ok_or_else(|| {
        let message = "content-type is not supported; send application/json (an object or an array of objects) or \
                       application/x-ndjson (one object a line; also application/ndjson, application/jsonl), or CloudEvents";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    })
}
