//! Health for people and probes: every answer comes from a real check, made when it is asked for.

use std::sync::Arc;

use api::ApiError;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use log::LogStatus;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Query;
use crate::desk::Desk;
use crate::error::QueryError;

/// The name that the scripts of the read API's users look for.
const SERVICE: &str = "event-pipeline-api";

/// How this process feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Everything works.
    Healthy,
    /// Everything that callers need works, but records were lost to damage, or the store takes no commits for now:
    /// somebody should look.
    Degraded,
    /// Something that callers need does not work.
    Unhealthy,
}

/// Health in words.
#[derive(Serialize, ToSchema)]
struct Health {
    status: Status,
    service: &'static str,
    /// `connected`, or what it does not do; `none` for a process without one.
    database: String,
    /// `ok`, or what is wrong with it.
    log: String,
    /// `running`, or why it is not.
    engine: String,
    uptime_seconds: u64,
    version: &'static str,
}

/// How this process feels: the store is asked, the log is looked at, the engine says whether it runs. While the store takes
/// no commits, events are taken all the same, and wait in the log.
#[utoipa::path(
    get, path = "/health", tag = "operations",
    responses(
        (status = 200, body = Health, description = "healthy or degraded"),
        (status = 503, body = Health, description = "unhealthy"),
    )
)]
pub(crate) async fn health(State(desk): State<Arc<Desk>>) -> Response {
    let ask = |query: &Query| if query.has_store { Ok(query.store.positions("engine").map(drop)?) } else { Ok(()) };
    let store = desk.probe(ask).await;
    let log = desk.probe(|query| Ok(query.log.status())).await;
    let (ready, live) = ((desk.query.ready)(), (desk.query.live)());
    let commits = live.store_breaker() == "closed";
    let (database_works, database) = match store {
        Ok(()) if !desk.query.has_store => (true, "none".to_owned()),
        Ok(()) if commits => (true, "connected".to_owned()),
        Ok(()) => (true, "it can be read, but takes no commits; they are tried again".to_owned()),
        Err(error) => (false, error.to_string()),
    };
    let (log_works, sound, log) = match log {
        Ok(status) => log_words(&status),
        Err(error) => (false, false, error.to_string()),
    };
    let status = match (database_works && log_works && ready.ready, sound && commits) {
        (false, _) => Status::Unhealthy,
        (true, false) => Status::Degraded,
        (true, true) => Status::Healthy,
    };
    let engine = if ready.ready { "running".to_owned() } else { ready.reason };
    let uptime_seconds = live.uptime_seconds;
    let body = Health { status, service: SERVICE, database, log, engine, uptime_seconds, version: desk.query.version };
    let code = if status == Status::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, axum::Json(body)).into_response()
}

/// Whether the log takes events, whether nobody needs to look at it, and both in words. Without its broker it may have a
/// spool: whether that takes events is told by readiness.
fn log_words(status: &LogStatus) -> (bool, bool, String) {
    let lost: u64 = status.damage.iter().map(|damage| damage.records_lost).sum();
    let full = status.free_bytes.is_some_and(|free| free < status.reserve_bytes);
    let words = match (&status.poisoned, full, lost) {
        (Some(reason), ..) => reason.clone(),
        (None, true, _) => "the disk is nearly full: events are refused until there is room".to_owned(),
        (None, false, 1..) => format!("{lost} records lost to damage"),
        (None, false, 0) => away_words(status),
    };
    (status.poisoned.is_none() && !full, lost == 0 && status.away.is_none(), words)
}

fn away_words(status: &LogStatus) -> String {
    let waiting = status.spool.as_ref().filter(|spool| spool.records > 0);
    let waiting = waiting.map(|spool| format!("{} records wait in the spool", spool.records));
    match (&status.away, waiting) {
        (Some(why), Some(waiting)) => format!("the broker cannot be reached: {why}; {waiting}"),
        (Some(why), None) => format!("the broker cannot be reached: {why}"),
        (None, Some(waiting)) => format!("ok; {waiting}"),
        (None, None) => "ok".to_owned(),
    }
}

/// Whether the process runs at all; depends on nothing.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// Whether the process wants traffic.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = String), (status = 503, body = api::ErrorBody, description = "not now, and why"))
)]
pub(crate) async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    let ready = (desk.query.ready)();
    if ready.ready {
        return ([(header::CACHE_CONTROL, "no-store")], "ready\n").into_response();
    }
    ApiError::unavailable("not_ready", ready.reason, 1).into_response()
}

/// Which build this is.
#[derive(Serialize, ToSchema)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// Which build this is.
#[utoipa::path(get, path = "/version", tag = "operations", responses((status = 200, body = Version)))]
pub(crate) async fn version(State(desk): State<Arc<Desk>>) -> Result<Response, QueryError> {
    Ok(axum::Json(Version { name: "millstream", version: desk.query.version }).into_response())
}

#[cfg(test)]
mod tests {
    use log::SpoolStatus;

    use super::*;

    #[test]
    fn a_broker_that_is_away_is_told_and_no_hindrance_by_itself() {
        let spool = |records| Some(SpoolStatus { records, ..SpoolStatus::default() });
        let away = || Some("no route".to_owned());
        for (away, spool, sound, words) in [
            (None, None, true, "ok"),
            (None, spool(0), true, "ok"),
            (None, spool(7), true, "ok; 7 records wait in the spool"),
            (away(), spool(7), false, "the broker cannot be reached: no route; 7 records wait in the spool"),
            (away(), None, false, "the broker cannot be reached: no route"),
        ] {
            let status = LogStatus { away, spool, ..LogStatus::default() };
            assert_eq!(log_words(&status), (true, sound, words.to_owned()));
        }
    }
}
