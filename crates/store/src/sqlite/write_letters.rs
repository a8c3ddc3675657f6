//! Dead letters: new ones, and what happens to those that are there.

use event::{Catalog, DeadLetter, LetterChange, LetterEvent, Millis, Stage, limits};
use rusqlite::{Transaction, params};

use super::numbers::Numbers;
use super::values::{payload, to_sql};
use crate::StoreError;

/// Adds dead letters; one that is there already stays as it is.
pub(super) fn add(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    letters: &[DeadLetter],
    now: Millis,
) -> Result<(), StoreError> {
    for letter in letters {
        let stream = numbers.stream(&letter.stream)?;
        // The record itself: what a door refused lies in the internal stream.
        let home = if letter.stage == Stage::Collect { numbers.stream(Catalog::REFUSED)? } else { stream };
        tx.prepare_cached(
            "INSERT INTO dead_letters (id, tenant, stream, home, part, off, stage, code, pointer, message, key, request_id,
             correlation_id, received, stored, first_failed, last_failed, attempts, classification, status, changed,
             retry_at, headers, data, edited) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
             ?16, ?17, ?18, ?19, ?20, ?15, ?21, ?22, ?23, ?24) ON CONFLICT (id, tenant) DO NOTHING",
        )?
        .execute(params![
            letter.id,
            numbers.tenant(letter.tenant.as_bytes())?,
            stream,
            home,
            letter.partition,
            to_sql(letter.offset)?,
            letter.stage.as_str(),
            letter.code,
            letter.pointer,
            letter.message,
            letter.key,
            letter.request_id,
            letter.correlation_id,
            letter.received_at,
            now,
            letter.first_failed_at,
            letter.last_failed_at,
            letter.attempts,
            letter.classification.as_str(),
            letter.status.as_str(),
            letter.retry_at,
            (!letter.headers.is_empty()).then_some(&letter.headers),
            payload(&letter.data),
            letter.edited.as_deref().map(payload),
        ])?;
    }
    Ok(())
}

/// Writes down what happened to dead letters. What the letter's status does not allow, see [`LetterEvent`], and what
/// happened to a letter that is not there, is passed over.
pub(super) fn change(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    changes: &[LetterChange],
    now: Millis,
) -> Result<(), StoreError> {
    for change in changes {
        let Some(tenant) = numbers.known_tenant(change.tenant.as_bytes())? else { continue };
        let id = &change.id;
        match &change.event {
            LetterEvent::Edited(bytes) => tx
                .prepare_cached(
                    "UPDATE dead_letters SET edited = ?3 WHERE id = ?1 AND tenant = ?2 AND status IN ('open', 'replaying')",
                )?
                .execute(params![id, tenant, bytes.as_deref().map(payload)])?,
            LetterEvent::Replaying => tx
                .prepare_cached(
                    "UPDATE dead_letters SET status = 'replaying', changed = ?3, retry_at = NULL
                     WHERE id = ?1 AND tenant = ?2 AND status IN ('open', 'replaying')",
                )?
                .execute(params![id, tenant, now])?,
            LetterEvent::Resolved => tx
                .prepare_cached(
                    "UPDATE dead_letters SET status = 'resolved', changed = ?3, retry_at = NULL
                     WHERE id = ?1 AND tenant = ?2 AND status IN ('open', 'replaying')",
                )?
                .execute(params![id, tenant, now])?,
            LetterEvent::Discarded => tx
                .prepare_cached(
                    "UPDATE dead_letters SET status = 'discarded', changed = ?3, retry_at = NULL
                     WHERE id = ?1 AND tenant = ?2 AND status IN ('open', 'replaying', 'quarantined')",
                )?
                .execute(params![id, tenant, now])?,
            LetterEvent::Failed { stage, code, pointer, message, at, retry_at } => tx
                .prepare_cached(
                    "UPDATE dead_letters SET stage = ?4, code = ?5, pointer = ?6, message = ?7, last_failed = ?8,
                       attempts = attempts + 1, changed = ?3,
                       status = iif(attempts > ?10, 'quarantined', 'open'),
                       retry_at = iif(attempts > ?10, NULL, ?9),
                       classification = iif(?9 IS NULL, classification, 'temporary')
                     WHERE id = ?1 AND tenant = ?2 AND status IN ('open', 'replaying')",
                )?
                .execute(params![
                    id,
                    tenant,
                    now,
                    stage.as_str(),
                    code,
                    pointer,
                    message,
                    at,
                    retry_at,
                    // The attempts before this one: right sides of an UPDATE see the row as it was.
                    limits::LETTER_REPLAYS_MAX,
                ])?,
        };
    }
    Ok(())
}
