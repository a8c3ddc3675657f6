//! `streak`: so many records in a row.
//!
//! A record that meets `unless` ends the row; any other that meets the condition makes it one longer; the rest are not
//! looked at. In a row means in the log's order, which for one key is the order in which its records came: a late record
//! is the newest link. The rule fires when a row reaches its length, once a row: the next row begins after an end.
//! When the rule is silent at that moment, that row is not told.
//!
//! A key without a row and without a silence is forgotten: one success a day costs nothing.

use super::silence::Silence;
use super::{Asked, Memory};
use crate::build::Condition;
use crate::keys::Track;
use crate::row::{Row, TOLD_NOTHING, Told};
use crate::value::Value;
use crate::wire::{self, Reader};

/// What a rule of this kind can tell.
pub(crate) const NAMES: &[&str] = &["count"];

#[derive(Debug)]
pub(crate) struct Streak {
    pub(crate) length: u64,
    pub(crate) unless: Condition,
}

/// The memory of one key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    length: u64,
    silence: Silence,
}

impl Streak {
    pub(crate) fn judge<'a>(
        &'a self,
        when: &'a Condition,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
    ) -> Option<Told<'a>> {
        let Memory::Streak(keys) = memory else {
            return None;
        };
        let time = row.record.time;
        if self.unless.holds(row) {
            let (owner, hash) = asked.who(&row.record);
            let at = keys.find(hash, owner)?;
            let over = keys.work(asked.bounds, at, |run| {
                run.length = 0;
                run.silence.see(time);
                run.silence.is_over()
            });
            if over {
                keys.remove(at);
            }
            return None;
        }
        if !when.holds(row) {
            return None;
        }
        let (owner, hash) = asked.who(&row.record);
        let fires = keys.update(asked.bounds, hash, owner, |run| {
            run.length += 1;
            run.silence.see(time);
            run.length == self.length && run.silence.fire(asked.cooldown_ms)
        });
        fires.then(|| {
            let mut told = TOLD_NOTHING;
            told[0] = Value::Int(self.length.into());
            told
        })
    }
}

impl Track for Run {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::put(out, self.length);
        self.silence.encode(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { length: reader.number()?, silence: Silence::decode(reader)? })
    }
}
