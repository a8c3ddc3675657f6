//! Entries of a Redis stream as records: read from an answer, put together into blocks.

use bytes::Bytes;
use event::{Batch, Block, BlockBuilder, Draft, Millis, NO_TIME, Span, StreamId};
use redis::Value;

/// Bytes of one block, about: a reader holds it whole.
const BLOCK_BYTES: usize = 1 << 20;

/// One record as it lies in Redis.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    /// The event time, or [`NO_TIME`].
    pub(super) time: Millis,
    pub(super) received_at: Millis,
    data: Vec<u8>,
    key: Vec<u8>,
    kind: Vec<u8>,
    id: Vec<u8>,
    headers: Vec<u8>,
}

impl Entry {
    fn weight(&self) -> usize {
        self.data.len() + self.key.len() + self.kind.len() + self.id.len() + self.headers.len() + event::ENTRY_BYTES
    }

    fn new(id: &[u8], fields: Vec<Value>) -> Option<Self> {
        let seq: u64 = std::str::from_utf8(id).ok()?.strip_prefix("0-")?.parse().ok()?;
        let mut entry = Self { offset: seq.checked_sub(1)?, time: NO_TIME, ..Self::default() };
        let mut received = None;
        let mut fields = fields.into_iter();
        while let (Some(Value::BulkString(name)), Some(Value::BulkString(value))) = (fields.next(), fields.next()) {
            match &name[..] {
                b"data" => entry.data = value,
                b"key" => entry.key = value,
                b"type" => entry.kind = value,
                b"id" => entry.id = value,
                b"headers" => entry.headers = value,
                b"time" if value.is_empty() => {}
                b"time" => entry.time = std::str::from_utf8(&value).ok()?.parse().ok()?,
                b"received_at" => received = std::str::from_utf8(&value).ok()?.parse().ok(),
                _ => {}
            }
        }
        entry.received_at = received?;
        Some(entry)
    }
}

/// The entries of an answer of XRANGE. What is no record of ours is left out.
pub(super) fn of_range(answer: Value) -> Vec<Entry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    let one = |entry: Value| {
        let Value::Array(pair) = entry else { return None };
        match <[Value; 2]>::try_from(pair) {
            Ok([Value::BulkString(id), Value::Array(fields)]) => Entry::new(&id, fields),
            _ => None,
        }
    };
    entries.into_iter().filter_map(one).collect()
}

/// The entries of an answer of XREADGROUP for one key.
pub(super) fn of_group(answer: Value) -> Vec<Entry> {
    let Value::Array(mut keys) = answer else { return Vec::new() };
    let Some(Value::Array(pair)) = keys.pop() else { return Vec::new() };
    pair.into_iter().nth(1).map_or_else(Vec::new, of_range)
}

/// Puts entries, in order, together: a block ends where an offset is missing or the time of append changes.
pub(super) fn blocks(stream: StreamId, partition: u32, entries: &[Entry], out: &mut Vec<Block>) -> usize {
    let mut bytes = 0;
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let mut weight = first.weight();
        let mut len = 1;
        while let Some(next) = rest.get(len) {
            let follows = next.offset == first.offset + len as u64 && next.received_at == first.received_at;
            if !follows || weight + next.weight() > BLOCK_BYTES {
                break;
            }
            weight += next.weight();
            len += 1;
        }
        let (run, others) = rest.split_at(len);
        rest = others;
        if let Some(block) = block(stream, partition, run) {
            bytes += block.weight();
            out.push(block);
        }
    }
    bytes
}

fn block(stream: StreamId, partition: u32, run: &[Entry]) -> Option<Block> {
    let first = run.first()?;
    let mut all = Vec::with_capacity(run.iter().map(|entry| entry.data.len()).sum());
    run.iter().for_each(|entry| all.extend_from_slice(&entry.data));
    let mut batch = Batch::new(stream, Bytes::from(all));
    let mut builder = BlockBuilder::default();
    let mut at = 0;
    for entry in run {
        let data = Span::shared(at, entry.data.len());
        at += entry.data.len();
        let key = batch.put_side(&entry.key);
        let kind = batch.put_side(&entry.kind);
        let id = batch.put_side(&entry.id);
        let headers = batch.put_side(&entry.headers);
        builder.push(&batch, &Draft { partition, time: entry.time, id_hash: 0, data, key, kind, id, headers });
    }
    let body = Bytes::copy_from_slice(builder.body());
    // What was just built fits.
    Block::parse(stream, partition, first.offset, first.received_at, run.len(), body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(entries: &[(&str, &[(&str, &str)])]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = |fields: &[(&str, &str)]| fields.iter().flat_map(|(n, v)| [text(n), text(v)]).collect();
        let entry = |(id, of): &(&str, &[(&str, &str)])| Value::Array(vec![text(id), Value::Array(fields(of))]);
        Value::Array(entries.iter().map(entry).collect())
    }

    #[test]
    fn entries_become_blocks_that_end_at_gaps_and_other_times() {
        let of = |time, received| {
            [("data", "{}"), ("key", "k"), ("type", "t"), ("id", "i"), ("time", time), ("received_at", received)]
        };
        let given = answer(&[
            ("0-1", &of("5", "100")),
            ("0-2", &of("", "100")),
            ("0-3", &of("7", "200")),
            ("0-5", &of("-8", "200")),
            ("17-5", &of("7", "200")),
            ("0-6", &[("data", "no time of append")]),
        ]);
        let mut out = Vec::new();
        assert!(blocks(StreamId(0), 1, &of_range(given), &mut out) > 0);
        let seen: Vec<_> =
            out.iter().map(|b| (b.appended_at, b.records().map(|r| (r.offset, r.time)).collect::<Vec<_>>())).collect();
        assert_eq!(seen, [(100, vec![(0, 5), (1, 100)]), (200, vec![(2, 7)]), (200, vec![(4, -8)])]);
        let first = out[0].records().next().unwrap();
        assert_eq!((first.data, first.key, first.kind, first.id), (&b"{}"[..], &b"k"[..], &b"t"[..], &b"i"[..]));
    }
}
