//! The log run through a program once more, to bring states up to their positions.

use std::sync::atomic::{AtomicBool, Ordering};

use event::{Block, StreamId};
use log::Log;
use process::{Output, Program, State};

use crate::EngineError;
use crate::poison::{Trip, probe, run};
use crate::skips::{Cut, Skips};

/// Where records are read again.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) log: &'a dyn Log,
    /// Bytes read at once, about.
    pub(crate) bytes: usize,
    /// Set when nobody wants what is being read any more.
    pub(crate) halt: &'a AtomicBool,
}

impl Source<'_> {
    /// # Errors
    /// [`EngineError::Halted`] once nobody wants it any more.
    pub(crate) fn go_on(&self) -> Result<(), EngineError> {
        if self.halt.load(Ordering::Acquire) { Err(EngineError::Halted) } else { Ok(()) }
    }
}

/// What is run, and through what.
pub(crate) struct Rerun<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) stream: StreamId,
    pub(crate) program: &'a Program,
    /// The records that are passed over.
    pub(crate) skips: &'a Skips,
}

/// One partition's way.
#[derive(Debug, Default)]
pub(crate) struct Leg {
    pub(crate) partition: u32,
    /// The first offset, and the one to stop before. What the log does not have is passed over.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// As of `from`, then of `to`.
    pub(crate) state: State,
    /// The rules and windows that see the records, by [`process::Restored::missing`]; all when there are none.
    pub(crate) only: Vec<usize>,
    /// Records that rules panicked on: with any, the state is of no use.
    pub(crate) trips: Vec<Trip>,
}

impl Rerun<'_> {
    /// Runs the log through the legs' states, each from its `from` to its `to`. What comes out was committed before: it is
    /// thrown away.
    ///
    /// # Errors
    /// When the log cannot be read, or nobody wants it any more.
    pub(crate) fn run(&self, legs: &mut [Leg]) -> Result<(), EngineError> {
        let from: Vec<_> = legs.iter().filter(|leg| leg.from < leg.to).map(|leg| (leg.partition, leg.from)).collect();
        if from.is_empty() {
            return Ok(());
        }
        let mut cursor = self.source.log.read(self.stream, &from)?;
        let mut found = Output::default();
        while legs.iter().any(|leg| leg.from < leg.to) {
            self.source.go_on()?;
            let blocks = cursor.next(self.source.bytes)?;
            if blocks.is_empty() {
                break; // the log lost its end
            }
            for block in blocks {
                let Some(leg) = legs.iter_mut().find(|leg| leg.partition == block.partition) else { continue };
                let block = block.from_offset(leg.from).until_offset(leg.to);
                // One behind the end, or without records, says as well where the log goes on.
                leg.from = leg.from.max(block.next_offset());
                if block.is_empty() {
                    continue;
                }
                for cut in self.skips.cut_committed(block) {
                    if let Cut::Clean(block) = cut {
                        self.step(leg, &block, &mut found);
                        found.clear();
                    }
                }
            }
        }
        Ok(())
    }

    /// One block. Once a rule has panicked, only further such records are looked for.
    fn step(&self, leg: &mut Leg, block: &Block, found: &mut Output) {
        let Leg { state, only, trips, .. } = leg;
        let work = |state: &mut State, block: &Block, out: &mut Output| match &only[..] {
            [] => self.program.run(state, block, out),
            only => self.program.rebuild(state, block, only),
        };
        if !trips.is_empty() {
            probe(&work, state, block, trips);
        } else if let Err(trip) = run(&work, state, block, found) {
            let rest = block.clone().from_offset(trip.offset + 1);
            trips.push(trip);
            probe(&work, state, &rest, trips);
        }
    }
}
