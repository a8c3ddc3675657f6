//! What became of sweeps and replays, as answers tell it.

use api::time::to_rfc3339;
use engine::letters::Swept;
use engine::replay::{Counts, Detail, Difference, Into, ReplayView, Subject};
use event::Millis;
use serde::Serialize;
use utoipa::ToSchema;

use super::shown::Letter;

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
pub(super) struct LetterPage<'a> {
    /// The letters.
    pub(super) dead_letters: Vec<Letter<'a>>,
    /// How many the filters let through.
    pub(super) total: u64,
    /// Where the next page starts; null at the end. A page may be shorter than `limit` although more follow, when its
    /// letters are big: only null means the end.
    pub(super) next_cursor: Option<String>,
}

/// What a replay by filter did, or with `dry_run` would do.
#[derive(Serialize, ToSchema)]
pub(super) struct Replayed {
    /// Whether it only counted.
    dry_run: bool,
    /// Letters that the filter lets through.
    matched: u64,
    /// Those that are open, and so can be replayed.
    eligible: u64,
    /// Those that are in their streams again.
    replayed: u64,
    /// Those that their streams refused, which counts as a failed try.
    refused: u64,
    /// Those that are not open.
    skipped: u64,
    /// Open ones that are left.
    remaining: u64,
    /// Only letters that had failed by then were taken, RFC 3339.
    until: String,
    /// The first hundred of the refused ones.
    refusals: Vec<RefusedAgain>,
    /// Why it ended before its limits; absent when it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    stopped: String,
}

/// A letter that was refused again.
#[derive(Serialize, ToSchema)]
struct RefusedAgain {
    /// Its id.
    id: String,
    /// Why, as a stable word.
    code: String,
    /// Why, for people.
    message: String,
}

impl Replayed {
    pub(super) fn new(swept: Swept, dry_run: bool) -> Self {
        let refusal = |r: engine::letters::Refusal| RefusedAgain { id: r.id, code: r.code, message: r.message };
        Self {
            dry_run,
            matched: swept.matched,
            eligible: swept.eligible,
            replayed: swept.done,
            refused: swept.refused,
            skipped: swept.skipped,
            remaining: if dry_run { swept.eligible } else { swept.remaining },
            until: to_rfc3339(swept.until),
            refusals: swept.refusals.into_iter().map(refusal).collect(),
            stopped: swept.stopped,
        }
    }
}

/// What discarding by filter did, or with `dry_run` would do.
#[derive(Serialize, ToSchema)]
pub(super) struct Discarded {
    /// Whether it only counted.
    dry_run: bool,
    /// Letters that the filter lets through.
    matched: u64,
    /// Those that are open or quarantined, and so can be discarded.
    eligible: u64,
    /// Those that were.
    discarded: u64,
    /// Those that are being replayed, or were resolved or discarded before.
    skipped: u64,
    /// Those that are left.
    remaining: u64,
}

impl Discarded {
    pub(super) fn new(swept: &Swept, dry_run: bool) -> Self {
        let Swept { matched, eligible, done, skipped, remaining, .. } = *swept;
        let remaining = if dry_run { eligible } else { remaining };
        Self { dry_run, matched, eligible, discarded: done, skipped, remaining }
    }
}

/// A replay.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayBody {
    /// Its id.
    id: String,
    /// The stream.
    stream: String,
    /// Results from here on, RFC 3339: anomalies by the time of receipt, windows by their beginning.
    from: String,
    /// Results before this, RFC 3339; null without an end.
    to: Option<String>,
    /// `shadow` or `live`.
    into: &'static str,
    /// `running`, `done`, `cancelled` or `failed`.
    status: &'static str,
    /// What it does while it runs: `reading`, `comparing` or `swapping`.
    phase: Option<&'static str>,
    /// How far it is.
    progress: Progress,
    /// When it was started, RFC 3339.
    started_at: String,
    /// When it ended, RFC 3339.
    finished_at: Option<String>,
    /// Why it failed; absent when it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    /// What differs from the live rows, once it is done; after a swap what was exchanged.
    difference: Option<DifferenceBody>,
    /// Whether its results are in place of the live rows.
    swapped: bool,
    /// Whether they can be put there.
    swappable: bool,
}

/// How far a replay is.
#[derive(Serialize, ToSchema)]
struct Progress {
    /// Records that were run.
    done: u64,
    /// Records to run.
    total: u64,
}

/// What differs.
#[derive(Serialize, ToSchema)]
struct DifferenceBody {
    /// How many rows differ.
    total: u64,
    /// Anomalies.
    anomalies: CountsBody,
    /// Windows.
    windows: CountsBody,
    /// Windows of the range that are still open, and so not compared.
    open: u64,
    /// Windows that changed while they were compared, and so were not.
    unsettled: u64,
    /// The first hundred differences.
    details: Vec<DetailBody>,
    /// What could not be judged, and why.
    notes: Vec<String>,
}

/// How many rows are how.
#[derive(Serialize, ToSchema)]
struct CountsBody {
    /// In both, and equal.
    same: u64,
    /// Only in the replay.
    added: u64,
    /// Only among the live rows.
    removed: u64,
    /// In both, and not equal.
    changed: u64,
}

/// One difference.
#[derive(Serialize, ToSchema)]
struct DetailBody {
    /// `anomaly` or `window`.
    subject: &'static str,
    /// Whose it is; absent for the default tenant.
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
    /// The anomaly's id; the window's name, length, beginning and group.
    id: String,
    /// What is live, in words; null when nothing is.
    live: Option<String>,
    /// What the replay found, in words; null when it found nothing.
    replay: Option<String>,
}

/// All replays that are remembered.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayList {
    /// Newest first.
    pub(super) replays: Vec<ReplayBody>,
}

impl ReplayBody {
    pub(super) fn new(view: ReplayView) -> Self {
        Self {
            id: view.id,
            stream: view.spec.stream,
            from: to_rfc3339(view.spec.from),
            to: (view.spec.to != Millis::MAX).then(|| to_rfc3339(view.spec.to)),
            into: if view.spec.into == Into::Live { "live" } else { "shadow" },
            status: view.status.as_str(),
            phase: view.phase.map(|phase| phase.as_str()),
            progress: Progress { done: view.done, total: view.total },
            started_at: to_rfc3339(view.started_at),
            finished_at: view.finished_at.map(to_rfc3339),
            error: view.error,
            difference: view.difference.map(DifferenceBody::new),
            swapped: view.swapped,
            swappable: view.swappable,
        }
    }
}

impl DifferenceBody {
    fn new(difference: Difference) -> Self {
        let counts = |c: Counts| CountsBody { same: c.same, added: c.added, removed: c.removed, changed: c.changed };
        let detail = |d: Detail| DetailBody {
            subject: if d.subject == Subject::Window { "window" } else { "anomaly" },
            tenant: d.tenant,
            id: d.id,
            live: d.live,
            replay: d.replay,
        };
        Self {
            total: difference.total(),
            anomalies: counts(difference.anomalies),
            windows: counts(difference.windows),
            open: difference.open,
            unsettled: difference.unsettled,
            details: difference.details.into_iter().map(detail).collect(),
            notes: difference.notes,
        }
    }
}
