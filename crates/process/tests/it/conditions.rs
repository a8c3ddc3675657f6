//! What a condition means, by table.

use process::{RuleKind, State};

use crate::made::{compile, made, rule, run};

const EVENT: &str = r#"{"user_id":7,"type":"purchase","ok":true,"none":null,"name":"n\u00e9",
    "payload":{"amount":12.5,"count":3,"big":9007199254740993,"tags":["a","b"],"user-agent":"curl/8"}}"#;

fn holds(when: &str) -> bool {
    let program = compile(&[rule("r", when, RuleKind::Predicate, 0)]);
    !run(&program, &mut State::default(), &[made("7", "purchase", 5, EVENT)]).is_empty()
}

fn check(expected: bool, conditions: &[&str]) {
    for when in conditions {
        assert_eq!(holds(when), expected, "{when}");
    }
}

#[test]
fn comparisons_are_by_value() {
    check(
        true,
        &[
            "",
            "  ",
            "true",
            "type == \"purchase\"",
            "\"purchase\" == type",
            "type != 'login'",
            "payload.amount == 12.5",
            "payload.amount > 12 && payload.amount < 13",
            "payload.count == 3.0 && payload.count == 3u",
            "payload.count >= 3 && payload.count <= 3",
            "payload.big > 9007199254740992.0",
            "payload.big == 9007199254740993",
            "name == 'né'",
            "name > 'na'",
            "none == null",
            "ok",
            "ok == true",
            "payload.`user-agent`.startsWith('curl')",
        ],
    );
    check(
        false,
        &[
            "false",
            "type == 'login'",
            "payload.amount > 12.5",
            "payload.amount == '12.5'",
            "name < 1",
            "payload.big == 9007199254740992.0",
            "ok == 1",
        ],
    );
}

#[test]
fn the_streams_own_key_and_type_compare_with_text_and_number() {
    check(
        true,
        &["user_id == 7", "user_id == '7'", "user_id in [1, 7]", "user_id < 8", "type in ['click', 'purchase']"],
    );
    check(false, &["user_id == 8", "user_id == '07'", "user_id == true", "type > 5"]);
}

#[test]
fn a_missing_field_makes_a_comparison_false_and_has_tells() {
    check(
        true,
        &[
            "!(payload.absent == 1)",
            "!has(payload.absent)",
            "has(payload.amount)",
            "has(payload.tags)",
            "!payload.absent",
            "payload.absent == 1 || ok",
        ],
    );
    check(
        false,
        &[
            "payload.absent == 1",
            "payload.absent != 1",
            "payload.absent < 1",
            "payload.absent == null",
            "payload.absent.deeper == 1",
            "payload.amount.deeper == 1",
            "payload.absent",
            "has(payload.absent)",
            "payload.absent in [1]",
            "payload.absent.contains('x')",
        ],
    );
}

#[test]
fn arithmetic_logic_and_functions_work() {
    check(
        true,
        &[
            "payload.amount * 2 == 25",
            "payload.count + 1 == 4 && payload.count - 4 == -1",
            "7 / 2 == 3 && 7 % 2 == 1 && 7.0 / 2 == 3.5",
            "-payload.count == -3",
            "size(payload.tags) == 2 && payload.tags.size() == 2",
            "size(name) == 2",
            "name + '!' == 'né!'",
            "name.endsWith('é') && name.contains('n')",
            "payload.count in [1, 2, 3.0]",
            "(ok || false) && !(ok && false)",
            "user_id * 2 == 14",
        ],
    );
    check(
        false,
        &[
            "payload.count / 0 == 0",
            "payload.count / 0 != 0",
            "name * 2 == 4",
            "9223372036854775807 * 9223372036854775807 > 0",
            "payload.count in []",
            "size(payload.count) == 1",
            "7.5 % 2 == 1.5",
        ],
    );
}

#[test]
fn bytes_that_are_no_json_meet_no_condition_on_fields() {
    for data in ["", "{", "not json", "{\"ok\":tru", "[]", "\"text\"", "{\"ok\":}", "{\"payload\":{\"amount\":"] {
        let program = compile(&[rule("r", "ok || payload.amount > 0 || has(a.b)", RuleKind::Predicate, 0)]);
        assert!(run(&program, &mut State::default(), &[made("7", "x", 5, data)]).is_empty(), "{data:?}");
    }
    let program = compile(&[rule("r", "ok", RuleKind::Predicate, 0)]);
    assert_eq!(run(&program, &mut State::default(), &[made("7", "x", 5, "{\"ok\":true")]).len(), 1, "read lazily");
}

#[test]
fn a_record_of_another_type_is_passed_over_without_its_json() {
    // The bytes would meet the condition; the span says another type.
    let program = compile(&[rule("r", "payload.amount > 1 && type == 'login'", RuleKind::Predicate, 0)]);
    let data = r#"{"type":"login","payload":{"amount":5}}"#;
    assert!(run(&program, &mut State::default(), &[made("7", "click", 5, data)]).is_empty());
    assert_eq!(run(&program, &mut State::default(), &[made("7", "login", 5, data)]).len(), 1);
}
