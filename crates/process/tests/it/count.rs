//! Counts in windows: the vectors, and properties against a slow oracle.

use event::{Anomaly, Millis};
use process::{Program, RuleKind, RuleSpec, State};
use proptest::prelude::*;

use crate::made::{Made, compile, high_frequency_login, high_value_purchase, made, rule, run, said};

fn logins(times: &[Millis]) -> Vec<Made> {
    times.iter().map(|time| made("7", "login", *time, r#"{"user_id":7,"type":"login"}"#)).collect()
}

fn fired(times: &[Millis]) -> Vec<Millis> {
    let program = compile(&[high_frequency_login()]);
    run(&program, &mut State::default(), &logins(times)).iter().map(|a| a.time).collect()
}

#[test]
fn ten_logins_in_a_minute_are_fine_and_the_eleventh_is_not() {
    let ten: Vec<_> = (0..10).map(|i| i * 1_000).collect();
    assert!(fired(&ten).is_empty());
    assert_eq!(fired(&[&ten[..], &[59_000]].concat()), [59_000]);
}

#[test]
fn a_login_exactly_a_minute_old_still_counts() {
    let ten: Vec<_> = (0..10).map(|i| i * 1_000).collect();
    assert_eq!(fired(&[&ten[..], &[60_000]].concat()), [60_000]);
    assert!(fired(&[&ten[..], &[60_001]].concat()).is_empty());
}

#[test]
fn one_incident_is_one_anomaly_until_the_cooldown_is_over() {
    let storm: Vec<_> = (0..200).map(|i| i * 1_000).collect();
    assert_eq!(fired(&storm), [10_000, 70_000, 130_000, 190_000]);
    let program = compile(&[high_frequency_login()]);
    let counts: Vec<_> =
        run(&program, &mut State::default(), &logins(&storm)).iter().map(|a| a.metadata.clone()).collect();
    assert!(counts[0].contains(":11,") && counts[1].contains(":61,"), "{counts:?}");
}

#[test]
fn the_fifth_purchase_of_an_hour_tells_what_all_five_cost() {
    let spec = RuleSpec {
        metadata: vec![("count".into(), "count".into()), ("total".into(), "sum".into())],
        description: "{count} for {sum} within {within}".to_owned(),
        ..rule(
            "rapid",
            "type == 'purchase'",
            RuleKind::Count { at_least: 5, within_ms: 3_600_000, sum: "payload.amount".to_owned() },
            3_600_000,
        )
    };
    let buy = |time, amount: &str| made("7", "purchase", time, &format!(r#"{{"payload":{{"amount":{amount}}}}}"#));
    let five =
        [buy(0, "0.1"), buy(900_000, "0.2"), buy(1_000_000, "19.99"), buy(2_000_000, "null"), buy(3_600_000, "5")];
    assert!(said(spec.clone(), &five[..4]).is_empty());
    assert_eq!(said(spec.clone(), &five), [r#"3600000: 5 for 25.29 within 1h; {"count":5,"total":25.29}"#]);
    // Out of order, and one of them too old for the sum.
    let [a, b, c, d, e] = five;
    let late = [a, d, b, c, Made { time: 3_600_001, ..e.clone() }, Made { time: 50, ..e }];
    assert_eq!(said(spec, &late), [r#"50: 5 for 30.19 within 1h; {"count":5,"total":30.19}"#]);
}

#[test]
fn keys_are_counted_apart() {
    let records: Vec<_> = (0..20).map(|i| made(&(i % 2).to_string(), "login", i, "{}")).collect();
    assert!(run(&compile(&[high_frequency_login()]), &mut State::default(), &records).is_empty());
}

#[test]
fn the_fingerprint_follows_what_the_state_depends_on() {
    let base = high_frequency_login();
    let same = RuleSpec { description: "other".to_owned(), ..base.clone() };
    let kind = RuleKind::Count { at_least: 12, within_ms: 60_000, sum: String::new() };
    let fingerprint = |rules: &[_]| compile(rules).fingerprint();
    assert_eq!(fingerprint(std::slice::from_ref(&base)), fingerprint(&[same]));
    let others = [
        vec![RuleSpec { kind, ..base.clone() }],
        vec![RuleSpec { cooldown_ms: 1, ..base.clone() }],
        vec![RuleSpec { when: "type == 'login'".to_owned(), ..base.clone() }],
        vec![base.clone(), high_value_purchase()],
        vec![high_value_purchase(), base.clone()],
    ];
    let mut all: Vec<_> = others.iter().map(|rules| fingerprint(rules)).collect();
    all.push(fingerprint(&[base]));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6);
}

const AT_LEAST: u64 = 4;
const WITHIN: Millis = 50;
const COOLDOWN: Millis = 20;

pub(crate) fn program() -> Program {
    let kind = RuleKind::Count { at_least: AT_LEAST, within_ms: WITHIN, sum: String::new() };
    compile(&[rule("often", "type == 'login'", kind, COOLDOWN), rule("once", "payload.n > 4", RuleKind::Predicate, 15)])
}

/// Some keys, mostly forward in time, some out of order, some far too late.
pub(crate) fn records() -> impl Strategy<Value = Vec<Made>> {
    let step = prop_oneof![8 => 0_i64..12, 2 => -30_i64..0, 1 => -200_i64..-40, 1 => 40_i64..200];
    let one = (0_u8..4, prop::bool::weighted(0.7), step, 0_u8..8);
    prop::collection::vec(one, 0..120).prop_map(|steps| {
        let mut clock = 1_000;
        let make = |(key, login, step, n): (u8, bool, Millis, u8)| {
            clock += step.max(0);
            let data = format!(r#"{{"payload":{{"n":{n}}}}}"#);
            made(&key.to_string(), if login { "login" } else { "click" }, clock + step.min(0), &data)
        };
        steps.into_iter().map(make).collect()
    })
}

/// The rules' definition once more, as slow and as plain as can be: looks at all earlier records every time.
fn oracle(records: &[Made]) -> Vec<String> {
    let mut found = Vec::new();
    let mut fired: Vec<(String, &str, Millis)> = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let mut judge = |rule: &'static str, mine: &dyn Fn(&Made) -> bool, at_least: u64, within, cooldown| {
            let before: Vec<_> = records[..=i].iter().filter(|r| r.key == record.key && mine(r)).collect();
            let newest = |upto: usize| before[..upto].iter().map(|r| r.time).max().unwrap_or(Millis::MIN);
            let now = newest(before.len());
            if !mine(record) || (rule == "often" && record.time < now - within) {
                return;
            }
            // A record counts when it was not too late on arrival, and is not too old now.
            let in_time = |at: usize| at == 0 || before[at].time >= newest(at).saturating_sub(within);
            let counts = |at: &usize| before[*at].time >= now - within && in_time(*at);
            let count = (0..before.len()).filter(counts).count() as u64;
            let last = fired.iter().rev().find(|(key, name, _)| *key == record.key && *name == rule);
            if (rule == "once" || count >= at_least) && last.is_none_or(|(_, _, at)| now >= at + cooldown) {
                fired.push((record.key.clone(), rule, now));
                found.push(format!("{}_{}_{rule} at {i}", record.key, record.time));
            }
        };
        judge("often", &|r| r.kind == "login", AT_LEAST, WITHIN, COOLDOWN);
        judge("once", &|r| r.data.contains(['5', '6', '7']), 1, 0, 15);
    }
    found
}

fn ids(found: &[Anomaly]) -> Vec<String> {
    found.iter().map(|a| format!("{} at {}", a.id, a.offset)).collect()
}

proptest! {
    #[test]
    fn anomalies_equal_a_slow_oracle(records in records()) {
        prop_assert_eq!(ids(&run(&program(), &mut State::default(), &records)), oracle(&records));
    }

    #[test]
    fn no_text_panics_the_compiler(text in "[a-c.()\\[\\]{}'\"!=<>&|+*/%0-9, \n-]{0,24}") {
        let spec = RuleSpec { description: text.clone(), ..rule("r", &text, RuleKind::Predicate, 0) };
        let _ = Program::compile(&crate::made::signals(), &[spec], &[]);
    }
}
