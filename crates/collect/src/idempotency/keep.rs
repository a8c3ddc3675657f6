//! A kept answer as a record of the internal stream, so that it survives a restart; and the way back.

use event::limits::{ANSWERS_AGE_MS, ANSWERS_MAX};
use event::{Batch, Catalog, Draft, Millis, Record, Span, headers};
use log::{Log, LogError};

use super::key;
use super::table::{Table, expired};
use crate::reply::Answer;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What a record says besides the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) tenant: &'a str,
    pub(super) path: &'a str,
    pub(super) key: &'a str,
    pub(super) fingerprint: u128,
    pub(super) at: Millis,
}

/// The answer's bytes as data under its key, all else as headers.
pub(super) fn record(catalog: &Catalog, about: About<'_>, answer: &Answer) -> Batch {
    let mut list = Vec::with_capacity(128);
    if !about.tenant.is_empty() {
        headers::put(&mut list, headers::TENANT, about.tenant.as_bytes());
    }
    headers::put(&mut list, "path", about.path.as_bytes());
    headers::put(&mut list, "fingerprint", format!("{:032x}", about.fingerprint).as_bytes());
    headers::put(&mut list, "status", answer.status.as_str().as_bytes());
    let mut batch = Batch::new(catalog.answers(), answer.body.clone());
    let draft = Draft {
        partition: 0,
        time: about.at,
        id_hash: 0,
        data: Span::shared(0, answer.body.len()),
        key: batch.put_side(about.key.as_bytes()),
        kind: Span::EMPTY,
        id: Span::EMPTY,
        headers: batch.put_side(&list),
    };
    batch.drafts.push(draft);
    batch
}

/// Everything that was answered within the time that answers are kept, as far as there is room for it.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn load(
    log: &dyn Log,
    catalog: &Catalog,
    lane: impl Fn(&[u8]) -> u32,
    now: Millis,
) -> Result<Table, LogError> {
    let (mut table, stream) = (Table::default(), catalog.answers());
    let end = log.extents(stream).first().map_or(0, |extent| extent.next);
    if end == 0 {
        return Ok(table);
    }
    let first =
        log.offset_at(stream, 0, now.saturating_sub(ANSWERS_AGE_MS))?.max(end.saturating_sub(ANSWERS_MAX as u64));
    let mut cursor = log.read(stream, &[(0, first)])?;
    loop {
        let blocks = cursor.next(READ_BYTES)?;
        if blocks.is_empty() {
            return Ok(table);
        }
        for record in blocks.iter().flat_map(event::Block::records).filter(|record| !expired(record.time, now)) {
            if let Some((fingerprint, path, answer)) = parts(&record) {
                let scope = key::scope(log.id_hasher(), record.tenant(), path, record.key);
                table.keep(lane(record.tenant()), (scope, fingerprint), record.time, answer);
            }
        }
    }
}

/// Fingerprint, path and answer; `None` for a record that some other hand wrote.
fn parts<'a>(record: &Record<'a>) -> Option<(u128, &'a [u8], Answer)> {
    let text = |name| std::str::from_utf8(headers::get(record.headers, name)?).ok();
    let fingerprint = u128::from_str_radix(text("fingerprint")?, 16).ok()?;
    let status = text("status")?.parse().ok()?;
    let body = bytes::Bytes::copy_from_slice(record.data);
    Some((fingerprint, headers::get(record.headers, "path")?, Answer { status, body }))
}
