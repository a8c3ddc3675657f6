//! Processes that share the work, as the group tells them to: gained, lost, overtaken.

mod group;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use collect::{Envelope, Format, Sifter};
use event::{Ack, Catalog, StreamId};
use log::{Append, Clock, Log, SystemClock};
use store::{Answers, Store};

use super::{CONSUMER, Processing, Specs};
use crate::backends::{open_disk, open_sqlite};
use crate::config::{self, Settings, Source};
use group::{Grouped, Shared};

const SIGNALS: StreamId = StreamId(0);
/// Looks before a test gives up, 10 ms apart.
const LOOKS: usize = 3_000;

struct House {
    _dir: tempfile::TempDir,
    settings: Settings,
    disk: Arc<log::disk::DiskLog>,
    store: Arc<Shared>,
    clock: Arc<dyn Clock>,
    sent: std::cell::Cell<u64>,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = config::load_with(&Source::built_in(), std::iter::empty()).unwrap();
        let (catalog, clock): (_, Arc<dyn Clock>) = (settings.catalog.clone(), Arc::new(SystemClock::default()));
        let disk = open_disk(dir.path(), catalog.clone(), clock.clone()).unwrap();
        let names = catalog.iter().map(|(_, stream)| stream.name.clone()).collect();
        let store = Shared::over(open_sqlite(dir.path(), catalog).unwrap(), names);
        Self { _dir: dir, settings, disk, store, clock, sent: std::cell::Cell::default() }
    }

    fn catalog(&self) -> &Arc<Catalog> {
        &self.settings.catalog
    }

    /// A process that has joined, and has nothing yet.
    fn process(&self) -> (Arc<Processing>, Arc<Grouped>) {
        let log = Grouped::over(self.disk.clone());
        let (catalog, store, clock) = (self.catalog().clone(), self.store.clone(), self.clock.clone());
        let alerts = Arc::new(|_: &[event::Anomaly]| Vec::new());
        let processing = Processing::new(catalog, log.clone(), store, clock, alerts, 2);
        let specs = Specs { rules: self.settings.rules.clone(), windows: self.settings.windows.clone() };
        processing.start(specs).unwrap();
        (processing, log)
    }

    /// Signals of many users, in all partitions.
    fn append(&self, count: u64) {
        let (catalog, now) = (self.catalog(), self.clock.now());
        // One of the rules asks for the hour: it was noon.
        let noon = now.div_euclid(86_400_000) * 86_400_000 - 43_200_000;
        let line = |n: u64| {
            format!(r#"{{"user_id":{},"type":"login","timestamp":{noon},"event_id":"e{n}","payload":{{}}}}"#, n % 50)
        };
        let from = self.sent.replace(self.sent.get() + count);
        let body: Vec<String> = (from..from + count).map(line).collect();
        let sifter = Sifter::new(SIGNALS, catalog.get(SIGNALS), catalog.refused());
        let hasher = self.disk.id_hasher();
        let (tenant, request_id, keyless_partition) = ("", "", 0);
        let envelope = Envelope { tenant, format: Format::Ndjson, request_id, now, keyless_partition, hasher };
        let sifted = sifter.sift(&Bytes::from(body.join("\n")), envelope).unwrap();
        let pending = self.disk.append(Append { batches: vec![sifted.batch], lane: 0, ack: Ack::Durable }).unwrap();
        pending.wait_blocking().unwrap();
    }

    fn stored(&self) -> u64 {
        self.store.summary("signals", None, 0).unwrap().events
    }

    fn stand(&self, partition: u32) -> u64 {
        let positions = self.store.positions(CONSUMER).unwrap();
        positions.iter().find(|p| p.stream == "signals" && p.partition == partition).map_or(0, |p| p.offset)
    }

    /// Whether these partitions are stored as far as the log goes.
    fn caught_up(&self, partitions: &[(StreamId, u32)]) -> bool {
        let ends = self.disk.extents(SIGNALS);
        partitions.iter().filter(|(id, _)| *id == SIGNALS).all(|(_, p)| self.stand(*p) == ends[*p as usize].next)
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..LOOKS {
            if holds() {
                return;
            }
            self.clock.sleep(std::time::Duration::from_millis(10));
        }
        panic!("waited in vain: {what}");
    }

    /// Nothing is there twice or missing, and windows and findings are those of one run.
    fn verify(&self) {
        let parts = engine::VerifyParts {
            catalog: self.catalog().clone(),
            log: self.disk.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            programs: config::load_with(&Source::built_in(), std::iter::empty()).unwrap().programs,
            consumer: CONSUMER.to_owned(),
        };
        let report = engine::verify(&parts, &mut |_, _| {}).unwrap();
        assert_eq!(report.details, Vec::<String>::new());
    }
}

fn signals(partitions: std::ops::Range<u32>) -> Vec<(StreamId, u32)> {
    partitions.map(|partition| (SIGNALS, partition)).collect()
}

#[test]
fn partitions_go_from_one_process_to_the_other_and_everything_is_stored_once() {
    let house = House::new();
    let ((one, log_one), (two, log_two)) = (house.process(), house.process());
    assert!(one.failed().is_none() && one.stats().is_none(), "it has nothing to do yet, and that is no failure");
    let first = (house.catalog().refused(), 0);
    house.append(2_000);
    log_one.owner().gained(&[signals(0..6), vec![first]].concat());
    house.until("all are worked on by the first", || house.caught_up(&signals(0..6)));
    assert!(one.has_all(SIGNALS) && *one.leads().borrow() && !*two.leads().borrow());
    for round in 0..4 {
        let pair = round / 2 * 2;
        house.append(1_000);
        let (from, to) = if round % 2 == 0 { (&log_one, &log_two) } else { (&log_two, &log_one) };
        let some = [signals(pair..pair + 2), vec![first]].concat();
        from.owner().losing(&some);
        let stood: Vec<_> = (pair..pair + 2).map(|partition| house.stand(partition)).collect();
        house.append(500);
        // The rest goes on where it is; what was given up stands still until somebody has it.
        let rest = if round % 2 == 0 { signals(pair + 2..6) } else { Vec::new() };
        house.until("the rest goes on", || house.caught_up(&rest));
        assert_eq!((pair..pair + 2).map(|partition| house.stand(partition)).collect::<Vec<_>>(), stood);
        to.owner().gained(&some);
    }
    log_two.owner().losing(&signals(0..6));
    log_one.owner().gained(&signals(0..6));
    house.until("everything is stored", || house.caught_up(&signals(0..6)));
    assert_eq!(house.stored(), house.sent.get());
    let lag = |processing: &Processing| processing.stats().map_or(0, |stats| stats.lag_by_partition().len());
    assert_eq!(lag(&two), 0, "who has nothing has no lag");
    one.stop().unwrap();
    two.stop().unwrap();
    assert!(log_one.left.load(Ordering::SeqCst) && log_two.left.load(Ordering::SeqCst), "both have left the group");
    house.verify();
}

#[test]
fn changes_that_come_together_are_one() {
    let house = House::new();
    let (one, log) = house.process();
    for partition in 0..6 {
        log.owner().gained(&[(SIGNALS, partition)]);
    }
    house.append(100);
    house.until("all are worked on", || house.caught_up(&signals(0..6)));
    let starts = house.store.claimed.load(Ordering::SeqCst);
    assert!(starts <= 2, "{starts} starts");
    one.stop().unwrap();
}

#[test]
fn a_process_that_was_overtaken_commits_nothing_and_goes_on_by_itself() {
    let house = House::new();
    let ((one, log_one), (two, log_two)) = (house.process(), house.process());
    log_one.owner().gained(&signals(0..6));
    house.append(500);
    house.until("the first works", || house.caught_up(&signals(0..6)));
    // The group takes the first for dead: nobody tells it, and the second has its partitions.
    let before = house.store.claimed.load(Ordering::SeqCst);
    log_two.owner().gained(&signals(0..6));
    house.until("the second has claimed them", || house.store.claimed.load(Ordering::SeqCst) > before);
    house.append(500);
    house.until("the first has noticed", || one.failed().is_some());
    house.until("the second goes on", || house.caught_up(&signals(0..6)));
    let claims = house.store.claimed.load(Ordering::SeqCst);
    // Then it is told, and gets some of them.
    log_one.owner().losing(&signals(0..6));
    log_two.owner().losing(&signals(3..6));
    log_one.owner().gained(&signals(3..6));
    house.append(500);
    house.until("both work", || house.caught_up(&signals(0..6)));
    assert!(one.failed().is_none() && two.failed().is_none());
    assert_eq!(house.store.claimed.load(Ordering::SeqCst), claims + 2, "it claimed nothing before it was told");
    assert_eq!(house.stored(), house.sent.get());
    one.stop().unwrap();
    two.stop().unwrap();
    house.verify();
}

#[test]
fn a_start_that_fails_is_told_and_tried_again() {
    let house = House::new();
    let (one, log) = house.process();
    house.store.away.store(true, Ordering::SeqCst);
    house.append(100);
    log.owner().gained(&signals(0..6));
    house.until("it tells", || one.failed().is_some_and(|why| why.contains("away")));
    house.store.away.store(false, Ordering::SeqCst);
    house.until("it works", || house.caught_up(&signals(0..6)));
    assert_eq!(one.failed(), None);
    one.stop().unwrap();
    house.verify();
}

#[test]
fn rules_are_exchanged_for_whatever_partitions_there_are() {
    let house = House::new();
    let (one, log) = house.process();
    let generation = one.generation().unwrap();
    one.exchange(Specs::default()).unwrap();
    log.owner().gained(&signals(0..3));
    house.append(300);
    house.until("the three are worked on", || house.caught_up(&signals(0..3)));
    let specs = Specs { rules: house.settings.rules.clone(), windows: house.settings.windows.clone() };
    one.exchange(specs).unwrap();
    assert_eq!(one.generation(), Some(generation + 2));
    assert!(!one.has_all(SIGNALS));
    house.append(300);
    house.until("the three go on", || house.caught_up(&signals(0..3)));
    one.pause(|| house.append(30)).unwrap();
    log.owner().gained(&signals(3..6));
    house.until("all are worked on", || house.caught_up(&signals(0..6)));
    one.stop().unwrap();
    house.verify();
}
