//! Windows against a fresh run.

use std::collections::HashMap;

use event::{Millis, WindowId, limits};
use store::query::{WindowQuery, WindowRow};

use super::lane::{Findings, Measured};
use super::{Scope, VerifyReport};
use crate::EngineError;

/// How a stored window fared.
enum Verdict {
    Judged,
    /// A partition still holds a part of it.
    Open,
    /// The log does not have all of its events any more.
    Unknown,
    /// It is of no definition of today.
    Stranger,
    /// A session that differs.
    Session,
}

/// Compares a stream's windows with what a fresh run measures.
pub(crate) fn windows(
    scope: &Scope<'_>,
    findings: &mut Findings,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let definitions: HashMap<_, _> = scope.program.iter().flat_map(|program| program.windows()).collect();
    let mut query =
        WindowQuery { stream: Some(scope.name.to_owned()), limit: limits::PAGE_ROWS_MAX, ..WindowQuery::default() };
    let (mut open, mut unknown, mut strangers, mut sessions) = (0_u64, 0_u64, 0_u64, 0_u64);
    loop {
        let page = scope.store.windows(&query)?;
        report.windows += page.rows.len() as u64;
        query.after = page.rows.last().map(|row| row.id.clone());
        for row in page.rows {
            match judge(scope, &definitions, findings, &row, report) {
                Verdict::Judged => {}
                Verdict::Open => open += 1,
                Verdict::Unknown => unknown += 1,
                Verdict::Stranger => strangers += 1,
                Verdict::Session => sessions += 1,
            }
        }
        if !page.more {
            break;
        }
    }
    sessions += tell_missing(scope, findings, report);
    report.notes.extend(sessions_note(sessions).map(|note| format!("{}: {note}", scope.name)));
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            report.notes.push(format!("{}: {count} windows {what}", scope.name));
        }
    };
    note(open, "are not closed by all partitions yet; they are judged by bounds");
    note(unknown, "may have had events that the log does not have; they are not judged");
    note(strangers, "are of no definition that is configured; they are not judged");
    Ok(())
}

fn judge(
    scope: &Scope<'_>,
    definitions: &HashMap<&str, u64>,
    findings: &mut Findings,
    row: &WindowRow,
    report: &mut VerifyReport,
) -> Verdict {
    let expected = findings.windows.remove(&row.id);
    if definitions.get(row.id.window.as_str()) != Some(&row.definition) {
        return Verdict::Stranger;
    }
    if !is_known(&row.id, findings.windows_from) {
        return Verdict::Unknown;
    }
    let Some(expected) = expected else {
        if is_session(&row.id) {
            return Verdict::Session;
        }
        report.differ(|| format!("{}: {} is stored, but a fresh run does not find it", scope.name, told(&row.id)));
        return Verdict::Judged;
    };
    if let Some(part) = difference(&expected, row) {
        if is_session(&row.id) {
            return Verdict::Session;
        }
        report.differ(|| format!("{}: {part} of {} is not that of a fresh run", scope.name, told(&row.id)));
    }
    if expected.open > 0 { Verdict::Open } else { Verdict::Judged }
}

/// Whether the log has all events that a window can have had. A session may have begun with one that it does not have.
fn is_known(id: &WindowId, from: Millis) -> bool {
    from == Millis::MIN || id.size_ms > 0 && id.start >= from
}

/// The first part in which a row differs from a fresh run.
fn difference(expected: &Measured, row: &WindowRow) -> Option<&'static str> {
    let closed = expected.closed.as_ref();
    let events = closed.map_or(0, |sum| sum.events);
    let measured = || {
        closed.is_none_or(|sum| {
            let names = row.measures.iter().map(|(name, _)| name).eq(sum.names.iter());
            names && row.measures.iter().map(|(_, measure)| measure).eq(sum.measures.iter())
        })
    };
    let parts = [
        ("the number of events", (events..=events + expected.open).contains(&row.events)),
        ("the number of late events", row.late == expected.late),
        ("the end", closed.is_none_or(|sum| sum.end == row.end)),
        ("a measure", row.events != events || measured()),
    ];
    parts.into_iter().find(|(_, equal)| !equal).map(|(part, _)| part)
}

/// What is to be told of sessions that differ. A session that was handed over because its partition was idle is over, and a
/// delayed event behind it begins another; by the log alone, which does not tell of idle times, it would have joined.
pub(crate) fn sessions_note(differ: u64) -> Option<String> {
    let why = "sessions are not judged where an idle partition may have ended one that the log alone would go on with";
    (differ > 0).then(|| format!("{why}: {differ} are not those of a fresh run"))
}

fn is_session(id: &WindowId) -> bool {
    id.size_ms == 0
}

/// Tells of windows that are not stored; gives how many sessions are not.
fn tell_missing(scope: &Scope<'_>, findings: &mut Findings, report: &mut VerifyReport) -> u64 {
    let from = findings.windows_from;
    let mut missing: Vec<_> = findings.windows.drain().filter(|(_, measured)| measured.closed.is_some()).collect();
    missing.retain(|(id, _)| is_known(id, from) && id.start >= scope.kept_since);
    missing.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let (sessions, missing): (Vec<_>, Vec<_>) = missing.into_iter().partition(|(id, _)| is_session(id));
    for (id, _) in missing {
        report.differ(|| format!("{}: {} is not stored", scope.name, told(&id)));
    }
    sessions.len() as u64
}

/// A window in words.
fn told(id: &WindowId) -> String {
    let whose = if id.tenant.is_empty() { String::new() } else { format!(" of tenant {}", id.tenant) };
    format!("window {} {} from {} ({} ms){whose}", id.window, id.key, id.start, id.size_ms)
}
