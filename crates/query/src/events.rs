//! `GET /v1/events`: events of any stream, page after page by cursor.

use std::sync::Arc;

use api::Caller;
use axum::extract::State;
use axum::response::Response;
use event::limits::PAGE_ROWS_MAX;
use serde::Serialize;
use store::Store;
use store::query::{After, EventQuery, EventRow, Order, Start};
use utoipa::ToSchema;

use crate::cursor;
use crate::desk::{Desk, json_response, to_json};
use crate::error::QueryError;
use crate::params::Params;
use crate::rows::Event;
use crate::scope::Scope;

/// A page of events.
#[derive(Serialize, ToSchema)]
struct EventPage<'a> {
    /// The events.
    events: Vec<Event<'a>>,
    /// Where the next page starts; null at the end. A page may be shorter than `limit` although more follow, when its
    /// events are big: only null means the end.
    next_cursor: Option<String>,
}

/// Events of one stream or of all, in order of event time.
#[utoipa::path(
    get, path = "/v1/events", tag = "query",
    params(
        ("stream" = Option<String>, Query, description = "of this stream; all when absent"),
        ("key" = Option<String>, Query, description = "with this key"),
        ("type" = Option<String>, Query, description = "with this type"),
        ("from" = Option<String>, Query, description = "at or after this event time: RFC 3339 or milliseconds since the epoch"),
        ("to" = Option<String>, Query, description = "at or before this event time"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "how many at the most; 100 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
        ("order" = Option<String>, Query, description = "`asc` (default) or `desc` in event time"),
    ),
    responses(
        (status = 200, body = EventPage),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_events(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    params: Params,
) -> Result<Response, QueryError> {
    let scope = Scope::of(&caller);
    let (query, filters) = read_params(&params, &desk, &scope)?;
    let body = desk.read(&scope, move |desk| page(&*desk.store, &query, &filters)).await?;
    Ok(json_response(body))
}

fn read_params(params: &Params, desk: &Desk, scope: &Scope) -> Result<(EventQuery, String), QueryError> {
    params.only(&["stream", "key", "type", "from", "to", "limit", "cursor", "order"])?;
    let catalog = &desk.query.catalog;
    let (from, to) = params.time_range("from", "to")?;
    let mut query = EventQuery {
        tenant: scope.tenant(),
        stream: params.stream("stream", catalog)?.map(|id| catalog.get(id).name.clone()),
        key: params.text("key")?,
        kind: params.text("type")?,
        from,
        to,
        order: match params.choice("order", &["asc", "desc"])?.as_deref() {
            Some("desc") => Order::Descending,
            _ => Order::Ascending,
        },
        ..EventQuery::default()
    };
    // The filters as a cursor remembers them, whose rows among them: everything but where a page starts and how long it is.
    let filters = format!("events {query:?}");
    query.limit = params.number("limit", 1, PAGE_ROWS_MAX as u64, 100)? as usize;
    if let Some(word) = params.raw("cursor") {
        query.start = Start::After(cursor::decode_event(&filters, word)?);
    }
    Ok((query, filters))
}

fn page(store: &dyn Store, query: &EventQuery, filters: &str) -> Result<Vec<u8>, QueryError> {
    let found = store.events(query)?;
    let last = found.rows.last().filter(|_| found.more);
    let next_cursor = last.map(|row| cursor::encode_event(filters, &after(row)));
    to_json(&EventPage { events: found.rows.iter().map(Event::new).collect(), next_cursor })
}

/// The place behind a row.
fn after(row: &EventRow) -> After {
    After { time: row.time, stream: row.stream.clone(), partition: row.partition, offset: row.offset }
}
