//! Anomalies and dead letters against a fresh run, as sets of tenants and ids.

use std::collections::{HashMap, HashSet};

use event::{Position, limits};
use store::query::{AnomalyQuery, DeadLetterQuery};

use super::lane::{Expected, Findings, Lane};
use super::{Progress, Scope, VerifyReport};
use crate::EngineError;
use crate::refused::dead_letter;
use crate::skips::place_of;

/// Compares a stream's anomalies with what a fresh run finds.
pub(crate) fn anomalies(
    scope: &Scope<'_>,
    mut findings: Findings,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let rules: HashMap<_, _> = scope.program.iter().flat_map(|program| program.rules()).collect();
    let firsts: Vec<_> = scope.log.extents(scope.id).iter().map(|extent| extent.first).collect();
    let (mut strangers, mut early) = (0_u64, HashSet::new());
    let mut early_count = 0_u64;
    let mut query =
        AnomalyQuery { stream: Some(scope.name.to_owned()), limit: limits::PAGE_ROWS_MAX, ..AnomalyQuery::default() };
    loop {
        let page = scope.store.anomalies(&query)?;
        query.skip += page.rows.len() as u64;
        report.anomalies += page.rows.len() as u64;
        let rows = page.rows.len();
        for anomaly in page.rows.into_iter().map(|row| row.anomaly) {
            let Some(remembers) = rules.get(anomaly.rule.as_str()) else {
                strangers += 1;
                continue;
            };
            let name = (anomaly.tenant.clone(), anomaly.id.clone());
            let expected = findings.expected.remove(&name).is_some();
            let partition = anomaly.partition as usize;
            let whole_until = findings.whole_until.get(partition).copied().unwrap_or(u64::MAX);
            let first = firsts.get(partition).copied().unwrap_or(0);
            let judged = anomaly.offset >= first && (!remembers || anomaly.offset < whole_until);
            // Nothing came after the last record: the clock may have told so before the next one did.
            if !expected && judged && anomaly.event.is_empty() {
                early_count += 1;
                early.insert((anomaly.tenant, anomaly.rule, anomaly.key));
            } else if !expected && judged {
                report.differ(|| {
                    format!("{}: anomaly {} is stored, but a fresh run does not find it", scope.name, told(&name))
                });
            }
        }
        if rows < query.limit {
            break;
        }
    }
    // Where the clock was first, the rule may have been silent when a record would have told.
    let mut silent = 0_u64;
    findings.expected.retain(|(tenant, _), expected| {
        let quiet = expected
            .absent
            .as_ref()
            .is_some_and(|(rule, key)| early.contains(&(tenant.clone(), rule.clone(), key.clone())));
        silent += u64::from(quiet);
        !quiet
    });
    if early_count > 0 {
        let told = format!("{early_count} absences were told by the clock, which no record tells of");
        report.notes.push(format!("{}: {told}; {silent} others of the same keys are not judged", scope.name));
    }
    if strangers > 0 {
        report
            .notes
            .push(format!("{}: {strangers} anomalies of rules that are not configured are not judged", scope.name));
    }
    tell_missing(scope, "anomaly", findings.expected, report);
    Ok(())
}

/// An id, and whose it is unless the default tenant's.
fn told((tenant, id): &(String, String)) -> String {
    if tenant.is_empty() { id.clone() } else { format!("{id} of tenant {tenant}") }
}

fn tell_missing(
    scope: &Scope<'_>,
    what: &str,
    mut expected: HashMap<(String, String), Expected>,
    report: &mut VerifyReport,
) {
    expected.retain(|_, expected| expected.received_at >= scope.kept_since);
    let mut missing: Vec<_> = expected.into_iter().map(|(name, expected)| (expected.place, name)).collect();
    missing.sort_unstable();
    for ((partition, offset), name) in missing {
        let name = told(&name);
        report.differ(|| format!("{}/{partition}/{offset}: {what} {name} is not stored", scope.name));
    }
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
            let place = Position { stream: scope.id, partition, offset: record.offset };
            if scope.skips.get(place).is_some() {
                lane.step();
                continue;
            }
            let letter = dead_letter(&record, partition);
            let found = Expected { place: (partition, record.offset), received_at: record.received_at, absent: None };
            expected.entry((letter.tenant, letter.id)).or_insert(found);
            lane.step();
        }
    }
    let mut query = DeadLetterQuery { limit: limits::PAGE_ROWS_MAX, ..DeadLetterQuery::default() };
    loop {
        let page = scope.store.dead_letters(&query)?;
        query.skip += page.rows.len() as u64;
        report.dead_letters += page.rows.len() as u64;
        let rows = page.rows.len();
        // Those of records that are in their streams were looked at there.
        for letter in page.rows.into_iter().filter(|letter| place_of(scope.catalog, letter).is_none()) {
            let trimmed = letter.offset < firsts.get(letter.partition as usize).copied().unwrap_or(0);
            let name = (letter.tenant, letter.id);
            if expected.remove(&name).is_none() && !trimmed {
                report.differ(|| format!("dead letter {} is stored, but not in the log", told(&name)));
            }
        }
        if rows < query.limit {
            break;
        }
    }
    tell_missing(scope, "dead letter", expected, report);
    Ok(())
}
