//! What came of an event besides its row: the windows it falls into, and dead letters.

use api::time::to_rfc3339;
use event::{Millis, WindowId, headers};
use serde::Serialize;
use serde_json::value::RawValue;
use store::query::{DeadLetterQuery, EventRow, WindowQuery, WindowRow};
use utoipa::ToSchema;

use crate::Query;
use crate::error::QueryError;
use crate::params::length_text;
use crate::rows::{position_id, raw_json};
use crate::scope::tenant_of;

/// Windows that are listed: an event falls into one of each length and definition, and into many that overlap.
const WINDOWS_MAX: usize = 64;

/// A window that an event falls into.
#[derive(Serialize, ToSchema)]
pub(super) struct Falls {
    /// The name of the definition.
    window: String,
    /// Its length, as `1m`; `session` when its length differs from one to the next.
    size: String,
    /// Where it begins, inclusive, RFC 3339; null for a session that has not ended.
    start: Option<String>,
    /// Where it ends, exclusive, RFC 3339; null for a session that has not ended.
    end: Option<String>,
    /// The group.
    #[schema(value_type = Object)]
    key: Option<Box<RawValue>>,
    /// Whether it has a result in the store. One that has not is still open, or closed a moment ago.
    closed: bool,
    /// Events in the result; null while there is none.
    events: Option<u64>,
    /// How often the result changed; null while there is none.
    revision: Option<u64>,
    /// Events that came too late for it; null while there is no result.
    late: Option<u64>,
}

impl Falls {
    fn new(id: &WindowId, row: Option<&WindowRow>) -> Self {
        let session = id.size_ms == 0;
        let planned = (!session).then(|| (id.start, id.start.saturating_add(id.size_ms)));
        let (start, end) = row.map(|row| (row.id.start, row.end)).or(planned).unzip();
        Self {
            window: id.window.clone(),
            size: if session { "session".to_owned() } else { length_text(id.size_ms) },
            start: start.map(to_rfc3339),
            end: end.map(to_rfc3339),
            key: raw_json(id.key.as_bytes()).map(RawValue::to_owned),
            closed: row.is_some(),
            events: row.map(|row| row.events),
            revision: row.map(|row| row.revision),
            late: row.map(|row| row.late),
        }
    }
}

/// The windows that an event falls into, as definitions are now.
pub(super) fn windows_of(query: &Query, row: &EventRow) -> Result<Vec<Falls>, QueryError> {
    let mut falls = Vec::new();
    for id in (query.windows_of)(row).into_iter().take(WINDOWS_MAX) {
        let found = find(query, &id, row.time)?;
        falls.push(Falls::new(&id, found.as_ref()));
    }
    Ok(falls)
}

fn find(query: &Query, id: &WindowId, time: Millis) -> Result<Option<WindowRow>, QueryError> {
    // Of the sessions that began before the event, the latest is the only one that can hold it.
    let from = (id.size_ms > 0).then_some(id.start);
    let mut page = query.store.windows(&WindowQuery {
        tenant: Some(id.tenant.clone()),
        stream: Some(id.stream.clone()),
        window: Some(id.window.clone()),
        size_ms: Some(id.size_ms),
        key: Some(id.key.clone()),
        from,
        to: Some(id.start),
        limit: 1,
        ..WindowQuery::default()
    })?;
    Ok(page.rows.pop().filter(|row| time < row.end))
}

/// A dead letter, in short.
#[derive(Serialize, ToSchema)]
pub(super) struct Letter {
    /// Its id.
    id: String,
    /// Where the event was refused.
    stage: &'static str,
    /// Why, as a stable word.
    code: String,
    /// Why, for people.
    message: String,
    /// How often it failed.
    attempts: u32,
    /// What became of it.
    status: &'static str,
}

/// The dead letter that an event is the replay of, by its id.
pub(super) fn replay_of(row: &EventRow) -> Option<String> {
    headers::get(&row.headers, headers::LETTER).map(|id| String::from_utf8_lossy(id).into_owned())
}

/// The dead letter that an event is, when a rule or the store refused it; or that it is the replay of.
pub(super) fn letter_of(query: &Query, row: &EventRow) -> Result<Option<Letter>, QueryError> {
    let own = position_id(&row.stream, row.partition, row.offset);
    for id in std::iter::once(own).chain(replay_of(row)) {
        let (tenant, id) = (Some(tenant_of(row)), Some(id));
        let asked = DeadLetterQuery { tenant, id, limit: 1, ..DeadLetterQuery::default() };
        if let Some(letter) = query.store.dead_letters(&asked)?.rows.pop() {
            return Ok(Some(Letter {
                id: letter.id,
                stage: letter.stage.as_str(),
                code: letter.code,
                message: letter.message,
                attempts: letter.attempts,
                status: letter.status.as_str(),
            }));
        }
    }
    Ok(None)
}
