//! Event rows against the log, side by side: both come in ascending offset within each partition.

use std::ops::ControlFlow;

use event::{Millis, Record};
use store::Scanned;

use super::lane::{Findings, Lane};
use super::{Progress, Scope, VerifyReport};
use crate::EngineError;

/// Compares the rows of a stream; gives what a fresh run of its rules finds.
pub(crate) fn rows(
    scope: &Scope<'_>,
    progress: &mut Progress<'_>,
    report: &mut VerifyReport,
) -> Result<Findings, EngineError> {
    let extents = scope.log.extents(scope.id);
    let lanes = extents.iter().enumerate().map(|(i, extent)| Lane::open(scope, i as u32, extent.first));
    let lanes = lanes.collect::<Result<_, _>>()?;
    let mut side = Side { scope, lanes, findings: Findings::default(), progress, report };
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
    side.findings.whole_until = side.lanes.iter().map(|lane| lane.whole_until).collect();
    Ok(side.findings)
}

/// The log's side of the comparison.
struct Side<'v, 'p, 'q> {
    scope: &'v Scope<'v>,
    lanes: Vec<Lane>,
    findings: Findings,
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
            if record.offset == row.offset {
                if let Some(part) = difference(&record, scanned) {
                    self.report.differ(|| format!("{name}/{partition}/{}: {part} is not the log's", row.offset));
                }
                lane.step();
                return Ok(());
            }
            missing(self.report, self.scope, partition, record.offset, record.received_at);
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
            missing(self.report, self.scope, partition as u32, record.offset, record.received_at);
            lane.step();
        }
        Ok(())
    }

    fn note_holes(&mut self) {
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
