//! What an anomaly says.

use event::Severity;
use process::{RuleKind, RuleSpec, State};

use crate::made::{compile, high_frequency_login, high_value_purchase, made, rule, run};

fn purchase(amount: &str) -> String {
    format!(r#"{{"user_id":42,"type":"purchase","payload":{{"amount":{amount},"currency":"USD"}}}}"#)
}

#[test]
fn a_purchase_of_1000_is_fine_and_one_of_1000_01_is_not() {
    let program = compile(&[high_value_purchase()]);
    for (amount, fires) in [("1000.00", 0), ("1000.01", 1), ("1000", 0), ("1001", 1), ("1e3", 0), ("\"2000\"", 0)] {
        let found = run(&program, &mut State::default(), &[made("42", "purchase", 5, &purchase(amount))]);
        assert_eq!(found.len(), fires, "{amount}");
    }
}

#[test]
fn an_anomaly_tells_who_what_and_where() {
    let program = compile(&[high_value_purchase()]);
    let data = purchase("1500.25");
    let found = run(&program, &mut State::default(), &[made("1", "click", 1, "{}"), made("42", "purchase", 77, &data)]);
    let [anomaly] = &found[..] else { panic!("{found:?}") };
    assert_eq!(anomaly.id, "42_77_high_value_purchase");
    assert_eq!((anomaly.rule.as_str(), anomaly.severity), ("high_value_purchase", Severity::High));
    assert_eq!((anomaly.stream.as_str(), anomaly.partition, anomaly.offset), ("signals", 2, 1));
    assert_eq!((anomaly.key.as_str(), anomaly.time), ("42", 77));
    assert_eq!(anomaly.description, "purchase of 1500.25 USD");
    assert_eq!(anomaly.metadata, r#"{"amount":1500.25,"threshold":1000}"#);
    assert_eq!(anomaly.event, data.as_bytes());
}

#[test]
fn a_count_rule_tells_its_count_and_window() {
    let program = compile(&[high_frequency_login()]);
    let logins: Vec<_> = (0..12).map(|i| made("7", "login", i, r#"{"user_id":7}"#)).collect();
    let found = run(&program, &mut State::default(), &logins);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].description, "user 7 logged in 11 times within 1m");
    assert_eq!(found[0].metadata, r#"{"login_count":11,"time_window":"1_minute"}"#);
}

#[test]
fn descriptions_and_metadata_take_any_value() {
    let spec = RuleSpec {
        description: "{{{a}}} {b + '\"}'} {c} {d} {count} {size(e)}".to_owned(),
        metadata: ["a", "b", "c", "d", "e", "none", "1.0 / 0", "2 > 1"]
            .map(|text| (format!("\"{text}\""), text.to_owned()))
            .to_vec(),
        ..rule("r", "", RuleKind::Predicate, 0)
    };
    let data = r#"{"a":1,"b":"x\"y","c":[1, 2],"d":true,"e":{"k":null},"count":"field"}"#;
    let found = run(&compile(&[spec]), &mut State::default(), &[made("7", "t", 5, data)]);
    assert_eq!(found[0].description, "{1} x\"y\"} [1, 2] true field 1");
    let expected = [
        r#"{"\"a\"":1,"\"b\"":"x\"y","\"c\"":[1, 2],"\"d\"":true,"\"e\"":{"k":null},"#,
        r#""\"none\"":null,"\"1.0 / 0\"":null,"\"2 > 1\"":true}"#,
    ];
    assert_eq!(found[0].metadata, expected.concat());
    assert!(sonic_rs::from_str::<sonic_rs::Value>(&found[0].metadata).is_ok());
}

#[test]
fn a_record_without_a_key_is_known_by_its_position() {
    let program = compile(&[rule("r", "", RuleKind::Predicate, 0), high_frequency_login()]);
    let logins: Vec<_> = (0..20).map(|_| made("", "login", 9, "{}")).collect();
    let found = run(&program, &mut State::default(), &logins);
    assert_eq!(found.len(), 20, "the predicate fires for each; nobody's logins are counted");
    assert_eq!((found[3].id.as_str(), found[3].key.as_str()), ("2-3_9_r", ""));
}

#[test]
fn a_predicate_with_a_cooldown_fires_once_an_incident() {
    let program = compile(&[rule("r", "", RuleKind::Predicate, 100)]);
    let times = [0, 99, 100, 50, 150, 199, 200];
    let records: Vec<_> = times.iter().map(|time| made("7", "t", *time, "{}")).collect();
    let fired: Vec<_> = run(&program, &mut State::default(), &records).iter().map(|a| a.time).collect();
    assert_eq!(fired, [0, 100, 200]);
}
