//! `GET /v1/alerts`: what was and is to be told to others, newest first, page after page by cursor.

use std::sync::Arc;

use api::Caller;
use api::time::to_rfc3339;
use axum::extract::State;
use axum::response::Response;
use event::DeliveryStatus;
use event::limits::PAGE_ROWS_MAX;
use serde::Serialize;
use serde_json::value::RawValue;
use store::Store;
use store::query::{AlertQuery, AlertRow};
use utoipa::ToSchema;

use crate::cursor;
use crate::desk::{Desk, json_response, to_json};
use crate::error::QueryError;
use crate::params::Params;
use crate::rows::raw_json;
use crate::scope::Scope;

/// A page of alerts.
#[derive(Serialize, ToSchema)]
struct AlertPage<'a> {
    /// The alerts.
    alerts: Vec<Alert<'a>>,
    /// Where the next page starts; null at the end.
    next_cursor: Option<String>,
}

/// A notification, and what became of it.
#[derive(Serialize, ToSchema)]
struct Alert<'a> {
    /// Whose it is; absent for the default tenant.
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    /// What makes it unique, and the `webhook-id` that the receiver gets.
    id: &'a str,
    /// The target's name.
    target: &'a str,
    /// The stream of the anomaly.
    stream: &'a str,
    /// The anomaly's id.
    anomaly: &'a str,
    /// `pending`, `delivered` or `failed`.
    status: &'static str,
    /// Tries so far.
    attempts: u32,
    /// Why the last try failed; null when it did not.
    error: Option<&'a str>,
    /// When it was stored, RFC 3339.
    created_at: String,
    /// When it is tried next, RFC 3339; null when it is done.
    next_at: Option<String>,
    /// When it was delivered or given up, RFC 3339; null while it is pending.
    done_at: Option<String>,
    /// What the receiver gets.
    #[schema(value_type = Object)]
    body: Option<&'a RawValue>,
}

impl<'a> Alert<'a> {
    fn new(row: &'a AlertRow) -> Self {
        Self {
            tenant: &row.tenant,
            id: &row.id,
            target: &row.target,
            stream: &row.stream,
            anomaly: &row.anomaly,
            status: row.status.as_str(),
            attempts: row.attempts,
            error: Some(&*row.error).filter(|error| !error.is_empty()),
            created_at: to_rfc3339(row.created_at),
            next_at: (row.status == DeliveryStatus::Pending).then(|| to_rfc3339(row.next_at)),
            done_at: row.done_at.map(to_rfc3339),
            body: raw_json(row.body.as_bytes()),
        }
    }
}

/// Notifications of anomalies to webhooks, newest first.
#[utoipa::path(
    get, path = "/v1/alerts", tag = "query",
    params(
        ("target" = Option<String>, Query, description = "to this target"),
        ("status" = Option<String>, Query, description = "`pending`, `delivered` or `failed`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "how many at the most; 100 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses(
        (status = 200, body = AlertPage),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_alerts(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&["target", "status", "limit", "cursor"])?;
    let scope = Scope::of(&caller);
    let status = params.choice("status", &DeliveryStatus::ALL.map(DeliveryStatus::as_str))?;
    let mut query = AlertQuery {
        tenant: scope.tenant(),
        target: params.text("target")?,
        status: status.and_then(|word| DeliveryStatus::parse(&word)),
        ..AlertQuery::default()
    };
    let filters = format!("alerts {query:?}");
    query.limit = params.number("limit", 1, PAGE_ROWS_MAX as u64, 100)? as usize;
    query.before = params.raw("cursor").map(|word| cursor::decode_row(&filters, word)).transpose()?;
    let body = desk.read(&scope, move |desk| page(&*desk.store, &query, &filters)).await?;
    Ok(json_response(body))
}

fn page(store: &dyn Store, query: &AlertQuery, filters: &str) -> Result<Vec<u8>, QueryError> {
    let found = store.alerts(query)?;
    let more = found.total > found.rows.len() as u64;
    let last = found.rows.last().filter(|_| more);
    let next_cursor = last.map(|row| cursor::encode_row(filters, row.row));
    to_json(&AlertPage { alerts: found.rows.iter().map(Alert::new).collect(), next_cursor })
}
