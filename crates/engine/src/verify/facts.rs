//! Anomalies and dead letters against a fresh run, as sets of ids.

use std::collections::HashMap;

use event::limits;
use store::query::{AnomalyQuery, DeadLetterQuery};

use super::lane::{Findings, Lane};
use super::{Progress, Scope, VerifyReport};
use crate::EngineError;
use crate::refused::dead_letter;

/// Compares a stream's anomalies with what a fresh run finds.
pub(crate) fn anomalies(
    scope: &Scope<'_>,
    mut findings: Findings,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let rules: HashMap<_, _> = scope.program.iter().flat_map(|program| program.rules()).collect();
    let firsts: Vec<_> = scope.log.extents(scope.id).iter().map(|extent| extent.first).collect();
    let mut strangers = 0_u64;
    let mut query =
        AnomalyQuery { stream: Some(scope.name.to_owned()), limit: limits::PAGE_ROWS_MAX, ..AnomalyQuery::default() };
    loop {
        let page = scope.store.anomalies(&query)?;
        query.skip += page.rows.len() as u64;
        report.anomalies += page.rows.len() as u64;
        for anomaly in page.rows.iter().map(|row| &row.anomaly) {
            let Some(remembers) = rules.get(anomaly.rule.as_str()) else {
                strangers += 1;
                continue;
            };
            let expected = findings.expected.remove(&anomaly.id).is_some();
            let partition = anomaly.partition as usize;
            let whole_until = findings.whole_until.get(partition).copied().unwrap_or(u64::MAX);
            let first = firsts.get(partition).copied().unwrap_or(0);
            let judged = anomaly.offset >= first && (!remembers || anomaly.offset < whole_until);
            if !expected && judged {
                report.differ(|| {
                    format!("{}: anomaly {} is stored, but a fresh run does not find it", scope.name, anomaly.id)
                });
            }
        }
        if page.rows.len() < query.limit {
            break;
        }
    }
    if strangers > 0 {
        report
            .notes
            .push(format!("{}: {strangers} anomalies of rules that are not configured are not judged", scope.name));
    }
    let mut missing: Vec<_> = findings.expected.into_iter().map(|(id, place)| (place, id)).collect();
    missing.retain(|((_, _, received_at), _)| *received_at >= scope.kept_since);
    missing.sort_unstable();
    for ((partition, offset, _), id) in missing {
        report.differ(|| format!("{}/{partition}/{offset}: anomaly {id} is not stored", scope.name));
    }
    Ok(())
}

/// Compares the dead letters with the records of the internal stream.
pub(crate) fn dead_letters(
    scope: &Scope<'_>,
    progress: &mut Progress<'_>,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let mut expected = HashMap::new();
    let mut firsts = Vec::new();
    for (partition, extent) in (0_u32..).zip(scope.log.extents(scope.id)) {
        firsts.push(extent.first);
        let mut lane = Lane::open(scope, partition, extent.first)?;
        while lane.load(scope, &mut Findings::default(), progress)? {
            let Some(record) = lane.record() else { break };
            report.events += 1;
            let letter = dead_letter(&record, partition);
            expected.entry(letter.id).or_insert((partition, record.offset, record.received_at));
            lane.step();
        }
    }
    let mut query = DeadLetterQuery { limit: limits::PAGE_ROWS_MAX, ..DeadLetterQuery::default() };
    loop {
        let page = scope.store.dead_letters(&query)?;
        query.skip += page.rows.len() as u64;
        report.dead_letters += page.rows.len() as u64;
        for letter in &page.rows {
            let trimmed = letter.offset < firsts.get(letter.partition as usize).copied().unwrap_or(0);
            if expected.remove(&letter.id).is_none() && !trimmed {
                report.differ(|| format!("dead letter {} is stored, but not in the log", letter.id));
            }
        }
        if page.rows.len() < query.limit {
            break;
        }
    }
    let mut missing: Vec<_> = expected.into_iter().map(|(id, place)| (place, id)).collect();
    missing.retain(|((_, _, received_at), _)| *received_at >= scope.kept_since);
    missing.sort_unstable();
    for ((partition, offset, _), id) in missing {
        report.differ(|| format!("{}/{partition}/{offset}: dead letter {id} is not stored", scope.name));
    }
    Ok(())
}
