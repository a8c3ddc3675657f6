//! The door's page in the OpenAPI document. The types here are for the document only; `reply` writes the bytes.

use api::ErrorBody;
use serde::Serialize;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder, Type};
use utoipa::{OpenApi, ToSchema};

/// The OpenAPI document of this crate's doors.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Doors::openapi();
    document.merge(crate::segment::openapi());
    document.merge(crate::collector::Collector::openapi());
    for (path, item) in document.paths.paths.iter_mut().filter(|(path, _)| *path != OPEN) {
        let operations = [&mut item.get, &mut item.post];
        operations.into_iter().flatten().for_each(|operation| about_keys(path, operation));
    }
    document
}

/// Open to all.
const OPEN: &str = "/api/v1/health";
/// These take no `Idempotency-Key`.
const UNKEYED: [&str; 2] = ["/api/v1/metrics", "/api/v1/test/events"];

/// What is the same for every door: keys, and the one that makes a request safe to repeat.
fn about_keys(path: &str, operation: &mut Operation) {
    let error = |description: &str| {
        let schema = Ref::from_schema_name("ErrorBody");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        RefOr::T(ResponseBuilder::new().description(description).content("application/json", content).build())
    };
    let mut answer = |status: &str, description: &str| {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| error(description));
    };
    answer("401", "No key, or one that is not known");
    answer("403", "The key may not do this");
    if UNKEYED.contains(&path) {
        return;
    }
    answer("409", "A request with this `Idempotency-Key` is in flight; see `Retry-After`");
    answer("422", "The `Idempotency-Key` was used with another request");
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some("Makes it safe to send the request again: for a day, the same one gets the same answer"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255))))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(key));
}

#[derive(OpenApi)]
#[openapi(
    paths(post_events),
    components(schemas(VerdictsBody, PositionBody, RejectedBody, AckLevel, CloudEventBody, ErrorBody))
)]
struct Doors;

/// How sure an answer is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read by the derive only")]
enum AckLevel {
    /// In memory: a crash within the next milliseconds may lose the events.
    Memory,
    /// On disk.
    Durable,
    /// On disk, processed and committed to the store.
    Stored,
}

/// One event: any JSON object that has what its stream asks for.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object, example = json!({"user_id": 7, "type": "click", "timestamp": 1_795_000_000_000_i64, "payload": {"page": "/home"}}))]
struct EventBody(serde_json::Value);

/// A CloudEvent 1.0 in its JSON form, with any extensions.
#[derive(ToSchema)]
#[schema(example = json!({"specversion": "1.0", "id": "A234", "source": "/orders", "type": "com.example.placed",
    "time": "2026-11-20T10:00:00Z", "subject": "customer-7", "data": {"total": 39.95}}))]
#[expect(dead_code, reason = "read by the derive only")]
struct CloudEventBody {
    /// `1.0`.
    specversion: String,
    /// Unique within the source.
    id: String,
    /// Where it happened, a URI reference.
    source: String,
    /// What happened.
    r#type: String,
    /// When, RFC 3339.
    time: Option<String>,
    /// What it happened to: the key, unless the extension `partitionkey` is there.
    subject: Option<String>,
    /// What `data` is; JSON when absent.
    datacontenttype: Option<String>,
    /// A URI.
    dataschema: Option<String>,
    /// Any JSON, or a text when `datacontenttype` is not JSON.
    #[schema(value_type = Option<Value>)]
    data: Option<serde_json::Value>,
    /// Bytes instead of `data`.
    data_base64: Option<String>,
}

/// What became of the events of a request.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "accepted_count": 1, "duplicate_count": 0, "rejected_count": 1, "ack": "durable",
    "positions": [{"partition": 3, "first_offset": 1042, "last_offset": 1042}],
    "rejected": [{"index": 1, "code": "wrong_type", "pointer": "/timestamp",
        "message": "/timestamp: expected milliseconds since the epoch (number), found string",
        "dlq_id": "019c4a7e-55c0-7cc3-98d5-1f0e8c2b7a10"}]
}))]
struct VerdictsBody {
    /// Events that went into the stream.
    accepted_count: u64,
    /// Events whose id was known already; they were not appended again.
    duplicate_count: u64,
    /// Events that were refused; exact, also when `rejected` does not list all.
    rejected_count: u64,
    /// The level reached; below the one asked for when the store did not follow within ten seconds.
    ack: AckLevel,
    /// Where the accepted events are.
    positions: Vec<PositionBody>,
    /// The first thousand refused events.
    #[schema(max_items = 1000)]
    rejected: Vec<RejectedBody>,
}

/// Consecutive offsets in one partition.
#[derive(Serialize, ToSchema)]
struct PositionBody {
    partition: u32,
    first_offset: u64,
    /// Inclusive.
    last_offset: u64,
}

/// One refused event.
#[derive(Serialize, ToSchema)]
pub(crate) struct RejectedBody {
    /// Its place among the events of the request, from 0; blank lines do not count.
    index: u32,
    /// One of `invalid_json`, `not_an_object`, `missing_field`, `wrong_type`, `invalid_value`, `duplicate_field`,
    /// `invalid_time`, `time_in_future`, `too_large`, `too_deep`, `wrong_tenant`.
    code: String,
    /// The field at fault as a JSON pointer; empty when it is the whole event.
    pointer: String,
    /// What was found and what was expected.
    message: String,
    /// The id of the dead letter that keeps the event's bytes.
    #[schema(format = "uuid")]
    dlq_id: String,
}

/// What became of the events, or why nothing was taken.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by the derive only")]
enum VerdictsOrError {
    Verdicts(VerdictsBody),
    Error(ErrorBody),
}

/// Sends events into a stream.
///
/// One object, an array of objects, or one object a line (NDJSON), plain or compressed; at most 16 MiB (also after
/// decompression), 10 000 events, and 1 MiB an event. Also CloudEvents 1.0: one or a batch in JSON, or one in binary mode,
/// with its attributes as `ce-` headers and a body of any content type. Each event has its own verdict: good ones are taken, refused ones
/// become dead letters with their bytes.
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/events",
    tag = "collect",
    operation_id = "post_events",
    params(
        ("stream" = String, Path, description = "The stream's name", example = "signals"),
        ("ack" = inline(Option<AckLevel>), Query, description = "When to answer; `durable` unless given"),
        ("Content-Encoding" = Option<String>, Header, description = "`identity`, `gzip` or `zstd`"),
        ("X-Request-ID" = Option<String>, Header, description = "Echoed, and kept with dead letters"),
    ),
    request_body(content(
        (inline(EventOrEvents) = "application/json"),
        (String = "application/x-ndjson"),
        (String = "application/ndjson"),
        (String = "application/jsonl"),
        (CloudEventBody = "application/cloudevents+json"),
        (Vec<CloudEventBody> = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 200, description = "All taken and stored (`ack=stored`)", body = VerdictsBody),
        (status = 202, description = "All taken, durable (or in memory, with `ack=memory`)", body = VerdictsBody),
        (status = 207, description = "Some refused", body = VerdictsBody),
        (status = 422, description = "All refused; or the `Idempotency-Key` was used with another request", body = inline(VerdictsOrError)),
        (status = 400, description = "The body or a parameter cannot be read", body = ErrorBody),
        (status = 404, description = "No such stream; the message lists those there are", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "Body too large, also after decompression, or too many events", body = ErrorBody),
        (status = 415, description = "Content type or encoding not supported", body = ErrorBody),
        (status = 429, description = "Overloaded: nothing was taken, see `Retry-After`", body = ErrorBody),
        (status = 503, description = "The log does not write (disk full, failed, closing); see `Retry-After`", body = ErrorBody),
    ),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn post_events() {}

/// An event, or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by the derive only")]
enum EventOrEvents {
    One(EventBody),
    Several(Vec<EventBody>),
}
