//! Reading: each partition from its offset on, plainly (XRANGE) or as a member of a group (XREADGROUP).
//!
//! A partition that this process has in a group is read through it by the first cursor that starts at or after the group's
//! position: what it has read shows as pending until it is committed, and whoever takes the partition over claims that.
//! The offsets that it was told stay the truth: where the group gives something else than the next record, it reads on
//! plainly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event::{Block, StreamId};
use redis::{Cmd, Connection, RedisResult, Value};

use super::entries::{self, Entry};
use super::keys::CHUNK;
use super::refresh;
use super::shared::{Owned, Shared};
use crate::{Cursor, Extent, LogError};

/// Partitions that are read in one go.
const AT_ONCE: usize = 16;
/// Records that are read at once from one partition at the most.
const RECORDS_MAX: u64 = 4_096;
/// How many times the bytes asked for are read at the most, where all large records of a chunk come first.
const WORST: u64 = 4;

/// Cursors are told apart by number.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A cursor over some partitions of one stream.
pub(super) struct RedisCursor {
    shared: Arc<Shared>,
    stream: StreamId,
    number: u64,
    parts: Vec<Part>,
    /// Whose turn it is to be first.
    turn: usize,
}

struct Part {
    partition: u32,
    next: u64,
    seat: Option<Seat>,
}

/// A member's place in a group.
struct Seat {
    consumer: String,
    member: String,
    /// Records from the next one on that were delivered before.
    before: u64,
}

/// One partition's share of a reading.
struct Share {
    part: usize,
    records: u64,
    end: u64,
}

impl RedisCursor {
    /// A cursor that may read for a group.
    pub(super) fn new(shared: Arc<Shared>, stream: StreamId, from: &[(u32, u64)]) -> Self {
        let mut cursor = Self::plain(shared, stream, from);
        for i in 0..cursor.parts.len() {
            cursor.sit_down(i);
        }
        cursor
    }

    /// A cursor that reads for itself.
    pub(super) fn plain(shared: Arc<Shared>, stream: StreamId, from: &[(u32, u64)]) -> Self {
        let partitions = shared.catalog.get(stream).partitions;
        let from = from.iter().filter(|(partition, _)| *partition < partitions);
        let parts = from.map(|&(partition, next)| Part { partition, next, seat: None }).collect();
        Self { shared, stream, number: NUMBERS.fetch_add(1, Ordering::Relaxed), parts, turn: 0 }
    }

    /// Takes the group's place in a partition, if it is ours and free and nothing before it is asked for.
    fn sit_down(&mut self, i: usize) {
        let (partition, next) = (self.parts[i].partition, self.parts[i].next);
        let place = (self.stream, partition);
        let Some(owned) = self.shared.owned.lock().get(&place).filter(|owned| owned.seat == 0).cloned() else { return };
        if self.shared.position(&owned.consumer, place).is_some_and(|position| next < position) {
            return;
        }
        let Owned { consumer, member, .. } = owned;
        let taken: Result<(u64, u64), LogError> = self.shared.link.call(|connection| {
            let mut call = self.shared.scripts.take.prepare_invoke();
            call.key(&self.shared.keys.prefix).arg(self.shared.name(self.stream)).arg(partition);
            call.arg(&consumer).arg(&member).arg(next).invoke(connection)
        });
        let Ok((others, before)) = taken else { return };
        if others > 0 {
            let stream = self.shared.name(self.stream);
            tracing::info!(
                stream,
                partition,
                entries = others,
                "what another member had read and not processed is ours"
            );
        }
        if let Some(owned) = self.shared.owned.lock().get_mut(&place).filter(|o| o.seat == 0 && o.member == member) {
            owned.seat = self.number;
            self.parts[i].seat = Some(Seat { consumer, member, before });
        }
    }

    /// Reads on plainly.
    fn stand_up(&mut self, i: usize) {
        self.parts[i].seat = None;
        let place = (self.stream, self.parts[i].partition);
        if let Some(owned) = self.shared.owned.lock().get_mut(&place).filter(|owned| owned.seat == self.number) {
            owned.seat = 0;
        }
    }

    /// What of each partition is to be read, given where they end.
    fn shares(&mut self, connection: &mut Connection, bytes_max: usize) -> RedisResult<Vec<Share>> {
        let shared = self.shared.clone();
        let name = shared.name(self.stream);
        let partitions: Vec<u32> = self.parts.iter().map(|part| part.partition).collect();
        let extents = refresh::extents(&shared, connection, name, &partitions)?;
        for (i, extent) in extents.iter().enumerate() {
            if self.parts[i].next < extent.first {
                self.parts[i].next = extent.first;
                self.stand_up(i);
            }
        }
        let all = self.parts.len();
        let with_news = (0..all).map(|i| (i + self.turn) % all).filter(|i| self.parts[*i].next < extents[*i].next);
        let chosen: Vec<usize> = with_news.take(AT_ONCE).collect();
        self.turn = chosen.last().map_or(self.turn, |last| last + 1);
        let mut pipe = redis::pipe();
        for &i in &chosen {
            let part = &self.parts[i];
            pipe.cmd("HGET").arg(shared.keys.chunks(name, part.partition)).arg(part.next / CHUNK);
        }
        let chunks: Vec<Option<String>> = if chosen.is_empty() { Vec::new() } else { pipe.query(connection)? };
        let bytes = bytes_max / chosen.len().max(1);
        let share = |(&part, chunk): (&usize, Option<String>)| {
            let (at, extent) = (self.parts[part].next, extents[part]);
            Share { part, records: records_for(at, extent, chunk.as_deref(), bytes), end: extent.next }
        };
        Ok(chosen.iter().zip(chunks).map(share).collect())
    }

    fn ask(&self, share: &Share) -> Cmd {
        let Part { partition, next, seat } = &self.parts[share.part];
        let key = self.shared.keys.partition(self.shared.name(self.stream), *partition);
        match seat {
            None => {
                let mut ask = redis::cmd("XRANGE");
                ask.arg(key).arg(format!("0-{}", next + 1)).arg("+").arg("COUNT").arg(share.records);
                ask
            }
            Some(Seat { consumer, member, before }) => {
                let from = if *before > 0 { format!("0-{next}") } else { ">".to_owned() };
                let mut ask = redis::cmd("XREADGROUP");
                ask.arg("GROUP").arg(consumer).arg(member).arg("COUNT").arg(share.records);
                ask.arg("STREAMS").arg(key).arg(from);
                ask
            }
        }
    }

    /// Takes what a partition gave.
    fn take(&mut self, share: &Share, answer: RedisResult<Value>, out: &mut Vec<Block>) {
        let i = share.part;
        let (stream, partition, next) = (self.stream, self.parts[i].partition, self.parts[i].next);
        let found = if let Some(seat) = &mut self.parts[i].seat {
            let found = answer.map(entries::of_group).unwrap_or_default();
            if !follow(&found, next) {
                if found.is_empty() && seat.before > 0 {
                    seat.before = 0;
                } else {
                    self.stand_up(i);
                }
                return;
            }
            seat.before = seat.before.saturating_sub(found.len() as u64);
            found
        } else {
            let mut found = answer.map(entries::of_range).unwrap_or_default();
            found.retain(|entry| entry.offset >= next);
            found
        };
        entries::blocks(stream, partition, &found, out);
        // Nothing up to the end as it was: that much was lost.
        self.parts[i].next = found.last().map_or(share.end, |last| last.offset + 1);
    }

    fn read(&mut self, connection: &mut Connection, bytes_max: usize) -> RedisResult<Vec<Block>> {
        let mut out = Vec::new();
        while out.is_empty() {
            let shares = self.shares(connection, bytes_max)?;
            if shares.is_empty() {
                break;
            }
            let asks: Vec<Vec<u8>> = shares.iter().map(|share| self.ask(share).get_packed_command()).collect();
            connection.send_packed_command(&asks.concat())?;
            let answers: RedisResult<Vec<Value>> = asks.iter().map(|_| connection.recv_response()).collect();
            let answers: Vec<_> = answers?.into_iter().map(Value::extract_error).collect();
            // Before anybody moves on: what was taken would be lost with the error.
            for (share, answer) in shares.iter().zip(&answers) {
                if let (None, Err(error)) = (&self.parts[share.part].seat, answer) {
                    return Err(error.clone());
                }
            }
            for (share, answer) in shares.iter().zip(answers) {
                self.take(share, answer, &mut out);
            }
        }
        Ok(out)
    }
}

/// Whether these are the records from an offset on, without a gap.
fn follow(found: &[Entry], next: u64) -> bool {
    !found.is_empty() && found.iter().zip(next..).all(|(entry, offset)| entry.offset == offset)
}

/// How many records make about so many bytes by the mean of their chunk, and not many times as much at the worst.
fn records_for(at: u64, extent: Extent, chunk: Option<&str>, bytes: usize) -> u64 {
    let begin = (at / CHUNK * CHUNK).max(extent.first);
    let end = (at / CHUNK * CHUNK + CHUNK).min(extent.next);
    let mut figures = chunk.unwrap_or_default().rsplit(' ').map(|text| text.parse().unwrap_or(0_u64));
    let (held, largest) = (figures.next().unwrap_or(0), figures.next().unwrap_or(0));
    let mean = held / end.saturating_sub(begin).max(1);
    (bytes as u64 / mean.max(largest / WORST).max(1)).clamp(1, RECORDS_MAX)
}

impl Cursor for RedisCursor {
    fn next(&mut self, bytes_max: usize) -> Result<Vec<Block>, LogError> {
        for i in 0..self.parts.len() {
            let owned = |part: &Part| {
                let owned = self.shared.owned.lock();
                owned.get(&(self.stream, part.partition)).is_some_and(|owned| owned.seat == self.number)
            };
            if self.parts[i].seat.is_some() && !owned(&self.parts[i]) {
                self.parts[i].seat = None;
            }
        }
        let link = self.shared.clone();
        link.link.call(|connection| self.read(connection, bytes_max))
    }
}

impl Drop for RedisCursor {
    fn drop(&mut self) {
        (0..self.parts.len()).for_each(|i| self.stand_up(i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_records_are_read_as_make_the_bytes() {
        let extent = Extent { first: 100, next: 1_100 };
        let cases = [
            (100, Some("0 0 100 92400"), 10_000, 100),
            (100, Some("0 0 4000 92400"), 10_000, 10),
            (1_030, Some("0 0 1 76"), 10_000, RECORDS_MAX),
            (1_030, Some("0 0 1000 76000"), 999, 1),
            (500, None, 10, 10),
        ];
        for (at, chunk, bytes, expected) in cases {
            assert_eq!(records_for(at, extent, chunk, bytes), expected, "at {at}");
        }
    }
}
