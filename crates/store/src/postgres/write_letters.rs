//! Dead letters: new ones, and what happens to those that are there.

use event::{Catalog, DeadLetter, LetterChange, LetterEvent, Millis, Stage, limits};

use super::fault::Fault;
use super::parts::{Column, parts};
use super::pool::Tx;
use super::text::{payload, to_sql, to_text};

const INSERT: &str = "INSERT INTO dead_letter (id, tenant, stream, home, partition, \"offset\", stage, code, pointer, message,
      key, request_id, correlation_id, received_at, stored_at, first_failed, last_failed, attempts, classification, status,
      changed, retry_at, headers, data, data_raw, edited, edited_raw)
    SELECT l.id, l.tenant, l.stream, l.home, l.partition, l.at_offset, l.stage, l.code, l.pointer, l.message,
      l.key, l.request_id, l.correlation_id, l.received_at, $1, l.first_failed, l.last_failed, l.attempts,
      l.classification, l.status, $1, l.retry_at, l.headers, l.data, l.data_raw, l.edited, l.edited_raw
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::text[], $9::text[],
      $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[],
      $18::bigint[], $19::text[], $20::text[], $21::bigint[], $22::bytea[], $23::text[], $24::bytea[], $25::text[],
      $26::bytea[]) WITH ORDINALITY
      AS l (id, tenant, stream, home, partition, at_offset, stage, code, pointer, message, key, request_id,
      correlation_id, received_at, first_failed, last_failed, attempts, classification, status, retry_at, headers, data,
      data_raw, edited, edited_raw, at) ORDER BY l.at
    ON CONFLICT (id, tenant) DO NOTHING";

/// Adds dead letters; one that is there already stays as it is.
pub(super) fn add(tx: &mut Tx<'_>, letters: &[DeadLetter], now: Millis) -> Result<(), Fault> {
    let weight =
        |letter: &DeadLetter| letter.data.len() + letter.edited.as_ref().map_or(0, Vec::len) + letter.headers.len();
    for part in parts(letters, weight) {
        let text = |of: fn(&DeadLetter) -> &str| -> Column<'_> {
            part.iter().map(|row| to_text(of(row).as_bytes())).collect()
        };
        let number = |of: fn(&DeadLetter) -> Millis| -> Vec<Millis> { part.iter().map(of).collect() };
        let partitions: Vec<i32> = part.iter().map(|row| row.partition as i32).collect();
        let offsets = part.iter().map(|row| to_sql(row.offset)).collect::<Result<Vec<_>, _>>()?;
        let retries: Vec<Option<Millis>> = part.iter().map(|row| row.retry_at).collect();
        let headers: Vec<_> = part.iter().map(|row| (!row.headers.is_empty()).then_some(&*row.headers)).collect();
        let (data, raw): (Vec<_>, Vec<_>) = part.iter().map(|row| payload(&row.data)).unzip();
        let edited = part.iter().map(|row| row.edited.as_deref().map(payload).unwrap_or_default());
        let (edited, edited_raw): (Vec<_>, Vec<_>) = edited.unzip();
        tx.execute(
            INSERT,
            &[
                &now,
                &text(|row| &row.id),
                &text(|row| &row.tenant),
                &text(|row| &row.stream),
                // The record itself: what a door refused lies in the internal stream.
                &text(|row| if row.stage == Stage::Collect { Catalog::REFUSED } else { &row.stream }),
                &partitions,
                &offsets,
                &text(|row| row.stage.as_str()),
                &text(|row| &row.code),
                &text(|row| &row.pointer),
                &text(|row| &row.message),
                &text(|row| &row.key),
                &text(|row| &row.request_id),
                &text(|row| &row.correlation_id),
                &number(|row| row.received_at),
                &number(|row| row.first_failed_at),
                &number(|row| row.last_failed_at),
                &number(|row| row.attempts.into()),
                &text(|row| row.classification.as_str()),
                &text(|row| row.status.as_str()),
                &retries,
                &headers,
                &data,
                &raw,
                &edited,
                &edited_raw,
            ],
        )?;
    }
    Ok(())
}

/// Writes down what happened to dead letters. What the letter's status does not allow, see [`LetterEvent`], and what
/// happened to a letter that is not there, is passed over.
pub(super) fn change(tx: &mut Tx<'_>, changes: &[LetterChange], now: Millis) -> Result<(), Fault> {
    for change in changes {
        let (id, tenant) = (to_text(change.id.as_bytes()), to_text(change.tenant.as_bytes()));
        match &change.event {
            LetterEvent::Edited(bytes) => {
                let (text, raw) = bytes.as_deref().map(payload).unwrap_or_default();
                let sql = "UPDATE dead_letter SET edited = $3, edited_raw = $4
                    WHERE id = $1 AND tenant = $2 AND status IN ('open', 'replaying')";
                tx.execute(sql, &[&id, &tenant, &text, &raw])?
            }
            LetterEvent::Replaying => {
                let sql = "UPDATE dead_letter SET status = 'replaying', changed = $3, retry_at = NULL
                    WHERE id = $1 AND tenant = $2 AND status IN ('open', 'replaying')";
                tx.execute(sql, &[&id, &tenant, &now])?
            }
            LetterEvent::Resolved => {
                let sql = "UPDATE dead_letter SET status = 'resolved', changed = $3, retry_at = NULL
                    WHERE id = $1 AND tenant = $2 AND status IN ('open', 'replaying')";
                tx.execute(sql, &[&id, &tenant, &now])?
            }
            LetterEvent::Discarded => {
                let sql = "UPDATE dead_letter SET status = 'discarded', changed = $3, retry_at = NULL
                    WHERE id = $1 AND tenant = $2 AND status IN ('open', 'replaying', 'quarantined')";
                tx.execute(sql, &[&id, &tenant, &now])?
            }
            LetterEvent::Failed { stage, code, pointer, message, at, retry_at } => {
                let [code, pointer, message] = [code, pointer, message].map(|text| to_text(text.as_bytes()));
                // The attempts before this one: right sides of an UPDATE see the row as it was.
                let most = i64::from(limits::LETTER_REPLAYS_MAX);
                let sql = "UPDATE dead_letter SET stage = $4, code = $5, pointer = $6, message = $7, last_failed = $8,
                      attempts = attempts + 1, changed = $3,
                      status = CASE WHEN attempts > $10 THEN 'quarantined' ELSE 'open' END,
                      retry_at = CASE WHEN attempts > $10 THEN NULL ELSE $9::bigint END,
                      classification = CASE WHEN $9::bigint IS NULL THEN classification ELSE 'temporary' END
                    WHERE id = $1 AND tenant = $2 AND status IN ('open', 'replaying')";
                tx.execute(sql, &[&id, &tenant, &now, &stage.as_str(), &code, &pointer, &message, at, retry_at, &most])?
            }
        };
    }
    Ok(())
}
