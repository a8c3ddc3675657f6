//! What a run found against what is live.
//!
//! Both are read while the engine works, so what came later than the run is told apart: anomalies by their offsets, windows
//! by the time of their last change. A window that a partition still holds open is not compared, and neither is what an idle
//! partition has handed over before its own clock said so. Sessions that differ are no differences, see [`sessions_note`].

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use event::{Anomaly, Millis};
use process::Output;
use store::StoreError;
use store::query::WindowRow;

use super::job::Job;
use super::pages::{Anomalies, Windows, order};
use super::run::Run;
use super::{ReplayParts, Stopped};
use crate::verify::sessions_note;

/// How many differences are told one by one; all are counted.
pub const DETAILS_MAX: usize = 100;
/// How far the store's clock and ours may be apart: both are the system's, one may round.
const CLOCKS_MS: Millis = 2;
/// Rows that are compared between two looks at whether it was cancelled.
const ROWS: u64 = 1_000;

/// How many rows are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In both, and equal.
    pub same: u64,
    /// Only in the replay.
    pub added: u64,
    /// Only among the live rows.
    pub removed: u64,
    /// In both, and not equal.
    pub changed: u64,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Anomalies.
    pub anomalies: Counts,
    /// Windows.
    pub windows: Counts,
    /// Windows of the range that are still open, and so not compared.
    pub open: u64,
    /// Windows that the engine changed while they were compared.
    pub unsettled: u64,
    /// The first [`DETAILS_MAX`] differences.
    pub details: Vec<Detail>,
    /// What could not be judged, and why; no differences.
    pub notes: Vec<String>,
}

impl Difference {
    /// How many rows differ.
    pub fn total(&self) -> u64 {
        [self.anomalies, self.windows].iter().map(|c| c.added + c.removed + c.changed).sum()
    }
}

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An anomaly.
    Anomaly,
    /// A window.
    Window,
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// What it is about.
    pub subject: Subject,
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// The anomaly's id, or the window's name, length, beginning and group.
    pub id: String,
    /// What is live, in words; `None` when nothing is.
    pub live: Option<String>,
    /// What the replay found, in words; `None` when it found nothing.
    pub replay: Option<String>,
}

/// A difference as a whole.
#[derive(Debug)]
pub enum Change {
    /// An anomaly: live, and of the replay; at least one of them is there.
    Anomaly(Option<Anomaly>, Option<Anomaly>),
    /// A window, likewise.
    Window(Option<WindowRow>, Option<WindowRow>),
}

/// Compares what is in the range; every difference goes to `tell`.
pub(super) fn compare(
    parts: &ReplayParts,
    run: &Run,
    range: &Range<Millis>,
    job: &Job,
    tell: &mut dyn FnMut(Change) -> Result<(), Stopped>,
) -> Result<Difference, Stopped> {
    let mut comparison = Comparison::new(parts, run, range, job, tell)?;
    comparison.anomalies()?;
    comparison.windows()?;
    let Comparison { sessions, mut difference, .. } = comparison;
    difference.notes.extend(sessions_note(sessions));
    Ok(difference)
}

struct Comparison<'a> {
    parts: &'a ReplayParts,
    run: &'a Run,
    range: Range<Millis>,
    job: &'a Job,
    tell: &'a mut dyn FnMut(Change) -> Result<(), Stopped>,
    /// Hashes of the windows that are open.
    open: HashSet<u64>,
    /// Hashes of the anomalies that time alone may bring out.
    pending: HashSet<u64>,
    /// What is older may be gone from the live store.
    kept_since: Millis,
    /// Sessions that are not equal.
    sessions: u64,
    difference: Difference,
    rows: u64,
}

impl<'a> Comparison<'a> {
    fn new(
        parts: &'a ReplayParts,
        run: &'a Run,
        range: &Range<Millis>,
        job: &'a Job,
        tell: &'a mut dyn FnMut(Change) -> Result<(), Stopped>,
    ) -> Result<Self, Stopped> {
        let mut range = range.clone();
        let mut difference = Difference { notes: run.notes.clone(), ..Difference::default() };
        // Where retention has dropped the log's beginning, what lies before the rest is not known.
        if let Some(begins) = run.lanes.iter().filter_map(|lane| lane.begins_at).max().filter(|at| *at > range.start) {
            let note =
                format!("retention has dropped the log before {begins} ms; results before that are not compared");
            difference.notes.push(note);
            range = begins.min(range.end)..range.end;
        }
        let age = parts.catalog.get(run.stream).retention.age_ms;
        let kept_since = age.map_or(Millis::MIN, |age| parts.clock.now().saturating_sub(age));
        let (open, pending) = held(run)?;
        Ok(Self { parts, run, range, job, tell, open, pending, kept_since, sessions: 0, difference, rows: 0 })
    }

    fn step(&mut self) -> Result<(), Stopped> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS) { self.job.go_on() } else { Ok(()) }
    }

    fn anomalies(&mut self) -> Result<(), Stopped> {
        let (name, run) = (&self.run.name, self.run);
        let mut live = Anomalies::of(self.parts.store.as_ref(), name);
        let mut mine = Anomalies::of(run.shadow()?, name);
        loop {
            let time = match (live.time()?, mine.time()?) {
                (None, None) => return Ok(()),
                (a, b) => a.max(b),
            };
            let of = |side: &mut Anomalies<'_>| -> Result<Vec<Anomaly>, StoreError> {
                if side.time()? == time { side.take() } else { Ok(Vec::new()) }
            };
            let (live, mine) = (of(&mut live)?, of(&mut mine)?);
            let mut found: HashMap<_, _> = mine.into_iter().map(|a| ((a.tenant.clone(), a.id.clone()), a)).collect();
            for live in live {
                let mine = found.remove(&(live.tenant.clone(), live.id.clone()));
                self.anomaly(Some(live), mine)?;
            }
            let mut rest: Vec<_> = found.into_values().collect();
            rest.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            rest.into_iter().try_for_each(|mine| self.anomaly(None, Some(mine)))?;
        }
    }

    fn anomaly(&mut self, live: Option<Anomaly>, mine: Option<Anomaly>) -> Result<(), Stopped> {
        self.step()?;
        let judged = |a: &Anomaly| {
            let lane = self.run.lanes.get(a.partition as usize);
            let inside = lane.is_some_and(|lane| (lane.first..lane.next).contains(&a.offset));
            inside && self.range.contains(&a.received_at)
        };
        let (live, mine) = (live.filter(judged), mine.filter(judged));
        let counts = &mut self.difference.anomalies;
        match (&live, &mine) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if a == b => {
                counts.same += 1;
                return Ok(());
            }
            (Some(live), None) if self.pending.contains(&hash(&(&live.tenant, &live.id))) => return Ok(()),
            (None, Some(mine)) if mine.received_at < self.kept_since => return Ok(()),
            (Some(_), Some(_)) => counts.changed += 1,
            (Some(_), None) => counts.removed += 1,
            (None, Some(_)) => counts.added += 1,
        }
        self.tell(Change::Anomaly(live, mine))
    }

    fn windows(&mut self) -> Result<(), Stopped> {
        let (name, run) = (&self.run.name, self.run);
        let mut live = Windows::of(self.parts.store.as_ref(), name, &self.range);
        let mut mine = Windows::of(run.shadow()?, name, &self.range);
        loop {
            let (a, b) = match (live.peek()?, mine.peek()?) {
                (None, None) => return Ok(()),
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(a), Some(b)) => {
                    let order = order(&a.id, &b.id);
                    (order.is_le(), order.is_ge())
                }
            };
            let (a, b) = (a.then(|| live.take()).flatten(), b.then(|| mine.take()).flatten());
            self.window(a, b)?;
        }
    }

    fn window(&mut self, live: Option<WindowRow>, mine: Option<WindowRow>) -> Result<(), Stopped> {
        self.step()?;
        let Some(row) = live.as_ref().or(mine.as_ref()) else { return Ok(()) };
        if self.open.contains(&hash(&row.id)) {
            self.difference.open += 1;
            return Ok(());
        }
        let counts = &mut self.difference.windows;
        match (&live, &mine) {
            (Some(a), Some(b)) if equal(a, b) => {
                counts.same += 1;
                return Ok(());
            }
            // Where a partition was idle is in no record, and it decides what is one session.
            _ if row.id.size_ms == 0 => {
                self.sessions += 1;
                return Ok(());
            }
            (Some(live), _) if live.updated_at >= self.run.as_of.saturating_sub(CLOCKS_MS) => {
                self.difference.unsettled += 1;
                return Ok(());
            }
            (None, Some(mine)) if mine.end < self.kept_since => return Ok(()),
            (Some(_), Some(_)) => counts.changed += 1,
            (Some(_), None) => counts.removed += 1,
            (None, _) => counts.added += 1,
        }
        self.tell(Change::Window(live, mine))
    }

    fn tell(&mut self, change: Change) -> Result<(), Stopped> {
        if self.difference.details.len() < DETAILS_MAX {
            self.difference.details.push(Detail::of(&change));
        }
        (self.tell)(change)
    }
}

impl Detail {
    fn of(change: &Change) -> Self {
        let (subject, tenant, id, live, replay) = match change {
            Change::Anomaly(live, mine) => {
                let one = live.as_ref().or(mine.as_ref());
                let words = |a: &Anomaly| format!("{} {} {}", a.severity.as_str(), a.description, a.metadata);
                let (tenant, id) = one.map(|a| (a.tenant.clone(), a.id.clone())).unwrap_or_default();
                (Subject::Anomaly, tenant, id, live.as_ref().map(words), mine.as_ref().map(words))
            }
            Change::Window(live, mine) => {
                let one = live.as_ref().or(mine.as_ref()).map(|row| &row.id);
                let (tenant, id) = one
                    .map(|id| (id.tenant.clone(), format!("{} {} {} {}", id.window, id.size_ms, id.start, id.key)))
                    .unwrap_or_default();
                (Subject::Window, tenant, id, live.as_ref().map(measures), mine.as_ref().map(measures))
            }
        };
        Self { subject, tenant, id, live, replay }
    }
}

fn measures(row: &WindowRow) -> String {
    let mut text = format!("{{\"events\":{},\"late\":{}", row.events, row.late);
    for (name, measure) in &row.measures {
        text.push_str(&format!(",\"{name}\":"));
        measure.write_json(&mut text);
    }
    text + "}"
}

/// Whether two rows say the same. How many pieces they are made of, and when, is each store's own.
fn equal(a: &WindowRow, b: &WindowRow) -> bool {
    (a.end, a.definition, a.events, a.late) == (b.end, b.definition, b.events, b.late) && a.measures == b.measures
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// What the run's states hold back: windows that are open, and anomalies that time alone may bring out. Found by letting a
/// copy of each state go to the end of time.
fn held(run: &Run) -> Result<(HashSet<u64>, HashSet<u64>), Stopped> {
    let (mut open, mut pending) = (HashSet::new(), HashSet::new());
    let Some(program) = &run.program else { return Ok((open, pending)) };
    let mut out = Output::default();
    for (partition, lane) in (0_u32..).zip(&run.lanes) {
        let mut bytes = Vec::new();
        program.encode(&lane.state, &mut bytes);
        let copy = program.decode(&bytes).map_err(|error| Stopped::Other(format!("a state of the replay: {error}")))?;
        let mut state = copy.state;
        program.advance(&mut state, partition, lane.next, Millis::MAX, &mut out);
        open.extend(out.windows.drain(..).map(|piece| hash(&piece.id)));
        pending.extend(out.anomalies.drain(..).map(|a| hash(&(&a.tenant, &a.id))));
        out.clear();
    }
    Ok((open, pending))
}
