//! The run of a program over blocks of records, and what it does when nothing comes.

use event::{Block, Millis, Record};

use crate::kinds::absence::Absent;
use crate::kinds::{Asked, Kind, Memory};
use crate::row::Row;
use crate::windows::Place;
use crate::{Output, Program, State};

impl Program {
    /// Runs rules and windows over the next records of a partition and adds what they find to `out`: in the order of
    /// records; for each record who is absent by its time, then what the other rules say in their order, then windows. Late
    /// events are added up over the block, one for each window, and stand at the end. The state must be of this program
    /// and of that partition.
    pub fn run(&self, state: &mut State, block: &Block, out: &mut Output) {
        self.feed(state, block, out, None);
    }

    /// Gives records to some of the rules and windows alone, see [`crate::Restored::missing`]; what they find is thrown
    /// away.
    pub fn rebuild(&self, state: &mut State, block: &Block, missing: &[usize]) {
        self.feed(state, block, &mut Output::default(), Some(missing));
    }

    /// Gives records to some of the rules and windows alone, by their places as in [`crate::Restored::missing`], and adds
    /// what they find to `out`.
    pub fn run_only(&self, state: &mut State, block: &Block, only: &[usize], out: &mut Output) {
        self.feed(state, block, out, Some(only));
    }

    /// Takes what a state knows of some windows, by their places as in [`crate::Restored::missing`], over into another;
    /// places of rules are passed over.
    pub fn adopt(&self, state: &mut State, from: &mut State, which: &[usize]) {
        let definitions = which.iter().filter_map(|at| at.checked_sub(self.rules.len()));
        self.windows.adopt(&mut state.windows, &mut from.windows, definitions);
    }

    /// Tells a partition that it has been idle: nothing came for so long that whatever is due at `to` (later than its own
    /// clock) is handed over. What is late stays a matter of the partition's own clock. `next` is its next offset. When
    /// something came out, the state must be written down in the same transaction: no record of the log says that this
    /// happened.
    pub fn advance(&self, state: &mut State, partition: u32, next: u64, to: Millis, out: &mut Output) {
        self.fit(state);
        let mut absent = Vec::new();
        for &at in &self.groups.absences {
            let rule = &self.rules[at];
            if let (Kind::Absence(absence), Memory::Absence(watch)) = (&rule.kind, &mut state.rules[at]) {
                watch.sweep(absence, to, rule.cooldown_ms, &mut absent);
                self.tell_absent(at, &mut absent, partition, out);
            }
        }
        let place = Place { stream: &self.stream, partition, offset: next };
        self.windows.advance(&mut state.windows, place, to, out);
    }

    /// The earliest time at which [`Program::advance`] may hand something over: before that it does not.
    pub fn due(&self, state: &State) -> Option<Millis> {
        let absences = state.rules.iter().filter_map(|memory| match memory {
            Memory::Absence(watch) => watch.due(),
            _ => None,
        });
        absences.chain(self.windows.due(&state.windows)).min()
    }

    /// Gives a fresh state its parts.
    pub(crate) fn fit(&self, state: &mut State) {
        if state.rules.len() != self.rules.len() {
            state.rules = self.rules.iter().map(|rule| rule.kind.fresh()).collect();
        }
    }

    fn feed(&self, state: &mut State, block: &Block, out: &mut Output, only: Option<&[usize]>) {
        self.fit(state);
        let mut records = block.records().peekable();
        let Some(&first) = records.peek() else {
            return;
        };
        let takes = |at: usize| only.is_none_or(|only| only.contains(&at));
        let definitions: Option<Vec<_>> =
            only.map(|only| only.iter().filter_map(|at| at.checked_sub(self.rules.len())).collect());
        let mut row = Row::new(first, &self.groups.fields, &self.groups.none().together);
        let mut asked = Asked::new(self.bounds, self.fingerprint());
        let mut absent = Vec::new();
        let place = Place { stream: &self.stream, partition: block.partition, offset: first.offset };
        for record in records {
            state.at = record.offset;
            self.trip(&record);
            let group = self.groups.of(&record);
            row.turn_to(record, &group.together);
            asked.turn();
            state.clock = state.clock.max(Some(record.time.min(record.received_at)));
            for &at in self.groups.absences.iter().filter(|at| takes(**at)) {
                self.watch(at, &mut state.rules[at], &mut row, &mut asked, &mut absent);
                self.tell_absent(at, &mut absent, block.partition, out);
            }
            for &at in group.rules.iter().filter(|at| takes(**at)) {
                let rule = &self.rules[at];
                // The stream has keys and this record has none: it belongs to nobody, so nothing of it is remembered.
                if self.keyed && record.key.is_empty() && rule.kind.is_keyed() {
                    continue;
                }
                asked.cooldown_ms = rule.cooldown_ms;
                if let Some(told) = rule.kind.judge(&rule.condition, &mut state.rules[at], &mut row, &mut asked) {
                    row.told = told;
                    let owner = asked.who(&record).0;
                    out.anomalies.push(rule.anomaly(&mut row, owner, &self.stream, block.partition));
                }
            }
            let place = Place { offset: record.offset, ..place };
            match &definitions {
                None => self.windows.take(&mut state.windows, &mut row, place, out),
                Some(some) => self.windows.take_only(some, &mut state.windows, &mut row, place, out),
            }
        }
        self.windows.end(&mut state.windows, place, out);
    }

    fn watch<'a>(
        &'a self,
        at: usize,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
        absent: &mut Vec<Absent>,
    ) {
        let rule = &self.rules[at];
        if let (Kind::Absence(absence), Memory::Absence(watch)) = (&rule.kind, memory) {
            asked.cooldown_ms = rule.cooldown_ms;
            let nobody = self.keyed && row.record.key.is_empty();
            let meets = !nobody && rule.condition.holds(row);
            watch.take(absence, &row.record, meets, asked, absent);
        }
    }

    fn tell_absent(&self, at: usize, absent: &mut Vec<Absent>, partition: u32, out: &mut Output) {
        let said = absent.drain(..).map(|one| self.rules[at].absence(&one, &self.groups, &self.stream, partition));
        out.anomalies.extend(said);
    }

    #[inline]
    fn trip(&self, record: &Record<'_>) {
        if let Some(needle) = &self.trip {
            assert!(!record.data.windows(needle.len()).any(|part| part == needle), "a rule tripped, as told");
        }
    }
}
