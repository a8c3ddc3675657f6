//! Figures of all processes as one: each tells its own once a second through the cache, and hears those of the others.
//! Without a cache that processes share there is only this one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cache::{Cache, LiveKey, Subscription};
use event::{Catalog, Stream, StreamId};
use log::{Clock, Log};
use query::Live;
use serde::{Deserialize, Serialize};
use store::{Store, StoredPosition};
use tokio::time::MissedTickBehavior;

use crate::figures::Figures;
use crate::processing::CONSUMER;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// The topic on which processes hear of each other.
const TOPIC: &str = "millstream:live";
/// After how long without a word a process counts as gone: its lag is somebody else's then. What it did stays done.
const SILENT: Duration = Duration::from_secs(10);
/// Processes that are remembered.
const PROCESSES_MAX: usize = 4_096;

/// A number for each partition, by stream and partition.
type Lag = Vec<(String, u32, u64)>;

/// What a process tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Told {
    process: String,
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    stored: u64,
    dead_letters: u64,
    quarantined: u64,
    late: u64,
    windows: u64,
    anomalies: Vec<(String, u64)>,
    breakers: Vec<(String, String)>,
    lag: Lag,
    ack_ms: (f64, f64),
    end_to_end_ms: (f64, f64),
}

struct Other {
    heard: Duration,
    told: Told,
}

type Others = Arc<Mutex<HashMap<String, Other>>>;

/// What other processes tell, and the lag of all partitions where this process can tell it.
pub(crate) struct Together {
    clock: Arc<dyn Clock>,
    others: Others,
    seen: ArcSwapOption<Seen>,
    /// Heard for as long as this is there.
    _news: Subscription,
}

impl Together {
    /// Hears of the others from now on. `name` is this process's own.
    pub(crate) fn new(cache: &dyn Cache, name: &str, clock: Arc<dyn Clock>) -> Arc<Self> {
        let others = Others::default();
        let (heard, own, time) = (others.clone(), name.to_owned(), clock.clone());
        let listener = move |news: &[u8]| {
            let Ok(told) = serde_json::from_slice::<Told>(news) else { return };
            if told.process != own {
                hear(&mut lock(&heard), told, time.elapsed());
            }
        };
        let news = cache.subscribe(TOPIC, Box::new(listener));
        Arc::new(Self { clock, others, seen: ArcSwapOption::empty(), _news: news })
    }

    /// One process's figures with those of all others.
    pub(crate) fn with(&self, mut live: Live) -> Live {
        let now = self.clock.elapsed();
        for Other { heard, told } in lock(&self.others).values() {
            let lives = now.saturating_sub(*heard) < SILENT;
            add(&mut live, told, lives);
        }
        if let Some(seen) = self.seen.load_full() {
            live.lag_by_partition = seen.lag();
        }
        live.lag_events = live.lag_by_partition.iter().map(|(_, _, lag)| lag).sum();
        live
    }
}

fn lock(others: &Mutex<HashMap<String, Other>>) -> MutexGuard<'_, HashMap<String, Other>> {
    others.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hear(others: &mut HashMap<String, Other>, told: Told, heard: Duration) {
    if others.len() >= PROCESSES_MAX && !others.contains_key(&told.process) {
        let oldest = others.iter().min_by_key(|(_, other)| other.heard).map(|(name, _)| name.clone());
        oldest.and_then(|name| others.remove(&name));
    }
    others.insert(told.process.clone(), Other { heard, told });
}

/// Adds what another process tells; of one that lives no more only what it did.
fn add(live: &mut Live, told: &Told, lives: bool) {
    let mean = |(a, n): (f64, u64), (b, m): (f64, u64)| {
        if n + m == 0 { 0.0 } else { (a * n as f64 + b * m as f64) / (n + m) as f64 }
    };
    if lives {
        live.processes += 1;
        live.ack_ms =
            (mean((live.ack_ms.0, live.accepted), (told.ack_ms.0, told.accepted)), live.ack_ms.1.max(told.ack_ms.1));
        let (own, other) = (live.end_to_end_ms, told.end_to_end_ms);
        live.end_to_end_ms = (mean((own.0, live.stored), (other.0, told.stored)), own.1.max(other.1));
        live.lag_by_partition.extend(told.lag.iter().cloned());
        for (target, state) in &told.breakers {
            worst(&mut live.breakers, target, state);
        }
    }
    live.accepted += told.accepted;
    live.duplicates += told.duplicates;
    live.rejected += told.rejected;
    live.stored += told.stored;
    live.dead_letters += told.dead_letters;
    live.quarantined += told.quarantined;
    live.late += told.late;
    live.windows += told.windows;
    for (rule, count) in &told.anomalies {
        match live.anomalies.iter_mut().find(|(known, _)| known == rule) {
            Some((_, sum)) => *sum += count,
            None => live.anomalies.push((rule.clone(), *count)),
        }
    }
}

/// A target is as it is for the process that has the most trouble with it.
fn worst(breakers: &mut Vec<(String, &'static str)>, target: &str, state: &str) {
    const STATES: [&str; 3] = ["closed", "half-open", "open"];
    let rank = |state: &str| STATES.iter().position(|known| *known == state).unwrap_or_default();
    match breakers.iter_mut().find(|(known, _)| known == target) {
        Some((_, known)) => *known = STATES[rank(known).max(rank(state))],
        None => breakers.push((target.to_owned(), STATES[rank(state)])),
    }
}

/// Tells the others of this process until it is gone. To be called within the runtime.
pub(crate) fn tell(figures: &Arc<Figures>, cache: Arc<dyn Cache>, name: String) {
    let figures = Arc::downgrade(figures);
    every_second(move || {
        let Some(figures) = Weak::upgrade(&figures) else { return false };
        let live = figures.own();
        let told = Told {
            process: name.clone(),
            accepted: live.accepted,
            duplicates: live.duplicates,
            rejected: live.rejected,
            stored: live.stored,
            dead_letters: live.dead_letters,
            quarantined: live.quarantined,
            late: live.late,
            windows: live.windows,
            anomalies: live.anomalies,
            breakers: live.breakers.into_iter().map(|(target, state)| (target, state.to_owned())).collect(),
            lag: live.lag_by_partition,
            ack_ms: live.ack_ms,
            end_to_end_ms: live.end_to_end_ms,
        };
        let news = serde_json::to_string(&told).unwrap_or_default();
        cache.publish(TOPIC, news.as_bytes());
        let fields = [
            ("accepted", told.accepted.to_string()),
            ("stored", told.stored.to_string()),
            ("lag_events", live.lag_events.to_string()),
            ("figures", news),
        ];
        LiveKey::Process(&name).put(&*cache, "", &fields);
        true
    });
}

/// How far the engines of all processes were when the store was asked last.
struct Seen {
    log: Arc<dyn Log>,
    catalog: Arc<Catalog>,
    positions: Vec<StoredPosition>,
}

impl Seen {
    /// What the log has beyond that now: never less than there is, as far as the log knows its ends.
    fn lag(&self) -> Lag {
        let of_stream = |(id, stream): (StreamId, &Stream)| {
            let lag = |(partition, extent): (u32, log::Extent)| {
                let position = self.positions.iter().find(|p| p.stream == stream.name && p.partition == partition);
                let committed = position.map_or(extent.first, |p| p.offset.max(extent.first));
                (stream.name.clone(), partition, extent.next.saturating_sub(committed))
            };
            (0..).zip(self.log.extents(id)).map(lag).collect::<Vec<_>>()
        };
        self.catalog.processed().filter(|(id, _)| self.log.knows_extents(*id)).flat_map(of_stream).collect()
    }
}

/// Asks the store once a second how far the engines of all processes are, until the figures are gone.
pub(crate) fn measure_lag(figures: &Arc<Figures>, catalog: Arc<Catalog>, store: Arc<dyn Store>) {
    let figures = Arc::downgrade(figures);
    every_second(move || {
        let Some(figures) = Weak::upgrade(&figures) else { return false };
        match store.positions(CONSUMER) {
            Ok(positions) => {
                let seen = Seen { log: figures.log.clone(), catalog: catalog.clone(), positions };
                figures.together.seen.store(Some(Arc::new(seen)));
            }
            Err(error) => tracing::debug!(%error, "how far the engines are is not known now; it stays as it was"),
        }
        true
    });
}

/// Does something once a second, beside the async threads, until it says that it is over.
fn every_second(work: impl FnMut() -> bool + Send + 'static) {
    let mut work = Some(work);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(mut turn) = work.take() {
            ticks.tick().await;
            let done = tokio::task::spawn_blocking(move || turn().then_some(turn));
            work = done.await.ok().flatten();
        }
    });
}

#[cfg(test)]
mod tests {
    use log::clock::ManualClock;

    use super::*;
    use crate::config::{self, Source};

    fn told(process: &str, stored: u64, lag: u64) -> Told {
        let anomalies = vec![("rule".to_owned(), stored)];
        let breakers = vec![("store".to_owned(), "open".to_owned())];
        let lag = vec![("signals".to_owned(), 1, lag)];
        Told { process: process.to_owned(), stored, anomalies, breakers, lag, ..Told::default() }
    }

    #[test]
    fn what_others_tell_is_added_and_what_a_silent_one_did_stays_done() {
        let clock = ManualClock::at(1_000_000);
        let port: Arc<dyn Clock> = Arc::new(clock.clone());
        let time = port.clone();
        let cache = cache::open_memory(Arc::new(move || time.elapsed()));
        let together = Together::new(&*cache, "me", port);
        let say = |told: &Told| cache.publish(TOPIC, serde_json::to_string(told).unwrap().as_bytes());
        let own = || Live {
            processes: 1,
            stored: 5,
            breakers: vec![("store".to_owned(), "closed")],
            lag_by_partition: vec![("signals".to_owned(), 0, 2)],
            ..Live::default()
        };
        say(&told("other", 10, 7));
        say(&told("other", 20, 9));
        say(&told("third", 100, 0));
        say(&told("me", 1_000, 1_000));
        cache.publish(TOPIC, b"nonsense");
        let live = together.with(own());
        assert_eq!((live.processes, live.stored, live.lag_events), (3, 125, 11));
        assert_eq!(
            (&live.anomalies[..], &live.breakers[..]),
            (&[("rule".to_owned(), 120)][..], &[("store".to_owned(), "open")][..])
        );
        clock.advance(SILENT.as_millis() as i64 - 1);
        say(&told("third", 101, 4));
        clock.advance(1);
        let live = together.with(own());
        assert_eq!((live.processes, live.stored, live.lag_events), (2, 126, 6), "the silent one has no lag");
    }

    #[test]
    fn the_lag_grows_with_the_log_before_the_store_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000_000));
        let catalog = config::load_with(&Source::built_in(), std::iter::empty()).unwrap().catalog;
        let log = crate::backends::open_disk(dir.path(), catalog.clone(), clock).unwrap();
        let signals = catalog.find("signals").unwrap();
        let append = || {
            let mut batch = event::Batch::new(signals, "{}".into());
            batch.drafts.push(event::Draft {
                partition: 0,
                time: event::NO_TIME,
                id_hash: 0,
                data: event::Span::shared(0, 2),
                key: event::Span::EMPTY,
                kind: event::Span::EMPTY,
                id: event::Span::EMPTY,
                headers: event::Span::EMPTY,
            });
            let request = log::Append { batches: vec![batch], lane: 0, ack: event::Ack::Durable };
            log.append(request).unwrap().wait_blocking().unwrap();
        };
        let position = StoredPosition { stream: "signals".to_owned(), partition: 0, offset: 1 };
        let seen = Seen { log: log.clone(), catalog: catalog.clone(), positions: vec![position] };
        let lag = |seen: &Seen| seen.lag().iter().map(|(_, _, lag)| lag).sum::<u64>();
        append();
        assert_eq!(lag(&seen), 0);
        append();
        append();
        assert_eq!(lag(&seen), 2);
        let none = Seen { log: log.clone(), catalog, positions: Vec::new() };
        assert_eq!(lag(&none), 3, "a partition of which the store knows nothing was not begun");
    }
}
