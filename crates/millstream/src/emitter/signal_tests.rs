//! The generator against the figures it promises.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::*;

const NOON: Millis = 1_795_000_000_000;

fn signals(n: usize, mix: Mix, now: Millis) -> Vec<Value> {
    let (mut generator, mut out) = (Generator::new(7, mix), Vec::new());
    for _ in 0..n {
        generator.line(now, &mut out);
    }
    out.split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap_or(Value::Null))
        .collect()
}

fn share(signals: &[Value], test: impl Fn(&Value) -> bool) -> f64 {
    signals.iter().filter(|s| test(s)).count() as f64 / signals.len() as f64
}

#[test]
fn types_come_in_their_weights_and_one_in_a_hundred_is_injected() {
    let signals = signals(100_000, Mix::default(), NOON);
    for (kind, weight) in
        [("click", 0.40), ("api_call", 0.30), ("file_access", 0.15), ("login", 0.10), ("purchase", 0.05)]
    {
        let found = share(&signals, |s| s["type"] == kind);
        assert!((found - weight).abs() < 0.015, "{kind}: {found}");
    }
    let injected = share(&signals, |s| s["payload"]["anomaly_trigger"].is_string());
    assert!((injected - 0.01).abs() < 0.003, "{injected}");
    let ids: HashSet<&str> = signals.iter().filter_map(|s| s["event_id"].as_str()).collect();
    assert_eq!(ids.len(), signals.len());
}

#[test]
fn injected_anomalies_are_real() {
    let signals = signals(100_000, Mix::default(), NOON);
    let (mut bursts, mut failures): (HashMap<u64, usize>, HashMap<u64, usize>) = Default::default();
    for signal in &signals {
        let payload = &signal["payload"];
        match payload["anomaly_trigger"].as_str() {
            Some("high_value") => assert!((1500.0..=5000.0).contains(&payload["amount"].as_f64().unwrap())),
            Some("failed_request") => {
                assert!([401, 403, 500].contains(&payload["status_code"].as_u64().unwrap()));
                *failures.entry(signal["user_id"].as_u64().unwrap()).or_default() += 1;
            }
            Some("high_frequency") => *bursts.entry(signal["user_id"].as_u64().unwrap()).or_default() += 1,
            Some(other) => panic!("{other} at noon"),
            None => {}
        }
    }
    assert!(!bursts.is_empty() && !failures.is_empty());
    assert!(bursts.values().filter(|n| **n > 10).count() >= bursts.len() - 1, "only the last burst may be cut");
    assert!(failures.values().filter(|n| **n > 5).count() >= failures.len() - 1, "only the last burst may be cut");
}

#[test]
fn users_log_in_from_home_and_now_and_then_from_elsewhere() {
    let logins: Vec<Value> =
        signals(100_000, Mix::default(), NOON).into_iter().filter(|s| s["type"] == "login").collect();
    let away = share(&logins, |s| {
        let home = LOCATIONS[s["user_id"].as_u64().unwrap() as usize % LOCATIONS.len()];
        s["payload"]["location"] != home
    });
    assert!((0.005..0.03).contains(&away), "{away}");
}

#[test]
fn three_at_night_is_unusual() {
    let night = NOON - NOON.rem_euclid(86_400_000) + 3 * 3_600_000;
    let found = share(&signals(20_000, Mix::default(), night), |s| s["payload"]["anomaly_trigger"] == "unusual_time");
    assert!((found - 0.10).abs() < 0.01, "{found}");
}

#[test]
fn duplicates_invalid_and_late_events_come_in_their_share() {
    let mix = Mix { duplicates: 0.10, invalid: 0.05, late: 0.20 };
    let signals = signals(50_000, mix, NOON);
    let mut seen = HashSet::new();
    let repeated = share(&signals, |_| false)
        + signals.iter().filter(|s| s.is_object() && !seen.insert(s["event_id"].as_str().unwrap().to_owned())).count()
            as f64
            / signals.len() as f64;
    assert!((repeated - 0.10).abs() < 0.01, "{repeated}");
    let sound = |s: &Value| {
        let known = ["click", "api_call", "file_access", "login", "purchase"];
        s["user_id"].is_u64()
            && s["type"].as_str().is_some_and(|t| known.contains(&t))
            && s["timestamp"].as_i64().is_some_and(|t| t <= NOON)
    };
    let invalid = share(&signals, |s| !sound(s));
    assert!((invalid - 0.045).abs() < 0.01, "{invalid}");
    let late = share(&signals, |s| s["timestamp"].as_i64().is_some_and(|t| t <= NOON - 60_000));
    assert!((late - 0.19).abs() < 0.02, "{late}");
}

#[test]
fn the_same_seed_gives_the_same_signals() {
    let mix = Mix { duplicates: 0.1, invalid: 0.1, late: 0.1 };
    assert_eq!(signals(1_000, mix, NOON), signals(1_000, mix, NOON));
}
