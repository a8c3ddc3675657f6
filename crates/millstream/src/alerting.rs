//! Telling others: the targets of the configuration, and the courier while the process runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Alerts;
use event::Catalog;
use fastrand::Rng;
use log::{Clock, Log};
use notify::{Courier, Parts, Settings, Target, Targets};
use store::Store;

/// Who is told, and who tells them.
pub(crate) struct Alerting {
    targets: Targets,
    courier: Mutex<Option<Courier>>,
}

impl Alerting {
    /// For these targets; nobody is told before [`Alerting::start`].
    pub(crate) fn new(targets: Vec<Target>) -> Self {
        Self { targets: Targets::new(targets), courier: Mutex::default() }
    }

    /// What the engine asks: the notifications that are committed with anomalies.
    pub(crate) fn alerts(&self) -> Alerts {
        let targets = self.targets.clone();
        Arc::new(move |anomalies| targets.alerts_for(anomalies))
    }

    /// Starts the courier, unless it works. It works without targets too: results of windows are told to streams.
    pub(crate) fn start(&self, catalog: Arc<Catalog>, log: Arc<dyn Log>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) {
        let mut courier = self.lock();
        if courier.is_some() {
            return;
        }
        // Chance is in delays only: those who failed together do not come back together.
        let settings = Settings::new(Rng::new().u64(..));
        let parts = Parts { targets: self.targets.clone(), store, log, catalog, clock, settings };
        *courier = Some(Courier::start(&parts));
    }

    /// The breaker of each target, by name.
    pub(crate) fn breakers(&self) -> Vec<(String, &'static str)> {
        let breakers = self.lock().as_ref().map(Courier::breakers).unwrap_or_default();
        breakers.into_iter().map(|(target, state)| (target, state.as_str())).collect()
    }

    /// Ends the courier after the tries in hand. What is not told then, is told after the next start.
    pub(crate) async fn stop(&self) {
        let courier = self.lock().take();
        if let Some(courier) = courier {
            courier.stop().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Courier>> {
        self.courier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
