//! `sequence`: a record that meets the condition, then one that meets `then`, within a stretch of event time.
//!
//! Of the first kind a key remembers the newest one by event time. One of the second kind fires when it is at most
//! `within` later (exactly that much still counts) and not earlier; the first one is used up by that, told or not. A
//! record that is both is a second one before it is a first one: five purchases in a row are four sequences. A second
//! one that comes before its first one in the log finds nothing.

use event::Millis;

use super::silence::Silence;
use super::{Asked, Memory};
use crate::build::Condition;
use crate::keys::Track;
use crate::row::{Row, Told};
use crate::value::Value;
use crate::wire::{self, Reader};

/// What a rule of this kind can tell.
pub(crate) const NAMES: &[&str] = &["first_time", "gap_ms"];

#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) then: Condition,
    pub(crate) within_ms: Millis,
}

/// The memory of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First {
    /// The time of the first one; `Millis::MIN` when there is none.
    time: Millis,
    silence: Silence,
}

impl Sequence {
    pub(crate) fn judge<'a>(
        &'a self,
        when: &'a Condition,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
    ) -> Option<Told<'a>> {
        let Memory::Sequence(keys) = memory else {
            return None;
        };
        let time = row.record.time;
        let mut told = None;
        if self.then.holds(row) {
            let (owner, hash) = asked.who(&row.record);
            if let Some(at) = keys.find(hash, owner) {
                told = keys.work(asked.bounds, at, |first| first.meet(time, self.within_ms, asked.cooldown_ms));
                if keys.track(at).is_over() {
                    keys.remove(at);
                }
            }
        }
        if when.holds(row) {
            let (owner, hash) = asked.who(&row.record);
            keys.update(asked.bounds, hash, owner, |first| {
                first.time = first.time.max(time);
                first.silence.see(time);
            });
        }
        let first = told?;
        let gap = time.saturating_sub(first);
        Some([Value::Int(first.into()), Value::Int(gap.into()), Value::Missing, Value::Missing])
    }
}

impl First {
    /// Takes a second one; gives the time of its first one when the rule fires.
    fn meet(&mut self, time: Millis, within_ms: Millis, cooldown_ms: Millis) -> Option<Millis> {
        self.silence.see(time);
        let first = self.time;
        if first == Millis::MIN || time < first || time.saturating_sub(first) > within_ms {
            return None;
        }
        self.time = Millis::MIN;
        self.silence.fire(cooldown_ms).then_some(first)
    }

    /// Whether to forget it makes no difference.
    fn is_over(&self) -> bool {
        self.time == Millis::MIN && self.silence.is_over()
    }
}

impl Default for First {
    fn default() -> Self {
        Self { time: Millis::MIN, silence: Silence::default() }
    }
}

impl Track for First {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_time(out, self.time, 0);
        self.silence.encode(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { time: reader.time(0)?, silence: Silence::decode(reader)? })
    }
}
