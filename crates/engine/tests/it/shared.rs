//! Engines that share the work: each has some of the partitions, one after the other, over one log and one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Command, Engine, EngineError, Parts};
use event::StreamId;
use log::Log;
use process::WindowSpec;
use store::{Commit, Store, StoreError};

use crate::house::{House, Moody, SIGNALS, by_type, contents, events};

type Share = Vec<(StreamId, u32)>;

/// All partitions in two shares.
fn shares(house: &House) -> [Share; 2] {
    let refused = house.catalog.refused();
    [vec![(SIGNALS, 0), (SIGNALS, 2)], vec![(SIGNALS, 1), (StreamId(1), 0), (refused, 0)]]
}

/// Runs an engine on its share until everything now in the log is committed.
fn run(house: &House, store: Arc<dyn Store>, owned: &Share, owner: u64) -> Result<(), EngineError> {
    let engine = Engine::start(Parts { owned: Some(owned.clone()), owner, ..house.parts(store) })?;
    engine.send(Command::Drain);
    engine.join()
}

fn run_both(house: &House, store: &Arc<dyn Store>) {
    for (owner, owned) in (1..).zip(shares(house)) {
        run(house, store.clone(), &owned, owner).unwrap();
    }
}

/// What one engine makes of the whole log.
fn check(house: &House, store: &Arc<dyn Store>, fresh: &str) {
    let whole = house.store(fresh);
    house.drain(whole.clone()).unwrap();
    assert_eq!(contents(&**store), contents(&*whole));
    assert_eq!(house.verify(store.clone()).details, Vec::<String>::new());
}

#[test]
fn engines_that_share_the_partitions_make_what_one_makes() {
    let house = House::new();
    house.append(&events(300));
    house.refuse("a", b"1");
    let store: Arc<dyn Store> = house.store("shared");
    let [first, second] = shares(&house);
    run(&house, store.clone(), &first, 1).unwrap();
    let stored = contents(&*store);
    assert!(!stored.rows.is_empty() && stored.rows.iter().all(|row| row.0 != 1) && stored.dead_letters.is_empty());
    assert!(stored.positions.iter().all(|p| p.stream == "signals" && p.partition != 1), "{:?}", stored.positions);
    house.append(&events(100));
    run(&house, store.clone(), &second, 2).unwrap();
    // The partitions change hands: each goes on where the other was, with its state.
    house.append(&events(50));
    for (owner, owned) in (3..).zip([second, first]) {
        run(&house, store.clone(), &owned, owner).unwrap();
    }
    check(&house, &store, "whole");
}

#[test]
fn lag_is_that_of_the_own_partitions_and_none_once_they_are_others() {
    let house = House::new();
    let [owned, _] = shares(&house);
    let parts = Parts { owned: Some(owned), owner: 1, ..house.parts(house.store("a")) };
    let engine = Engine::start(parts).unwrap();
    let stats = engine.stats();
    engine.stop().unwrap();
    house.append(&events(90));
    let lag = stats.lag_by_partition();
    assert_eq!(
        lag.iter().map(|(stream, partition, _)| (stream.as_str(), *partition)).collect::<Vec<_>>(),
        [("signals", 0), ("signals", 2)]
    );
    let others = house.log.extents(SIGNALS)[1].next;
    assert!(others > 0 && stats.lag_events() == 90 - others);
    stats.leave("engine");
    assert_eq!((stats.lag_events(), stats.lag_by_partition().len()), (0, 0));
}

#[test]
fn partitions_are_claimed_first_and_every_commit_carries_the_claim() {
    let house = House::new();
    house.append(&events(60));
    let [owned, _] = shares(&house);
    let unclaimed = Arc::new(AtomicBool::new(false));
    let seen = unclaimed.clone();
    let moody = Moody::new(house.store("a"), move |_: i64, commit: &Commit<'_>| {
        let moves = commit.consumer == "engine" && !commit.moves.is_empty();
        seen.fetch_or(moves && commit.owner != 77, Ordering::SeqCst);
        Ok(())
    });
    run(&house, moody.clone(), &owned, 77).unwrap();
    let claims = moody.claims.lock().unwrap().clone();
    let expected = [("signals".to_owned(), 0), ("signals".to_owned(), 2)];
    assert_eq!(claims, [(77, expected.to_vec(), 0)], "once, and before the first commit");
    assert!(!unclaimed.load(Ordering::SeqCst));
}

#[test]
fn an_engine_whose_partitions_were_claimed_ends_and_says_so() {
    let house = House::new();
    house.append(&events(60));
    let [owned, _] = shares(&house);
    let store = house.store("a");
    let claimed = |_: i64, commit: &Commit<'_>| match commit.blocks.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Claimed { stream: "signals".to_owned(), partition: 2 }),
    };
    let ended = run(&house, Moody::new(store.clone(), claimed), &owned, 1);
    let Err(error @ EngineError::Taken(StoreError::Claimed { partition: 2, .. })) = ended else { panic!("{ended:?}") };
    assert!(error.is_passing());
    assert!(contents(&*store).rows.is_empty());
}

#[test]
fn a_start_that_nobody_wants_any_more_ends() {
    let mut house = House::new();
    house.append(&events(200));
    let store = house.store("a");
    house.drain(store.clone()).unwrap();
    house.windows[0].measures.pop(); // so that there is something to compute anew
    let halt = Arc::new(AtomicBool::new(true));
    for owned in [None, Some(shares(&house)[0].clone())] {
        let started = Engine::start(Parts { halt: halt.clone(), owned, owner: 1, ..house.parts(store.clone()) });
        assert!(matches!(started, Err(EngineError::Halted)));
    }
    let store: Arc<dyn Store> = store;
    run_both(&house, &store);
    check(&house, &store, "whole");
}

/// Windows as configurations have them, one after the other.
fn configurations() -> [Vec<WindowSpec>; 6] {
    let by_user = WindowSpec { name: "by_user".to_owned(), by: vec!["user_id".to_owned()], ..by_type() };
    let changed = WindowSpec { by: Vec::new(), ..by_type() };
    [
        vec![by_type()],
        vec![by_type(), by_user.clone()],
        vec![changed, by_user.clone()],
        // Back to what it was: rows of the first time are there, by other groups.
        vec![by_type(), by_user],
        // Gone, and back as it was.
        Vec::new(),
        vec![by_type()],
    ]
}

#[test]
fn windows_that_come_and_go_are_computed_by_each_engine_for_its_share() {
    let mut house = House::new();
    let store: Arc<dyn Store> = house.store("shared");
    for (n, windows) in configurations().into_iter().enumerate() {
        house.windows = windows;
        house.append(&events(80));
        run_both(&house, &store);
        if !house.windows.is_empty() {
            let rows = |store: &dyn Store| {
                let known: Vec<_> = house.windows.iter().map(|window| window.name.clone()).collect();
                contents(store).windows.into_iter().filter(|row| known.contains(&row.id.window)).collect::<Vec<_>>()
            };
            let whole = house.store(&format!("whole-{n}"));
            house.drain(whole.clone()).unwrap();
            assert_eq!(rows(&*store), rows(&*whole), "configuration {n}");
        }
        house.append(&events(20));
        run_both(&house, &store);
        assert_eq!(house.verify(store.clone()).details, Vec::<String>::new(), "configuration {n}");
    }
}

#[test]
fn one_engine_for_all_and_engines_that_share_may_follow_each_other() {
    let mut house = House::new();
    let store: Arc<dyn Store> = house.store("shared");
    for (n, windows) in configurations().into_iter().enumerate() {
        house.windows = windows;
        house.append(&events(80));
        if n % 2 == 0 {
            run_both(&house, &store);
        } else {
            house.drain(store.clone()).unwrap();
        }
        assert_eq!(house.verify(store.clone()).details, Vec::<String>::new(), "configuration {n}");
    }
}

#[test]
fn a_share_that_crashes_at_any_commit_computes_nothing_twice() {
    let mut crashes = 0;
    for crash_at in 1.. {
        let mut house = House::new();
        let store: Arc<dyn Store> = house.store("shared");
        house.append(&events(120));
        run_both(&house, &store);
        house.windows = configurations()[2].clone();
        house.append(&events(30));
        let crash = move |n: i64, _: &Commit<'_>| match n == crash_at {
            true => Err(StoreError::Incompatible("crash".to_owned())),
            false => Ok(()),
        };
        let moody = Moody::new(house.store("shared"), crash);
        let ended = run(&house, moody, &shares(&house)[0], 5);
        match &ended {
            Ok(()) => {}
            Err(EngineError::Store(StoreError::Incompatible(_))) => crashes += 1,
            Err(other) => panic!("{other}"),
        }
        run_both(&house, &store);
        assert_eq!(house.verify(store.clone()).details, Vec::<String>::new(), "crash at {crash_at}");
        if ended.is_ok() {
            break;
        }
    }
    assert!(crashes > 3, "{crashes}");
}
