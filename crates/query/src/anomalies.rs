//! `GET /v1/anomalies`: anomalies of any stream, newest first, page after page by cursor.

use std::sync::Arc;

use api::Caller;
use axum::extract::State;
use axum::response::Response;
use event::Severity;
use event::limits::PAGE_ROWS_MAX;
use serde::Serialize;
use store::Store;
use store::query::{AnomalyQuery, AnomalyRow};
use utoipa::ToSchema;

use crate::cursor::{self, AfterAnomaly};
use crate::desk::{Desk, json_response, to_json};
use crate::error::QueryError;
use crate::params::Params;
use crate::rows::Anomaly;
use crate::scope::Scope;

/// A page of anomalies.
#[derive(Serialize, ToSchema)]
struct AnomalyPage<'a> {
    /// The anomalies.
    anomalies: Vec<Anomaly<'a>>,
    /// Where the next page starts; null at the end.
    next_cursor: Option<String>,
}

/// Anomalies of one stream or of all, newest event time first.
#[utoipa::path(
    get, path = "/v1/anomalies", tag = "query",
    params(
        ("stream" = Option<String>, Query, description = "of this stream; all when absent"),
        ("key" = Option<String>, Query, description = "with this key"),
        ("rule" = Option<String>, Query, description = "of this rule"),
        ("severity" = Option<String>, Query, description = "`low`, `medium` or `high`"),
        ("from" = Option<String>, Query, description = "at or after this event time: RFC 3339 or milliseconds since the epoch"),
        ("to" = Option<String>, Query, description = "at or before this event time"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "how many at the most; 100 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses(
        (status = 200, body = AnomalyPage),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_all_anomalies(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&["stream", "key", "rule", "severity", "from", "to", "limit", "cursor"])?;
    let catalog = &desk.query.catalog;
    let (from, to) = params.time_range("from", "to")?;
    let scope = Scope::of(&caller);
    let mut query = AnomalyQuery {
        tenant: scope.tenant(),
        stream: params.stream("stream", catalog)?.map(|id| catalog.get(id).name.clone()),
        key: params.text("key")?,
        rule: rule(&params, "rule", &desk)?,
        severity: severity(&params)?,
        from,
        to,
        ..AnomalyQuery::default()
    };
    let filters = format!("anomalies {query:?}");
    query.limit = params.number("limit", 1, PAGE_ROWS_MAX as u64, 100)? as usize;
    let mut behind = None;
    if let Some(word) = params.raw("cursor") {
        let place = cursor::decode_anomaly(&filters, word)?;
        query.to = Some(place.time);
        query.skip = place.seen;
        behind = Some(place);
    }
    let body = desk.read(&scope, move |desk| page(&*desk.store, &query, &filters, behind)).await?;
    Ok(json_response(body))
}

fn page(
    store: &dyn Store,
    query: &AnomalyQuery,
    filters: &str,
    behind: Option<AfterAnomaly>,
) -> Result<Vec<u8>, QueryError> {
    let found = store.anomalies(query)?;
    let more = found.total > query.skip.saturating_add(found.rows.len() as u64);
    let next_cursor = more.then(|| next(&found.rows, behind)).flatten().map(|at| cursor::encode_anomaly(filters, at));
    to_json(&AnomalyPage { anomalies: found.rows.iter().map(Anomaly::new).collect(), next_cursor })
}

/// The place behind the last row of a page: its time, and how many rows of that time were shown, on this page and, when
/// the whole page is of one time, on those before.
fn next(rows: &[AnomalyRow], behind: Option<AfterAnomaly>) -> Option<AfterAnomaly> {
    let time = rows.last()?.anomaly.time;
    let here = rows.iter().rev().take_while(|row| row.anomaly.time == time).count() as u64;
    let before = behind.filter(|place| place.time == time).map_or(0, |place| place.seen);
    Some(AfterAnomaly { time, seen: before + here })
}

/// A rule by name; one that is not configured is a slip of the pen.
pub(crate) fn rule(params: &Params, name: &'static str, desk: &Desk) -> Result<Option<String>, QueryError> {
    let known = (desk.query.rules)();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    params.choice(name, &known)
}

/// A severity by name.
pub(crate) fn severity(params: &Params) -> Result<Option<Severity>, QueryError> {
    let word = params.choice("severity", &Severity::ALL.map(Severity::as_str))?;
    Ok(word.and_then(|word| Severity::parse(&word)))
}
