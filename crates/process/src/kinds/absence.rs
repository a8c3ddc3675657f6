//! `absence`: nothing for a while.
//!
//! A record that meets the condition puts its key under watch. The partition's clock is the newest event time of its
//! records, none counted as later than its own receipt, and a key's last time is taken in the same way. The rule fires
//! when the clock reaches `last + after`, at the record that moved it there, whosever that is; then the key is no longer
//! watched until its next record. A record of the key itself that is not later than `last + after` has come in time,
//! though it moves the clock. A record that is already `after` behind the clock when it comes puts nobody under watch.
//!
//! When a partition is idle no record moves its clock: then it is told the time ([`crate::Program::advance`]).
//!
//! What is due is found by a heap with one entry for each watched key. An entry tells when the key was due when the entry
//! was made; when that time comes and the key has had another record since, the entry goes back with the new time. So a
//! record of a watched key does not touch the heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use event::{Millis, Record};

use super::Asked;
use crate::keys::{Keys, Track};
use crate::owner::{Owner, OwnerBytes};
use crate::wire::{self, Reader};

/// What a rule of this kind can tell.
pub(crate) const NAMES: &[&str] = &["since", "after"];

#[derive(Debug)]
pub(crate) struct Absence {
    pub(crate) after_ms: Millis,
    /// The same as people write it.
    pub(crate) after: String,
}

/// The keys under watch in one partition.
#[derive(Debug)]
pub(crate) struct Watch {
    keys: Keys<Last>,
    /// When keys were due, with their slots. May hold more than [`Last::queued`] knows of: those are passed over.
    due: BinaryHeap<Reverse<(Millis, u32)>>,
    /// The partition's clock.
    clock: Millis,
}

/// The memory of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    /// Its last time; `Millis::MIN` when it is not under watch.
    time: Millis,
    offset: u64,
    received_at: Millis,
    /// Silent before this; `Millis::MIN` when the rule never fired for it.
    until: Millis,
    /// The time of its entry in the heap; `Millis::MIN` when it has none.
    queued: Millis,
}

/// A key that was absent for too long, with its last record.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    pub(crate) owner: OwnerBytes,
    pub(crate) since: Millis,
    /// When that was too long ago.
    pub(crate) at: Millis,
    pub(crate) offset: u64,
    pub(crate) received_at: Millis,
}

impl Default for Watch {
    fn default() -> Self {
        Self { keys: Keys::default(), due: BinaryHeap::new(), clock: Millis::MIN }
    }
}

impl Default for Last {
    fn default() -> Self {
        Self { time: Millis::MIN, offset: 0, received_at: 0, until: Millis::MIN, queued: Millis::MIN }
    }
}

impl Watch {
    pub(crate) fn keys(&self) -> &Keys<Last> {
        &self.keys
    }

    /// The earliest time at which a key may be due.
    pub(crate) fn due(&self) -> Option<Millis> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes a record, which meets the condition or does not; adds who is absent now.
    pub(crate) fn take<'a>(
        &mut self,
        rule: &Absence,
        record: &Record<'a>,
        meets: bool,
        asked: &mut Asked<'a>,
        absent: &mut Vec<Absent>,
    ) {
        let time = record.time.min(record.received_at);
        self.clock = self.clock.max(time);
        if !meets {
            self.sweep(rule, self.clock, asked.cooldown_ms, absent);
            return;
        }
        let (owner, hash) = asked.who(record);
        let known = self.keys.find(hash, owner);
        let known = known.filter(|at| {
            let last = self.keys.track(*at);
            last.time != Millis::MIN && time <= last.time.saturating_add(rule.after_ms)
        });
        if let Some(at) = known {
            self.keys.work(asked.bounds, at, |last| last.see(time, record));
        }
        self.sweep(rule, self.clock, asked.cooldown_ms, absent);
        let due = time.saturating_add(rule.after_ms);
        if known.is_some() || due <= self.clock {
            return;
        }
        let queued = self.keys.update(asked.bounds, hash, owner, |last| {
            last.see(time, record);
            std::mem::replace(&mut last.queued, due)
        });
        if queued == Millis::MIN
            && let Some(at) = self.keys.find(hash, owner)
        {
            self.queue(due, at);
        }
    }

    /// Adds who is absent at a time.
    pub(crate) fn sweep(&mut self, rule: &Absence, to: Millis, cooldown_ms: Millis, absent: &mut Vec<Absent>) {
        let before = absent.len();
        while let Some(Reverse((queued, at))) = self.due.peek().copied()
            && queued <= to
        {
            self.due.pop();
            let last = self.keys.track_mut(at);
            if last.queued != queued {
                continue; // of a key that was forgotten
            }
            let due = last.time.saturating_add(rule.after_ms);
            if due > to {
                last.queued = due;
                self.due.push(Reverse((due, at)));
                continue;
            }
            let gone = *last;
            let loud = due >= gone.until;
            last.time = Millis::MIN;
            last.queued = Millis::MIN;
            last.until = if loud { due.saturating_add(cooldown_ms) } else { gone.until };
            if loud {
                let owner = OwnerBytes::new(self.keys.owner(at));
                let (offset, received_at) = (gone.offset, gone.received_at);
                absent.push(Absent { owner, since: gone.time, at: due, offset, received_at });
            }
            if self.keys.track(at).until <= due {
                self.keys.remove(at); // nothing to be silent about
            }
        }
        // Those that are due at one time come out of the heap by slot, which a restart changes.
        absent[before..].sort_unstable_by(|a, b| (a.at, a.owner.get()).cmp(&(b.at, b.owner.get())));
    }

    fn queue(&mut self, due: Millis, at: u32) {
        self.due.push(Reverse((due, at)));
        // Forgotten keys leave entries behind.
        if self.due.len() > 2 * self.keys.len() + 1_024 {
            let keys = &self.keys;
            self.due.retain(|Reverse((due, at))| keys.track(*at).queued == *due);
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        wire::put_time(out, self.clock, 0);
        self.keys.encode(out);
    }

    pub(crate) fn decode(rule: &Absence, reader: &mut Reader<'_>, hash: impl Fn(Owner<'_>) -> u64) -> Option<Self> {
        let clock = reader.time(0)?;
        let mut keys = Keys::<Last>::decode(reader, hash)?;
        let watched: Vec<_> = keys.iter().filter(|(_, _, last)| last.time != Millis::MIN).map(|(at, ..)| at).collect();
        let mut due = Vec::with_capacity(watched.len());
        for at in watched {
            let last = keys.track_mut(at);
            last.queued = last.time.saturating_add(rule.after_ms);
            due.push(Reverse((last.queued, at)));
        }
        Some(Self { keys, due: due.into(), clock })
    }
}

impl Last {
    fn see(&mut self, time: Millis, record: &Record<'_>) {
        if time >= self.time {
            (self.time, self.offset, self.received_at) = (time, record.offset, record.received_at);
        }
    }
}

impl Track for Last {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_time(out, self.time, 0);
        wire::put(out, self.offset);
        wire::put_signed(out, self.received_at.wrapping_sub(self.time));
        wire::put_time(out, self.until, self.time);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (time, offset) = (reader.time(0)?, reader.number()?);
        let received_at = time.wrapping_add(reader.signed()?);
        Some(Self { time, offset, received_at, until: reader.time(time)?, queued: Millis::MIN })
    }
}
