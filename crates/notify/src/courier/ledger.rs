//! The courier's side of the store: what is due, and what became of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event::{DeliveryChange, Millis};
use log::Clock;
use metrics::{Counter, counter};
use store::query::Outgoing;
use store::{Commit, Store, StoreError};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Parts;

/// Under this name the courier commits; it has no positions.
const CONSUMER: &str = "courier";

pub(super) struct Ledger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pause: Duration,
    stopping: watch::Receiver<bool>,
    /// Whether the store took nothing the last time: said once, not at each try.
    away: AtomicBool,
    /// Parcels whose outcome the store will not take: at most as many as one look finds.
    passed_over: Mutex<HashSet<i64>>,
    failures: Counter,
}

impl Ledger {
    pub(super) fn new(parts: &Parts, stopping: watch::Receiver<bool>) -> Self {
        Self {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            pause: parts.settings.look_every,
            stopping,
            away: AtomicBool::new(false),
            passed_over: Mutex::default(),
            failures: counter!("outbox_write_failures_total"),
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The time of breakers, in milliseconds.
    pub(super) fn elapsed_ms(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }

    pub(super) fn stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits a moment; `false` when the courier is to end.
    pub(super) async fn pause(&self) -> bool {
        let mut stopping = self.stopping.clone();
        timeout(self.pause, stopping.wait_for(|stop| *stop)).await.is_err()
    }

    /// What is due now; `None` when the store does not say.
    pub(super) async fn due(&self, limit: usize) -> Option<Vec<Outgoing>> {
        let (store, now) = (self.store.clone(), self.now());
        let due = tokio::task::spawn_blocking(move || store.outbox(now, limit)).await;
        let mut due = self.heard(due.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string()))))?;
        let passed_over = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        due.retain(|parcel| !passed_over.contains(&parcel.row));
        Some(due)
    }

    /// Writes down what became of parcels, however long the store is away; `false` when the courier is to end before that:
    /// then they are told again after the next start. What the store will never take is left: nobody is told those
    /// parcels again before the next start, and the caller goes on.
    pub(super) async fn keep(&self, changes: Vec<DeliveryChange>) -> bool {
        if changes.is_empty() {
            return true;
        }
        let changes: Arc<[DeliveryChange]> = changes.into();
        loop {
            let (store, told) = (self.store.clone(), changes.clone());
            let kept = tokio::task::spawn_blocking(move || {
                store.commit(&Commit { consumer: CONSUMER, deliveries: &told, ..Commit::default() })
            });
            let kept = kept.await.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string())));
            match kept {
                Err(error) if !matches!(error, StoreError::Unavailable(_)) => {
                    self.pass_over(&changes, &error);
                    return true;
                }
                kept => {
                    if self.heard(kept).is_some() {
                        return true;
                    }
                }
            }
            self.failures.increment(1);
            if !self.pause().await {
                return false;
            }
        }
    }

    /// Said once, not for each.
    fn pass_over(&self, changes: &[DeliveryChange], error: &StoreError) {
        self.failures.increment(1);
        let mut passed_over = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        if passed_over.is_empty() {
            tracing::error!(%error, "the store will not keep what became of notifications; they are passed over until the next start");
        }
        passed_over.extend(changes.iter().map(|change| change.row));
    }

    fn heard<T>(&self, answer: Result<T, StoreError>) -> Option<T> {
        let was_away = self.away.swap(answer.is_err(), Ordering::AcqRel);
        match &answer {
            Err(error) if !was_away => tracing::warn!(%error, "the outbox cannot be read or written; tried again"),
            Ok(_) if was_away => tracing::info!("the outbox can be read and written again"),
            _ => {}
        }
        answer.ok()
    }
}
