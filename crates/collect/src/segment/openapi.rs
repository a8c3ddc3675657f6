//! The door's pages in the OpenAPI document.

use api::ErrorBody;
use utoipa::openapi::{OpenApi as Document, PathItem};
use utoipa::{OpenApi, ToSchema};

use super::CALLS;
use crate::openapi::RejectedBody;

/// The pages of all calls. They are made from two: the batches are alike, and so are the single calls.
pub(crate) fn openapi() -> Document {
    let mut document = Pages::openapi();
    let copies = [("/v1/batch", &["import"][..]), ("/v1/track", &CALLS[1..])];
    for (from, names) in copies {
        let Some(page) = document.paths.paths.get(from).cloned() else { continue };
        for name in names {
            document.paths.paths.insert(format!("/v1/{name}"), renamed(page.clone(), name));
        }
    }
    document
}

fn renamed(mut page: PathItem, name: &str) -> PathItem {
    if let Some(operation) = &mut page.post {
        operation.operation_id = Some(format!("segment_{name}"));
    }
    page
}

#[derive(OpenApi)]
#[openapi(
    paths(segment_batch, segment_track),
    components(schemas(SegmentEvent, SegmentBatch, SegmentAnswer, ErrorBody))
)]
struct Pages;

/// One event in Segment's form. `userId` or `anonymousId` must be there.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"type": "track", "event": "Order Completed", "userId": "u-1",
    "messageId": "m-1", "timestamp": "2026-11-20T10:00:00.000Z", "properties": {"revenue": 39.95}}))]
#[expect(dead_code, reason = "read by the derive only")]
struct SegmentEvent {
    /// `track`, `identify`, `page`, `screen`, `group` or `alias`; the call's own when absent.
    r#type: Option<String>,
    /// Who it was; the key of the record.
    user_id: Option<String>,
    /// Who it was before the login; the key when there is no `userId`.
    anonymous_id: Option<String>,
    /// The event's id: one that was seen within the hour is not taken again.
    message_id: Option<String>,
    /// When it happened, RFC 3339.
    timestamp: Option<String>,
    /// What happened, for `track`.
    event: Option<String>,
    /// More about it.
    #[schema(value_type = Option<Object>)]
    properties: Option<serde_json::Value>,
}

/// Several events.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by the derive only")]
struct SegmentBatch {
    /// The events; each must say its `type`.
    batch: Vec<SegmentEvent>,
    /// When it was sent; not kept.
    sent_at: Option<String>,
}

/// What became of the events.
#[derive(ToSchema)]
#[schema(example = json!({"success": true, "accepted_count": 1, "duplicate_count": 0, "rejected_count": 0,
    "ack": "durable", "positions": [{"partition": 3, "first_offset": 1042, "last_offset": 1042}], "rejected": []}))]
#[expect(dead_code, reason = "read by the derive only")]
struct SegmentAnswer {
    /// True: at least one event was taken.
    success: bool,
    /// Events that went into the stream.
    accepted_count: u64,
    /// Events whose `messageId` was known already.
    duplicate_count: u64,
    /// Events that were refused; they are dead letters.
    rejected_count: u64,
    /// The first thousand refused events.
    #[schema(max_items = 1000)]
    rejected: Vec<RejectedBody>,
}

/// Sends several events, as Segment's SDKs do.
///
/// Each has its own verdict; refused ones become dead letters. Basic authorization with a write key may be there and is
/// not checked.
#[utoipa::path(
    post,
    path = "/v1/batch",
    tag = "segment",
    operation_id = "segment_batch",
    params(("Content-Encoding" = Option<String>, Header, description = "`identity`, `gzip` or `zstd`")),
    request_body(content = SegmentBatch, content_type = "application/json"),
    responses(
        (status = 200, description = "At least one was taken, durably", body = SegmentAnswer),
        (status = 400, description = "None was taken: the body cannot be read, or every event was refused", body = ErrorBody),
        (status = 404, description = "This process has no stream `segment`", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "Body too large, also after decompression, or too many events", body = ErrorBody),
        (status = 415, description = "Content type or encoding not supported", body = ErrorBody),
        (status = 429, description = "Overloaded: nothing was taken, see `Retry-After`", body = ErrorBody),
        (status = 503, description = "The log does not write (disk full, failed, closing); see `Retry-After`", body = ErrorBody),
    ),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn segment_batch() {}

/// Sends one event of this call.
#[utoipa::path(
    post,
    path = "/v1/track",
    tag = "segment",
    operation_id = "segment_track",
    params(("Content-Encoding" = Option<String>, Header, description = "`identity`, `gzip` or `zstd`")),
    request_body(content = SegmentEvent, content_type = "application/json"),
    responses(
        (status = 200, description = "Taken, durably, or known already", body = SegmentAnswer),
        (status = 400, description = "Not taken: the body cannot be read, or the event was refused", body = ErrorBody),
        (status = 404, description = "This process has no stream `segment`", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "Body too large, also after decompression", body = ErrorBody),
        (status = 415, description = "Content type or encoding not supported", body = ErrorBody),
        (status = 429, description = "Overloaded: nothing was taken, see `Retry-After`", body = ErrorBody),
        (status = 503, description = "The log does not write (disk full, failed, closing); see `Retry-After`", body = ErrorBody),
    ),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn segment_track() {}
