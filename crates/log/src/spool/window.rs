//! A piece of the spool on its way to the broker: its records as batches, as they were taken.

use bytes::Bytes;
use event::{Batch, Block, Catalog, Draft, Millis, NO_TIME, Record, Span, Stream, StreamId, headers};

use super::identity;
use crate::IdHasher;

/// Why a record becomes a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    /// It has waited for too long.
    Expired,
    /// The broker does not take it.
    Refused,
    /// Nor does it take the letter with all of it.
    Cut,
}

/// What is left of an event that is cut.
const CUT_BYTES: usize = 4 << 10;

impl Dead {
    fn code(self) -> &'static str {
        match self {
            Self::Expired => "spool_expired",
            Self::Refused | Self::Cut => "broker_refused",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Expired => "the broker was away for longer than an event may wait for it",
            Self::Refused | Self::Cut => "the broker does not take this event",
        }
    }
}

/// One record, and where it is in the spool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) stream: StreamId,
    pub(super) partition: u32,
    pub(super) record: Record<'a>,
    pub(super) dead: Option<Dead>,
}

/// The pieces of some blocks, in order. `old` is the time before which what was taken has waited for too long.
pub(super) fn pieces<'a>(stream: &Stream, blocks: &'a [Block], old: Millis) -> Vec<Piece<'a>> {
    // What is a dead letter already, or the replay of one, stays what it is; answers are nobody's event.
    let internal = stream.name.starts_with('_');
    let dead = |record: &Record<'_>| {
        let expired = record.received_at < old && !internal && headers::get(record.headers, headers::LETTER).is_none();
        expired.then_some(Dead::Expired)
    };
    let of = |block: &'a Block| {
        let piece = move |record: Record<'a>| (block.stream, block.partition, record);
        block.records().map(piece)
    };
    let all = blocks.iter().flat_map(of);
    all.map(|(stream, partition, record)| Piece { stream, partition, record, dead: dead(&record) }).collect()
}

/// The batches of some pieces, in order: one for each time at which they were taken, and for dead letters.
pub(super) fn batches(catalog: &Catalog, ids: IdHasher, letters: IdHasher, pieces: &[Piece<'_>]) -> Vec<Batch> {
    let same = |a: &Piece<'_>, b: &Piece<'_>| {
        (a.stream, a.dead.is_some(), a.record.received_at) == (b.stream, b.dead.is_some(), b.record.received_at)
    };
    let batch = |run: &[Piece<'_>]| {
        let first = run.first()?;
        Some(match first.dead {
            None => living(ids, first, catalog.get(first.stream).dedup.is_some(), run),
            Some(_) => dead(letters, catalog, run),
        })
    };
    pieces.chunk_by(same).filter_map(batch).collect()
}

/// Records as they were.
fn living(ids: IdHasher, first: &Piece<'_>, dedup: bool, run: &[Piece<'_>]) -> Batch {
    let mut parts = Parts::default();
    let drafts = run.iter().map(|piece| {
        let record = &piece.record;
        Draft {
            partition: piece.partition,
            // None given, or the same: it is that of its append.
            time: if record.time == record.received_at { NO_TIME } else { record.time },
            id_hash: if dedup { identity::hash_of(ids, record) } else { 0 },
            data: parts.put(record.data),
            key: parts.put(record.key),
            kind: parts.put(record.kind),
            id: parts.put(record.id),
            headers: parts.put(record.headers),
        }
    });
    let drafts = drafts.collect();
    parts.batch(first.stream, Some(first.record.received_at), drafts)
}

/// Dead letters, as doors write them.
fn dead(letters: IdHasher, catalog: &Catalog, run: &[Piece<'_>]) -> Batch {
    let mut parts = Parts::default();
    let mut head = Vec::new();
    let drafts = run.iter().map(|piece| {
        let Piece { stream, partition, record, dead } = piece;
        let dead = dead.unwrap_or(Dead::Expired);
        let name = &catalog.get(*stream).name;
        // The same for the same record, so that one that is sent twice is known.
        let origin = letters.hash(format!("{name}/{partition}/{}", record.offset).as_bytes());
        head.clear();
        identity::put(&mut head, origin);
        let said = [("stream", name.as_str()), ("code", dead.code()), ("pointer", ""), ("message", dead.message())];
        said.iter().for_each(|(name, value)| headers::put(&mut head, name, value.as_bytes()));
        headers::put(&mut head, headers::LETTER, uuid(origin).as_bytes());
        let data = &record.data[..record.data.len().min(if dead == Dead::Cut { CUT_BYTES } else { usize::MAX })];
        if dead == Dead::Cut {
            headers::put(&mut head, "cut-from-bytes", record.data.len().to_string().as_bytes());
        }
        let own = headers::iter(record.headers).filter(|(name, _)| *name != identity::ORIGIN);
        own.for_each(|(name, value)| headers::put(&mut head, name, value));
        let none = Span::EMPTY;
        let (data, headers) = (parts.put(data), parts.put(&head));
        Draft { partition: 0, time: NO_TIME, id_hash: 0, data, key: none, kind: none, id: none, headers }
    });
    let drafts = drafts.collect();
    parts.batch(catalog.refused(), None, drafts)
}

/// The bytes of a batch, behind one another.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn put(&mut self, bytes: &[u8]) -> Span {
        if bytes.is_empty() {
            return Span::EMPTY;
        }
        self.0.extend_from_slice(bytes);
        Span::shared(self.0.len() - bytes.len(), bytes.len())
    }

    fn batch(self, stream: StreamId, taken_at: Option<Millis>, drafts: Vec<Draft>) -> Batch {
        let mut batch = Batch::new(stream, Bytes::from(self.0));
        (batch.taken_at, batch.drafts) = (taken_at, drafts);
        batch
    }
}

/// A UUID of the kind that is made freely (version 8).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        assert_eq!(uuid(0), "00000000-0000-8000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
