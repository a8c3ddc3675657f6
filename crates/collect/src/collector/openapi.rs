//! The collector's pages in the OpenAPI document. The event's type here is for the document only; `model` judges.

use api::ErrorBody;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::health::{CollectorHealth, CollectorMetrics};
use super::reply::CollectReply;
use super::sample::TestReply;

#[derive(OpenApi)]
#[openapi(
    paths(collect, health, metrics, test_events),
    components(schemas(LearningEvent, Batch, CollectReply, CollectorHealth, CollectorMetrics, TestReply, ErrorBody)),
    tags((name = "collector", description = "Learning events in batches of up to a thousand."))
)]
pub(crate) struct Collector;

/// A learning event. Other members are kept as they are.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "event_id": "550e8400-e29b-41d4-a716-446655440000", "learner_id": "learner_001", "tenant_id": "tenant_alpha",
    "event_type": "interaction", "priority": "medium", "timestamp": "2024-01-15T10:30:00Z",
    "source_service": "learning-app", "event_data": {"action": "click"}, "metadata": {"client": "web"}
}))]
struct LearningEvent {
    /// For duplicate suppression. One UUID written in two ways is one id.
    #[schema(format = "uuid")]
    event_id: String,
    /// The key: events of one learner stay in order. A UUID when `collect.strict_uuids` says so.
    #[schema(min_length = 1, max_length = 128)]
    learner_id: String,
    /// A UUID when `collect.strict_uuids` says so.
    #[schema(min_length = 1, max_length = 128)]
    tenant_id: String,
    event_type: EventType,
    /// `medium` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    priority: Option<Priority>,
    /// RFC 3339; read as UTC when it has no offset; at most five minutes ahead, and as old as `collect.time_window` lets
    /// it be (any age by default).
    #[schema(format = "date-time")]
    timestamp: String,
    #[schema(min_length = 1, max_length = 100)]
    source_service: String,
    /// `{}` when absent.
    #[schema(value_type = Option<Object>, nullable = false)]
    event_data: Option<serde_json::Value>,
    /// `{}` when absent.
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<serde_json::Value>,
    #[schema(min_length = 1, max_length = 128)]
    session_id: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    game_id: Option<String>,
    #[schema(min_length = 1)]
    interaction_type: Option<String>,
    #[schema(min_length = 1)]
    element_id: Option<String>,
    /// An object whose values are numbers.
    #[schema(value_type = Option<std::collections::HashMap<String, f64>>)]
    coordinates: Option<serde_json::Value>,
    #[schema(minimum = 0, maximum = 100)]
    completion_percentage: Option<f64>,
    #[schema(minimum = 0)]
    score: Option<f64>,
    #[schema(minimum = 1)]
    level: Option<i64>,
    #[schema(min_length = 1)]
    error_code: Option<String>,
    #[schema(min_length = 1)]
    error_message: Option<String>,
    #[schema(min_length = 1)]
    stack_trace: Option<String>,
}

/// What happened. `progress_update` means `progress`, and `error_occurred` means `error`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "read by the derive only")]
enum EventType {
    Interaction,
    Progress,
    Assessment,
    Error,
    System,
    GameStarted,
    GameCompleted,
    GamePaused,
    GameResumed,
    SessionStart,
    SessionEnd,
    AchievementUnlocked,
    ProgressUpdate,
    ErrorOccurred,
}

/// How much it matters. `normal` means `medium`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read by the derive only")]
enum Priority {
    /// The first to be sent away under pressure.
    Low,
    Medium,
    High,
    /// Acknowledged when it is on disk, as all are.
    Critical,
    Normal,
}

/// Events with a word about them.
#[derive(Serialize, ToSchema)]
struct Batch {
    /// Echoed; made when absent.
    #[schema(format = "uuid")]
    batch_id: Option<String>,
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<LearningEvent>,
    /// Not kept; the answer says so.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
    /// Understood and of no effect: the log compresses by itself.
    compress: Option<bool>,
}

/// A batch in either shape.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by the derive only")]
enum BatchOrEvents {
    Events(Vec<LearningEvent>),
    Batch(Batch),
}

/// What became of the batch, or why nothing was taken.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by the derive only")]
enum ReplyOrError {
    Reply(CollectReply),
    Error(ErrorBody),
}

/// Takes 1 to 1000 learning events.
///
/// An array, or an object with the array `events`; plain or compressed, at most 16 MiB (also after decompression) and
/// 1 MiB an event. Each event has its own verdict: good ones go into the stream `events`, refused ones become dead
/// letters with their bytes. The answer comes when all of it is on disk. Every answer has `X-Process-Time`, in seconds.
#[utoipa::path(
    post,
    path = "/api/v1/collect",
    tag = "collector",
    operation_id = "collect",
    params(
        ("Content-Encoding" = Option<String>, Header, description = "`identity`, `gzip` or `zstd`"),
        ("X-Request-ID" = Option<String>, Header, description = "Echoed, and kept with dead letters"),
    ),
    request_body(content = inline(BatchOrEvents), content_type = "application/json"),
    responses(
        (status = 200, description = "None refused", body = CollectReply),
        (status = 207, description = "Some refused", body = CollectReply),
        (status = 422, description = "All refused; or the `Idempotency-Key` was used with another request", body = inline(ReplyOrError)),
        (status = 400, description = "The body cannot be read, or has another shape", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "More than 1000 events, or too many bytes, also after decompression", body = ErrorBody),
        (status = 415, description = "Content type or encoding not supported", body = ErrorBody),
        (status = 429, description = "Overloaded: nothing was taken, see `Retry-After`; events of low priority first", body = ErrorBody),
        (status = 500, description = "Our fault", body = ErrorBody),
        (status = 503, description = "The log does not write (disk full, failed, closing); see `Retry-After`", body = ErrorBody),
    ),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn collect() {}

/// How the collector feels.
#[utoipa::path(
    get,
    path = "/api/v1/health",
    tag = "collector",
    operation_id = "collector_health",
    responses(
        (status = 200, description = "Healthy or degraded", body = CollectorHealth),
        (status = 503, description = "Unhealthy", body = CollectorHealth),
    ),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn health() {}

/// What the doors did since the start.
#[utoipa::path(
    get,
    path = "/api/v1/metrics",
    tag = "collector",
    operation_id = "collector_metrics",
    responses((status = 200, body = CollectorMetrics)),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn metrics() {}

/// Makes events up and takes them, onto the disk, as if somebody had sent them.
#[utoipa::path(
    post,
    path = "/api/v1/test/events",
    tag = "collector",
    operation_id = "test_events",
    params(("count" = inline(Option<i64>), Query, description = "How many; 100 unless given", minimum = 1, maximum = 10000)),
    responses(
        (status = 200, body = TestReply),
        (status = 422, description = "`count` is out of range", body = ErrorBody),
        (status = 429, description = "Overloaded, see `Retry-After`", body = ErrorBody),
        (status = 500, description = "Our fault", body = ErrorBody),
        (status = 503, description = "The log does not write; see `Retry-After`", body = ErrorBody),
    ),
)]
#[expect(dead_code, reason = "read by the derive only")]
fn test_events() {}
