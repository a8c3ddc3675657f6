//! The read API of the stream `signals`: signals and anomalies in numbered pages, newest first.

mod page;
mod rows;

use std::sync::Arc;

use api::Caller;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use store::query::{AnomalyQuery, EventQuery, Order, Start};
use utoipa::ToSchema;

use crate::Query;
use crate::anomalies::{rule, severity};
use crate::desk::{Desk, json_response, to_json};
use crate::error::QueryError;
use crate::params::{Params, user_id};
use crate::scope::Scope;
use page::{Page, Pagination};
use rows::{Signal, SignalAnomaly};

/// The stream that is read here.
pub(crate) const STREAM: &str = "signals";
const SIGNAL_TYPES: [&str; 5] = ["login", "purchase", "click", "api_call", "file_access"];
/// Under `/users/{user_id}` the first one stands in the path.
const SIGNAL_PARAMS: [&str; 6] = ["user_id", "signal_type", "start_timestamp", "end_timestamp", "page", "size"];
const ANOMALY_PARAMS: [&str; 7] =
    ["user_id", "anomaly_type", "severity", "start_timestamp", "end_timestamp", "page", "size"];

/// A page of signals.
#[derive(Serialize, ToSchema)]
struct SignalPage<'a> {
    signals: Vec<Signal<'a>>,
    pagination: Pagination,
}

/// A page of anomalies of the stream `signals`.
#[derive(Serialize, ToSchema)]
struct SignalAnomalyPage<'a> {
    anomalies: Vec<SignalAnomaly<'a>>,
    pagination: Pagination,
}

/// Signals, newest first.
#[utoipa::path(
    get, path = "/signals", tag = "signals",
    params(
        ("user_id" = Option<i64>, Query, description = "of this user"),
        ("signal_type" = Option<String>, Query, description = "`login`, `purchase`, `click`, `api_call` or `file_access`"),
        Page,
    ),
    responses(
        (status = 200, body = SignalPage),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_signals(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&SIGNAL_PARAMS)?;
    let user = params.raw("user_id").map(user_id).transpose()?;
    answer_signals(&desk, &caller, &params, user).await
}

/// Signals of one user, newest first.
#[utoipa::path(
    get, path = "/users/{user_id}/signals", tag = "signals",
    params(
        ("user_id" = i64, Path, description = "the user"),
        ("signal_type" = Option<String>, Query, description = "`login`, `purchase`, `click`, `api_call` or `file_access`"),
        Page,
    ),
    responses(
        (status = 200, body = SignalPage),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_user_signals(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(user): Path<String>,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&SIGNAL_PARAMS[1..])?;
    let user = user_id(&user)?;
    answer_signals(&desk, &caller, &params, Some(user)).await
}

/// Anomalies of the stream `signals`, newest first.
#[utoipa::path(
    get, path = "/anomalies", tag = "signals",
    params(
        ("user_id" = Option<i64>, Query, description = "of this user"),
        ("anomaly_type" = Option<String>, Query, description = "of this rule"),
        ("severity" = Option<String>, Query, description = "`low`, `medium` or `high`"),
        Page,
    ),
    responses(
        (status = 200, body = SignalAnomalyPage),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_anomalies(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&ANOMALY_PARAMS)?;
    let user = params.raw("user_id").map(user_id).transpose()?;
    answer_anomalies(&desk, &caller, &params, user).await
}

/// Anomalies of one user, newest first.
#[utoipa::path(
    get, path = "/users/{user_id}/anomalies", tag = "signals",
    params(
        ("user_id" = i64, Path, description = "the user"),
        ("anomaly_type" = Option<String>, Query, description = "of this rule"),
        ("severity" = Option<String>, Query, description = "`low`, `medium` or `high`"),
        Page,
    ),
    responses(
        (status = 200, body = SignalAnomalyPage),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_user_anomalies(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(user): Path<String>,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&ANOMALY_PARAMS[1..])?;
    let user = user_id(&user)?;
    answer_anomalies(&desk, &caller, &params, Some(user)).await
}

async fn answer_signals(
    desk: &Desk,
    caller: &Caller,
    params: &Params,
    user: Option<String>,
) -> Result<Response, QueryError> {
    let page = Page::read(params)?;
    let scope = Scope::of(caller);
    let query = EventQuery {
        tenant: scope.tenant(),
        stream: Some(STREAM.to_owned()),
        key: user,
        kind: params.choice("signal_type", &SIGNAL_TYPES)?,
        from: page.start_timestamp,
        to: page.end_timestamp,
        order: Order::Descending,
        start: Start::Skip(page.skip()),
        limit: page.size as usize,
        count: true,
        ..EventQuery::default()
    };
    let body = desk.read(&scope, move |desk| signals_page(desk, &query, page)).await?;
    Ok(json_response(body))
}

fn signals_page(desk: &Query, query: &EventQuery, page: Page) -> Result<Vec<u8>, QueryError> {
    let found = desk.store.events(query)?;
    // The store ends a page early when its rows are very big. Numbered pages cannot be cut short: the next number
    // would skip what was left out.
    if found.more && found.rows.len() < query.limit {
        let expected = format!("at most {} here: these signals are big", found.rows.len());
        return Err(QueryError::parameter("size", &page.size.to_string(), expected));
    }
    let signals = found.rows.iter().map(Signal::new).collect();
    to_json(&SignalPage { signals, pagination: page.of(found.total.unwrap_or_default()) })
}

async fn answer_anomalies(
    desk: &Desk,
    caller: &Caller,
    params: &Params,
    user: Option<String>,
) -> Result<Response, QueryError> {
    let page = Page::read(params)?;
    let scope = Scope::of(caller);
    let query = AnomalyQuery {
        tenant: scope.tenant(),
        stream: Some(STREAM.to_owned()),
        key: user,
        rule: rule(params, "anomaly_type", desk)?,
        severity: severity(params)?,
        from: page.start_timestamp,
        to: page.end_timestamp,
        skip: page.skip(),
        limit: page.size as usize,
    };
    let read = move |desk: &Query| {
        let found = desk.store.anomalies(&query)?;
        let anomalies = found.rows.iter().map(SignalAnomaly::new).collect();
        to_json(&SignalAnomalyPage { anomalies, pagination: page.of(found.total) })
    };
    Ok(json_response(desk.read(&scope, read).await?))
}
