//! The store of a process that has none, or none yet: its database was away when the process began, and intake does not wait
//! for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use event::Millis;
use log::Clock;
use store::query::{
    AlertPage, AlertQuery, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, Outgoing,
    Summary, WindowPage, WindowQuery,
};
use store::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

/// How long it waits before it tries again; a try takes seconds by itself where nobody answers.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens the store.
pub(super) type Open = Box<dyn Fn() -> anyhow::Result<Arc<dyn Store>> + Send>;

/// Why a store could not be opened, when the reason is that its database is away.
pub(super) fn away(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref() {
        Some(StoreError::Unavailable(why)) => Some(why.clone()),
        _ => None,
    }
}

/// Answers as the store does once that is open; until then it is not available.
pub(crate) struct Late {
    /// The store, or why there will be none.
    store: Arc<OnceLock<Result<Arc<dyn Store>, String>>>,
    /// Why it is not there.
    why: String,
}

impl Late {
    /// A store that never comes.
    pub(crate) fn never() -> Self {
        let why = "this process has no store: it has neither the role process nor query".to_owned();
        Self { store: Arc::default(), why }
    }

    /// A store that could not be opened, with the reason. It is tried again from now on, for as long as somebody has it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn waiting(why: String, open: Open, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        tracing::warn!(%why, "the store is away; events are taken on, and it is opened as soon as it is there");
        let late = Self { store: Arc::default(), why };
        let place = Arc::downgrade(&late.store);
        let work = move || {
            loop {
                clock.sleep(AGAIN);
                let Some(place) = place.upgrade() else { return };
                let opened = match open() {
                    Err(error) if away(&error).is_some() => continue,
                    Ok(store) => Ok(store),
                    Err(error) => Err(format!("{error:#}")),
                };
                match &opened {
                    Ok(_) => tracing::info!("the store is there"),
                    Err(why) => tracing::error!(%why, "the store cannot be used"),
                }
                // Nobody else puts one here.
                let _ = place.set(opened);
                return;
            }
        };
        std::thread::Builder::new().name("store".to_owned()).spawn(work).context("no thread for the store")?;
        Ok(late)
    }

    fn store(&self) -> Result<&dyn Store, StoreError> {
        match self.store.get() {
            Some(Ok(store)) => Ok(&**store),
            Some(Err(why)) => Err(StoreError::Incompatible(why.clone())),
            None => Err(StoreError::Unavailable(self.why.clone())),
        }
    }
}

impl Answers for Late {
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.store()?.events(query)
    }
    fn anomalies(&self, query: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        self.store()?.anomalies(query)
    }
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        self.store()?.dead_letters(query)
    }
    fn windows(&self, query: &WindowQuery) -> Result<WindowPage, StoreError> {
        self.store()?.windows(query)
    }
    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, StoreError> {
        self.store()?.alerts(query)
    }
    fn summary(&self, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, StoreError> {
        self.store()?.summary(stream, tenant, since)
    }
}

impl Store for Late {
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.store()?.commit(commit)
    }
    fn claim(&self, consumer: &str, owner: u64, partitions: &[(String, u32)]) -> Result<(), StoreError> {
        self.store()?.claim(consumer, owner, partitions)
    }
    fn positions(&self, consumer: &str) -> Result<Vec<StoredPosition>, StoreError> {
        self.store()?.positions(consumer)
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.store()?.snapshots()
    }
    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
        self.store()?.outbox(now, limit)
    }
    fn expire(&self, stream: &str, before: Millis) -> Result<u64, StoreError> {
        self.store()?.expire(stream, before)
    }
    fn scan(&self, stream: &str, each: ScanFn<'_>) -> Result<(), StoreError> {
        self.store()?.scan(stream, each)
    }
}
