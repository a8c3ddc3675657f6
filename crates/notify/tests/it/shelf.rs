//! An outbox in memory, that takes nothing when it is told so.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use event::{Alert, DeliveryChange, DeliveryStatus, Millis};
use store::query::{
    AlertPage, AlertQuery, AlertRow, AnomalyPage, AnomalyQuery, DeadLetterPage, DeadLetterQuery, EventPage, EventQuery,
    Outgoing, Parcel, Summary, WindowPage, WindowQuery, WindowRow,
};
use store::{Answers, Commit, ScanFn, Snapshot, Store, StoreError, StoredPosition};

/// One thing to be told.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) outgoing: Outgoing,
    pub(crate) status: DeliveryStatus,
    pub(crate) error: String,
    pub(crate) next_at: Millis,
}

/// The outbox.
#[derive(Default)]
pub(crate) struct Shelf {
    entries: Mutex<Vec<Entry>>,
    away: AtomicBool,
    never: AtomicI64,
    refused: AtomicU32,
    looks: AtomicU32,
}

impl Shelf {
    pub(crate) fn put_alert(&self, alert: &Alert) {
        let row = AlertRow {
            row: 0,
            tenant: alert.tenant.clone(),
            target: alert.target.clone(),
            id: alert.id.clone(),
            stream: alert.stream.clone(),
            anomaly: alert.anomaly.clone(),
            body: alert.body.clone(),
            status: DeliveryStatus::Pending,
            attempts: 0,
            error: String::new(),
            created_at: 0,
            next_at: 0,
            done_at: None,
        };
        self.put(Parcel::Alert(row));
    }

    pub(crate) fn put_window(&self, to: &str, row: WindowRow) {
        self.put(Parcel::Window { to: to.to_owned(), row });
    }

    fn put(&self, what: Parcel) {
        let mut entries = self.entries.lock().unwrap();
        let row = entries.len() as i64 + 1;
        let outgoing = Outgoing { row, attempts: 0, what };
        entries.push(Entry { outgoing, status: DeliveryStatus::Pending, error: String::new(), next_at: 0 });
    }

    /// From now on it keeps nothing, or does again.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// What becomes of this row it will never take; 0 for none.
    pub(crate) fn never_takes(&self, row: i64) {
        self.never.store(row, Ordering::SeqCst);
    }

    /// Commits that it refused.
    pub(crate) fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    /// How often it was looked into.
    pub(crate) fn looks(&self) -> u32 {
        self.looks.load(Ordering::SeqCst)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    pub(crate) fn statuses(&self) -> Vec<DeliveryStatus> {
        self.entries().iter().map(|entry| entry.status).collect()
    }

    /// Whether all of them are in this state.
    pub(crate) fn all(&self, status: DeliveryStatus) -> bool {
        self.entries().iter().all(|entry| entry.status == status)
    }

    fn change(&self, change: &DeliveryChange) {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.iter_mut().find(|entry| entry.outgoing.row == change.row).unwrap();
        assert_eq!(entry.status, DeliveryStatus::Pending, "what is done is not touched again: {change:?}");
        entry.outgoing.attempts += 1;
        (entry.status, entry.error, entry.next_at) = (change.status, change.error.clone(), change.next_at);
    }
}

fn lane(what: &Parcel) -> (bool, &str) {
    match what {
        Parcel::Alert(alert) => (false, &alert.target),
        Parcel::Window { to, .. } => (true, to),
    }
}

impl Answers for Shelf {
    fn events(&self, _: &EventQuery) -> Result<EventPage, StoreError> {
        Ok(EventPage::default())
    }
    fn anomalies(&self, _: &AnomalyQuery) -> Result<AnomalyPage, StoreError> {
        Ok(AnomalyPage::default())
    }
    fn dead_letters(&self, _: &DeadLetterQuery) -> Result<DeadLetterPage, StoreError> {
        Ok(DeadLetterPage::default())
    }
    fn windows(&self, _: &WindowQuery) -> Result<WindowPage, StoreError> {
        Ok(WindowPage::default())
    }
    fn alerts(&self, _: &AlertQuery) -> Result<AlertPage, StoreError> {
        Ok(AlertPage::default())
    }
    fn summary(&self, _: &str, _: Option<&str>, _: Millis) -> Result<Summary, StoreError> {
        Ok(Summary::default())
    }
}

impl Store for Shelf {
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::Unavailable("told so".to_owned()));
        }
        if commit.deliveries.iter().any(|change| change.row == self.never.load(Ordering::SeqCst)) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::Refused("told so".to_owned()));
        }
        assert!(commit.moves.is_empty(), "a courier has no positions");
        commit.deliveries.iter().for_each(|change| self.change(change));
        Ok(())
    }
    fn positions(&self, _: &str) -> Result<Vec<StoredPosition>, StoreError> {
        Ok(Vec::new())
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        Ok(Vec::new())
    }
    fn outbox(&self, now: Millis, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let entries = self.entries.lock().unwrap();
        let due = |entry: &&Entry| entry.status == DeliveryStatus::Pending && entry.next_at <= now;
        let mut out: Vec<Outgoing> = Vec::new();
        for entry in entries.iter().filter(due) {
            let before = out.iter().filter(|other| lane(&other.what) == lane(&entry.outgoing.what)).count();
            if before < limit {
                out.push(entry.outgoing.clone());
            }
        }
        Ok(out)
    }
    fn expire(&self, _: &str, _: Millis) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn scan(&self, _: &str, _: ScanFn<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}
