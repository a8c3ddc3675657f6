//! Many letters at once, by filter: oldest first, at a rate, for a bounded time.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use event::{DeadLetter, LetterChange, LetterEvent, LetterStatus, Millis};
use store::query::DeadLetterQuery;

use super::{LetterError, Letters, PAGE};

/// Letters that one sweep takes at the most; their ids are in memory.
pub const SWEEP_LETTERS_MAX: usize = 10_000;
/// Refusals that are told one by one; all are counted.
const REFUSALS_LISTED_MAX: usize = 100;
/// Letters of one transaction, where nothing is appended in between.
const COMMIT_LETTERS: usize = 500;

/// Sweeps of different tenants at once: each holds a thread, and the names of its letters.
pub(super) const SWEEPS_MAX: usize = 16;

/// How letters are replayed by filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Only counts.
    pub dry_run: bool,
    /// Letters a second at the most, at least 1.
    pub rate_per_s: u32,
    /// Letters at the most, up to [`SWEEP_LETTERS_MAX`].
    pub limit: usize,
    /// How long it may take.
    pub time: Duration,
}

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Letters that the filter lets through.
    pub matched: u64,
    /// Those that can be taken: open ones, and for discarding quarantined ones too.
    pub eligible: u64,
    /// Those that were: in their streams again, or discarded.
    pub done: u64,
    /// Those whose bytes were refused, which counts as a failed try.
    pub refused: u64,
    /// Those that what became of them does not let be taken.
    pub skipped: u64,
    /// Those that are left because of the limits: ask again, with [`Swept::until`] as the filter's end.
    pub remaining: u64,
    /// The filter's end: only letters that had failed by then are taken, so that none is twice.
    pub until: Millis,
    /// The first of the refused ones.
    pub refusals: Vec<Refusal>,
    /// Why it ended before its limits; empty when it did not.
    pub stopped: String,
}

/// A letter that was refused again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its id.
    pub id: String,
    /// Why, as a stable word.
    pub code: String,
    /// Why, for people.
    pub message: String,
}

impl Letters {
    /// Replays the open letters that a filter lets through, oldest first. Those of another status are counted.
    ///
    /// # Errors
    /// [`LetterError::Sweeping`] while another sweep of the same tenant runs, or too many of others; when the engine has not caught up, or the store does not answer.
    pub fn replay_all(&self, filter: &DeadLetterQuery, sweep: Sweep) -> Result<Swept, LetterError> {
        let _only = self.only(filter)?;
        let (filter, mut swept) = self.count(filter, &[LetterStatus::Open])?;
        if sweep.dry_run {
            return Ok(swept);
        }
        self.door()?;
        let names = self.oldest(&filter, &[LetterStatus::Open], sweep.limit)?;
        let clock = &self.parts.clock;
        let (began, step) = (clock.elapsed(), Duration::from_secs(1) / sweep.rate_per_s.max(1));
        for (turn, (tenant, id)) in (0_u32..).zip(&names) {
            let spent = clock.elapsed().saturating_sub(began);
            let wait = (step * turn).saturating_sub(spent);
            if spent + wait > sweep.time {
                break;
            }
            if !wait.is_zero() {
                clock.sleep(wait);
            }
            match self.replay_before(tenant, id, swept.until) {
                Ok(()) => swept.done += 1,
                Err(LetterError::Rejected(rejected)) => {
                    swept.refused += 1;
                    if swept.refusals.len() < REFUSALS_LISTED_MAX {
                        let (code, message) = (rejected.code, rejected.message);
                        swept.refusals.push(Refusal { id: id.clone(), code, message });
                    }
                }
                // Somebody was faster.
                Err(LetterError::Status { .. } | LetterError::NotFound(_)) => swept.skipped += 1,
                Err(error) if swept.done + swept.refused == 0 => return Err(error),
                Err(error) => {
                    swept.stopped = error.to_string();
                    break;
                }
            }
        }
        swept.remaining = self.open_again(&filter, &[LetterStatus::Open])?;
        Ok(swept)
    }

    /// Discards the open and quarantined letters that a filter lets through. Others are counted.
    ///
    /// # Errors
    /// As [`Letters::replay_all`].
    pub fn discard_all(&self, filter: &DeadLetterQuery, dry_run: bool) -> Result<Swept, LetterError> {
        let _only = self.only(filter)?;
        let may = [LetterStatus::Open, LetterStatus::Quarantined];
        let (filter, mut swept) = self.count(filter, &may)?;
        if dry_run {
            return Ok(swept);
        }
        let names = self.oldest(&filter, &may, SWEEP_LETTERS_MAX)?;
        for some in names.chunks(COMMIT_LETTERS) {
            // In turn with replays: what is being replayed in this moment is not discarded.
            let _turn = self.turn();
            let mut changes = Vec::with_capacity(some.len());
            for (tenant, id) in some {
                match self.show(Some(tenant), id) {
                    Ok(DeadLetter { tenant, id, status, .. }) if may.contains(&status) => {
                        changes.push(LetterChange { tenant, id, event: LetterEvent::Discarded });
                    }
                    Ok(_) | Err(LetterError::NotFound(_)) => swept.skipped += 1,
                    Err(error) => return Err(error),
                }
            }
            self.change_all(&changes)?;
            swept.done += changes.len() as u64;
        }
        swept.remaining = self.open_again(&filter, &may)?;
        Ok(swept)
    }

    /// One sweep of a tenant's at once; `None` is one that sees all. Until what this gives is dropped.
    fn only(&self, filter: &DeadLetterQuery) -> Result<Only<'_>, LetterError> {
        let mut sweeping = self.sweeping();
        if sweeping.len() >= SWEEPS_MAX || !sweeping.insert(filter.tenant.clone()) {
            return Err(LetterError::Sweeping);
        }
        Ok(Only { letters: self, tenant: filter.tenant.clone() })
    }

    fn sweeping(&self) -> MutexGuard<'_, HashSet<Option<String>>> {
        self.sweeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many letters a filter lets through, and how many of them can be taken; the filter with its end.
    fn count(&self, filter: &DeadLetterQuery, may: &[LetterStatus]) -> Result<(DeadLetterQuery, Swept), LetterError> {
        let now = self.parts.clock.now();
        let until = filter.to.map_or(now, |to| to.min(now));
        let filter = DeadLetterQuery { to: Some(until), skip: 0, limit: 1, ..filter.clone() };
        let matched = self.list(&filter)?.total;
        let eligible = self.open_again(&filter, may)?;
        Ok((filter, Swept { matched, eligible, skipped: matched.saturating_sub(eligible), until, ..Swept::default() }))
    }

    fn open_again(&self, filter: &DeadLetterQuery, may: &[LetterStatus]) -> Result<u64, LetterError> {
        statuses(filter, may).map(|query| Ok(self.list(&DeadLetterQuery { limit: 1, ..query })?.total)).sum()
    }

    /// Whose and which letters can be taken, oldest first. All at once: what becomes of them shifts the pages.
    fn oldest(
        &self,
        filter: &DeadLetterQuery,
        may: &[LetterStatus],
        limit: usize,
    ) -> Result<Vec<(String, String)>, LetterError> {
        let limit = limit.min(SWEEP_LETTERS_MAX);
        let mut names = Vec::new();
        for query in statuses(filter, may) {
            let mut before = self.list(&DeadLetterQuery { limit: 1, ..query.clone() })?.total;
            while before > 0 && names.len() < limit {
                let some = before.min(PAGE as u64);
                before -= some;
                let page = self.list(&DeadLetterQuery { skip: before, limit: some as usize, ..query.clone() })?;
                names.extend(page.rows.into_iter().rev().map(|letter| (letter.tenant, letter.id)));
            }
        }
        names.truncate(limit);
        Ok(names)
    }

    /// One letter of a sweep; a failure is dated behind the sweep's end, so that the next one passes over it.
    fn replay_before(&self, tenant: &str, id: &str, until: Millis) -> Result<(), LetterError> {
        let _turn = self.turn();
        self.ready()?;
        let letter = self.show(Some(tenant), id)?;
        self.send(&letter, self.parts.clock.now().max(until + 1))
    }
}

/// A tenant's turn to sweep.
struct Only<'a> {
    letters: &'a Letters,
    tenant: Option<String>,
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.letters.sweeping().remove(&self.tenant);
    }
}

/// The filter once for each status that it lets through and that can be taken.
fn statuses<'a>(filter: &'a DeadLetterQuery, may: &'a [LetterStatus]) -> impl Iterator<Item = DeadLetterQuery> + 'a {
    let may = may.iter().filter(|status| filter.status.is_none_or(|wanted| wanted == **status));
    may.map(|status| DeadLetterQuery { status: Some(*status), ..filter.clone() })
}
