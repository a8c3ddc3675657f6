//! What makes a rule fire once its condition holds: one file a kind, each with what it remembers of a key.

use event::{Millis, Record};

use crate::build::Condition;
use crate::keys::{Bounds, Keys, Track};
use crate::owner::Owner;
use crate::row::{Row, TOLD_NOTHING, Told};
use crate::wire::Reader;

pub(crate) mod absence;
pub(crate) mod count;
pub(crate) mod deviation;
pub(crate) mod hours;
pub(crate) mod novel;
pub(crate) mod sequence;
mod silence;
pub(crate) mod streak;
mod times;

use absence::{Absence, Watch};
use count::{Count, Counted};
use deviation::{Deviation, Moments};
use hours::{Hours, Stretch};
use novel::{Known, Novel};
use sequence::{First, Sequence};
use silence::Silence;
use streak::{Run, Streak};

/// A kind, compiled.
#[derive(Debug)]
pub(crate) enum Kind {
    Predicate,
    Count(Count),
    Streak(Streak),
    Novel(Novel),
    Hours(Hours),
    Deviation(Deviation),
    Absence(Absence),
    Sequence(Sequence),
}

/// What a rule remembers of one partition.
#[derive(Debug)]
pub(crate) enum Memory {
    Silence(Keys<Silence>),
    Count(Keys<Counted<Millis>>),
    Sum(Keys<Counted<(Millis, f64)>>),
    Streak(Keys<Run>),
    Novel(Keys<Known>),
    Hours(Stretch, Keys<Silence>),
    Deviation(Keys<Moments>),
    Absence(Watch),
    Sequence(Keys<First>),
}

/// What a kind is asked with, besides the record.
pub(crate) struct Asked<'a> {
    pub(crate) bounds: Bounds,
    /// The rule's.
    pub(crate) cooldown_ms: Millis,
    /// Room for a text that is looked at and thrown away.
    pub(crate) text: String,
    seed: u64,
    who: Option<(Owner<'a>, u64)>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(bounds: Bounds, seed: u64) -> Self {
        Self { bounds, cooldown_ms: 0, text: String::new(), seed, who: None }
    }

    /// Turns to the next record.
    pub(crate) fn turn(&mut self) {
        self.who = None;
    }

    /// Whose memory a record goes into, with its hash; computed once a record.
    #[inline]
    pub(crate) fn who(&mut self, record: &Record<'a>) -> (Owner<'a>, u64) {
        *self.who.get_or_insert_with(|| {
            let owner = Owner { tenant: record.tenant(), key: record.key };
            (owner, owner.hash(self.seed))
        })
    }
}

impl Kind {
    /// Takes a record of a rule with this condition; gives what the rule can tell when it fires. Not for absences, which
    /// no record raises.
    pub(crate) fn judge<'a>(
        &'a self,
        when: &'a Condition,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
    ) -> Option<Told<'a>> {
        match self {
            Self::Streak(streak) => return streak.judge(when, memory, row, asked),
            Self::Sequence(sequence) => return sequence.judge(when, memory, row, asked),
            _ if !when.holds(row) => return None,
            _ => {}
        }
        match (self, memory) {
            (Self::Predicate, Memory::Silence(keys)) => quiet(keys, row, asked).then_some(TOLD_NOTHING),
            (Self::Hours(hours), Memory::Hours(stretch, keys)) => {
                let told = hours.judge(row.record.time, stretch)?;
                quiet(keys, row, asked).then_some(told)
            }
            (Self::Count(count), memory) => count.judge(memory, row, asked),
            (Self::Novel(novel), memory) => novel.judge(memory, row, asked),
            (Self::Deviation(deviation), memory) => deviation.judge(memory, row, asked),
            _ => None,
        }
    }

    /// Whether it needs to know whose a record is, cooldown or not.
    pub(crate) fn is_keyed(&self) -> bool {
        !matches!(self, Self::Predicate | Self::Hours(_))
    }

    /// A memory that knows nothing.
    pub(crate) fn fresh(&self) -> Memory {
        match self {
            Self::Predicate => Memory::Silence(Keys::default()),
            Self::Count(Count { sum: None, .. }) => Memory::Count(Keys::default()),
            Self::Count(_) => Memory::Sum(Keys::default()),
            Self::Streak(_) => Memory::Streak(Keys::default()),
            Self::Novel(_) => Memory::Novel(Keys::default()),
            Self::Hours(_) => Memory::Hours(Stretch::default(), Keys::default()),
            Self::Deviation(_) => Memory::Deviation(Keys::default()),
            Self::Absence(_) => Memory::Absence(Watch::default()),
            Self::Sequence(_) => Memory::Sequence(Keys::default()),
        }
    }

    /// Reads what [`Memory::encode`] wrote of a memory of this kind.
    pub(crate) fn decode(&self, reader: &mut Reader<'_>, seed: u64) -> Option<Memory> {
        let hash = |owner: Owner<'_>| owner.hash(seed);
        Some(match self {
            Self::Predicate => Memory::Silence(Keys::decode(reader, hash)?),
            Self::Count(Count { sum: None, .. }) => Memory::Count(Keys::decode(reader, hash)?),
            Self::Count(_) => Memory::Sum(Keys::decode(reader, hash)?),
            Self::Streak(_) => Memory::Streak(Keys::decode(reader, hash)?),
            Self::Novel(_) => Memory::Novel(Keys::decode(reader, hash)?),
            Self::Hours(_) => Memory::Hours(Stretch::default(), Keys::decode(reader, hash)?),
            Self::Deviation(_) => Memory::Deviation(Keys::decode(reader, hash)?),
            Self::Absence(absence) => Memory::Absence(Watch::decode(absence, reader, hash)?),
            Self::Sequence(_) => Memory::Sequence(Keys::decode(reader, hash)?),
        })
    }
}

/// Whether a rule that remembers only its cooldown fires now.
fn quiet<'a>(keys: &mut Keys<Silence>, row: &Row<'a>, asked: &mut Asked<'a>) -> bool {
    if asked.cooldown_ms == 0 {
        return true;
    }
    let (owner, hash) = asked.who(&row.record);
    keys.update(asked.bounds, hash, owner, |silence| {
        silence.see(row.record.time);
        silence.fire(asked.cooldown_ms)
    })
}

/// Keys, whatever is remembered of them.
trait Held {
    fn len(&self) -> usize;
    fn evicted(&self) -> u64;
    fn encode(&self, out: &mut Vec<u8>);
}

impl<T: Track> Held for Keys<T> {
    fn len(&self) -> usize {
        self.len()
    }

    fn evicted(&self) -> u64 {
        self.evicted
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

impl Memory {
    fn held(&self) -> &dyn Held {
        match self {
            Self::Silence(keys) | Self::Hours(_, keys) => keys,
            Self::Count(keys) => keys,
            Self::Sum(keys) => keys,
            Self::Streak(keys) => keys,
            Self::Novel(keys) => keys,
            Self::Deviation(keys) => keys,
            Self::Absence(watch) => watch.keys(),
            Self::Sequence(keys) => keys,
        }
    }

    pub(crate) fn keys(&self) -> usize {
        self.held().len()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.held().evicted()
    }

    /// Writes it down; equal memories give equal bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absence(watch) => watch.encode(out),
            memory => memory.held().encode(out),
        }
    }
}
