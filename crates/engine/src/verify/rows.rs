//! Event rows against the log, side by side: both come in ascending offset within each partition.

use std::collections::HashSet;
use std::ops::ControlFlow;

use event::{Millis, Position, Record};
use store::Scanned;

use super::lane::{Findings, Lane};
use super::{Progress, Scope, VerifyReport};
use crate::EngineError;
use crate::poison::{Trip, letter_id};
use crate::skips::digest;

/// Compares the rows of a stream; gives what a fresh run of its rules finds.
pub(crate) fn rows(
    scope: &Scope<'_>,
    progress: &mut Progress<'_>,
    report: &mut VerifyReport,
) -> Result<Findings, EngineError> {
    let extents = scope.log.extents(scope.id);
    let lanes = extents.iter().enumerate().map(|(i, extent)| Lane::open(scope, i as u32, extent.first));
    let lanes = lanes.collect::<Result<_, _>>()?;
    let (findings, laid_down) = (Findings { windows_from: Millis::MIN, ..Findings::default() }, HashSet::new());
    let mut side = Side { scope, lanes, findings, laid_down, progress, report };
    let mut failed = None;
    scope.store.scan(scope.name, &mut |row| match side.row(row) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    for partition in 0..side.lanes.len() {
        side.rest(partition)?;
    }
    side.note_holes();
    side.tell_strange_letters();
    for (partition, lane) in (0..).zip(&mut side.lanes) {
        side.findings.whole_until.push(lane.whole_until);
        side.findings.windows_from = side.findings.windows_from.max(lane.windows_from);
        if let Some(program) = scope.program {
            lane.note_open(program, partition, &mut side.findings);
        }
    }
    Ok(side.findings)
}

/// The log's side of the comparison.
struct Side<'v, 'p, 'q> {
    scope: &'v Scope<'v>,
    lanes: Vec<Lane>,
    findings: Findings,
    /// Records that are dead letters, and are in the log.
    laid_down: HashSet<(u32, u64)>,
    progress: &'p mut Progress<'q>,
    report: &'p mut VerifyReport,
}

impl Side<'_, '_, '_> {
    /// Takes the store's next row of a partition.
    fn row(&mut self, scanned: &Scanned<'_>) -> Result<(), EngineError> {
        let (name, row, partition) = (self.scope.name, &scanned.record, scanned.partition);
        let Some(lane) = self.lanes.get_mut(partition as usize) else {
            self.report.differ(|| format!("{name}/{partition}/{}: the stream has no such partition", row.offset));
            return Ok(());
        };
        if row.offset >= lane.end {
            let end = lane.end;
            self.report.differ(|| format!("{name}/{partition}/{}: stored past the position {end}", row.offset));
            return Ok(());
        }
        while lane.load(self.scope, &mut self.findings, self.progress)? {
            let Some(record) = lane.record().filter(|record| record.offset <= row.offset) else { break };
            self.report.events += 1;
            let letter = laid_down(self.scope, partition, &record, &mut self.laid_down, self.report);
            if record.offset == row.offset {
                if letter {
                    self.report.differ(|| format!("{name}/{partition}/{}: stored, and a dead letter too", row.offset));
                } else if let Some(part) = difference(&record, scanned) {
                    self.report.differ(|| format!("{name}/{partition}/{}: {part} is not the log's", row.offset));
                }
                lane.step();
                return Ok(());
            }
            if !letter {
                missing(self.report, self.scope, partition, record.offset, record.received_at);
            }
            lane.step();
        }
        // Trimmed from the log, or there twice, or in one of its holes.
        if row.offset >= lane.first {
            self.report.differ(|| format!("{name}/{partition}/{}: stored, but not (once more) in the log", row.offset));
        }
        Ok(())
    }

    /// What the log has after the store's last row.
    fn rest(&mut self, partition: usize) -> Result<(), EngineError> {
        let lane = &mut self.lanes[partition];
        while lane.load(self.scope, &mut self.findings, self.progress)? {
            let Some(record) = lane.record() else { break };
            self.report.events += 1;
            if !laid_down(self.scope, partition as u32, &record, &mut self.laid_down, self.report) {
                missing(self.report, self.scope, partition as u32, record.offset, record.received_at);
            }
            lane.step();
        }
        Ok(())
    }

    /// Letters of records that the log does not have, though it has what is around them.
    fn tell_strange_letters(&mut self) {
        let name = self.scope.name;
        for (partition, lane) in (0..).zip(&self.lanes) {
            for (offset, _) in self.scope.skips.of(self.scope.id, partition) {
                let there = lane.first..lane.end.min(lane.whole_until);
                if offset >= lane.end || there.contains(&offset) && !self.laid_down.contains(&(partition, offset)) {
                    let letter = letter_id(name, partition, offset);
                    self.report.differ(|| format!("dead letter {letter} is stored, but not in the log"));
                }
            }
        }
    }

    fn note_holes(&mut self) {
        for (partition, trip) in &self.findings.tripped {
            let Trip { offset, message } = trip;
            let name = self.scope.name;
            self.report.notes.push(format!("{name}/{partition}/{offset}: a rule of today panics on it: {message}"));
        }
        let Some(program) = self.scope.program else { return };
        let rules: Vec<_> = program.rules().filter(|(_, remembers)| *remembers).map(|(name, _)| name).collect();
        for (partition, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.whole_until < lane.end) {
            if rules.is_empty() {
                return;
            }
            self.report.notes.push(format!(
                "{}/{partition}: the log is not whole from offset {} on; from there anomalies of {} are not judged",
                self.scope.name,
                lane.whole_until,
                rules.join(", ")
            ));
        }
    }
}

fn missing(report: &mut VerifyReport, scope: &Scope<'_>, partition: u32, offset: u64, received_at: Millis) {
    if received_at >= scope.kept_since {
        report.differ(|| format!("{}/{partition}/{offset}: in the log, but not stored", scope.name));
    }
}

/// Whether a record is a dead letter instead of a row. It must have the record's bytes, unless the store took none.
fn laid_down(
    scope: &Scope<'_>,
    partition: u32,
    record: &Record<'_>,
    seen: &mut HashSet<(u32, u64)>,
    report: &mut VerifyReport,
) -> bool {
    let Some(skip) = scope.skips.get(Position { stream: scope.id, partition, offset: record.offset }) else {
        return scope.skips.failed_again(record);
    };
    seen.insert((partition, record.offset));
    let tenant = record.tenant();
    if skip.digest.is_some_and(|found| found != digest(tenant, record.data) && found != digest(tenant, b"")) {
        let letter = letter_id(scope.name, partition, record.offset);
        report.differ(|| format!("dead letter {letter} has other bytes, or another tenant, than its record"));
    }
    true
}

/// The first part in which a row differs from its record.
fn difference(record: &Record<'_>, scanned: &Scanned<'_>) -> Option<&'static str> {
    let row = &scanned.record;
    let parts = [
        ("tenant", record.tenant() == scanned.tenant),
        ("time", record.time == row.time),
        ("received_at", record.received_at == row.received_at),
        ("key", record.key == row.key),
        ("type", record.kind == row.kind),
        ("event_id", record.id == row.id),
        ("data", record.data == row.data),
        ("headers", record.headers == row.headers),
    ];
    parts.into_iter().find(|(_, equal)| !equal).map(|(part, _)| part)
}
