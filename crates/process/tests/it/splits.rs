//! All kinds of rules and windows together: any split into blocks, any restart, and any change beside one of them.

use event::Millis;
use process::{Output, Program, RuleKind, RuleSpec, State, WindowKind, WindowSpec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::made::{Made, block, compile, encoded, made, restarted, rule, run, signals};
use crate::windows_made::summed;

/// Each kind, with bounds that a few dozen records reach; every second one with a cooldown.
fn rules() -> Vec<RuleSpec> {
    let text = str::to_owned;
    let kinds = [
        RuleKind::Predicate,
        RuleKind::Count { at_least: 3, within_ms: 40, sum: String::new() },
        RuleKind::Count { at_least: 2, within_ms: 60, sum: text("payload.n") },
        RuleKind::Streak { length: 2, unless: text("payload.n == 0") },
        RuleKind::Novel { value: text("payload.n"), warm_up: 2 },
        RuleKind::Hours { from_minute: 60, to_minute: 61, zone: text("Europe/Berlin") },
        RuleKind::Deviation { of: text("payload.n"), z: 1.2, span: 3, warm_up: 2 },
        RuleKind::Absence { after_ms: 70 },
        RuleKind::Sequence { then: text("type == 'b'"), within_ms: 30 },
    ];
    let described = |(i, kind): (usize, RuleKind)| {
        let when = ["", "type == 'a'", "payload.n > 1"][(i + i / 9) % 3];
        let names = match kind {
            RuleKind::Count { ref sum, .. } if !sum.is_empty() => "{count} {sum}",
            RuleKind::Count { .. } | RuleKind::Streak { .. } => "{count}",
            RuleKind::Novel { .. } => "{known}",
            RuleKind::Deviation { .. } => "{mean} {z}",
            RuleKind::Absence { .. } => "{since}",
            RuleKind::Sequence { .. } => "{gap_ms}",
            _ => "{payload.n}",
        };
        RuleSpec { description: text(names), ..rule(&format!("r{i}"), when, kind, 25 * (i as Millis % 2)) }
    };
    let mut all: Vec<_> = kinds.iter().cloned().enumerate().map(described).collect();
    let offset = all.len();
    all.extend(kinds.into_iter().enumerate().map(|(i, kind)| described((i + offset, kind))));
    all
}

fn windows() -> Vec<WindowSpec> {
    let kinds = [
        WindowKind::Tumbling(vec![10, 50]),
        WindowKind::Hopping { size_ms: 40, every_ms: 20 },
        WindowKind::Session { gap_ms: 15 },
    ];
    let window = |(i, kind): (usize, WindowKind)| WindowSpec {
        name: format!("w{i}"),
        stream: "signals".to_owned(),
        when: ["", "type == 'a'", "payload.n > 1"][i].to_owned(),
        kind,
        by: ["type", "payload.n", "user_id"][i..].iter().map(|field| (*field).to_owned()).collect(),
        lateness_ms: 20 * i as Millis,
        correct: i == 0,
        measures: vec![("n".to_owned(), "count()".to_owned()), ("sum".to_owned(), "sum(payload.n)".to_owned())],
        publish: String::new(),
    };
    kinds.into_iter().enumerate().map(window).collect()
}

fn program(rules: &[RuleSpec], windows: &[WindowSpec]) -> Program {
    Program::compile(&signals(), rules, windows).unwrap()
}

fn output(program: &Program, state: &mut State, records: &[Made]) -> Output {
    let mut out = Output::default();
    program.run(state, &block(0, records), &mut out);
    out
}

/// Some keys and tenants, mostly forward in time, some out of order, some far too late.
fn records() -> impl Strategy<Value = Vec<Made>> {
    let step = prop_oneof![8 => 0_i64..12, 2 => -30_i64..0, 1 => -200_i64..-40, 1 => 40_i64..200];
    let kind = prop::sample::select(vec!["a", "b", ""]);
    let one = (0_u8..5, prop::sample::select(vec!["", "t"]), kind, step, 0_u8..5);
    prop::collection::vec(one, 0..100).prop_map(|steps| {
        let mut clock = 59_500; // Berlin's second hour is a minute old soon
        let make = |(key, tenant, kind, step, n): (u8, _, &str, Millis, u8)| {
            clock += step.max(0);
            let (key, data) =
                (if key == 0 { String::new() } else { key.to_string() }, format!(r#"{{"payload":{{"n":{n}}}}}"#));
            Made { tenant, ..made(&key, kind, clock + step.min(0), &data) }
        };
        steps.into_iter().map(make).collect()
    })
}

/// Runs records in pieces that end at the cuts; with a restart after some of them.
fn in_pieces(program: &Program, state: &mut State, records: &[Made], cuts: &[(usize, bool)]) -> Output {
    let mut cuts: Vec<_> = cuts.iter().map(|(at, restart)| ((*at).min(records.len()), *restart)).collect();
    cuts.push((records.len(), true));
    cuts.sort_unstable();
    let (mut out, mut from) = (Output::default(), 0);
    for (to, restart) in cuts {
        program.run(state, &block(from as u64, &records[from..to]), &mut out);
        from = to;
        if restart {
            *state = restarted(program, state);
        }
    }
    out
}

#[test]
fn the_records_of_these_tests_make_every_rule_fire() {
    let strategy = records();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut fired = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let records = strategy.new_tree(&mut runner).map(|tree| tree.current()).unwrap();
        fired.extend(run(&compile(&rules()), &mut State::default(), &records).into_iter().map(|a| a.rule));
    }
    assert_eq!(fired.len(), rules().len(), "{fired:?}");
}

proptest! {
    #[test]
    fn any_split_and_any_restart_give_the_same_output(
        records in records(),
        cuts in prop::collection::vec((0_usize..100, any::<bool>()), 0..8),
        keys_max in prop_oneof![Just(1 << 20), 1_usize..6],
    ) {
        let program = program(&rules(), &windows()).with_keys_max(keys_max);
        let (mut whole, mut pieces) = (State::default(), State::default());
        let expected = output(&program, &mut whole, &records);
        prop_assert_eq!(summed(in_pieces(&program, &mut pieces, &records, &cuts)), summed(expected));
        prop_assert_eq!(encoded(&program, &pieces), encoded(&program, &whole));
        prop_assert_eq!((pieces.keys(), pieces.evicted()), (whole.keys(), whole.evicted()));
    }

    #[test]
    fn a_rule_finds_the_same_whatever_stands_beside_it(records in records(), at in 0_usize..18) {
        let all = rules();
        let name = all[at].name.clone();
        let alone = run(&compile(&all[at..=at]), &mut State::default(), &records);
        let mut among = run(&compile(&all), &mut State::default(), &records);
        among.retain(|a| a.rule == name);
        prop_assert_eq!(among, alone);
    }

    #[test]
    fn what_is_changed_starts_from_the_log_and_the_others_go_on(
        records in records(),
        cut in any::<prop::sample::Index>(),
        gone in prop::collection::vec(any::<bool>(), 21),
        cuts in prop::collection::vec((0_usize..100, any::<bool>()), 0..4),
    ) {
        let (all, frames) = (rules(), windows());
        fn before<T: Clone>(all: &[T], gone: &[bool]) -> Vec<T> {
            all.iter().zip(gone).filter(|(_, gone)| !**gone).map(|(one, _)| one.clone()).collect()
        }
        // Others, and in another order.
        fn after<T: Clone>(all: &[T], gone: &[bool]) -> Vec<T> {
            let kept = all.iter().zip(gone).enumerate().filter(|(i, (_, gone))| **gone || i % 3 > 0);
            kept.map(|(_, (one, _))| one.clone()).rev().collect()
        }
        let (old_rules, old_windows) = (before(&all, &gone), before(&frames, &gone[18..]));
        let (new_rules, new_windows) = (after(&all, &gone), after(&frames, &gone[18..]));
        let (old, new) = (program(&old_rules, &old_windows), program(&new_rules, &new_windows));
        let at = cut.index(records.len() + 1);
        let (mut state, mut fresh) = (State::default(), State::default());
        output(&old, &mut state, &records[..at]);
        output(&new, &mut fresh, &records[..at]);
        let restored = new.decode(&encoded(&old, &state)).unwrap();
        let known = new_rules.iter().map(|rule| old_rules.contains(rule));
        let known = known.chain(new_windows.iter().map(|window| old_windows.contains(window)));
        let expected: Vec<_> = known.enumerate().filter(|(_, known)| !known).map(|(at, _)| at).collect();
        prop_assert_eq!(&restored.missing, &expected);
        let mut state = restored.state;
        let mut from = 0;
        let ends = cuts.iter().map(|(end, _)| (*end).min(at)).chain([at]);
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        for to in ends {
            new.rebuild(&mut state, &block(from as u64, &records[from..to]), &restored.missing);
            from = to;
        }
        prop_assert_eq!(state.clock(), fresh.clock());
        prop_assert_eq!(encoded(&new, &state), encoded(&new, &fresh));
        let rest = &records[at..];
        prop_assert_eq!(output(&new, &mut state, rest), output(&new, &mut fresh, rest));
    }

    #[test]
    fn bytes_that_are_no_state_are_refused(records in records(), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let program = program(&rules(), &windows());
        let mut state = State::default();
        output(&program, &mut state, &records);
        let mut bytes = encoded(&program, &state);
        prop_assert!(program.decode(&bytes[..cut.index(bytes.len())]).is_err());
        let at = cut.index(bytes.len());
        bytes[at] ^= flip;
        let _ = program.decode(&bytes);
        bytes[at] ^= flip;
        bytes.push(0);
        prop_assert!(program.decode(&bytes).is_err());
    }
}

#[test]
fn a_state_of_another_version_is_refused() {
    let program = compile(&rules());
    let mut bytes = encoded(&program, &State::default());
    assert!(program.decode(&bytes).is_ok_and(|restored| restored.missing.is_empty()));
    for version in [0, 1, 3] {
        bytes[0] = version;
        assert!(program.decode(&bytes).unwrap_err().to_string().contains("of another version"));
    }
    assert!(program.decode(&[]).is_err());
}
