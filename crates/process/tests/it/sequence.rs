//! One record, then another, within a stretch of event time.

use event::Millis;
use process::{RuleKind, RuleSpec, State};

use crate::made::{Made, compile, made, restarted, rule, run, run_from, said};

fn reset_then_purchase(cooldown_ms: Millis) -> RuleSpec {
    let kind = RuleKind::Sequence { then: "type == 'purchase'".to_owned(), within_ms: 100 };
    RuleSpec {
        description: "{gap_ms} after {first_time}".to_owned(),
        ..rule("takeover", "type == 'reset'", kind, cooldown_ms)
    }
}

fn records(steps: &[(&str, Millis)]) -> Vec<Made> {
    steps.iter().map(|(kind, time)| made("7", kind, *time, "{}")).collect()
}

fn check(steps: &[(&str, Millis)], expected: &[(Millis, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(time, text)| format!("{time}: {text}; {{}}")).collect();
    assert_eq!(said(reset_then_purchase(0), &records(steps)), expected, "{steps:?}");
}

#[test]
fn the_second_may_be_exactly_so_much_later() {
    check(&[("reset", 5), ("purchase", 105)], &[(105, "100 after 5")]);
    check(&[("reset", 5), ("purchase", 106)], &[]);
    check(&[("reset", 5), ("purchase", 5)], &[(5, "0 after 5")]);
    check(&[("reset", 5), ("purchase", 4)], &[]);
    check(&[("purchase", 4), ("reset", 5)], &[]);
    check(&[("reset", 5), ("click", 6), ("purchase", 7)], &[(7, "2 after 5")]);
}

#[test]
fn a_first_one_is_used_up_and_the_newest_counts() {
    check(&[("reset", 0), ("purchase", 1), ("purchase", 2)], &[(1, "1 after 0")]);
    check(&[("reset", 0), ("reset", 50), ("purchase", 120)], &[(120, "70 after 50")]);
    check(&[("reset", 50), ("reset", 0), ("purchase", 120)], &[(120, "70 after 50")]);
    check(&[("reset", 0), ("purchase", 101), ("reset", 102), ("purchase", 103)], &[(103, "1 after 102")]);
}

#[test]
fn what_is_both_is_a_second_one_first() {
    let kind = RuleKind::Sequence { then: "type == 'purchase'".to_owned(), within_ms: 100 };
    let spec = RuleSpec { description: "{gap_ms}".to_owned(), ..rule("twice", "type == 'purchase'", kind, 0) };
    let found = said(spec, &records(&[("purchase", 0), ("purchase", 60), ("purchase", 100), ("purchase", 500)]));
    assert_eq!(found, ["60: 60; {}", "100: 40; {}"]);
}

#[test]
fn silence_uses_first_ones_up_and_a_restart_between_changes_nothing() {
    let program = compile(&[reset_then_purchase(50)]);
    let mut state = State::default();
    let steps = [("reset", 0), ("purchase", 10), ("reset", 20), ("purchase", 30), ("purchase", 60), ("reset", 70)];
    let found = run(&program, &mut state, &records(&steps));
    assert_eq!(found.iter().map(|a| a.time).collect::<Vec<_>>(), [10]);
    let mut state = restarted(&program, &state);
    assert_eq!(run_from(&program, &mut state, 6, &records(&[("purchase", 71)])).len(), 1);
    assert_eq!(state.keys(), 1, "its silence is remembered");
    run(&program, &mut state, &records(&[("purchase", 500)]));
    assert_eq!(state.keys(), 0);
}
