//! Event rows as PostgreSQL's binary COPY takes them: for every row the number of columns, for every column its length
//! and its bytes, all numbers big endian.

use std::io::Write;

use event::{Block, Catalog, Millis, Record};

use super::fault::Fault;
use super::pool::Tx;
use super::text::{payload, to_sql, to_text};
use crate::StoreError;

const COPY: &str =
    "COPY events (stream, partition, received_at, stored_at, tenant, \"offset\", event_time, key, kind, id,
    headers, data, data_raw) FROM STDIN BINARY";
const COLUMNS: i16 = 13;
/// Signature, flags, length of the header's extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const END: i16 = -1;
const NULL: i32 = -1;
/// Bytes after which what was encoded is sent.
const SEND_BYTES: usize = 128 << 10;

/// Copies the records of all blocks into the table, straight: positions move in the same transaction, under a lock, so no
/// row can be there already. A detour over a staging table writes every row twice, see the module's page.
pub(super) fn add_rows(tx: &mut Tx<'_>, catalog: &Catalog, blocks: &[Block], now: Millis) -> Result<(), Fault> {
    if blocks.iter().all(Block::is_empty) {
        return Ok(());
    }
    for block in blocks {
        to_sql(block.next_offset())?;
    }
    let mut writer = tx.copy_in(COPY)?;
    let mut out = Vec::with_capacity(SEND_BYTES + (SEND_BYTES >> 2));
    out.extend_from_slice(HEADER);
    let mut sent = Ok(());
    'all: for block in blocks {
        let shared = Shared::of(&catalog.get(block.stream).name, block, now);
        for record in block.records() {
            shared.put_row(&record, &mut out)?;
            if out.len() >= SEND_BYTES {
                sent = writer.write_all(&out);
                out.clear();
                if sent.is_err() {
                    break 'all;
                }
            }
        }
    }
    out.extend_from_slice(&END.to_be_bytes());
    let sent = sent.and_then(|()| writer.write_all(&out));
    // What the server has against a row it says at the end; that a write failed only follows from it.
    match (writer.finish(), sent) {
        (Ok(_), Ok(())) => Ok(()),
        (Err(error), _) => Err(error.into()),
        (Ok(_), Err(error)) => Err(error.into()),
    }
}

/// What the rows of a block have in common, encoded once.
struct Shared {
    start: Vec<u8>,
}

impl Shared {
    fn of(stream: &str, block: &Block, now: Millis) -> Self {
        let mut start = Vec::with_capacity(64);
        start.extend_from_slice(&COLUMNS.to_be_bytes());
        let put = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(bytes);
        };
        put(&mut start, stream.as_bytes());
        put(&mut start, &(block.partition as i32).to_be_bytes());
        put(&mut start, &block.appended_at.to_be_bytes());
        put(&mut start, &now.to_be_bytes());
        Self { start }
    }

    fn put_row(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        out.extend_from_slice(&self.start);
        put_text(record.tenant(), out)?;
        put_number(record.offset as i64, out);
        put_number(record.time, out);
        put_text(record.key, out)?;
        put_text(record.kind, out)?;
        put_text(record.id, out)?;
        put_bytes((!record.headers.is_empty()).then_some(record.headers), out)?;
        let (text, raw) = payload(record.data);
        put_bytes(text.map(str::as_bytes), out)?;
        put_bytes(raw, out)
    }
}

pub(super) fn put_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&8_i32.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_text(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
    put_bytes(Some(to_text(bytes).as_bytes()), out)
}

pub(super) fn put_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let Some(bytes) = bytes else {
        out.extend_from_slice(&NULL.to_be_bytes());
        return Ok(());
    };
    let too_large = |_| StoreError::Refused(format!("{} bytes are more than a column holds", bytes.len()));
    out.extend_from_slice(&i32::try_from(bytes.len()).map_err(too_large)?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
