//! The spool against a model: any sequence of appends, stalls, losses, returns, kills and restarts.

use std::collections::HashMap;

use log::Pending;
use log::spool::Spooled;
use proptest::prelude::*;

use crate::rig::{self, PARTITIONS, event};
use crate::spool_rig::{House, Link, PLAIN, THINGS, drained, send, until, waiting};

#[derive(Clone, Debug)]
enum Step {
    /// Keys, and whether the events have ids; to the stream that suppresses duplicates or the other.
    Append(Vec<(u8, bool)>, bool),
    /// From now on nothing is answered.
    Stall,
    /// The broker is away, and so many records of what was on its way have arrived.
    Lose(usize),
    /// The broker is back.
    Back,
    /// It is back, and all is drained.
    Drained,
    /// It is back and takes the drain's first window, or a request, but does not answer.
    BackStalled,
    /// The process dies; so many records of what was on its way arrive.
    Kill(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = || prop::collection::vec((0..9u8, any::<bool>()), 1..40);
    let step = prop_oneof![
        8 => (events(), any::<bool>()).prop_map(|(events, plain)| Step::Append(events, plain)),
        2 => Just(Step::Stall),
        3 => (0..60usize).prop_map(Step::Lose),
        1 => Just(Step::Back),
        1 => Just(Step::Drained),
        2 => Just(Step::BackStalled),
        2 => (0..60usize).prop_map(Step::Kill),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..24)
}

struct Run {
    house: House,
    spooled: Option<Spooled>,
    count: u64,
    /// What waits for its answer: the request's number.
    pending: Vec<(u64, Pending)>,
    /// By text: stream, key and request.
    sent: HashMap<String, (bool, u8, u64)>,
    acked: Vec<u64>,
}

impl Run {
    fn spooled(&self) -> &Spooled {
        self.spooled.as_ref().unwrap()
    }

    /// Takes the answers that are there.
    fn collect(&mut self) {
        for (request, mut pending) in std::mem::take(&mut self.pending) {
            match pending.0.try_recv() {
                Ok(Ok(_)) => self.acked.push(request),
                Ok(Err(_)) | Err(tokio::sync::oneshot::error::TryRecvError::Closed) => {}
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => self.pending.push((request, pending)),
            }
        }
    }

    fn append(&mut self, keys: &[(u8, bool)], plain: bool) {
        let request = self.count;
        let mut events = Vec::new();
        for (key, named) in keys {
            self.count += 1;
            let text = format!("{} {}", self.count, "y".repeat((self.count % 90) as usize));
            self.sent.insert(text.clone(), (plain, *key, request));
            events.push(event(*key, if *named { self.count } else { 0 }, text));
        }
        let batch = rig::batch(self.spooled(), if plain { PLAIN } else { THINGS }, PARTITIONS, &events);
        if let Ok(pending) = send(self.spooled(), batch) {
            self.pending.push((request, pending));
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(keys, plain) => self.append(keys, *plain),
            Step::Stall => self.house.broker.set(Link::Stalled),
            Step::Lose(arrive) => self.house.broker.lose(*arrive),
            Step::Back => self.house.broker.set(Link::Up),
            Step::Drained => {
                self.house.broker.set(Link::Up);
                drained(self.spooled());
            }
            Step::BackStalled => {
                self.house.broker.set(Link::Stalled);
                until("something waits for the broker", || {
                    self.house.broker.held() > 0 || waiting(self.spooled()) == 0
                });
            }
            Step::Kill(arrive) => {
                self.collect();
                self.pending.clear();
                let spooled = self.spooled.take().unwrap();
                self.house.kill(spooled, *arrive);
                self.spooled = Some(self.house.open());
            }
            Step::Restart => {
                // A broker that hangs is given up in time.
                if self.house.broker.held() > 0 {
                    self.house.broker.lose(0);
                }
                self.house.broker.set(Link::Up);
                self.spooled = None;
                self.spooled = Some(self.house.open());
            }
        }
        self.collect();
    }

    /// Everything acknowledged is there once, in the order of its key; the rest at the most once.
    fn judge(&mut self) {
        self.house.broker.set(Link::Up);
        for (request, pending) in std::mem::take(&mut self.pending) {
            if pending.wait_blocking().is_ok() {
                self.acked.push(request);
            }
        }
        drained(self.spooled());
        let mut found: HashMap<String, usize> = HashMap::new();
        for (stream, plain) in [(THINGS, false), (PLAIN, true)] {
            assert_eq!(self.house.broker.rows(stream).len(), self.house.broker.texts(stream).len(), "no copies");
            let mut last: HashMap<u8, u64> = HashMap::new();
            for text in self.house.broker.texts(stream) {
                let (was_plain, key, _) = self.sent[&text];
                assert_eq!(was_plain, plain);
                let number: u64 = text.split(' ').next().unwrap().parse().unwrap();
                let before = last.insert(key, number);
                assert!(before < Some(number), "key {key}: {before:?} before {number}");
                *found.entry(text).or_default() += 1;
            }
        }
        for (text, (_, _, request)) in &self.sent {
            let times = found.get(text).copied().unwrap_or_default();
            let acked = self.acked.contains(request);
            assert!(times == 1 || (times == 0 && !acked), "{text}: {times} times, answered: {acked}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answered_event_arrives_once_and_in_order_whatever_happens(steps in steps()) {
        let house = House::bounded(1 << 20);
        let spooled = Some(house.open());
        let (count, pending, sent, acked) = Default::default();
        let mut run = Run { house, spooled, count, pending, sent, acked };
        for step in &steps {
            run.take(step);
        }
        run.judge();
    }
}
