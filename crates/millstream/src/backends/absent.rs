//! The store of a process that has none.

use event::Millis;
use store::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};
use store::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

/// Answers nothing and takes nothing.
pub(crate) struct Absent;

fn none<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this process has no store: it has neither the role process nor query".to_owned()))
}

impl Answers for Absent {
    fn events(&self, _: &EventQuery) -> Result<EventPage, StoreError> {
        none()
    }
    fn anomalies(&self, _: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        none()
    }
    fn dead_letters(&self, _: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        none()
    }
    fn windows(&self, _: &WindowQuery) -> Result<WindowPage, StoreError> {
        none()
    }
    fn alerts(&self, _: &AlertQuery) -> Result<AlertPage, StoreError> {
        none()
    }
    fn summary(&self, _: &str, _: Option<&str>, _: Millis) -> Result<Summary, StoreError> {
        none()
    }
}

impl Store for Absent {
    fn commit(&self, _: &Commit<'_>) -> Result<(), StoreError> {
        none()
    }
    fn positions(&self, _: &str) -> Result<Vec<StoredPosition>, StoreError> {
        none()
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        none()
    }
    fn outbox(&self, _: Millis, _: usize) -> Result<Vec<Outgoing>, StoreError> {
        none()
    }
    fn expire(&self, _: &str, _: Millis) -> Result<u64, StoreError> {
        none()
    }
    fn scan(&self, _: &str, _: ScanFn<'_>) -> Result<(), StoreError> {
        none()
    }
}
