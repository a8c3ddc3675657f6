//! The log run afresh beside the live rows: equal while nothing changed, and in their place when asked for.

mod product;

use std::sync::{Arc, Barrier};

use engine::Command;
use engine::replay::{Into, ReplayError, ReplaySpec, ReplayStatus};
use event::Millis;
use log::{Clock, Disk, Log, RealDisk, SystemClock};
use process::RuleKind;
use store::query::WindowRow;
use store::{Answers, Commit, Retract, Store};

use crate::house::{SIGNALS, events};
use product::{EVER, Product, done, ended, spec, until};

#[test]
fn it_equals_the_live_rows_and_leaves_nothing_behind() {
    let product = Product::new(1_000);
    product.house.append(&events(2_000));
    product.drain();
    let replays = product.replays();
    let view = done(&replays, EVER, Into::Shadow);
    let found = view.difference.unwrap();
    assert_eq!((found.total(), found.details, found.notes), (0, Vec::new(), Vec::new()));
    assert!(found.anomalies.same > 100 && found.windows.same > 100, "{:?} {:?}", found.anomalies, found.windows);
    assert_eq!((view.done, view.total, view.swappable, view.swapped), (2_000, 2_000, true, false));
    // Kept for a swap: its file, and its part of the log.
    assert!(!product.files().is_empty());
    assert_eq!(product.house.log.consumers(), ["engine", "engine.state", &format!("replay-{}", view.id)]);
    assert!(!replays.cancel(&view.id).unwrap().swappable);
    assert_eq!((product.files(), product.house.log.consumers().len()), (Vec::new(), 2));
    assert!(matches!(replays.swap(&view.id), Err(ReplayError::NotSwappable(_))));
    assert!(matches!(replays.get("nothing"), Err(ReplayError::NotFound(_))));
}

#[test]
fn other_rules_show_a_difference_and_a_swap_puts_it_in_place() {
    let product = Product::new(1_000);
    product.house.append(&events(2_000));
    product.drain();
    let (before, windows) = (product.anomalies(), product.windows());
    product.set_rules(1_500);
    let replays = product.replays();
    let view = done(&replays, EVER, Into::Shadow);
    let found = view.difference.clone().unwrap();
    assert!(found.anomalies.removed > 50 && found.anomalies.added == 0, "{:?}", found.anomalies);
    assert_eq!((found.windows.added, found.windows.removed, found.windows.changed), (0, 0, 0));
    assert_eq!(found.details.len(), 100.min(found.total() as usize));
    assert_eq!((product.anomalies(), product.windows()), (before.clone(), windows), "nothing was changed");

    // The engine runs meanwhile, and goes on behind it.
    *product.engine.lock().unwrap() = Some(product.start());
    product.house.append(&[(1, "purchase", 9_000, 1_600), (1, "purchase", 9_001, 1_400)]);
    let begun = replays.swap(&view.id).unwrap();
    assert!(matches!(replays.start(spec(EVER, Into::Shadow)), Err(ReplayError::Running(_))) || begun.swapped);
    let swapped = ended(&replays, &view.id);
    assert_eq!((swapped.status, swapped.swapped), (ReplayStatus::Done, true), "{swapped:?}");
    assert_eq!(swapped.difference.unwrap().anomalies.removed, found.anomalies.removed);
    assert!(matches!(replays.swap(&view.id), Err(ReplayError::NotSwappable(_))), "once");
    let engine = product.engine.lock().unwrap().take().unwrap();
    engine.send(Command::Drain);
    engine.join().unwrap();

    assert_eq!(product.verify(), Vec::<String>::new());
    assert!(product.anomalies().contains("1_9000_dear") && !product.anomalies().contains("1_9001_dear"));
    assert_eq!(before.difference(&product.anomalies()).count() as u64, found.anomalies.removed);
    assert_eq!((product.files(), product.house.log.consumers().len()), (Vec::new(), 2));
    assert_eq!(product.store.outbox(Millis::MAX, 10).unwrap().len(), 0, "nobody is told");
}

#[test]
fn a_damaged_window_is_found_and_mended() {
    let product = Product::new(1_000);
    let mut all = events(1_000);
    // Late ones correct what was closed.
    all.extend([(1, "click", 50, 7), (2, "click", 60, 7), (3, "click", 250, 7)]);
    product.house.append(&all);
    product.drain();
    let windows = product.windows();
    let late: u64 = windows.iter().map(|row| row.late).sum();
    assert!(late >= 3, "{late}");
    let bad = windows.iter().filter(|row| row.late > 0).map(|row| row.id.clone());
    let retract: Vec<_> = bad.chain([windows[20].id.clone()]).map(Retract::Window).collect();
    product.store.commit(&Commit { retract: &retract, ..Commit::default() }).unwrap();
    assert_eq!(product.windows().len(), windows.len() - retract.len());

    let replays = product.replays();
    let view = done(&replays, EVER, Into::Live);
    assert!(view.swapped);
    let found = view.difference.unwrap();
    assert_eq!((found.windows.added, found.total()), (retract.len() as u64, retract.len() as u64));
    let facts = |rows: &[WindowRow]| -> Vec<_> {
        rows.iter().map(|row| (row.id.clone(), row.end, row.measures.clone(), row.events, row.late)).collect()
    };
    assert_eq!(facts(&product.windows()), facts(&windows));
    assert_eq!(product.verify(), Vec::<String>::new());
}

#[test]
fn the_range_selects_what_comes_out() {
    let product = Product::new(1_000);
    product.house.append(&events(600));
    product.house.clock.advance(10_000);
    let middle = product.house.clock.now();
    let more: Vec<_> =
        events(600).into_iter().map(|(user, kind, time, amount)| (user, kind, time + 3_000, amount)).collect();
    product.house.append(&more);
    product.drain();
    let before = product.anomalies();
    product.set_rules(1_500);
    let replays = product.replays();
    let all = done(&replays, EVER, Into::Shadow).difference.unwrap().anomalies.removed;
    let early = done(&replays, (0, middle), Into::Shadow).difference.unwrap().anomalies.removed;
    let late = done(&replays, (middle, Millis::MAX), Into::Live).difference.unwrap();
    assert!(early > 0 && late.anomalies.removed > 0);
    assert_eq!(early + late.anomalies.removed, all);
    let gone: Vec<_> = before.difference(&product.anomalies()).cloned().collect();
    assert_eq!(gone.len() as u64, late.anomalies.removed);
    let time = |id: &String| id.split('_').nth(1).unwrap().parse::<Millis>().unwrap();
    assert!(gone.iter().all(|id| time(id) >= 3_000), "{gone:?}");
    // Windows by their beginning.
    let windows = done(&replays, (1_000, 1_200), Into::Shadow).difference.unwrap().windows;
    assert_eq!(
        windows.same,
        product.windows().iter().filter(|row| (1_000..1_200).contains(&row.id.start)).count() as u64
    );
}

#[test]
fn one_that_is_cancelled_or_fails_leaves_nothing() {
    let product = Product::new(1_000);
    product.house.append(&events(500));
    product.drain();
    let replays = product.replays();
    let gate = Arc::new(Barrier::new(2));
    *product.gate.lock().unwrap() = Some(gate.clone());
    let id = replays.start(spec(EVER, Into::Live)).unwrap().id;
    gate.wait();
    assert!(matches!(replays.start(spec(EVER, Into::Shadow)), Err(ReplayError::Running(running)) if running == id));
    assert!(matches!(replays.swap(&id), Err(ReplayError::NotSwappable(_))));
    replays.cancel(&id).unwrap();
    gate.wait();
    *product.gate.lock().unwrap() = None;
    assert_eq!(ended(&replays, &id).status, ReplayStatus::Cancelled);
    assert_eq!((product.files(), product.house.log.consumers().len()), (Vec::new(), 2));

    // A file in the place of the folder's file: no store can be made there.
    RealDisk.make_dir(&product.folder().join("x")).unwrap();
    let blocked = format!("{:x}.sqlite", product.house.clock.now() + 1);
    RealDisk.make_dir(&product.folder().join(&blocked)).unwrap();
    let id = replays.start(spec(EVER, Into::Shadow)).unwrap().id;
    let failed = ended(&replays, &id);
    assert!(failed.status == ReplayStatus::Failed && !failed.error.is_empty(), "{failed:?} {blocked}");
    assert_eq!(product.house.log.consumers().len(), 2);

    for (bad, why) in [
        (ReplaySpec { stream: "nowhere".to_owned(), ..spec(EVER, Into::Shadow) }, "there is no stream `nowhere`"),
        (ReplaySpec { stream: "_refused".to_owned(), ..spec(EVER, Into::Shadow) }, "there is no stream `_refused`"),
        (spec((5, 5), Into::Shadow), "`to` must be after `from`"),
    ] {
        let error = replays.start(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_cancel_and_a_swap_at_once_leave_nothing_that_runs() {
    let product = Product::new(1_000);
    product.house.append(&events(100));
    product.drain();
    product.set_rules(10);
    let (replays, before) = (product.replays(), product.anomalies());
    // The swap first: it sees the cancel before it exchanges anything.
    let id = done(&replays, EVER, Into::Shadow).id;
    let gate = Arc::new(Barrier::new(2));
    *product.at_pause.lock().unwrap() = Some(gate.clone());
    replays.swap(&id).unwrap();
    gate.wait();
    assert_eq!(replays.cancel(&id).unwrap().status, ReplayStatus::Running);
    gate.wait();
    *product.at_pause.lock().unwrap() = None;
    let view = ended(&replays, &id);
    assert_eq!((view.status, view.swapped, view.swappable), (ReplayStatus::Cancelled, false, false));
    assert_eq!((product.anomalies(), product.files()), (before.clone(), Vec::new()));
    // The cancel first: nothing is left to be swapped.
    let id = done(&replays, EVER, Into::Shadow).id;
    replays.cancel(&id).unwrap();
    assert!(matches!(replays.swap(&id), Err(ReplayError::NotSwappable(_))));
    assert_eq!((replays.get(&id).unwrap().status, product.anomalies()), (ReplayStatus::Done, before));
    // Whoever is first: it ends, and the next one may begin.
    for _ in 0..10 {
        let id = done(&replays, EVER, Into::Shadow).id;
        std::thread::scope(|threads| {
            threads.spawn(|| {
                gate.wait();
                replays.cancel(&id).unwrap();
            });
            gate.wait();
            let begun = replays.swap(&id);
            assert!(matches!(begun, Ok(_) | Err(ReplayError::NotSwappable(_))), "{begun:?}");
        });
        let view = ended(&replays, &id);
        assert!(!view.swappable && view.finished_at.is_some(), "{view:?}");
    }
    done(&replays, EVER, Into::Shadow);
}

#[test]
fn what_a_killed_process_left_is_removed_at_the_start() {
    let product = Product::new(1_000);
    product.house.append(&events(100));
    product.drain();
    product.house.log.commit("replay-old", &[event::Position { stream: SIGNALS, partition: 0, offset: 0 }]).unwrap();
    RealDisk.make_dir(&product.folder()).unwrap();
    RealDisk.replace(&product.folder().join("old.sqlite"), b"what was left").unwrap();
    let replays = product.replays();
    assert_eq!(
        (product.files(), product.house.log.consumers()),
        (Vec::new(), vec!["engine".to_owned(), "engine.state".to_owned()])
    );
    let view = done(&replays, EVER, Into::Shadow);
    replays.stop();
    assert!(product.files().is_empty() && !replays.get(&view.id).unwrap().swappable);
}

#[test]
fn rules_that_change_after_it_was_done_forbid_the_swap() {
    let product = Product::new(1_000);
    product.house.append(&events(100));
    product.drain();
    let replays = product.replays();
    let view = done(&replays, EVER, Into::Shadow);
    product.set_rules(10);
    let refused = replays.swap(&view.id).unwrap_err();
    assert!(refused.to_string().contains("rules or windows were changed"), "{refused}");
}

#[test]
fn poison_records_are_passed_over_as_the_engine_did() {
    let product = Product::tripping(1_000, Some(b"\"amount\":66666}"));
    let mut all = events(900);
    all.insert(300, (1, "purchase", 900, 66_666));
    all.insert(600, (1, "login", 1_800, 66_666));
    product.house.append(&all);
    product.drain();
    let letters =
        product.store.dead_letters(&store::query::DeadLetterQuery { limit: 10, ..Default::default() }).unwrap();
    assert_eq!(letters.total, 2);
    let replays = product.replays();
    let found = done(&replays, EVER, Into::Shadow).difference.unwrap();
    assert_eq!((found.total(), found.details, found.notes), (0, Vec::new(), Vec::new()));
}

#[test]
fn it_runs_beside_a_working_engine_without_a_difference() {
    let product = Product::new(1_000);
    product.house.append(&events(3_000));
    let engine = product.start();
    // What the engine changes meanwhile is told by the store's clock, which is the system's.
    let replays = product.replays_by(Arc::new(SystemClock::default()));
    let begun = replays.start(spec(EVER, Into::Shadow)).unwrap();
    for n in 0..50 {
        let more: Vec<_> = events(40)
            .into_iter()
            .map(|(user, kind, time, amount)| (user, kind, 9_000 + n * 120 + time, amount))
            .collect();
        product.house.append(&more);
    }
    let view = ended(&replays, &begun.id);
    let found = view.difference.unwrap();
    assert_eq!((view.status, found.total(), found.details), (ReplayStatus::Done, 0, Vec::new()));
    engine.send(Command::Drain);
    engine.join().unwrap();
    let found = done(&replays, EVER, Into::Live).difference.unwrap();
    assert_eq!((found.total(), found.unsettled, found.details), (0, 0, Vec::new()));
    assert_eq!(product.verify(), Vec::<String>::new());
}

#[test]
fn what_idle_partitions_handed_over_early_is_no_difference() {
    let product = Product::new(1_000);
    product.add_rule("silent", "type == 'login'", RuleKind::Absence { after_ms: 20_000 });
    product.house.append(&events(300));
    product.drain();
    let (before, windows) = (product.anomalies().len(), product.windows().len());
    // The partitions fall silent: their last windows close by the clock, and the logins are missed.
    let engine = product.start();
    product.house.clock.advance(120_000);
    until(|| product.anomalies().iter().any(|id| id.ends_with("_silent")) && product.windows().len() > windows);
    engine.stop().unwrap();
    assert!(product.anomalies().len() > before);
    let replays = product.replays();
    let found = done(&replays, EVER, Into::Live).difference.unwrap();
    assert_eq!((found.total(), found.details), (0, Vec::new()));
    assert!(found.open > 0, "those that the log alone does not close are not compared");
}
