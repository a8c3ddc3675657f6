//! `/v1/replays`: the log run afresh, its results compared and exchanged.

use std::sync::Arc;

use api::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::replay::{Into, ReplaySpec};
use event::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::told::{ReplayBody, ReplayList};
use super::{Desk, ask, error};

/// The stream of learning events, which `POST /events/replay` is about.
const LEARNING: &str = "events";

/// What is replayed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// The stream.
    stream: String,
    /// Results from here on, RFC 3339 or milliseconds since the epoch: anomalies by the time of receipt, windows by their
    /// beginning.
    #[schema(value_type = String)]
    from: Value,
    /// Results before this; without an end when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    to: Value,
    /// Where they go: `shadow` (the default) shows the difference, `live` puts them in place of the live rows.
    #[serde(default)]
    into: Target,
}

/// Where results go.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Target {
    #[default]
    Shadow,
    Live,
}

/// Starts a replay.
#[utoipa::path(
    post, path = "/v1/replays", tag = "repairs",
    request_body = StartBody,
    responses(
        (status = 202, body = ReplayBody, description = "it runs; `Location` says where it can be looked at"),
        (status = 400, body = api::ErrorBody, description = "the body is not JSON"),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 409, body = api::ErrorBody, description = "another one runs"),
        (status = 413, body = api::ErrorBody, description = "the body is too large"),
        (status = 415, body = api::ErrorBody, description = "the content type is not JSON"),
        (status = 422, body = api::ErrorBody, description = "a field is unknown or out of range"),
        (status = 503, body = api::ErrorBody, description = "this process has no processor"),
    )
)]
pub(super) async fn start(
    State(desk): State<Arc<Desk>>,
    body: Result<Json<StartBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    let body = ask::body(body)?;
    let into = match body.into {
        Target::Shadow => Into::Shadow,
        Target::Live => Into::Live,
    };
    let spec = spec(body.stream, ("from", &body.from), ("to", &body.to), into)?;
    let view = desk.work(error::replay, move |desk| desk.replays.start(spec)).await?;
    let location = format!("/v1/replays/{}", view.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(ReplayBody::new(view))).into_response())
}

fn spec(stream: String, from: (&str, &Value), to: (&str, &Value), into: Into) -> Result<ReplaySpec, ApiError> {
    let start = ask::time_in(from.0, from.1)?;
    let start = start.ok_or_else(|| ask::refuse(from.0, "null", "RFC 3339 or milliseconds since the epoch"))?;
    Ok(ReplaySpec { stream, from: start, to: ask::time_in(to.0, to.1)?.unwrap_or(Millis::MAX), into })
}

/// The replays of this process, newest first; the last twenty are remembered.
#[utoipa::path(get, path = "/v1/replays", tag = "repairs", responses((status = 200, body = ReplayList)))]
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<ReplayList> {
    Json(ReplayList { replays: desk.replays.list().into_iter().map(ReplayBody::new).collect() })
}

/// One replay: how far it is, and what differs.
#[utoipa::path(
    get, path = "/v1/replays/{id}", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 200, body = ReplayBody),
        (status = 404, body = api::ErrorBody, description = "no such replay"),
    )
)]
pub(super) async fn show(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Result<Json<ReplayBody>, ApiError> {
    desk.replays.get(&id).map(|view| Json(ReplayBody::new(view))).map_err(error::replay)
}

/// Puts the results of a finished replay in place of the live rows. The engine stands still for a moment, intake goes on.
#[utoipa::path(
    post, path = "/v1/replays/{id}/swap", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 202, body = ReplayBody, description = "it has begun; it is done when `swapped` is true"),
        (status = 404, body = api::ErrorBody, description = "no such replay"),
        (status = 409, body = api::ErrorBody, description = "there is nothing to swap: the message says why"),
    )
)]
pub(super) async fn swap(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = desk.work(error::replay, move |desk| desk.replays.swap(&id)).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplayBody::new(view))).into_response())
}

/// Cancels a replay that runs, and removes what a finished one left.
#[utoipa::path(
    delete, path = "/v1/replays/{id}", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 200, body = ReplayBody, description = "one that runs ends within a moment"),
        (status = 404, body = api::ErrorBody, description = "no such replay"),
    )
)]
pub(super) async fn cancel(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
) -> Result<Json<ReplayBody>, ApiError> {
    let view = desk.work(error::replay, move |desk| desk.replays.cancel(&id)).await?;
    Ok(Json(ReplayBody::new(view)))
}

/// What is replayed of the learning events.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EventsBody {
    /// From here on, RFC 3339 or milliseconds since the epoch.
    #[schema(value_type = String)]
    from_timestamp: Value,
    /// Before this; without an end when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    to_timestamp: Value,
}

/// What was begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventsStarted {
    /// A sentence for people.
    message: String,
    /// As it was asked for.
    #[schema(value_type = Value)]
    from_timestamp: Value,
    /// As it was asked for; null without an end.
    #[schema(value_type = Option<Value>)]
    to_timestamp: Value,
    /// Where it can be looked at: `/v1/replays/{replayId}`.
    replay_id: String,
}

/// Replays the learning events (the stream `events`) in shadow.
#[utoipa::path(
    post, path = "/events/replay", tag = "repairs",
    request_body = EventsBody,
    responses(
        (status = 200, body = EventsStarted),
        (status = 400, body = api::ErrorBody, description = "the body is not JSON"),
        (status = 404, body = api::ErrorBody, description = "there is no stream `events`"),
        (status = 409, body = api::ErrorBody, description = "another replay runs"),
        (status = 413, body = api::ErrorBody, description = "the body is too large"),
        (status = 415, body = api::ErrorBody, description = "the content type is not JSON"),
        (status = 422, body = api::ErrorBody, description = "a field is unknown or out of range"),
        (status = 503, body = api::ErrorBody, description = "this process has no processor"),
    )
)]
pub(super) async fn start_events(
    State(desk): State<Arc<Desk>>,
    body: Result<Json<EventsBody>, JsonRejection>,
) -> Result<Json<EventsStarted>, ApiError> {
    let EventsBody { from_timestamp, to_timestamp } = ask::body(body)?;
    let (from, to) = (("fromTimestamp", &from_timestamp), ("toTimestamp", &to_timestamp));
    let spec = spec(LEARNING.to_owned(), from, to, Into::Shadow)?;
    let view = desk.work(error::replay, move |desk| desk.replays.start(spec)).await?;
    let replay_id = view.id;
    let message = format!("the replay {replay_id} runs beside the live results; see /v1/replays/{replay_id}");
    Ok(Json(EventsStarted { message, from_timestamp, to_timestamp, replay_id }))
}
