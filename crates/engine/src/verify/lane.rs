//! One partition of the log while it is verified: its records one by one, with the rules run along.

use std::collections::{HashMap, VecDeque};

use event::{Anomaly, Block, Millis, Record};
use log::Cursor;
use process::State;

use super::{Progress, Scope};
use crate::EngineError;

/// Bytes read at once for one partition: all partitions of a stream are open together.
const READ_BYTES: usize = 256 << 10;

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
    state: State,
    found: Vec<Anomaly>,
}

/// What a fresh run of the rules finds, as far as it can be judged.
#[derive(Default)]
pub(crate) struct Findings {
    /// By tenant and id: where from, and when received.
    pub(crate) expected: HashMap<(String, String), (u32, u64, Millis)>,
    /// By partition: see [`Lane::whole_until`].
    pub(crate) whole_until: Vec<u64>,
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
            state: State::default(),
            found: Vec::new(),
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
                return Ok(false);
            }
            if self.waiting.is_empty() {
                self.waiting.extend(self.cursor.next(READ_BYTES)?);
            }
            let Some(block) = self.waiting.pop_front() else {
                self.whole_until = self.whole_until.min(self.next);
                return Ok(false);
            };
            let block = block.from_offset(self.next).until_offset(self.end);
            if block.first_offset() > self.next {
                self.whole_until = self.whole_until.min(self.next);
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
        program.run(&mut self.state, block, &mut self.found);
        for anomaly in self.found.drain(..) {
            let remembers = program.rules().any(|(name, remembers)| name == anomaly.rule && remembers);
            if !remembers || anomaly.offset < self.whole_until {
                let place = (anomaly.partition, anomaly.offset, anomaly.received_at);
                findings.expected.entry((anomaly.tenant, anomaly.id)).or_insert(place);
            }
        }
    }
}
