//! One partition of the log while it is verified: its records one by one, with the rules run along.

use std::collections::{HashMap, VecDeque};

use event::{Block, LateEvents, Millis, Record, WindowDelta, WindowId};
use log::Cursor;
use process::{Output, Program, State};

use super::{Progress, Scope};
use crate::EngineError;
use crate::poison::{Trip, run, runs};
use crate::skips::Cut;

/// Bytes read at once for one partition: all partitions of a stream are open together.
const READ_BYTES: usize = 256 << 10;
/// Past every window, and far from where adding to it overflows.
const OPEN_UNTIL: Millis = Millis::MAX / 2;

/// A partition's records from the oldest up to the engine's position.
pub(crate) struct Lane {
    cursor: Box<dyn Cursor>,
    waiting: VecDeque<Block>,
    block: Option<Block>,
    /// The offset of the next record.
    next: u64,
    /// The oldest offset that the log has.
    pub(crate) first: u64,
    /// The engine's position.
    pub(crate) end: u64,
    /// From here on the log does not have every record since the partition's first.
    pub(crate) whole_until: u64,
    /// Windows that begin before this may have had events that the log does not have.
    pub(crate) windows_from: Millis,
    /// Something is missing before the next record.
    torn: bool,
    state: State,
    found: Output,
}

/// What a fresh run of the rules finds, as far as it can be judged.
#[derive(Default)]
pub(crate) struct Findings {
    /// By tenant and id.
    pub(crate) expected: HashMap<(String, String), Expected>,
    /// By partition: see [`Lane::whole_until`].
    pub(crate) whole_until: Vec<u64>,
    /// Records that rules of today panic on, by partition.
    pub(crate) tripped: Vec<(u32, Trip)>,
    pub(crate) windows: HashMap<WindowId, Measured>,
    /// See [`Lane::windows_from`]: the latest of all partitions.
    pub(crate) windows_from: Millis,
}

/// Something that a fresh run finds.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The partition and offset of its record.
    pub(crate) place: (u32, u64),
    /// When that was received.
    pub(crate) received_at: Millis,
    /// The rule and the key, when it tells of an absence.
    pub(crate) absent: Option<(String, String)>,
}

/// A window as a fresh run measures it.
#[derive(Default)]
pub(crate) struct Measured {
    /// Its pieces, merged; `None` while there is none.
    pub(crate) closed: Option<WindowDelta>,
    /// Events that came too late.
    pub(crate) late: u64,
    /// Events that a partition still holds at the engine's position.
    pub(crate) open: u64,
}

impl Lane {
    pub(crate) fn open(scope: &Scope<'_>, partition: u32, first: u64) -> Result<Self, EngineError> {
        Ok(Self {
            cursor: scope.log.read(scope.id, &[(partition, first)])?,
            waiting: VecDeque::new(),
            block: None,
            next: first,
            first,
            end: scope.committed[partition as usize],
            whole_until: if first == 0 { u64::MAX } else { 0 },
            windows_from: Millis::MIN,
            torn: first > 0,
            state: State::default(),
            found: Output::default(),
        })
    }

    /// The record at hand; [`Lane::load`] first.
    pub(crate) fn record(&self) -> Option<Record<'_>> {
        self.block.as_ref()?.at(self.next)
    }

    pub(crate) fn step(&mut self) {
        self.next += 1;
    }

    /// Makes sure that the next record is at hand; `false` at the engine's position or at the log's end.
    pub(crate) fn load(
        &mut self,
        scope: &Scope<'_>,
        findings: &mut Findings,
        progress: &mut Progress<'_>,
    ) -> Result<bool, EngineError> {
        while self.record().is_none() {
            if self.next >= self.end {
                self.windows_from = if self.torn { Millis::MAX } else { self.windows_from };
                return Ok(false);
            }
            if self.waiting.is_empty() {
                self.waiting.extend(self.cursor.next(READ_BYTES)?);
            }
            let Some(block) = self.waiting.pop_front() else {
                self.whole_until = self.whole_until.min(self.next);
                self.windows_from = Millis::MAX;
                return Ok(false);
            };
            let block = block.from_offset(self.next).until_offset(self.end);
            if block.first_offset() > self.next && scope.log.is_dense() {
                self.whole_until = self.whole_until.min(self.next);
                self.torn = true;
            }
            self.next = self.next.max(block.first_offset());
            if block.is_empty() {
                continue;
            }
            self.run_rules(scope, &block, findings);
            progress.add(block.len() as u64);
            self.block = Some(block);
        }
        Ok(true)
    }

    fn run_rules(&mut self, scope: &Scope<'_>, block: &Block, findings: &mut Findings) {
        let Some(program) = scope.program else { return };
        for cut in scope.skips.cut_committed(block.clone()) {
            let Cut::Clean(piece) = cut else { continue };
            self.note_torn(scope, piece.appended_at);
            let Err(trip) = run(&runs(program), &mut self.state, &piece, &mut self.found) else {
                self.keep(program, piece.first_offset(), findings);
                continue;
            };
            // A rule that was added later: what it would have found is anybody's guess, and what the others remember is gone.
            findings.tripped.push((piece.partition, trip));
            self.found.clear();
            self.state = State::default();
            self.whole_until = self.whole_until.min(piece.first_offset());
            self.torn = true;
        }
    }

    /// Whatever is missing was received before now, and its time was at most so far ahead of that.
    fn note_torn(&mut self, scope: &Scope<'_>, now: Millis) {
        if std::mem::take(&mut self.torn) {
            self.windows_from = self.windows_from.max(now.saturating_add(scope.max_future_ms));
        }
    }

    /// Takes what was found in a block that begins here.
    fn keep(&mut self, program: &Program, first: u64, findings: &mut Findings) {
        for anomaly in self.found.anomalies.drain(..) {
            let remembers = program.rules().any(|(name, remembers)| name == anomaly.rule && remembers);
            // One that tells of an absence names the last record that was there, and comes later.
            if !remembers || anomaly.offset.max(first) < self.whole_until {
                let place = (anomaly.partition, anomaly.offset);
                let absent = anomaly.event.is_empty().then_some((anomaly.rule, anomaly.key));
                let expected = Expected { place, received_at: anomaly.received_at, absent };
                findings.expected.entry((anomaly.tenant, anomaly.id)).or_insert(expected);
            }
        }
        self.found.windows.drain(..).for_each(|piece| findings.close(piece));
        self.found.late.drain(..).for_each(|late| findings.count_late(&late));
    }

    /// At the engine's position: what the partition still holds.
    pub(crate) fn note_open(&mut self, program: &Program, partition: u32, findings: &mut Findings) {
        program.advance(&mut self.state, partition, self.next, OPEN_UNTIL, &mut self.found);
        for piece in self.found.windows.drain(..) {
            findings.windows.entry(piece.id.clone()).or_default().open += piece.events;
        }
        self.found.clear();
    }
}

impl Findings {
    fn close(&mut self, piece: WindowDelta) {
        let known = self.windows.entry(piece.id.clone()).or_default();
        match &mut known.closed {
            None => known.closed = Some(piece),
            Some(sum) => {
                sum.events += piece.events;
                sum.measures.iter_mut().zip(&piece.measures).for_each(|(mine, more)| mine.merge(more));
            }
        }
    }

    fn count_late(&mut self, late: &LateEvents) {
        self.windows.entry(late.id.clone()).or_default().late += late.events;
    }
}
