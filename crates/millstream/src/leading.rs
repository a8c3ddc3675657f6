//! What one process of all that share the work does for all, for as long as it is this one: others are told, and letters
//! are sent again when their time has come. Expiry in the store is the engine's own.

use std::sync::Arc;

use event::Catalog;
use log::{Clock, Log};
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::alerting::Alerting;
use crate::desk::Repairs;
use crate::processing::Processing;

/// What is needed for it.
pub(crate) struct LeadingParts {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) alerting: Arc<Alerting>,
    pub(crate) repairs: Arc<Repairs>,
}

/// The task that begins and ends it.
pub(crate) struct Leading {
    task: JoinHandle<()>,
    over: watch::Sender<bool>,
}

impl Leading {
    /// Follows the word of the group. To be called within the runtime.
    pub(crate) fn start(parts: LeadingParts, processing: &Processing) -> Self {
        let (over, mut ends) = watch::channel(false);
        let mut leads = processing.leads();
        let task = tokio::spawn(async move {
            loop {
                let now = *leads.borrow_and_update() && !*ends.borrow_and_update();
                parts.put(now).await;
                if *ends.borrow() {
                    return;
                }
                tokio::select! {
                    changed = leads.changed() => if changed.is_err() { return },
                    changed = ends.changed() => if changed.is_err() { return },
                }
            }
        });
        Self { task, over }
    }

    /// Ends it, after what is in hand.
    pub(crate) async fn stop(self) {
        self.over.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that leads ended in a way it should not");
        }
    }
}

impl LeadingParts {
    async fn put(&self, leads: bool) {
        if leads {
            let Self { catalog, log, store, clock, .. } = self;
            self.alerting.start(catalog.clone(), log.clone(), store.clone(), clock.clone());
        } else {
            self.alerting.stop().await;
        }
        let repairs = self.repairs.clone();
        match tokio::task::spawn_blocking(move || repairs.lead(leads)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "letters are not sent again by themselves"),
            Err(error) => tracing::error!(%error, "letters are not sent again by themselves"),
        }
    }
}
