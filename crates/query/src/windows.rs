//! `GET /v1/windows`: results of windows, newest first, page after page by cursor.

use std::cmp::Reverse;
use std::sync::Arc;

use api::Caller;
use api::time::to_rfc3339;
use axum::extract::State;
use axum::response::Response;
use event::Millis;
use event::limits::PAGE_ROWS_MAX;
use serde::Serialize;
use serde_json::value::RawValue;
use store::Store;
use store::query::{WindowQuery, WindowRow};
use utoipa::ToSchema;

use crate::cursor;
use crate::desk::{Desk, json_response, to_json};
use crate::error::QueryError;
use crate::group::Group;
use crate::params::{Params, length_text};
use crate::rows::raw_json;
use crate::scope::Scope;

/// A page of windows.
#[derive(Serialize, ToSchema)]
struct WindowPage<'a> {
    /// The windows.
    windows: Vec<Window<'a>>,
    /// Where the next page starts; null at the end.
    next_cursor: Option<String>,
}

/// A window's result as it is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Window<'a> {
    /// Whose it is; absent for the default tenant.
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    /// The stream that is measured.
    stream: &'a str,
    /// The name of the definition.
    window: &'a str,
    /// Its length, as `1m`; `session` when its length differs from one to the next.
    size: String,
    /// Its length in milliseconds; 0 for a session.
    size_ms: Millis,
    /// Where it begins, inclusive, RFC 3339.
    start: String,
    /// Where it ends, exclusive, RFC 3339.
    end: String,
    /// The same in milliseconds since the epoch.
    start_ms: Millis,
    /// The same in milliseconds since the epoch.
    end_ms: Millis,
    /// The group: the fields that make it, with their values.
    #[schema(value_type = Object)]
    key: Option<&'a RawValue>,
    /// The measures by name.
    #[schema(value_type = Object)]
    values: Box<RawValue>,
    /// Events in it.
    events: u64,
    /// Grows with every change.
    revision: u64,
    /// Events that came after it was closed, whether they are in it or not.
    late: u64,
    /// When it changed last, RFC 3339.
    updated_at: String,
}

impl<'a> Window<'a> {
    pub(crate) fn new(row: &'a WindowRow) -> Self {
        let id = &row.id;
        Self {
            tenant: &id.tenant,
            stream: &id.stream,
            window: &id.window,
            size: if id.size_ms == 0 { "session".to_owned() } else { length_text(id.size_ms) },
            size_ms: id.size_ms,
            start: to_rfc3339(id.start),
            end: to_rfc3339(row.end),
            start_ms: id.start,
            end_ms: row.end,
            key: raw_json(id.key.as_bytes()),
            values: values(row),
            events: row.events,
            revision: row.revision,
            late: row.late,
            updated_at: to_rfc3339(row.updated_at),
        }
    }
}

/// The measures in the order of the definition.
fn values(row: &WindowRow) -> Box<RawValue> {
    let mut text = String::from("{");
    for (name, measure) in &row.measures {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(name).unwrap_or_default());
        text.push(':');
        measure.write_json(&mut text);
    }
    text.push('}');
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Results of windows, newest start first. A window is there from the moment when the first partition of its stream has
/// closed it; the others and late events change it, and its revision grows.
#[utoipa::path(
    get, path = "/v1/windows", tag = "query",
    params(
        ("stream" = Option<String>, Query, description = "of this stream; all when absent"),
        ("window" = Option<String>, Query, description = "of this definition"),
        ("size" = Option<String>, Query, description = "of this length, as `1m`, `5m`, or in milliseconds; `session`"),
        ("key" = Option<String>, Query, description = "of this group, in the order of the definition: as a JSON object, \
            or as `field=value` with commas between. A number finds the stream's own key or type, too, which rows have as text"),
        ("from" = Option<String>, Query, description = "beginning at or after this: RFC 3339 or milliseconds since the epoch"),
        ("to" = Option<String>, Query, description = "beginning at or before this"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "how many at the most; 100 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses(
        (status = 200, body = WindowPage),
        (status = 404, body = api::ErrorBody, description = "unknown stream"),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown or out of range"),
    )
)]
pub(crate) async fn list_windows(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    params: Params,
) -> Result<Response, QueryError> {
    let scope = Scope::of(&caller);
    let (queries, filters) = read_params(&params, &desk, &scope)?;
    let body = desk.read(&scope, move |desk| page(&*desk.store, &queries, &filters)).await?;
    Ok(json_response(body))
}

/// One query for each text that the rows of the group may have.
fn read_params(params: &Params, desk: &Desk, scope: &Scope) -> Result<(Vec<WindowQuery>, String), QueryError> {
    params.only(&["stream", "window", "size", "key", "from", "to", "limit", "cursor"])?;
    let catalog = &desk.query.catalog;
    let known = (desk.query.windows)();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let (from, to) = params.time_range("from", "to")?;
    let mut query = WindowQuery {
        tenant: scope.tenant(),
        stream: params.stream("stream", catalog)?.map(|id| catalog.get(id).name.clone()),
        window: params.choice("window", &known)?,
        size_ms: match params.raw("size") {
            Some("session") => Some(0),
            _ => params.length("size")?,
        },
        from,
        to,
        ..WindowQuery::default()
    };
    let group = params.raw("key").map(Group::parse).transpose()?;
    let streams = catalog.iter().map(|(_, stream)| stream);
    let asked = streams.filter(|stream| query.stream.as_ref().is_none_or(|name| *name == stream.name));
    let keys = group.map(|group| group.texts(asked));
    let filters = format!("windows {query:?} {keys:?}");
    query.limit = params.number("limit", 1, PAGE_ROWS_MAX as u64, 100)? as usize;
    query.after = params.raw("cursor").map(|word| cursor::decode_window(&filters, word)).transpose()?;
    let queries = match keys {
        None => vec![query],
        Some(keys) => keys.into_iter().map(|key| WindowQuery { key: Some(key), ..query.clone() }).collect(),
    };
    Ok((queries, filters))
}

fn page(store: &dyn Store, queries: &[WindowQuery], filters: &str) -> Result<Vec<u8>, QueryError> {
    let (rows, more) = merged(store, queries)?;
    let last = rows.last().filter(|_| more);
    let next_cursor = last.map(|row| cursor::encode_window(filters, &row.id));
    to_json(&WindowPage { windows: rows.iter().map(Window::new).collect(), next_cursor })
}

/// The first rows of all queries, which find different ones, in the store's order; and whether there are more.
fn merged(store: &dyn Store, queries: &[WindowQuery]) -> Result<(Vec<WindowRow>, bool), QueryError> {
    let (mut rows, mut more, mut limit) = (Vec::new(), false, usize::MAX);
    for query in queries {
        let found = store.windows(query)?;
        rows.extend(found.rows);
        more |= found.more;
        limit = query.limit;
    }
    if queries.len() > 1 {
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        more |= rows.len() > limit;
        rows.truncate(limit);
    }
    Ok((rows, more))
}

fn order(row: &WindowRow) -> impl Ord + '_ {
    let id = &row.id;
    (Reverse(id.start), &id.window, id.size_ms, &id.key, &id.stream, &id.tenant)
}
