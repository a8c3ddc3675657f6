//! Pages of dead letters.

use event::{Classification, DeadLetter, LetterStatus, Stage};
use postgres::Row;

use super::fault::Fault;
use super::filters::{Filters, bound};
use super::pool::Tx;
use super::read_facts::count;
use super::rows::Cells;
use crate::query::{DeadLetterPage, DeadLetterQuery};

/// Answers a [`DeadLetterQuery`].
pub(super) fn dead_letters(tx: &mut Tx<'_>, query: &DeadLetterQuery) -> Result<DeadLetterPage, Fault> {
    let mut filters = letter_filters(query);
    let total = count(tx, "dead_letter", &filters)?;
    let (limit, skip) = (filters.bind(bound(query.limit as u64)), filters.bind(bound(query.skip)));
    let sql = format!(
        r#"SELECT tenant, id, stream, partition, "offset", stage, code, pointer, message, data, data_raw, edited, edited_raw,
        key, headers, request_id, correlation_id, received_at, first_failed, last_failed, attempts, classification, status,
        retry_at FROM dead_letter WHERE {} ORDER BY n DESC LIMIT {limit} OFFSET {skip}"#,
        filters.sql()
    );
    let rows = tx.query(&sql, &filters.values())?;
    Ok(DeadLetterPage { rows: rows.iter().map(letter).collect::<Result<_, _>>()?, total })
}

fn letter_filters(query: &DeadLetterQuery) -> Filters {
    let mut filters = Filters::default();
    filters.add_text("tenant =", query.tenant.as_deref());
    filters.add_text("id =", query.id.as_deref());
    filters.add_text("stream =", query.stream.as_deref());
    filters.add_text("code =", query.code.as_deref());
    filters.add_word("stage", query.stage.map(Stage::as_str));
    filters.add_word("status", query.status.map(LetterStatus::as_str));
    filters.add_number("last_failed >=", query.from);
    filters.add_number("last_failed <=", query.to);
    // `IS NOT NULL` leads to the index of those few that are due by themselves.
    filters.add_number("retry_at IS NOT NULL AND retry_at <=", query.due);
    filters.add_number("attempts >", query.attempts_over.map(i64::from));
    filters
}

fn letter(row: &Row) -> Result<DeadLetter, Fault> {
    let mut cells = Cells::of(row);
    Ok(DeadLetter {
        tenant: cells.text()?,
        id: cells.text()?,
        stream: cells.text()?,
        partition: cells.small()?,
        offset: cells.count()?,
        stage: cells.word(Stage::parse)?,
        code: cells.text()?,
        pointer: cells.text()?,
        message: cells.text()?,
        data: cells.payload()?,
        edited: cells.maybe_payload()?.map(<[u8]>::to_vec),
        key: cells.text()?,
        headers: cells.bytes()?,
        request_id: cells.text()?,
        correlation_id: cells.text()?,
        received_at: cells.number()?,
        first_failed_at: cells.number()?,
        last_failed_at: cells.number()?,
        attempts: cells.tries()?,
        classification: cells.word(Classification::parse)?,
        status: cells.word(LetterStatus::parse)?,
        retry_at: cells.raw()?,
    })
}
