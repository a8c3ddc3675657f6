//! Values that a key never had before.

use process::{RuleKind, RuleSpec, State};

use crate::made::{Made, compile, made, restarted, rule, run, run_from, said};

fn location(warm_up: u64) -> RuleSpec {
    RuleSpec {
        description: "{value}".to_owned(),
        metadata: vec![("new".into(), "value".into()), ("known".into(), "known".into())],
        ..rule("location", "type == 'login'", RuleKind::Novel { value: "payload.location".to_owned(), warm_up }, 0)
    }
}

fn login(time: i64, location: &str) -> Made {
    made("7", "login", time, &format!(r#"{{"payload":{{"location":{location}}}}}"#))
}

fn logins(locations: &[&str]) -> Vec<Made> {
    (0..).zip(locations).map(|(time, location)| login(time, location)).collect()
}

#[test]
fn the_first_value_is_learned_and_every_other_one_is_news_once() {
    let records = logins(&[r#""US""#, r#""US""#, r#""EU""#, r#""EU""#, r#""US""#, r#""CA""#]);
    let expected =
        [r#"2: EU; {"new":"EU","known":["US"]}"#.to_owned(), r#"5: CA; {"new":"CA","known":["US","EU"]}"#.to_owned()];
    assert_eq!(said(location(1), &records), expected);
    assert_eq!(said(location(3), &records), expected[1..]);
    assert!(said(location(6), &records).is_empty());
    assert_eq!(said(location(5), &records).len(), 1);
}

#[test]
fn a_record_without_a_value_is_neither_learned_nor_news() {
    let mut records = logins(&["null", r#""US""#, "null"]);
    records.insert(1, made("7", "login", 9, "{}"));
    records.push(made("7", "click", 9, r#"{"payload":{"location":"XX"}}"#));
    assert!(said(location(1), &records).is_empty());
    records.push(login(10, r#""EU""#));
    assert_eq!(said(location(1), &records).len(), 1);
}

#[test]
fn values_are_equal_when_their_json_is() {
    assert!(said(location(1), &logins(&["1", "1.0", "1e0"])).is_empty());
    assert!(said(location(1), &logins(&[r#""\u0041""#, r#""A""#])).is_empty());
    assert_eq!(said(location(1), &logins(&["1", r#""1""#, "true"])).len(), 2);
    let quoted = said(location(1), &logins(&[r#""a\"b""#, r#"{"x": [1]}"#]));
    assert_eq!(quoted, [r#"1: {"x": [1]}; {"new":{"x": [1]},"known":["a\"b"]}"#]);
}

#[test]
fn a_key_knows_so_many_values_and_long_ones_by_a_hash() {
    let mut values: Vec<_> = (0..64).map(|i| i.to_string()).collect();
    values.extend(["0".to_owned(), "64".to_owned(), "1".to_owned(), "0".to_owned()]);
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let found = said(location(64), &logins(&values));
    // 64 pushes 0 out, so 0 is news again; 1 was still known.
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("65: 64;") && found[1].starts_with("67: 0;"), "{found:?}");
    let long = |end: &str| format!("\"{}{end}\"", "é\\\"".repeat(1_000));
    let found = said(location(1), &logins(&[&long("a"), &long("a"), &long("b"), &long("b")]));
    assert_eq!(found.len(), 1, "their ends differ, and so do their hashes");
    let known = found[0].split_once("\"known\":").unwrap().1;
    assert!(known.len() < 400, "{known}");
    let whole = found[0].split_once("; ").unwrap().1;
    assert!(sonic_rs::from_str::<sonic_rs::Value>(whole).is_ok(), "{whole}");
}

#[test]
fn what_is_known_survives_a_restart_and_silence() {
    let program = compile(&[RuleSpec { cooldown_ms: 10, ..location(1) }]);
    let mut state = State::default();
    assert_eq!(run(&program, &mut state, &logins(&["1", "2", "3"])).len(), 1, "3 comes in the silence after 2");
    let mut state = restarted(&program, &state);
    let found = run_from(&program, &mut state, 3, &[login(11, "3"), login(12, "2"), login(13, "4")]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].metadata, r#"{"new":4,"known":[1,2,3]}"#);
}
