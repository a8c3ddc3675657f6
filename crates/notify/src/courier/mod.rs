//! The courier: a task that looks into the outbox and hands what is due to lanes, one for each target and one for all
//! streams. A lane works in its own order and at its own pace; one whose target is dead holds up no other.

mod ledger;
mod post;
mod streams;
mod webhook;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breaker::{BreakerSettings, BreakerState, Retry};
use event::{Catalog, DeliveryChange, DeliveryStatus};
use log::{Clock, Log};
use metrics::{Counter, counter};
use store::Store;
use store::query::{AlertRow, Outgoing, Parcel, WindowRow};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};

use crate::Targets;
use ledger::Ledger;
use post::Post;
use streams::Streams;
use webhook::Webhook;

/// Parcels that one look takes for each target and each stream: with their bodies they are held in memory.
const LOOK_MAX: usize = 32;

/// What a courier is made of.
pub struct Parts {
    /// Who is told.
    pub targets: Targets,
    /// The outbox.
    pub store: Arc<dyn Store>,
    /// Where results of windows go.
    pub log: Arc<dyn Log>,
    /// The streams.
    pub catalog: Arc<Catalog>,
    /// The time: of tries, of the breakers, and of signatures.
    pub clock: Arc<dyn Clock>,
    /// How it behaves.
    pub settings: Settings,
}

/// How a courier behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When a notification is tried again, and how often in all.
    pub retry: Retry,
    /// When a target is left alone.
    pub breaker: BreakerSettings,
    /// How long a receiver may take for its answer.
    pub answer_within: Duration,
    /// How often the outbox is looked into; also the pause after the store or the log took nothing.
    pub look_every: Duration,
    /// The seed of the chance in delays.
    pub seed: u64,
}

impl Settings {
    /// Ten tries within about three quarters of an hour; a target that failed five times in a row is left alone for half a
    /// minute at a time, and that does not count as tries.
    pub fn new(seed: u64) -> Self {
        Self {
            retry: Retry { base_ms: 5_000, max_ms: 3_600_000, attempts: 10 },
            breaker: BreakerSettings::default(),
            answer_within: Duration::from_secs(10),
            look_every: Duration::from_millis(250),
            seed,
        }
    }
}

/// A courier at work. End it with [`Courier::stop`]; dropped, it ends at once, and what it has at hand may be told again.
pub struct Courier {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    webhooks: Vec<Arc<Webhook>>,
}

impl Courier {
    /// Starts one. Call it inside a Tokio runtime.
    pub fn start(parts: &Parts) -> Self {
        let (stop, stopping) = watch::channel(false);
        let ledger = Arc::new(Ledger::new(parts, stopping.clone()));
        let post = Post::new(parts.settings.answer_within);
        let mut chance = fastrand::Rng::with_seed(parts.settings.seed);
        let webhook = |target: &crate::Target| {
            Arc::new(Webhook::new(target.clone(), &parts.settings, post.clone(), ledger.clone(), chance.fork()))
        };
        let webhooks: Vec<Arc<Webhook>> = parts.targets.all().iter().map(webhook).collect();
        let streams = Arc::new(Streams::new(parts, ledger.clone()));
        let mut looks = tokio::time::interval(parts.settings.look_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let round = Round { ledger, webhooks: webhooks.clone(), streams, work: JoinSet::new(), seen: seen() };
        Self { task: tokio::spawn(round.run(looks, stopping)), stop, webhooks }
    }

    /// The breaker of each target, by name.
    pub fn breakers(&self) -> Vec<(String, BreakerState)> {
        self.webhooks.iter().map(|webhook| (webhook.name().to_owned(), webhook.breaker())).collect()
    }

    /// Finishes what is at hand, at most one try for each target, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the courier ended in a way it should not");
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn seen() -> Counter {
    counter!("outbox_events_total")
}

/// Whether a lane has work in hand; it has not any more when this is dropped, whatever ended it.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn of(lane: &Arc<AtomicBool>) -> Self {
        lane.store(true, Ordering::Release);
        Self(lane.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The task.
struct Round {
    ledger: Arc<Ledger>,
    webhooks: Vec<Arc<Webhook>>,
    streams: Arc<Streams>,
    work: JoinSet<()>,
    seen: Counter,
}

/// What one look found, by lane.
#[derive(Default)]
struct Found {
    alerts: HashMap<String, Vec<Letter>>,
    windows: Vec<(i64, String, WindowRow)>,
    fresh: u64,
}

/// A notification, and where it lies in the outbox.
struct Letter {
    row: i64,
    attempts: u32,
    alert: AlertRow,
}

impl Round {
    async fn run(mut self, mut looks: Interval, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                _ = looks.tick() => {}
                // A lane that had work may have more.
                Some(ended) = self.work.join_next(), if !self.work.is_empty() => note(ended),
            }
            self.look().await;
        }
        while let Some(ended) = self.work.join_next().await {
            note(ended);
        }
    }

    /// Gives what is due to the lanes that are free.
    async fn look(&mut self) {
        // Asked before the outbox is: a lane that ends meanwhile has changed what was found.
        let free: Vec<Arc<Webhook>> = self.webhooks.iter().filter(|webhook| webhook.is_free()).cloned().collect();
        let streams_free = self.streams.is_free();
        let Some(due) = self.ledger.due(LOOK_MAX).await else { return };
        let mut found = sort(due);
        self.seen.increment(found.fresh);
        for webhook in free {
            if let Some(letters) = found.alerts.remove(webhook.name()) {
                let busy = Busy::of(webhook.lane());
                self.work.spawn(async move {
                    let _busy = busy;
                    webhook.deliver(letters).await;
                });
            }
        }
        if streams_free && !found.windows.is_empty() {
            let (busy, streams) = (Busy::of(self.streams.lane()), self.streams.clone());
            self.work.spawn(async move {
                let _busy = busy;
                streams.deliver(found.windows).await;
            });
        }
        found.alerts.retain(|name, _| !self.webhooks.iter().any(|webhook| webhook.name() == name));
        self.give_up(found.alerts).await;
    }

    /// Notifications whose target is not configured any more: nobody would ever take them.
    async fn give_up(&self, strays: HashMap<String, Vec<Letter>>) {
        if strays.is_empty() {
            return;
        }
        let names: Vec<&str> = strays.keys().map(String::as_str).collect();
        tracing::warn!(targets = names.join(", "), "no such targets are configured: their notifications are given up");
        let at = self.ledger.now();
        let change = |letter: &Letter| DeliveryChange {
            row: letter.row,
            at,
            status: DeliveryStatus::Failed,
            error: "its target is not configured any more".to_owned(),
            next_at: at,
        };
        let changes = strays.values().flatten().map(change).collect();
        self.ledger.keep(changes).await;
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a lane of the courier ended in a way it should not; what it had is tried again");
    }
}

fn sort(due: Vec<Outgoing>) -> Found {
    let mut found = Found::default();
    for Outgoing { row, attempts, what } in due {
        found.fresh += u64::from(attempts == 0);
        match what {
            Parcel::Alert(alert) => {
                found.alerts.entry(alert.target.clone()).or_default().push(Letter { row, attempts, alert });
            }
            Parcel::Window { to, row: window } => found.windows.push((row, to, window)),
        }
    }
    found
}
