//! The ticker behind the live stream: one frame a second, and the last minutes of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use store::query::AnomalyQuery;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::frame::{Counts, Frame};
use crate::Live;
use crate::Query;
use crate::desk::{Desk, to_json};
use crate::error::QueryError;
use crate::rows::Anomaly;
use crate::scope::Scope;
use crate::shares::Shares;

const TICK: Duration = Duration::from_secs(1);
/// Live streams open at once: each holds a connection.
const SUBSCRIBERS_MAX: usize = 256;
/// Of these, how many one tenant may have: each asks the store whenever there are new anomalies.
const TENANT_SUBSCRIBERS_MAX: usize = 16;
/// Seconds that a page sees when it opens.
const HISTORY_MAX: usize = 300;
/// Anomalies in a frame.
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
            let Counts { accepted, duplicates, rejected, stored, dead_letters, anomalies } = *rates;
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
    let mut latest = Latest::default();
    loop {
        ticks.tick().await;
        let Some(desk) = desk.upgrade() else { return };
        let (live, now) = ((desk.query.live)(), desk.query.clock.elapsed());
        let counts = Counts::of(&live);
        let (earlier, since) = before.replace((counts, now)).unwrap_or((counts, now));
        let rates = counts.rates_since(earlier, now.saturating_sub(since).as_secs_f64());
        let frame = frame(&desk, live, rates, &mut latest).await;
        desk.feed.publish(frame);
    }
}

async fn frame(desk: &Desk, live: Live, rates: Counts<f64>, latest: &mut Latest) -> Frame {
    let time = desk.query.clock.now();
    let status = desk.probe(|query| Ok(query.log.status())).await.unwrap_or_default();
    let anomalies = latest.read(desk, Counts::of(&live).anomalies).await;
    Frame::new(time, live, rates, &status, anomalies)
}

/// The latest anomalies, read again only when there are new ones and somebody looks.
#[derive(Default)]
struct Latest {
    as_of: Option<u64>,
    rows: Option<Box<RawValue>>,
}

impl Latest {
    async fn read(&mut self, desk: &Desk, total: u64) -> Box<RawValue> {
        if desk.feed.frames.receiver_count() == 0 {
            // Whoever comes next shall not see an old list first.
            *self = Self::default();
        } else if self.as_of != Some(total) {
            match desk.probe(|query| latest(query, &Scope::all())).await {
                Ok(rows) => (self.as_of, self.rows) = (Some(total), Some(rows)),
                Err(error) => tracing::debug!(%error, "the latest anomalies could not be read; shown as they were"),
            }
        }
        self.rows.clone().unwrap_or_else(|| RawValue::NULL.to_owned())
    }
}

/// The latest anomalies that may be seen, as JSON.
pub(super) fn latest(query: &Query, scope: &Scope) -> Result<Box<RawValue>, QueryError> {
    let asked = AnomalyQuery { tenant: scope.tenant(), limit: LATEST_MAX, ..AnomalyQuery::default() };
    let page = query.store.anomalies(&asked)?;
    let rows: Vec<Anomaly<'_>> = page.rows.iter().map(|row| Anomaly::new(row).without_data()).collect();
    let text = String::from_utf8(to_json(&rows)?).unwrap_or_default();
    RawValue::from_string(text).map_err(|error| QueryError::Internal(error.to_string()))
}
