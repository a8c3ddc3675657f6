//! The load generator: a pacer that keeps a schedule, and workers that send what is due and wait for the answer.

mod client;
mod control;
mod pacer;
mod signal;
mod tally;
mod worker;

use std::fs::File;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use fastrand::Rng;
use indicatif::ProgressBar;
use log::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::config::EmitSettings;

pub(crate) use client::{Client, Target};
pub(crate) use control::{Control, router};
pub(crate) use signal::Mix;
pub(crate) use tally::Summary;

/// How long an emitter that has sent everything waits for answers that are still out.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// What to emit, where to, for how long.
pub(crate) struct Plan {
    /// Rate, workers, queue.
    pub(crate) settings: EmitSettings,
    /// What is deliberately wrong.
    pub(crate) mix: Mix,
    /// The seed of all chance; drawn when absent.
    pub(crate) seed: Option<u64>,
    /// For how long; for ever when absent.
    pub(crate) duration: Option<Duration>,
    /// How many events; no bound when absent.
    pub(crate) count: Option<u64>,
    /// The file that gets the id of every acknowledged event.
    pub(crate) acks: Option<File>,
    /// The collector.
    pub(crate) target: Target,
    /// What people watch.
    pub(crate) bar: ProgressBar,
}

/// An emitter at work.
pub(crate) struct Emitter {
    clock: Arc<dyn Clock>,
    began: Duration,
    rate_wanted: f64,
    tally: Arc<tally::Tally>,
    pacing: JoinHandle<()>,
    workers: JoinSet<()>,
    /// `true` ends the schedule.
    stop: watch::Sender<bool>,
    /// `true` ends the waiting for answers.
    give_up: watch::Sender<bool>,
    bar: ProgressBar,
}

impl Emitter {
    /// Starts pacing and sending on the current runtime.
    ///
    /// # Errors
    /// When the histogram cannot be made.
    pub(crate) fn start(plan: Plan, control: Arc<Control>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let tally = Arc::new(tally::Tally::new().context("the latency histogram")?);
        let (stop, stopped) = watch::channel(false);
        let (give_up, given_up) = watch::channel(false);
        // Unbounded by itself; the pacer bounds it by the number of events that wait.
        let (jobs, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let queued = Arc::new(AtomicUsize::new(0));
        let acks = plan.acks.map(|file| Arc::new(Mutex::new(file)));
        let mut workers = JoinSet::new();
        for _ in 0..plan.settings.workers {
            let worker = worker::Worker {
                client: Client::new(plan.target.clone()),
                queue: queue.clone(),
                queued: queued.clone(),
                tally: tally.clone(),
                clock: clock.clone(),
                acks: acks.clone(),
                given_up: given_up.clone(),
            };
            workers.spawn(worker.run());
        }
        let seed = plan.seed.unwrap_or_else(|| Rng::new().u64(..));
        let (rate_wanted, began) = (plan.settings.rate, clock.elapsed());
        let pacer = pacer::Pacer {
            settings: plan.settings,
            control,
            clock: clock.clone(),
            tally: tally.clone(),
            queued,
            jobs,
            generator: signal::Generator::new(seed, plan.mix),
            rng: Rng::with_seed(seed.wrapping_add(1)),
            duration: plan.duration,
            count: plan.count,
            bar: plan.bar.clone(),
        };
        let pacing = tokio::spawn(pacer.run(stopped));
        Ok(Self { clock, began, rate_wanted, tally, pacing, workers, stop, give_up, bar: plan.bar })
    }

    /// Waits until the schedule is over by itself.
    pub(crate) async fn over(&mut self) {
        drop((&mut self.pacing).await);
    }

    /// Ends the schedule, waits for the answers that are still out, and gives the summary.
    pub(crate) async fn finish(mut self) -> Summary {
        self.stop.send_replace(true);
        if !self.pacing.is_finished() {
            self.over().await;
        }
        let all = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, all).await.is_err() {
            self.give_up.send_replace(true);
            while self.workers.join_next().await.is_some() {}
        }
        self.bar.finish_and_clear();
        self.tally.summary(self.rate_wanted, self.clock.elapsed().saturating_sub(self.began))
    }
}
