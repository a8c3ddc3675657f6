//! Rows: so many in a row, and what ends one.

use event::Millis;
use process::{RuleKind, RuleSpec, State};

use crate::made::{Made, compile, made, restarted, rule, run, run_from, said};

fn failures(cooldown_ms: Millis) -> RuleSpec {
    let unless = "type == 'login' && payload.success == true".to_owned();
    RuleSpec {
        description: "{count} failures".to_owned(),
        ..rule(
            "failures",
            "type == 'login' && payload.success == false",
            RuleKind::Streak { length: 3, unless },
            cooldown_ms,
        )
    }
}

/// One record a letter, each a time unit later: failure, success, another type, a login that says neither.
fn records(story: &str) -> Vec<Made> {
    let one = |(time, letter)| match letter {
        'f' => made("7", "login", time, r#"{"payload":{"success":false}}"#),
        's' => made("7", "login", time, r#"{"payload":{"success":true}}"#),
        'c' => made("7", "click", time, r#"{"payload":{"success":true}}"#),
        _ => made("7", "login", time, r#"{"payload":{}}"#),
    };
    (0..).zip(story.chars()).map(one).collect()
}

fn check(story: &str, fires_at: &[Millis]) {
    let found = run(&compile(&[failures(0)]), &mut State::default(), &records(story));
    assert_eq!(found.iter().map(|a| a.time).collect::<Vec<_>>(), fires_at, "{story}");
}

#[test]
fn the_third_failure_in_a_row_fires_and_the_fourth_does_not() {
    check("ff", &[]);
    check("fff", &[2]);
    check("ffffffff", &[2]);
    check("ffsf", &[]);
    check("ffsfff", &[5]);
    check("fffsfffsff", &[2, 6]);
    check("fcf?f", &[4]);
    check("sssfff", &[5]);
    assert_eq!(said(failures(0), &records("fff")), ["2: 3 failures; {}"]);
}

#[test]
fn a_row_is_in_the_logs_order_and_keys_have_their_own() {
    let mut out_of_order = records("ffsf");
    out_of_order[3].time = -5;
    let mut found = run(&compile(&[failures(0)]), &mut State::default(), &out_of_order);
    assert!(found.is_empty(), "the late failure begins a new row");
    let two = records("ffff").into_iter().zip(["7", "8"].iter().cycle());
    let two: Vec<_> = two.map(|(record, key)| Made { key: (*key).to_owned(), ..record }).collect();
    found = run(&compile(&[failures(0)]), &mut State::default(), &two);
    assert!(found.is_empty());
}

#[test]
fn silence_swallows_a_whole_row() {
    let found = |story| run(&compile(&[failures(5)]), &mut State::default(), &records(story)).len();
    assert_eq!(found("fffsfff"), 1, "the second row ends 4 later");
    assert_eq!(found("fffssfff"), 2, "the second row ends 5 later");
    assert_eq!(found("fffsffff"), 1, "a row is told when it reaches its length, or not at all");
}

#[test]
fn who_succeeds_is_forgotten_and_a_restart_in_a_row_changes_nothing() {
    let program = compile(&[failures(0)]);
    let mut state = State::default();
    run(&program, &mut state, &records("ss"));
    assert_eq!(state.keys(), 0);
    run(&program, &mut state, &records("ff"));
    assert_eq!(state.keys(), 1);
    let mut state = restarted(&program, &state);
    assert_eq!(run_from(&program, &mut state, 2, &records("f")).len(), 1);
    run(&program, &mut state, &records("s"));
    assert_eq!(state.keys(), 0);
}
