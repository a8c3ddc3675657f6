//! Everything that a courier needs, with the handles to turn it.

use std::sync::Arc;
use std::time::Duration;

use event::{Anomaly, Catalog, Dedup, Millis, Retention, Severity, Stream};
use log::clock::ManualClock;
use log::disk::{DiskLog, DiskSettings};
use log::faulty::FaultyDisk;
use log::{Clock, SystemClock};
use notify::{Courier, Parts, Secret, Settings, Target, Targets};
use store::Store;
use tempfile::TempDir;

use crate::shelf::Shelf;

/// How often something is looked at before a test gives up, and the pause between two looks.
const LOOKS: usize = 10_000;
const PAUSE: Duration = Duration::from_millis(2);

/// The secret of every target here.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) struct House {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) clock: ManualClock,
    pub(crate) disk: FaultyDisk,
    pub(crate) log: Arc<DiskLog>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) folder: TempDir,
}

impl House {
    /// The clock stands at the system's time, so that others' checks of a signature's age hold.
    pub(crate) fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let streams = vec![stream("signals", false), stream("totals", true), stream("plain", false)];
        let catalog = Arc::new(Catalog::new(streams).unwrap());
        let clock = ManualClock::at(SystemClock::default().now());
        let disk = FaultyDisk::default();
        let (under, time) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
        let dir = folder.path().join("log");
        let log = DiskLog::open(&dir, catalog.clone(), under, time, DiskSettings::default()).unwrap();
        Self { shelf: Arc::default(), clock, disk, log: Arc::new(log), catalog, folder }
    }

    /// A courier that looks often and tries as usual.
    pub(crate) fn courier(&self, targets: Vec<Target>) -> Courier {
        self.courier_with(targets, |_| {})
    }

    /// The same with other settings.
    pub(crate) fn courier_with(&self, targets: Vec<Target>, set: impl FnOnce(&mut Settings)) -> Courier {
        self.courier_over(self.shelf.clone(), targets, set)
    }

    /// The same with another outbox.
    pub(crate) fn courier_over(
        &self,
        store: Arc<dyn Store>,
        targets: Vec<Target>,
        set: impl FnOnce(&mut Settings),
    ) -> Courier {
        let mut settings = Settings { look_every: PAUSE, ..Settings::new(7) };
        set(&mut settings);
        Courier::start(&Parts {
            targets: Targets::new(targets),
            store,
            log: self.log.clone(),
            catalog: self.catalog.clone(),
            clock: Arc::new(self.clock.clone()),
            settings,
        })
    }

    /// Puts notifications of so many anomalies into the outbox, for each of the targets.
    pub(crate) fn raise(&self, targets: &[Target], anomalies: std::ops::Range<u64>) {
        let found: Vec<Anomaly> = anomalies.map(anomaly).collect();
        for alert in Targets::new(targets.to_vec()).alerts_for(&found) {
            self.shelf.put_alert(&alert);
        }
    }
}

fn stream(name: &str, dedup: bool) -> Stream {
    Stream {
        name: name.to_owned(),
        partitions: 2,
        key: None,
        time: None,
        id: None,
        kind: None,
        require: Vec::new(),
        dedup: dedup.then_some(Dedup { within_ms: 3_600_000, ids_max: 1_000 }),
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

pub(crate) fn anomaly(offset: u64) -> Anomaly {
    let time: Millis = 1_764_000_000_000 + offset as Millis;
    Anomaly {
        tenant: String::new(),
        id: format!("7_{time}_high_value_purchase"),
        rule: "high_value_purchase".to_owned(),
        severity: Severity::High,
        stream: "signals".to_owned(),
        partition: 0,
        offset,
        key: "7".to_owned(),
        time,
        received_at: time + 5,
        description: "a purchase of 2000".to_owned(),
        metadata: r#"{"amount":2000}"#.to_owned(),
        event: br#"{"user_id":7}"#.to_vec(),
    }
}

pub(crate) fn target(name: &str, url: &str) -> Target {
    Target::new(name, url, vec![Secret::parse(SECRET).unwrap()]).unwrap()
}

/// Looks again and again until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(PAUSE);
    for _ in 0..LOOKS {
        if holds() {
            return;
        }
        looks.tick().await;
    }
    panic!("waited in vain: {what}");
}
