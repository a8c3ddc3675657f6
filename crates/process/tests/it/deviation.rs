//! Measures far from their own moving mean.

use process::{RuleKind, RuleSpec, State};

use crate::made::{Made, compile, made, restarted, rule, run, run_from, said};

fn latency(z: f64, span: u64, warm_up: u64) -> RuleSpec {
    RuleSpec {
        description: "{value} mean {mean} deviation {deviation} z {z}".to_owned(),
        metadata: vec![("z".into(), "z".into())],
        ..rule("latency", "", RuleKind::Deviation { of: "ms".to_owned(), z, span, warm_up }, 0)
    }
}

fn records(values: &[&str]) -> Vec<Made> {
    (0..).zip(values).map(|(time, value)| made("7", "t", time, &format!(r#"{{"ms":{value}}}"#))).collect()
}

#[test]
fn mean_and_variance_are_those_of_the_formula() {
    // span 3: alpha 1/2. 10 -> mean 10; 20 -> step 5, variance 1/2 * (0 + 10 * 5) = 25, mean 15: one deviation is 5.
    let far = |value: &str| said(latency(2.0, 3, 2), &records(&["10", "20", value]));
    assert!(far("25").is_empty(), "exactly two deviations are not far");
    assert_eq!(far("25.5"), [r#"2: 25.5 mean 15 deviation 5 z 2.1; {"z":2.1}"#]);
    assert_eq!(far("4.5"), [r#"2: 4.5 mean 15 deviation 5 z 2.1; {"z":2.1}"#]);
}

#[test]
fn nothing_fires_in_the_warm_up_and_outliers_are_learned() {
    assert!(said(latency(1.0, 3, 3), &records(&["10", "20", "9999"])).is_empty());
    assert_eq!(said(latency(1.0, 3, 2), &records(&["10", "20", "9999"])).len(), 1);
    let flat = ["5"; 50].into_iter().chain(["9"; 50]).collect::<Vec<_>>();
    let found = said(latency(3.0, 9, 10), &records(&flat));
    assert_eq!(found.len(), 1, "the new level is soon the usual one: {found:?}");
    assert_eq!(found[0], r#"50: 9 mean 5 deviation 0 z inf; {"z":null}"#);
}

#[test]
fn what_is_no_number_is_passed_over() {
    let values = ["10", "\"99999\"", "null", "true", "1e200", "-1e151", "[1]", "20", "1e999", "25"];
    assert!(said(latency(2.0, 3, 2), &records(&values)).is_empty());
    let far = [&values[..9], &["26"]].concat();
    assert_eq!(said(latency(2.0, 3, 2), &records(&far)).len(), 1);
    let huge = ["1e150", "-1e150", "1e150", "-1e150", "5", "5"];
    let found = said(latency(1.0, 2, 2), &records(&huge));
    assert!(found.iter().all(|text| !text.contains("NaN")), "{found:?}");
}

#[test]
fn a_restart_keeps_every_bit() {
    let program = compile(&[latency(1.5, 5, 2)]);
    let values: Vec<_> = (0..40).map(|i| format!("{}.{}", (i * 7919) % 100, i * 31 % 97)).collect();
    let all = records(&values.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = run(&program, &mut State::default(), &all);
    assert!(expected.len() > 2);
    for at in 0..all.len() {
        let mut state = State::default();
        let mut found = run(&program, &mut state, &all[..at]);
        found.extend(run_from(&program, &mut restarted(&program, &state), at as u64, &all[at..]));
        assert_eq!(found, expected, "restart at {at}");
    }
}
