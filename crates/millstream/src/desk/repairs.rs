//! Letters and replays put together for a process, and taken down with it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use collect::Intake;
use engine::letters::{Letters, LettersParts, Redeliver, Ticker};
use engine::replay::{ReplayParts, Replays};
use event::Catalog;
use log::{Clock, Log};
use store::Store;
use tokio::runtime::Handle;

use super::live::LiveEngine;
use super::redeliver::Doors;
use super::shadows::Files;
use super::{Desk, Routes};
use crate::processing::{CONSUMER, Processing};

/// What repairs are made of.
#[derive(Clone, Copy)]
pub(crate) struct RepairsParts<'a> {
    pub(crate) catalog: &'a Arc<Catalog>,
    pub(crate) log: &'a Arc<dyn Log>,
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) processing: &'a Arc<Processing>,
}

/// Dead letters and replays of a running process.
pub(crate) struct Repairs {
    letters: Arc<Letters>,
    replays: Arc<Replays>,
    catalog: Arc<Catalog>,
    /// Whether there is an intake to send through.
    may_send: bool,
    ticker: Mutex<Option<Ticker>>,
}

impl Repairs {
    /// Puts them together. To be called within the runtime. Without an intake no letter is sent again.
    pub(crate) fn new(parts: RepairsParts<'_>, data_dir: &Path, intake: Option<&Arc<Intake>>) -> Arc<Self> {
        let RepairsParts { catalog, log, store, clock, processing } = parts;
        let doors = |intake: &Arc<Intake>| -> Arc<dyn Redeliver> {
            Arc::new(Doors { intake: intake.clone(), runtime: Handle::current() })
        };
        let letters = Letters::new(LettersParts {
            catalog: catalog.clone(),
            log: log.clone(),
            store: store.clone(),
            clock: clock.clone(),
            consumer: CONSUMER.to_owned(),
            redeliver: intake.map(doors),
        });
        let replays = Replays::new(ReplayParts {
            catalog: catalog.clone(),
            log: log.clone(),
            store: store.clone(),
            clock: clock.clone(),
            consumer: CONSUMER.to_owned(),
            live: Arc::new(LiveEngine(processing.clone())),
            shadows: Arc::new(Files { dir: data_dir.join("replays"), catalog: catalog.clone() }),
        });
        let (catalog, may_send) = (catalog.clone(), intake.is_some());
        Arc::new(Self { letters, replays, catalog, may_send, ticker: Mutex::default() })
    }

    /// Letters whose time has come are sent again from now on, or no more; blocks for the one in hand. One process of all
    /// that share a store is enough.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn lead(&self, leads: bool) -> anyhow::Result<()> {
        let ticker = (leads && self.may_send).then(|| self.letters.start()).transpose()?;
        let before = std::mem::replace(&mut *self.ticker(), ticker);
        drop(before);
        Ok(())
    }

    /// The routes to them.
    pub(crate) fn routes(&self) -> Routes {
        Desk::new(self.catalog.clone(), self.letters.clone(), self.replays.clone()).routes()
    }

    /// Ends what runs, before the engine and the log end. Blocks until then.
    pub(crate) fn stop(&self) {
        drop(self.ticker().take());
        self.replays.stop();
    }

    fn ticker(&self) -> MutexGuard<'_, Option<Ticker>> {
        self.ticker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
