//! Pages of dead letters.

use event::{Classification, DeadLetter, LetterStatus, Stage};
use rusqlite::{Row, Transaction, named_params};

use super::filters::{Filters, OF_STREAM, OF_STREAM_UNLED, STREAM, TENANT};
use super::tenants::Scope;
use super::values::{bytes_of, string_of, to_sql};
use crate::StoreError;
use crate::query::{DeadLetterPage, DeadLetterQuery};

/// Answers a [`DeadLetterQuery`].
pub(super) fn dead_letters(tx: &Transaction<'_>, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
    let Some(scope) = Scope::of(tx, query.tenant.as_deref())? else { return Ok(DeadLetterPage::default()) };
    let mut filters = letter_filters(query, scope);
    let total = filters.count(tx, "dead_letters")?;
    let sql = format!(
        "SELECT id, {STREAM}, part, off, stage, code, pointer, message, data, request_id, received, {TENANT}, edited, key,
         headers, correlation_id, first_failed, last_failed, attempts, classification, status, retry_at
         FROM dead_letters {} ORDER BY n DESC LIMIT :limit OFFSET :skip",
        filters.sql()
    );
    let (limit, skip) = (to_sql(query.limit as u64)?, to_sql(query.skip)?);
    filters.values.extend(named_params! {":limit": limit, ":skip": skip});
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(&*filters.values, letter)?.collect::<Result<_, _>>()?;
    Ok(DeadLetterPage { rows, total })
}

pub(super) fn letter_filters(query: &DeadLetterQuery, scope: Scope) -> Filters<'_> {
    let mut filters = Filters::default();
    let times = query.from.is_some() || query.to.is_some();
    let words = query.code.is_some() || query.stage.is_some() || query.status.is_some();
    filters.add_scope(scope, times || words || query.due.is_some());
    filters.add(&query.id, "id = :id", ":id");
    filters.add(&query.attempts_over, "attempts > :attempts_over", ":attempts_over");
    // Few letters are ever due, and they are asked for every second: no other index may win.
    if query.due.is_some() {
        filters.add(&query.stream, OF_STREAM_UNLED, ":stream");
        filters.add(&query.code, "+code = :code", ":code");
        filters.add_word("+stage", query.stage.map(Stage::as_str));
        filters.add_word("+status", query.status.map(LetterStatus::as_str));
        filters.add(&query.from, "+last_failed >= :from", ":from");
        filters.add(&query.to, "+last_failed <= :to", ":to");
        filters.add(&query.due, "retry_at <= :due", ":due");
    } else {
        filters.add(&query.stream, OF_STREAM, ":stream");
        filters.add(&query.code, "code = :code", ":code");
        filters.add_word("stage", query.stage.map(Stage::as_str));
        filters.add_word("status", query.status.map(LetterStatus::as_str));
        filters.add(&query.from, "last_failed >= :from", ":from");
        filters.add(&query.to, "last_failed <= :to", ":to");
    }
    filters
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let word = |at: usize| row.get_ref(at).map(string_of);
    Ok(DeadLetter {
        tenant: row.get(11)?,
        id: row.get(0)?,
        stream: row.get(1)?,
        partition: row.get(2)?,
        offset: row.get::<_, i64>(3)? as u64,
        stage: Stage::parse(&word(4)?).ok_or(rusqlite::Error::InvalidQuery)?,
        code: row.get(5)?,
        pointer: row.get(6)?,
        message: row.get(7)?,
        data: bytes_of(row.get_ref(8)?).to_vec(),
        request_id: row.get(9)?,
        received_at: row.get(10)?,
        edited: match row.get_ref(12)? {
            rusqlite::types::ValueRef::Null => None,
            bytes => Some(bytes_of(bytes).to_vec()),
        },
        key: row.get(13)?,
        headers: bytes_of(row.get_ref(14)?).to_vec(),
        correlation_id: row.get(15)?,
        first_failed_at: row.get(16)?,
        last_failed_at: row.get(17)?,
        attempts: row.get(18)?,
        classification: Classification::parse(&word(19)?).ok_or(rusqlite::Error::InvalidQuery)?,
        status: LetterStatus::parse(&word(20)?).ok_or(rusqlite::Error::InvalidQuery)?,
        retry_at: row.get(21)?,
    })
}
