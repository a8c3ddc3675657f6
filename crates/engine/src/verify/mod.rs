//! `verify`: the store against the log, record by record and finding by finding, in one streaming pass.
//!
//! What may be missing in the store: records past its position, and what its retention dropped. What may be missing in
//! the log: what its retention dropped. A rule that remembers things is re-run from the partition's first record; where
//! the log does not begin there any more, or has a hole, nobody can say what it should have found, so its anomalies are
//! judged up to that place only, and the report says so. Rules and windows are taken as they are configured now.
//!
//! A record that is a dead letter of processing or of the store is expected to be nothing else. A window is compared once
//! no partition holds a part of it any more by its own clock; before that, what is stored must lie between what was handed
//! over and what there is. Windows that may have had events which the log does not have are not judged. Sessions that differ
//! are told in one note: where a partition was idle is in no record, and decides what is one session.

mod facts;
mod lane;
mod rows;
mod windows;

use std::collections::HashMap;
use std::sync::Arc;

use event::{Catalog, Millis, StreamId};
use log::{Clock, Log};
use process::Program;
use store::Store;

use crate::EngineError;
use crate::skips::Skips;
pub(crate) use windows::sessions_note;

/// What is compared.
pub struct VerifyParts {
    /// The streams.
    pub catalog: Arc<Catalog>,
    /// The truth.
    pub log: Arc<dyn Log>,
    /// What should equal a fresh run over it.
    pub store: Arc<dyn Store>,
    /// Tells what retention may have dropped.
    pub clock: Arc<dyn Clock>,
    /// The rules, as an engine has them.
    pub programs: Vec<(StreamId, Program)>,
    /// The engine's name, see [`crate::Settings::consumer`].
    pub consumer: String,
}

/// How many differences are told in words; all are counted.
pub const DETAILS_MAX: usize = 100;

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records of the log that were looked at.
    pub events: u64,
    /// Anomalies of the store that were looked at.
    pub anomalies: u64,
    /// Dead letters of the store that were looked at.
    pub dead_letters: u64,
    /// Windows of the store that were looked at.
    pub windows: u64,
    /// How many differences there are; 0 is what is expected.
    pub differences: u64,
    /// The first [`DETAILS_MAX`] of them, in words.
    pub details: Vec<String>,
    /// What could not be judged, and why; no differences.
    pub notes: Vec<String>,
}

impl VerifyReport {
    pub(crate) fn differ(&mut self, detail: impl FnOnce() -> String) {
        self.differences += 1;
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail());
        }
    }
}

/// What verifying one stream needs to know.
pub(crate) struct Scope<'v> {
    pub(crate) id: StreamId,
    pub(crate) name: &'v str,
    pub(crate) catalog: &'v Catalog,
    pub(crate) log: &'v dyn Log,
    pub(crate) store: &'v dyn Store,
    pub(crate) program: Option<&'v Program>,
    /// The records that are dead letters instead.
    pub(crate) skips: &'v Skips,
    /// How far ahead of its receipt an event's time may be, in milliseconds.
    pub(crate) max_future_ms: Millis,
    /// By partition: the engine's position.
    pub(crate) committed: Vec<u64>,
    /// Received before this may be gone from the store.
    pub(crate) kept_since: Millis,
}

/// Counts records for the caller's progress.
pub(crate) struct Progress<'p> {
    tell: &'p mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
}

impl Progress<'_> {
    pub(crate) fn add(&mut self, records: u64) {
        self.done += records;
        (self.tell)(self.done, self.total);
    }
}

/// Compares the store with the log up to the engine's positions. No engine may commit meanwhile. `progress` is told
/// how many records are done, and of how many.
///
/// # Errors
/// When log or store cannot be read.
pub fn verify(parts: &VerifyParts, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, EngineError> {
    let stored = parts.store.positions(&parts.consumer)?;
    let skips = Skips::load(parts.store.as_ref(), &parts.catalog)?;
    let known: HashMap<_, _> = stored.iter().map(|p| ((p.stream.as_str(), p.partition), p.offset)).collect();
    let scopes: Vec<_> = parts
        .catalog
        .processed()
        .map(|(id, stream)| Scope {
            id,
            name: &stream.name,
            catalog: &parts.catalog,
            log: parts.log.as_ref(),
            store: parts.store.as_ref(),
            program: parts.programs.iter().find(|(of, _)| *of == id).map(|(_, program)| program),
            skips: &skips,
            max_future_ms: stream.time.as_ref().map_or(0, |time| time.max_future_ms),
            committed: (0..stream.partitions)
                .map(|partition| known.get(&(stream.name.as_str(), partition)).copied().unwrap_or(0))
                .collect(),
            kept_since: stream.retention.age_ms.map_or(Millis::MIN, |age| parts.clock.now().saturating_sub(age)),
        })
        .collect();
    let total = scopes.iter().map(|scope| records(parts.log.as_ref(), scope)).sum();
    let mut progress = Progress { tell: progress, done: 0, total };
    let mut report = VerifyReport::default();
    for scope in &scopes {
        if scope.id == parts.catalog.refused() {
            facts::dead_letters(scope, &mut progress, &mut report)?;
        } else {
            let mut findings = rows::rows(scope, &mut progress, &mut report)?;
            windows::windows(scope, &mut findings, &mut report)?;
            facts::anomalies(scope, findings, &mut report)?;
        }
    }
    Ok(report)
}

fn records(log: &dyn Log, scope: &Scope<'_>) -> u64 {
    let extents = log.extents(scope.id);
    extents.iter().zip(&scope.committed).map(|(extent, end)| end.saturating_sub(extent.first)).sum()
}
