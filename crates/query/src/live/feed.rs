//! The ticker behind the live stream: one frame a second, and the last minutes of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use store::query::{AnomalyQuery, WindowQuery};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::frame::{Counts, Frame, LatestRows, TOPICS};
use crate::Live;
use crate::Query;
use crate::desk::{Desk, to_json};
use crate::error::QueryError;
use crate::rows::Anomaly;
use crate::scope::Scope;
use crate::shares::Shares;
use crate::windows::Window;

const TICK: Duration = Duration::from_secs(1);
/// Live streams open at once: each holds a connection.
const SUBSCRIBERS_MAX: usize = 256;
/// Of these, how many one tenant may have: each asks the store whenever there are new anomalies.
const TENANT_SUBSCRIBERS_MAX: usize = 16;
/// Seconds that a page sees when it opens.
const HISTORY_MAX: usize = 300;
/// Anomalies in a frame, and windows.
const LATEST_MAX: usize = 20;

/// The frames, for those who subscribe.
pub(crate) struct Feed {
    seats: Arc<Semaphore>,
    tenants: Shares,
    frames: watch::Sender<Option<Arc<Frame>>>,
    history: Mutex<VecDeque<Sample>>,
}

impl Default for Feed {
    fn default() -> Self {
        let seats = Arc::new(Semaphore::new(SUBSCRIBERS_MAX));
        let (tenants, frames) = (Shares::new(TENANT_SUBSCRIBERS_MAX), watch::Sender::new(None));
        Self { seats, tenants, frames, history: Mutex::default() }
    }
}

/// A subscriber's place; free again when it is dropped.
pub(super) struct Seat {
    frames: watch::Receiver<Option<Arc<Frame>>>,
    _seats: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Seat {
    /// The next frame; those missed meanwhile are gone. `None` when no more come.
    pub(super) async fn next(&mut self) -> Option<Arc<Frame>> {
        loop {
            self.frames.changed().await.ok()?;
            if let Some(frame) = self.frames.borrow_and_update().clone() {
                return Some(frame);
            }
        }
    }
}

/// A second of history: time, accepted, stored, duplicates, rejected, dead letters and anomalies a second, lag.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample(i64, f64, f64, f64, f64, f64, f64, u64);

const COLUMNS: [&str; 8] =
    ["time", "accepted", "stored", "duplicates", "rejected", "dead_letters", "anomalies", "lag_events"];

#[derive(Serialize)]
struct History<'a> {
    columns: [&'static str; 8],
    rows: &'a VecDeque<Sample>,
}

impl Feed {
    /// A seat with the frames, the one of this second first; `None` when all seats are taken, or all of the tenant's.
    pub(super) fn subscribe(&self, scope: &Scope) -> Option<Seat> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let own = scope.as_deref().map(|tenant| self.tenants.of(tenant).try_acquire_owned()).transpose().ok()?;
        let mut frames = self.frames.subscribe();
        frames.mark_changed();
        Some(Seat { frames, _seats: (seat, own) })
    }

    /// The last minutes as JSON.
    pub(super) fn history(&self) -> String {
        let rows = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string(&History { columns: COLUMNS, rows: &rows }).unwrap_or_default()
    }

    fn publish(&self, frame: Frame) {
        if let (Some(rates), Some(lag)) = (&frame.rates, &frame.lag) {
            let Counts { accepted, duplicates, rejected, stored, dead_letters, anomalies, .. } = *rates;
            let mut rows = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            if rows.len() == HISTORY_MAX {
                rows.pop_front();
            }
            rows.push_back(Sample(
                frame.time,
                accepted,
                stored,
                duplicates,
                rejected,
                dead_letters,
                anomalies,
                lag.events,
            ));
        }
        self.frames.send_replace(Some(Arc::new(frame)));
    }
}

/// Starts the ticker; it ends when the desk is gone.
pub(crate) fn start(desk: &Arc<Desk>) {
    tokio::spawn(run(Arc::downgrade(desk)));
}

async fn run(desk: Weak<Desk>) {
    let mut ticks = tokio::time::interval(TICK);
    // After a pause of the machine one frame is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before: Option<(Counts<u64>, Duration)> = None;
    let (mut rates, mut processes) = (Counts::default(), 0);
    let mut latest = Latest::of(Scope::all(), &TOPICS);
    loop {
        ticks.tick().await;
        let Some(desk) = desk.upgrade() else { return };
        let (live, now) = ((desk.query.live)(), desk.query.clock.elapsed());
        let counts = Counts::of(&live);
        let (earlier, since) = before.replace((counts, now)).unwrap_or((counts, now));
        // A process that is heard of for the first time brings all that it ever did: that was not in this second.
        if std::mem::replace(&mut processes, live.processes) >= live.processes {
            rates = counts.rates_since(earlier, now.saturating_sub(since).as_secs_f64());
        }
        let frame = frame(&desk, live, rates, &mut latest).await;
        desk.feed.publish(frame);
    }
}

async fn frame(desk: &Desk, live: Live, rates: Counts<f64>, latest: &mut Latest) -> Frame {
    let time = desk.query.clock.now();
    let (status, counts) = (desk.probe(|query| Ok(query.log.status())).await.unwrap_or_default(), Counts::of(&live));
    if desk.feed.frames.receiver_count() == 0 {
        // Nobody looks, so nothing is read; and whoever comes next shall not see an old list first.
        *latest = Latest::of(Scope::all(), &[]);
    } else if !latest.wanted {
        *latest = Latest::of(Scope::all(), &TOPICS);
    }
    let rows = latest.read(desk, counts.yielded(live.windows)).await.clone();
    Frame::new(time, live, rates, &status, rows)
}

/// The latest rows that somebody may see, read again only when there are new ones.
pub(super) struct Latest {
    scope: Scope,
    wanted: bool,
    as_of: Option<(u64, u64)>,
    rows: LatestRows,
}

impl Latest {
    /// Those for a caller who wants to see these topics.
    pub(super) fn of(scope: Scope, topics: &[&str]) -> Self {
        let wanted = ["anomalies", "windows"].iter().any(|topic| topics.contains(topic));
        Self { scope, wanted, as_of: None, rows: LatestRows::default() }
    }

    /// As of so many changes in all, see [`Counts::yielded`].
    pub(super) async fn read(&mut self, desk: &Desk, total: (u64, u64)) -> &LatestRows {
        if self.wanted && self.as_of != Some(total) {
            let scope = self.scope.clone();
            let read = move |query: &Query| latest(query, &scope);
            // The ticker has a turn that slow queries do not take; a tenant has its own.
            let rows = match self.scope.as_deref() {
                None => desk.probe(read).await,
                Some(_) => desk.read(&self.scope, read).await,
            };
            match rows {
                Ok(rows) => (self.as_of, self.rows) = (Some(total), rows),
                Err(error) => tracing::debug!(%error, "the latest rows could not be read; shown as they were"),
            }
        }
        &self.rows
    }
}

fn latest(query: &Query, scope: &Scope) -> Result<LatestRows, QueryError> {
    let asked = AnomalyQuery { tenant: scope.tenant(), limit: LATEST_MAX, ..AnomalyQuery::default() };
    let page = query.store.anomalies(&asked)?;
    let anomalies: Vec<Anomaly<'_>> = page.rows.iter().map(|row| Anomaly::new(row).without_data()).collect();
    let asked = WindowQuery { tenant: scope.tenant(), limit: LATEST_MAX, ..WindowQuery::default() };
    let page = query.store.windows(&asked)?;
    let windows: Vec<Window<'_>> = page.rows.iter().map(Window::new).collect();
    Ok(LatestRows { anomalies: raw(&anomalies)?, windows: raw(&windows)? })
}

fn raw<T: Serialize>(rows: &T) -> Result<Box<RawValue>, QueryError> {
    let text = String::from_utf8(to_json(rows)?).unwrap_or_default();
    RawValue::from_string(text).map_err(|error| QueryError::Internal(error.to_string()))
}
