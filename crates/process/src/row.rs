//! One record while rules and windows look at it, with the fields read so far.

use event::{FieldPath, Record};

use crate::scan::{Marks, Plan};
use crate::value::Value;

/// Names that a rule can tell at the most.
pub(crate) const TOLD_MAX: usize = 4;

/// What a rule that fires knows, in the order of its names.
pub(crate) type Told<'a> = [Value<'a>; TOLD_MAX];

/// Nothing to tell.
pub(crate) const TOLD_NOTHING: Told<'static> = [Value::Missing, Value::Missing, Value::Missing, Value::Missing];

/// The fields that a program's expressions name. An expression knows a field by its slot.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// For each slot, how it is looked up alone.
    alone: Vec<Plan>,
}

/// The fields that records of one type are asked for, whatever fires: the first that is read brings all.
#[derive(Debug, Default)]
pub(crate) struct Together {
    plan: Plan,
    /// By slot.
    holds: Vec<bool>,
}

impl Fields {
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        Self { alone: (0..paths.len()).map(|slot| Plan::new(paths, [slot])).collect() }
    }
}

impl Together {
    pub(crate) fn new(paths: &[FieldPath], slots: &[usize]) -> Self {
        let holds = (0..paths.len()).map(|slot| slots.contains(&slot)).collect();
        Self { plan: Plan::new(paths, slots.iter().copied()), holds }
    }
}

/// One record while rules look at it. Its memory is reused from record to record.
pub(crate) struct Row<'a> {
    pub(crate) record: Record<'a>,
    /// What the rule that fires knows.
    pub(crate) told: Told<'a>,
    fields: &'a Fields,
    together: &'a Together,
    slots: Vec<Slot<'a>>,
    marks: Marks,
    /// The number of the record.
    turn: u64,
    /// The turn in which the fields of `together` were looked for.
    sought: u64,
    /// The number of the last walk over JSON.
    walk: u64,
}

/// A field as it was last found.
#[derive(Clone, Debug)]
struct Slot<'a> {
    /// The turn in which it was looked for alone, or found with others.
    turn: u64,
    json: &'a [u8],
    /// The turn of `value`.
    parsed: u64,
    value: Value<'a>,
}

/// The bytes in which fields are looked for. What a door took as JSON is UTF-8; what came with a content type of its own, as
/// its headers tell, can be anything, and bytes that are no text have no fields.
fn text_of<'a>(record: &Record<'a>) -> &'a [u8] {
    if record.headers.is_empty() || std::str::from_utf8(record.data).is_ok() { record.data } else { b"" }
}

impl<'a> Row<'a> {
    pub(crate) fn new(record: Record<'a>, fields: &'a Fields, together: &'a Together) -> Self {
        let slot = Slot { turn: 0, json: b"", parsed: 0, value: Value::Missing };
        let slots = vec![slot; fields.alone.len()];
        let mut marks = Marks::default();
        marks.fit(&together.plan);
        fields.alone.iter().for_each(|plan| marks.fit(plan));
        Self { record, told: TOLD_NOTHING, fields, together, slots, marks, turn: 1, sought: 0, walk: 0 }
    }

    /// Turns to the next record, of a type whose fields are looked up together.
    pub(crate) fn turn_to(&mut self, record: Record<'a>, together: &'a Together) {
        self.record = record;
        self.turn += 1;
        if !std::ptr::eq(self.together, together) {
            self.together = together;
            self.marks.fit(&together.plan);
        }
    }

    /// The value of a field; looked up once a record.
    pub(crate) fn field(&mut self, slot: usize) -> Value<'a> {
        if self.slots[slot].parsed != self.turn {
            let json = self.json(slot);
            let value = if json.is_empty() { Value::Missing } else { Value::parse(json) };
            (self.slots[slot].parsed, self.slots[slot].value) = (self.turn, value);
        }
        self.slots[slot].value.clone()
    }

    /// The bytes of a field; empty when there is none.
    fn json(&mut self, slot: usize) -> &'a [u8] {
        let (turn, slots) = (self.turn, &mut self.slots);
        let plan = if !self.together.holds.get(slot).is_some_and(|holds| *holds) {
            &self.fields.alone[slot]
        } else if self.sought != turn {
            self.sought = turn;
            &self.together.plan
        } else {
            return if slots[slot].turn == turn { slots[slot].json } else { b"" };
        };
        self.walk += 1;
        plan.find(text_of(&self.record), &mut self.marks, self.walk, |at, json| {
            (slots[at].turn, slots[at].json) = (turn, json);
        });
        if slots[slot].turn == turn { slots[slot].json } else { b"" }
    }
}
