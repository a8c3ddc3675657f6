//! `GET /v1/events/{id}`: one event, and what became of it on its way.

mod outcome;

use std::sync::Arc;

use api::Caller;
use api::time::to_rfc3339;
use axum::extract::{Path, State};
use axum::response::Response;
use event::{Millis, Position, Record, StreamId, limits};
use serde::Serialize;
use store::query::{After, AnomalyQuery, EventQuery, EventRow, Order, Start};
use utoipa::ToSchema;

use crate::Query;
use crate::desk::{Desk, json_response, to_json};
use crate::error::{QueryError, shorten};
use crate::params::{Params, public_streams};
use crate::rows::Event;
use crate::scope::{Scope, tenant_of};
use outcome::{Falls, Letter};

/// Rows with the same id that are listed: an id may come again once duplicate suppression has forgotten it.
const SAME_ID_MAX: usize = 10;

/// One event with its lineage.
#[derive(Serialize, ToSchema)]
struct Traced<'a> {
    /// The event.
    event: Event<'a>,
    /// What became of it.
    lineage: Lineage<'a>,
}

/// What became of an event, door to store.
#[derive(Serialize, ToSchema)]
struct Lineage<'a> {
    /// When it was received, RFC 3339.
    received_at: String,
    /// Always true: what is in a stream was checked at the door; what was refused is a dead letter.
    validated: bool,
    /// Whether its id was looked up for duplicates: it has one, and its stream suppresses duplicates.
    deduplicated: bool,
    /// Where it lies in the log.
    position: Place<'a>,
    /// When its row was committed to the store, RFC 3339; null while it is only in the log.
    stored_at: Option<String>,
    /// The ids of the anomalies that it raised.
    anomalies: Vec<String>,
    /// Every row of the store with this id and tenant, newest first, at most ten.
    rows: Vec<StoredRow>,
    /// The windows that it falls into, as they are defined now, at most 64.
    windows: Vec<Falls>,
    /// The id of the dead letter that it is the replay of; null when it is none.
    replay_of: Option<String>,
    /// The dead letter that it is, because a rule or the store refused it, or that it is the replay of; null when there is
    /// none.
    dead_letter: Option<Letter>,
}

/// A place in the log.
#[derive(Serialize, ToSchema)]
struct Place<'a> {
    stream: &'a str,
    partition: u32,
    offset: u64,
}

/// A row of the store.
#[derive(Serialize, ToSchema)]
struct StoredRow {
    stream: String,
    partition: u32,
    offset: u64,
    /// RFC 3339.
    stored_at: String,
}

/// One event by its id, or by its place as `<stream>-<partition>-<offset>`. It is found from the moment it is durable in
/// the log, before it is in the store.
#[utoipa::path(
    get, path = "/v1/events/{id}", tag = "query",
    params(
        ("id" = String, Path, description = "the sender's event id, or `<stream>-<partition>-<offset>`"),
        ("stream" = Option<String>, Query, description = "only in this stream; in all when absent"),
    ),
    responses(
        (status = 200, body = Traced),
        (status = 404, body = api::ErrorBody, description = "no such event, or no such stream"),
        (status = 422, body = api::ErrorBody, description = "a parameter is unknown"),
    )
)]
pub(crate) async fn get_event(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, QueryError> {
    params.only(&["stream"])?;
    let only = params.stream("stream", &desk.query.catalog)?;
    let scope = Scope::of(&caller);
    let whose = scope.clone();
    Ok(json_response(desk.read(&whose, move |desk| trace(desk, &scope, &id, only)).await?))
}

/// An event as it was found, and when it was stored, if it was.
struct Found {
    row: EventRow,
    stored_at: Option<Millis>,
}

fn trace(query: &Query, scope: &Scope, id: &str, only: Option<StreamId>) -> Result<Vec<u8>, QueryError> {
    let found = match by_position(query, scope, id, only)? {
        Some(found) => Some(found),
        None => by_id(query, scope, id, only)?,
    };
    let Some(Found { row, stored_at }) = found else { return Err(QueryError::NoEvent(shorten(id))) };
    let stream = query.catalog.find(&row.stream).map(|id| query.catalog.get(id));
    let lineage = Lineage {
        received_at: to_rfc3339(row.received_at),
        validated: true,
        deduplicated: !row.id.is_empty() && stream.is_some_and(|s| s.dedup.is_some()),
        position: Place { stream: &row.stream, partition: row.partition, offset: row.offset },
        stored_at: stored_at.map(to_rfc3339),
        anomalies: anomalies_of(query, &row)?,
        rows: rows_of(query, &row, stored_at)?,
        windows: outcome::windows_of(query, &row)?,
        replay_of: outcome::replay_of(&row),
        dead_letter: outcome::letter_of(query, &row)?,
    };
    to_json(&Traced { event: Event::new(&row), lineage })
}

/// Position ids come first, so that no sender can hide a record behind an event id of that form. Another's record is as
/// if it were not there.
fn by_position(query: &Query, scope: &Scope, id: &str, only: Option<StreamId>) -> Result<Option<Found>, QueryError> {
    let Some(at) = parse_position(query, id).filter(|at| only.is_none_or(|stream| stream == at.stream)) else {
        return Ok(None);
    };
    let Some(row) = read_log(query, at)?.filter(|row| scope.lets_through(row)) else { return Ok(None) };
    Ok(Some(Found { stored_at: stored_at(query, &row)?, row }))
}

fn parse_position(query: &Query, id: &str) -> Option<Position> {
    let (rest, offset) = id.rsplit_once('-')?;
    let (name, partition) = rest.rsplit_once('-')?;
    let (stream, _) = public_streams(&query.catalog).find(|(_, n)| *n == name)?;
    let at = Position { stream, partition: partition.parse().ok()?, offset: offset.parse().ok()? };
    (at.partition < query.catalog.get(stream).partitions).then_some(at)
}

/// The store is asked first: what it has is the whole story. Then the log, for what is not stored yet.
fn by_id(query: &Query, scope: &Scope, id: &str, only: Option<StreamId>) -> Result<Option<Found>, QueryError> {
    if id.is_empty() || id.len() > limits::KEY_BYTES_MAX {
        return Ok(None);
    }
    let stream = only.map(|stream| query.catalog.get(stream).name.as_str());
    if let Some(row) = rows_with_id(query, scope.tenant(), stream, id, 1)?.pop() {
        return Ok(Some(Found { stored_at: Some(row.stored_at), row }));
    }
    let hash = scope.id_hasher(query.log.id_hasher()).hash(id.as_bytes());
    for (stream, _) in public_streams(&query.catalog).filter(|(stream, _)| only.is_none_or(|o| o == *stream)) {
        let Some(at) = query.log.find(stream, hash)? else { continue };
        // Two ids may share a hash: the record itself decides.
        if let Some(row) = read_log(query, at)?.filter(|row| row.id == id && scope.lets_through(row)) {
            return Ok(Some(Found { stored_at: stored_at(query, &row)?, row }));
        }
    }
    Ok(None)
}

fn read_log(query: &Query, at: Position) -> Result<Option<EventRow>, QueryError> {
    let extents = query.log.extents(at.stream);
    let there = extents.get(at.partition as usize).is_some_and(|e| (e.first..e.next).contains(&at.offset));
    if !there {
        return Ok(None);
    }
    let blocks = query.log.read(at.stream, &[(at.partition, at.offset)])?.next(1)?;
    let record = blocks.iter().filter(|b| b.partition == at.partition).find_map(|b| b.at(at.offset));
    Ok(record.map(|record| to_row(&query.catalog.get(at.stream).name, at.partition, &record)))
}

fn to_row(stream: &str, partition: u32, record: &Record<'_>) -> EventRow {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    EventRow {
        stream: stream.to_owned(),
        partition,
        offset: record.offset,
        time: record.time,
        received_at: record.received_at,
        stored_at: 0,
        key: text(record.key),
        kind: text(record.kind),
        id: text(record.id),
        data: record.data.to_vec(),
        headers: record.headers.to_vec(),
    }
}

/// When the row of this record was stored. The store finds rows by key and time, not by place; so it is asked for the
/// first row of that key and time behind the place before.
fn stored_at(query: &Query, row: &EventRow) -> Result<Option<Millis>, QueryError> {
    let before = match (row.partition, row.offset) {
        (0, 0) => None,
        (partition, 0) => Some((partition - 1, i64::MAX as u64)),
        (partition, offset) => Some((partition, offset - 1)),
    };
    let start = before.map_or(Start::Skip(0), |(partition, offset)| {
        Start::After(After { time: row.time, stream: row.stream.clone(), partition, offset })
    });
    let page = query.store.events(&EventQuery {
        stream: Some(row.stream.clone()),
        key: (!row.key.is_empty()).then(|| row.key.clone()),
        from: Some(row.time),
        to: Some(row.time),
        order: Order::Ascending,
        start,
        limit: 1,
        ..EventQuery::default()
    })?;
    let same = page.rows.first().filter(|r| r.partition == row.partition && r.offset == row.offset);
    Ok(same.map(|r| r.stored_at))
}

fn anomalies_of(query: &Query, row: &EventRow) -> Result<Vec<String>, QueryError> {
    let page = query.store.anomalies(&AnomalyQuery {
        tenant: Some(tenant_of(row)),
        stream: Some(row.stream.clone()),
        key: (!row.key.is_empty()).then(|| row.key.clone()),
        from: Some(row.time),
        to: Some(row.time),
        limit: limits::PAGE_ROWS_MAX,
        ..AnomalyQuery::default()
    })?;
    let raised = page.rows.into_iter().map(|r| r.anomaly);
    Ok(raised.filter(|a| a.partition == row.partition && a.offset == row.offset).map(|a| a.id).collect())
}

fn rows_of(query: &Query, row: &EventRow, stored_at: Option<Millis>) -> Result<Vec<StoredRow>, QueryError> {
    let stored = |row: &EventRow, at| StoredRow {
        stream: row.stream.clone(),
        partition: row.partition,
        offset: row.offset,
        stored_at: to_rfc3339(at),
    };
    if row.id.is_empty() {
        return Ok(stored_at.map(|at| stored(row, at)).into_iter().collect());
    }
    // Those of its tenant, also for who sees all: another's event of that id is another event.
    let rows = rows_with_id(query, Some(tenant_of(row)), Some(&row.stream), &row.id, SAME_ID_MAX)?;
    Ok(rows.iter().map(|row| stored(row, row.stored_at)).collect())
}

fn rows_with_id(
    query: &Query,
    tenant: Option<String>,
    stream: Option<&str>,
    id: &str,
    limit: usize,
) -> Result<Vec<EventRow>, QueryError> {
    let page = query.store.events(&EventQuery {
        tenant,
        stream: stream.map(str::to_owned),
        id: Some(id.to_owned()),
        order: Order::Descending,
        limit,
        ..EventQuery::default()
    })?;
    Ok(page.rows)
}
