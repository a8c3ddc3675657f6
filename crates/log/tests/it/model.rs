//! The log against a model: any sequence of appends, restarts, power cuts, full disks and small segments.

use std::collections::HashSet;
use std::sync::Arc;

use log::faulty::FaultyDisk;
use proptest::prelude::*;

use crate::rig::{Event, PARTITIONS, Rig, append, event, read_all};

#[derive(Clone, Debug)]
enum Step {
    /// Events by key and id.
    Append(Vec<(u8, u64)>),
    Restart,
    PowerCut(u64),
    /// An append while the disk has room for this many bytes.
    Full(u64, Vec<(u8, u64)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = || prop::collection::vec((0..9u8, 0..60u64), 1..30);
    let step = prop_oneof![
        6 => batch().prop_map(Step::Append),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::PowerCut),
        1 => (0..3_000u64, batch()).prop_map(|(room, events)| Step::Full(room, events)),
    ];
    prop::collection::vec(step, 1..25)
}

/// What must be there: texts in order for each partition, and every id that was accepted.
#[derive(Default)]
struct Model {
    rows: [Vec<String>; PARTITIONS as usize],
    ids: HashSet<u64>,
}

impl Model {
    /// Takes a batch as the log should; gives the indices of its duplicates.
    fn take(&mut self, events: &[Event]) -> Vec<u32> {
        let mut duplicates = Vec::new();
        for (i, (key, id, text)) in events.iter().enumerate() {
            if *id != 0 && !self.ids.insert(*id) {
                duplicates.push(i as u32);
            } else {
                self.rows[event::partition_of(&[*key], PARTITIONS) as usize].push(text.clone());
            }
        }
        duplicates
    }
}

fn named(count: &mut u64, events: &[(u8, u64)]) -> Vec<Event> {
    let mut name = |(key, id): &(u8, u64)| {
        *count += 1;
        event(*key, *id, format!("{count} {}", "y".repeat((*count % 90) as usize)))
    };
    events.iter().map(&mut name).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_equals_its_model_whatever_happens(steps in steps(), segment_bytes in 1..6_000u64) {
        let disk = FaultyDisk::default();
        let mut rig = Rig::on(Arc::new(disk.clone()));
        rig.settings.segment_bytes = segment_bytes;
        let mut log = rig.open();
        let (mut model, mut count) = (Model::default(), 0);
        for step in &steps {
            match step {
                Step::Append(events) => {
                    let events = named(&mut count, events);
                    let placed = append(&log, &events).unwrap();
                    prop_assert_eq!(placed.duplicates, model.take(&events));
                }
                Step::Full(room, events) => {
                    let events = named(&mut count, events);
                    disk.limit_room(Some(*room));
                    let answer = append(&log, &events);
                    disk.limit_room(None);
                    if let Ok(placed) = answer {
                        prop_assert_eq!(placed.duplicates, model.take(&events));
                    }
                }
                Step::Restart => {
                    drop(log);
                    log = rig.open();
                }
                Step::PowerCut(seed) => {
                    drop(log);
                    disk.cut_power(*seed).unwrap();
                    log = rig.open();
                }
            }
            let rows = read_all(&log);
            for p in 0..PARTITIONS {
                let got: Vec<&str> = rows.iter().filter(|r| r.0 == p).map(|r| r.2.as_str()).collect();
                prop_assert_eq!(&got, &model.rows[p as usize]);
                let offsets: Vec<u64> = rows.iter().filter(|r| r.0 == p).map(|r| r.1).collect();
                prop_assert_eq!(offsets, (0..got.len() as u64).collect::<Vec<_>>());
            }
        }
    }
}
