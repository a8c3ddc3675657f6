//! `GET /metrics`: a summary of the last hours as JSON, or everything as Prometheus' text when `Accept` asks for it.

use std::sync::Arc;

use api::Caller;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Query;
use crate::desk::{Desk, json_response, to_json};
use crate::error::QueryError;
use crate::params::Params;
use crate::rows::{UserId, counts};
use crate::scope::Scope;
use crate::signals::STREAM;

const HOUR_MS: i64 = 3_600_000;

/// What the stream `signals` saw in the last hours, by time of receipt.
#[derive(Serialize, ToSchema)]
struct Summary {
    total_signals: u64,
    total_anomalies: u64,
    /// Signals by type, most first.
    #[serde(serialize_with = "counts")]
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    signals_by_type: Vec<(String, u64)>,
    /// Anomalies by rule, most first.
    #[serde(serialize_with = "counts")]
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    anomalies_by_type: Vec<(String, u64)>,
    /// Anomalies by severity, most first.
    #[serde(serialize_with = "counts")]
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    anomalies_by_severity: Vec<(String, u64)>,
    /// The ten users with the most signals.
    top_users_by_signals: Vec<UserCount>,
    /// The ten users with the most anomalies.
    top_users_by_anomalies: Vec<UserCount>,
    /// Signals that were refused.
    total_dead_letters: u64,
    /// Whether the store takes commits: `closed` when it does, `half-open`, or `open`. Absent with a tenant's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_breaker: Option<&'static str>,
    /// `last_<hours>_hours`.
    time_range: String,
}

/// A user with a count.
#[derive(Serialize, ToSchema)]
struct UserCount {
    user_id: UserId,
    count: u64,
}

/// A summary of the stream `signals` (JSON), or all metrics (Prometheus' text) when `Accept` names `text/plain` or
/// `application/openmetrics-text`. A tenant's key gets the summary of its own signals, and no metrics of the process.
#[utoipa::path(
    get, path = "/metrics", tag = "signals",
    params(("hours" = Option<u32>, Query, minimum = 1, maximum = 168, description = "how far back; 24 when absent")),
    responses(
        (status = 200, content((Summary = "application/json"), (String = "text/plain"))),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn metrics(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, QueryError> {
    let scope = Scope::of(&caller);
    if wants_prometheus(&headers) {
        if scope.as_deref().is_some() {
            return Err(QueryError::NotYours);
        }
        return Ok(prometheus(State(desk)).await);
    }
    params.only(&["hours"])?;
    let hours = params.number("hours", 1, 168, 24)?;
    let whose = scope.clone();
    Ok(json_response(desk.read(&whose, move |query| to_json(&summary(query, &scope, hours)?)).await?))
}

/// All metrics as Prometheus' text.
pub(crate) async fn prometheus(State(desk): State<Arc<Desk>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (desk.query.prometheus)()).into_response()
}

fn wants_prometheus(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| {
        value.split(',').any(|item| {
            let media_type = item.split(';').next().unwrap_or_default().trim();
            ["text/plain", "application/openmetrics-text"].iter().any(|t| media_type.eq_ignore_ascii_case(t))
        })
    })
}

fn summary(query: &Query, scope: &Scope, hours: u64) -> Result<Summary, QueryError> {
    let since = query.clock.now() - hours as i64 * HOUR_MS;
    let found = query.store.summary(STREAM, scope.as_deref(), since)?;
    let users = |top: Vec<(String, u64)>| {
        top.into_iter().take(10).map(|(key, count)| UserCount { user_id: UserId(key), count }).collect()
    };
    Ok(Summary {
        total_signals: found.events,
        total_anomalies: found.anomalies,
        signals_by_type: found.events_by_kind,
        anomalies_by_type: found.anomalies_by_rule,
        anomalies_by_severity: found.anomalies_by_severity,
        top_users_by_signals: users(found.top_keys),
        top_users_by_anomalies: users(found.top_keys_by_anomalies),
        total_dead_letters: found.dead_letters,
        store_breaker: scope.as_deref().is_none().then(|| (query.live)().store_breaker()),
        time_range: format!("last_{hours}_hours"),
    })
}
