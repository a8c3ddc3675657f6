//! `/v1/dlq`: dead letters listed, shown, edited, replayed and discarded.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, Caller};
use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::letters::{LetterError, SWEEP_LETTERS_MAX, Sweep};
use event::DeadLetter;
use event::limits::PAGE_ROWS_MAX;
use serde::Deserialize;
use serde_json::Value;
use store::query::DeadLetterQuery;
use utoipa::ToSchema;

use super::ask::{self, Filter, Params, refuse};
use super::shown::Letter;
use super::told::{Discarded, LetterPage, Replayed};
use super::{Desk, error};

/// Rows that are read at once.
const STEP: usize = 50;
/// Bytes of letters after which a page ends, whatever its limit.
const PAGE_BYTES: usize = 8 << 20;
/// How long one request may replay letters: clients and proxies wait about half a minute.
const SWEEP_TIME: Duration = Duration::from_secs(20);
/// Letters a second, unless asked for.
const RATE: u32 = 100;
const RATE_MAX: u32 = 10_000;
/// Letters of one request, unless asked for.
const LIMIT: usize = 1_000;

/// Dead letters, newest first.
#[utoipa::path(
    get, path = "/v1/dlq", tag = "repairs",
    params(
        ("stream" = Option<String>, Query, description = "meant for this stream; all when absent"),
        ("code" = Option<String>, Query, description = "refused for this reason, as `missing_field` or `rule_panic`"),
        ("stage" = Option<String>, Query, description = "refused there: `collect`, `process` or `store`"),
        ("status" = Option<String>, Query, description = "`open`, `replaying`, `resolved`, `discarded` or `quarantined`"),
        ("from" = Option<String>, Query, description = "failed for the last time at or after this: RFC 3339 or milliseconds since the epoch"),
        ("to" = Option<String>, Query, description = "failed for the last time at or before this"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "how many at the most; 100 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses(
        (status = 200, body = LetterPage),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(super) async fn list(State(desk): State<Arc<Desk>>, caller: Caller, params: Params) -> Result<Response, ApiError> {
    params.only(&["stream", "code", "stage", "status", "from", "to", "limit", "cursor"])?;
    let time = |name: &'static str| params.raw(name).map(|text| ask::time(name, text)).transpose();
    let filter = Filter {
        stream: params.raw("stream"),
        code: params.raw("code"),
        stage: params.raw("stage"),
        status: params.raw("status"),
        from: time("from")?,
        to: time("to")?,
    };
    let query = filter.query(&desk.catalog, caller.sees())?;
    let limit = params.number("limit", PAGE_ROWS_MAX, 100)?;
    let left = params.raw("cursor").map(|word| left(&query, word)).transpose()?;
    let body = desk.work(error::letter, move |desk| page(desk, &query, limit, left)).await?;
    Ok(json(body))
}

/// Rows are counted from the oldest one, so that new letters do not shift the pages behind them.
fn page(desk: &Desk, query: &DeadLetterQuery, limit: usize, left: Option<u64>) -> Result<Vec<u8>, LetterError> {
    let total = desk.letters.list(&DeadLetterQuery { limit: 1, ..query.clone() })?.total;
    let mut next = total - left.map_or(total, |left| left.min(total));
    let (mut rows, mut bytes) = (Vec::<DeadLetter>::new(), 0);
    while rows.len() < limit && bytes < PAGE_BYTES {
        let some = STEP.min(limit - rows.len());
        let page = desk.letters.list(&DeadLetterQuery { skip: next, limit: some, ..query.clone() })?;
        let ended = page.rows.len() < some;
        next += page.rows.len() as u64;
        bytes += page.rows.iter().map(size).sum::<usize>();
        rows.extend(page.rows);
        if ended {
            break;
        }
    }
    let left = total.saturating_sub(next);
    let next_cursor = (left > 0).then(|| format!("{:016x}-{left}", hash(query)));
    let dead_letters = rows.iter().map(Letter::new).collect();
    Ok(written(&LetterPage { dead_letters, total, next_cursor }))
}

/// What a letter holds of its sender's and its editor's.
fn size(letter: &DeadLetter) -> usize {
    letter.data.len() + letter.edited.as_ref().map_or(0, Vec::len) + letter.headers.len()
}

/// How many rows are left, by the cursor of the page before; good for the same filters only.
fn left(query: &DeadLetterQuery, word: &str) -> Result<u64, ApiError> {
    let parts = word.split_once('-');
    let left = parts.filter(|(sum, _)| *sum == format!("{:016x}", hash(query))).and_then(|(_, left)| left.parse().ok());
    left.ok_or_else(|| refuse("cursor", word, "the `next_cursor` of an answer to the same filters, unchanged"))
}

fn hash(query: &DeadLetterQuery) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{query:?}").hash(&mut hasher);
    hasher.finish()
}

/// One dead letter with everything that is known of it.
#[utoipa::path(
    get, path = "/v1/dlq/{id}", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 200, body = Letter),
        (status = 404, body = api::ErrorBody, description = "no such letter"),
    )
)]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    one(&desk, &caller, move |desk, tenant| desk.letters.show(tenant, &id)).await
}

/// Puts the body in place of the sender's bytes, which are kept; the next replay sends it. It is judged at once.
#[utoipa::path(
    patch, path = "/v1/dlq/{id}", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    request_body(content = Value, description = "the event as it should have been: its bytes, kept as they come", content_type = "application/json"),
    responses(
        (status = 200, body = Letter),
        (status = 400, body = api::ErrorBody, description = "no body, or one that cannot be read"),
        (status = 404, body = api::ErrorBody, description = "no such letter"),
        (status = 409, body = api::ErrorBody, description = "only an open letter can be edited"),
        (status = 413, body = api::ErrorBody, description = "the body is too large"),
        (status = 422, body = api::ErrorBody, description = "its stream refuses the event: `details` has code, pointer and message; nothing was changed"),
    )
)]
pub(super) async fn edit(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|rejection| match rejection.status().as_u16() {
        413 => ApiError::too_large(rejection.body_text()),
        _ => ApiError::bad_request("invalid_body", rejection.body_text()),
    })?;
    if body.is_empty() {
        let message = "the body is empty; expected the event as it should have been (DELETE …/edited goes back)";
        return Err(ApiError::bad_request("empty_body", message));
    }
    one(&desk, &caller, move |desk, tenant| desk.letters.edit(tenant, &id, Some(body.to_vec()))).await
}

/// Goes back from the edited bytes to the sender's.
#[utoipa::path(
    delete, path = "/v1/dlq/{id}/edited", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 200, body = Letter),
        (status = 404, body = api::ErrorBody, description = "no such letter"),
        (status = 409, body = api::ErrorBody, description = "only an open letter can be edited"),
    )
)]
pub(super) async fn restore(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    one(&desk, &caller, move |desk, tenant| desk.letters.edit(tenant, &id, None)).await
}

/// Sends a letter to its stream again. Safe to repeat: one try is one record.
#[utoipa::path(
    post, path = "/v1/dlq/{id}/replay", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 200, body = Letter, description = "it is in its stream; `status` says when it is stored"),
        (status = 404, body = api::ErrorBody, description = "no such letter"),
        (status = 409, body = api::ErrorBody, description = "it is not open: the code says what became of it"),
        (status = 422, body = api::ErrorBody, description = "its stream refuses it again, which counts as a failed try: `details` has code, pointer and message"),
        (status = 503, body = api::ErrorBody, description = "the log does not take it now (it is tried again by itself), the engine has not caught up since the start, or this process has no doors"),
    )
)]
pub(super) async fn replay(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    one(&desk, &caller, move |desk, tenant| desk.letters.replay(tenant, &id)).await
}

/// Gives a letter up. Its bytes stay.
#[utoipa::path(
    delete, path = "/v1/dlq/{id}", tag = "repairs",
    params(("id" = String, Path, description = "its id")),
    responses(
        (status = 200, body = Letter),
        (status = 404, body = api::ErrorBody, description = "no such letter"),
        (status = 409, body = api::ErrorBody, description = "it is being replayed, or was resolved"),
    )
)]
pub(super) async fn discard(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    one(&desk, &caller, move |desk, tenant| desk.letters.discard(tenant, &id)).await
}

/// Which letters, and how. All filters must hold; an absent one holds always.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SweepBody {
    /// Meant for this stream.
    stream: Option<String>,
    /// Refused for this reason.
    code: Option<String>,
    /// Refused there: `collect`, `process` or `store`.
    stage: Option<String>,
    /// What became of them.
    status: Option<String>,
    /// Failed for the last time at or after this: RFC 3339 or milliseconds since the epoch.
    #[schema(value_type = Option<String>)]
    from: Value,
    /// Failed for the last time at or before this.
    #[schema(value_type = Option<String>)]
    to: Value,
    /// Only counts.
    dry_run: bool,
    /// Letters a second at the most; 100 when absent. Not for discarding.
    #[schema(minimum = 1, maximum = 10000)]
    rate_per_s: Option<u32>,
    /// Letters at the most; 1000 when absent. Not for discarding.
    #[schema(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

impl SweepBody {
    fn query(&self, desk: &Desk, caller: &Caller) -> Result<DeadLetterQuery, ApiError> {
        let filter = Filter {
            stream: self.stream.as_deref(),
            code: self.code.as_deref(),
            stage: self.stage.as_deref(),
            status: self.status.as_deref(),
            from: ask::time_in("from", &self.from)?,
            to: ask::time_in("to", &self.to)?,
        };
        filter.query(&desk.catalog, caller.sees())
    }
}

/// Replays the open letters that a filter lets through, oldest first, for at most 20 seconds. When `remaining` is not 0,
/// ask again with `until` as `to`.
#[utoipa::path(
    post, path = "/v1/dlq/replay", tag = "repairs",
    request_body = SweepBody,
    responses(
        (status = 200, body = Replayed),
        (status = 400, body = api::ErrorBody, description = "the body is not JSON"),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 409, body = api::ErrorBody, description = "letters are being replayed or discarded by filter already"),
        (status = 413, body = api::ErrorBody, description = "the body is too large"),
        (status = 415, body = api::ErrorBody, description = "the content type is not JSON"),
        (status = 422, body = api::ErrorBody, description = "a field is unknown or out of range"),
        (status = 503, body = api::ErrorBody, description = "as for one letter"),
    )
)]
pub(super) async fn replay_all(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    body: Result<Json<SweepBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    let body = ask::body(body)?;
    let query = body.query(&desk, &caller)?;
    let rate_per_s = body.rate_per_s.unwrap_or(RATE);
    if !(1..=RATE_MAX).contains(&rate_per_s) {
        return Err(refuse("rate_per_s", &rate_per_s.to_string(), &format!("a whole number from 1 to {RATE_MAX}")));
    }
    let limit = body.limit.unwrap_or(LIMIT);
    if !(1..=SWEEP_LETTERS_MAX).contains(&limit) {
        return Err(refuse("limit", &limit.to_string(), &format!("a whole number from 1 to {SWEEP_LETTERS_MAX}")));
    }
    let sweep = Sweep { dry_run: body.dry_run, rate_per_s, limit, time: SWEEP_TIME };
    let swept = desk.work(error::letter, move |desk| desk.letters.replay_all(&query, sweep)).await?;
    Ok(Json(Replayed::new(swept, sweep.dry_run)).into_response())
}

/// Discards the open and quarantined letters that a filter lets through, at most 10 000 at once. When `remaining` is not 0,
/// ask again.
#[utoipa::path(
    post, path = "/v1/dlq/discard", tag = "repairs",
    request_body = SweepBody,
    responses(
        (status = 200, body = Discarded),
        (status = 400, body = api::ErrorBody, description = "the body is not JSON"),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 409, body = api::ErrorBody, description = "letters are being replayed or discarded by filter already"),
        (status = 413, body = api::ErrorBody, description = "the body is too large"),
        (status = 415, body = api::ErrorBody, description = "the content type is not JSON"),
        (status = 422, body = api::ErrorBody, description = "a field is unknown or out of range"),
    )
)]
pub(super) async fn discard_all(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    body: Result<Json<SweepBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    let body = ask::body(body)?;
    for (name, given) in [("rate_per_s", body.rate_per_s.is_some()), ("limit", body.limit.is_some())] {
        if given {
            return Err(ApiError::unprocessable("unknown_parameter", format!("`{name}` is not for discarding")));
        }
    }
    let (query, dry_run) = (body.query(&desk, &caller)?, body.dry_run);
    let swept = desk.work(error::letter, move |desk| desk.letters.discard_all(&query, dry_run)).await?;
    Ok(Json(Discarded::new(&swept, dry_run)).into_response())
}

/// Does something with one letter of the caller's; answers with the letter as it is then.
async fn one(
    desk: &Arc<Desk>,
    caller: &Caller,
    act: impl FnOnce(&Desk, Option<&str>) -> Result<DeadLetter, LetterError> + Send + 'static,
) -> Result<Response, ApiError> {
    let tenant = caller.sees().map(str::to_owned);
    let body = desk.work(error::letter, move |desk| Ok(written(&Letter::new(&act(desk, tenant.as_deref())?)))).await?;
    Ok(json(body))
}

/// A value as JSON bytes. It is made of texts, numbers and JSON that was read, so it can be written.
fn written(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
