//! The published vectors of the signal rules, and each rule at its edge: posted over HTTP, read back from the read API.

use std::fmt::Write;

use event::Millis;
use serde_json::{Value, json};

use super::incidents::RULES;
use crate::product::{Product, folder, write};

/// 2024-03-04T12:00:00Z: far from three in the morning.
const NOON: Millis = 1_709_553_600_000;
const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

/// A rule of a user's own, in a zone that has summer time.
const CONFIGURATION: &str = r#"
rules:
  - name: berlin_night
    stream: signals
    hours: { from: "03:00", to: "04:00", zone: Europe/Berlin }
    severity: low
    description: "{user_id} is awake"
    metadata: { hour: hour, minute: minute }
"#;

/// Type, time, payload.
type Said = (&'static str, Millis, Value);

/// One user, what the user does, and every anomaly that comes of it: rule and time.
struct Case {
    name: &'static str,
    says: Vec<Said>,
    raises: Vec<(&'static str, Millis)>,
}

fn case(name: &'static str, says: Vec<Said>, raises: &[(&'static str, Millis)]) -> Case {
    Case { name, says, raises: raises.to_vec() }
}

fn login(time: Millis) -> Said {
    ("login", time, json!({"success": true, "location": "EU"}))
}

fn failed_login(time: Millis) -> Said {
    ("login", time, json!({"success": false, "location": "EU"}))
}

fn login_from(place: &str, time: Millis) -> Said {
    ("login", time, json!({"success": true, "location": place}))
}

fn purchase(amount: &str, time: Millis) -> Said {
    let amount: Value = serde_json::from_str(amount).expect("a number");
    ("purchase", time, json!({"amount": amount, "currency": "USD"}))
}

fn call(status: u16, time: Millis) -> Said {
    ("api_call", time, json!({"status_code": status, "endpoint": "/api/orders"}))
}

fn click(time: Millis) -> Said {
    ("click", time, json!({"page": "/home"}))
}

/// `count` times, so many milliseconds apart, and the last one at a time of its own.
fn times(count: i64, apart: Millis, last: Millis) -> Vec<Millis> {
    (0..count - 1).map(|i| NOON + i * apart).chain([NOON + last]).collect()
}

fn counts() -> Vec<Case> {
    const LOGINS: &str = "high_frequency_login";
    const BUYS: &str = "rapid_successive_purchases";
    const FAILS: &str = "high_api_failure_rate";
    let logins = |count, last| times(count, 1_000, last).into_iter().map(login).collect::<Vec<_>>();
    let buys = |count, last| times(count, MINUTE, last).into_iter().map(|at| purchase("10", at)).collect::<Vec<_>>();
    let fails = |count, last| times(count, 1_000, last).into_iter().map(|at| call(500, at)).collect::<Vec<_>>();
    let mut storm = logins(71, 70_000);
    storm.extend((0..50).map(|i| login(NOON + 10 * MINUTE + i * 1_000)));
    let mut out_of_order = logins(10, 9_000);
    out_of_order.push(login(NOON - 1_000));
    let mut too_late = logins(10, 9_000);
    too_late.extend([login(NOON - 51_001), login(NOON - 60_001), login(NOON - HOUR)]);
    let mut mixed = fails(5, 4_000);
    mixed.extend([call(200, NOON + 5_000), call(399, NOON + 6_000), click(NOON + 7_000)]);
    vec![
        case("10 logins within a minute", logins(10, 9_000), &[]),
        case("11 logins within a minute", logins(11, 10_000), &[(LOGINS, NOON + 10_000)]),
        case("a login exactly a minute old counts", logins(11, 60_000), &[(LOGINS, NOON + 60_000)]),
        case("a login over a minute old does not", logins(11, 60_001), &[]),
        case(
            "one storm is one anomaly a minute, the next storm is another",
            storm,
            &[(LOGINS, NOON + 10_000), (LOGINS, NOON + 70_000), (LOGINS, NOON + 10 * MINUTE + 10_000)],
        ),
        case("an earlier login that comes later counts", out_of_order, &[(LOGINS, NOON - 1_000)]),
        case("what is older than the window when it comes does not", too_late, &[]),
        case("4 purchases within an hour", buys(4, HOUR), &[]),
        case("5 purchases within an hour", buys(5, HOUR - 1), &[(BUYS, NOON + HOUR - 1)]),
        case("a purchase exactly an hour old counts", buys(5, HOUR), &[(BUYS, NOON + HOUR)]),
        case("a purchase over an hour old does not", buys(5, HOUR + 1), &[]),
        case("5 failed calls within a minute", fails(5, 4_000), &[]),
        case("6 failed calls within a minute", fails(6, 5_000), &[(FAILS, NOON + 5_000)]),
        case("a failed call exactly a minute old counts", fails(6, 60_000), &[(FAILS, NOON + 60_000)]),
        case("a failed call over a minute old does not", fails(6, 60_001), &[]),
        case("400 is a failure, 399 is none", mixed, &[]),
        case(
            "six of status 400",
            times(6, 1_000, 5_000).into_iter().map(|at| call(400, at)).collect(),
            &[(FAILS, NOON + 5_000)],
        ),
    ]
}

fn streaks_and_novelties() -> Vec<Case> {
    const STREAK: &str = "repeated_login_failures";
    const PLACE: &str = "unusual_location_login";
    let at = |minute: Millis| NOON + minute * MINUTE;
    let failed = |minutes: &[Millis]| minutes.iter().map(|minute| failed_login(at(*minute))).collect::<Vec<_>>();
    let with = |mut says: Vec<Said>, more: Vec<Said>| {
        says.extend(more);
        says
    };
    vec![
        case("2 failed logins", failed(&[0, 1]), &[]),
        case("3 failed logins", failed(&[0, 1, 2]), &[(STREAK, at(2))]),
        case("7 failed logins are one row", failed(&[0, 1, 2, 3, 4, 5, 6]), &[(STREAK, at(2))]),
        case("a success between ends the row", with(with(failed(&[0, 1]), vec![login(at(2))]), failed(&[3, 4])), &[]),
        case(
            "another act between does not",
            with(with(failed(&[0, 1]), vec![click(at(2))]), failed(&[3])),
            &[(STREAK, at(3))],
        ),
        case(
            "a row after a success is another row",
            with(with(failed(&[0, 1, 2]), vec![login(at(3))]), failed(&[4, 5, 6])),
            &[(STREAK, at(2)), (STREAK, at(6))],
        ),
        case("hours between do not end it", failed(&[0, 120, 600]), &[(STREAK, at(600))]),
        case("the first place is never news", vec![login_from("US", at(0))], &[]),
        case("the same place is no news", vec![login_from("US", at(0)), login_from("US", at(1))], &[]),
        case("a new place is", vec![login_from("US", at(0)), login_from("EU", at(1))], &[(PLACE, at(1))]),
        case(
            "each new place once",
            ["US", "EU", "US", "EU", "ASIA", "CA"].iter().zip(0..).map(|(place, i)| login_from(place, at(i))).collect(),
            &[(PLACE, at(1)), (PLACE, at(4)), (PLACE, at(5))],
        ),
    ]
}

fn purchases_and_nights() -> Vec<Case> {
    const HIGH: &str = "high_value_purchase";
    const THREE: &str = "unusual_time_activity";
    const BERLIN: &str = "berlin_night";
    const WINTER: Millis = 1_704_067_200_000; // 2024-01-01T00:00:00Z
    const SUMMER: Millis = 1_719_792_000_000; // 2024-07-01T00:00:00Z
    const SPRING: Millis = 1_711_846_800_000; // 2024-03-31T01:00:00Z: in Berlin, 02:00 becomes 03:00
    const AUTUMN: Millis = 1_729_987_200_000; // 2024-10-27T00:00:00Z: in Berlin, 02:00 comes twice
    let one = |name, said: Said, rules: &[&'static str]| {
        let raises: Vec<_> = rules.iter().map(|rule| (*rule, said.1)).collect();
        case(name, vec![said], &raises)
    };
    let (two, three, four) = (WINTER + 2 * HOUR, WINTER + 3 * HOUR, WINTER + 4 * HOUR);
    vec![
        one("a purchase of 1000.00", purchase("1000.00", NOON), &[]),
        one("a purchase of 1000.01", purchase("1000.01", NOON), &[HIGH]),
        one("a purchase of a whole 1001", purchase("1001", NOON), &[HIGH]),
        case(
            "every such purchase is an incident",
            vec![purchase("2000", NOON), purchase("3000", NOON + 1)],
            &[(HIGH, NOON), (HIGH, NOON + 1)],
        ),
        one("a millisecond before three", click(three - 1), &[BERLIN]),
        one("three", click(three), &[THREE]),
        one("a purchase at half past three", purchase("5", three + HOUR / 2), &[THREE]),
        one("a millisecond before four", click(four - 1), &[THREE]),
        one("four", click(four), &[]),
        case(
            "once an hour and user",
            vec![click(three), click(three + 1), login(three + HOUR - 1), click(three + 24 * HOUR)],
            &[(THREE, three), (THREE, three + 24 * HOUR)],
        ),
        // From here on Berlin's night, an hour or two before that of UTC.
        one("three in Berlin's winter", click(two), &[BERLIN]),
        one("just before it", click(two - 1), &[]),
        one("three in Berlin's summer", click(SUMMER + HOUR), &[BERLIN]),
        one("four in Berlin's summer", click(SUMMER + 2 * HOUR), &[]),
        one("before the hour that spring skips", click(SPRING - 1), &[]),
        one("after the hour that spring skips", click(SPRING), &[BERLIN]),
        one("half past two in autumn, the first time", click(AUTUMN + HOUR / 2), &[]),
        one("half past two in autumn, the second time", click(AUTUMN + HOUR + HOUR / 2), &[]),
        one("three in autumn", click(AUTUMN + 2 * HOUR), &[BERLIN]),
    ]
}

#[test]
fn each_signal_rule_fires_exactly_at_its_edge() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", CONFIGURATION.as_bytes());
    let product = Product::start(dir.path(), &[]);
    let cases: Vec<Case> = [counts(), streaks_and_novelties(), purchases_and_nights()].into_iter().flatten().collect();
    let mut lines = String::new();
    for (case, user) in cases.iter().zip(1..) {
        for (kind, time, payload) in &case.says {
            let signal = json!({"user_id": user, "type": kind, "timestamp": time, "payload": payload});
            writeln!(lines, "{signal}").expect("memory");
        }
    }
    product.post_stored("signals", &lines);
    for (case, user) in cases.iter().zip(1..) {
        let found = product.ask(&format!("/anomalies?user_id={user}&size=1000"));
        let found = found["anomalies"].as_array().expect("anomalies").iter();
        let text = |a: &Value, name: &str| a[name].as_str().expect("text").to_owned();
        let mut found: Vec<_> =
            found.map(|a| (text(a, "anomaly_type"), a["detection_timestamp"].as_i64().expect("a time"))).collect();
        found.sort();
        let mut raises: Vec<_> = case.raises.iter().map(|(rule, time)| ((*rule).to_owned(), *time)).collect();
        raises.sort();
        assert_eq!(found, raises, "{}", case.name);
    }
    for rule in RULES {
        assert!(cases.iter().any(|case| case.raises.iter().any(|(name, _)| *name == rule)), "{rule} has no vector");
    }
    for (name, rule, severity, metadata) in shapes() {
        let user = 1 + cases.iter().position(|case| case.name == name).expect("a case");
        let found = product.ask(&format!("/anomalies?user_id={user}&anomaly_type={rule}"));
        // Newest first: the last is the first.
        let found = found["anomalies"].as_array().and_then(|all| all.last()).expect("one");
        assert_eq!((&found["severity"], &found["metadata"]), (&severity.into(), &metadata), "{rule}");
        assert!(found["description"].as_str().is_some_and(|text| text.contains(&user.to_string())), "{found}");
    }
    product.stop();
}

/// What an anomaly of each rule says, as the documents have it.
fn shapes() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        (
            "11 logins within a minute",
            "high_frequency_login",
            "high",
            json!({"login_count": 11, "time_window": "1_minute"}),
        ),
        (
            "3 failed logins",
            "repeated_login_failures",
            "medium",
            json!({"failure_count": 3, "time_window": "consecutive"}),
        ),
        (
            "a new place is",
            "unusual_location_login",
            "medium",
            json!({"new_location": "EU", "known_locations": ["US"]}),
        ),
        ("a purchase of 1000.01", "high_value_purchase", "high", json!({"amount": 1000.01, "threshold": 1000})),
        (
            "5 purchases within an hour",
            "rapid_successive_purchases",
            "medium",
            json!({"purchase_count": 5, "total_amount": 50, "time_window": "1_hour"}),
        ),
        (
            "6 failed calls within a minute",
            "high_api_failure_rate",
            "high",
            json!({"failure_count": 6, "time_window": "1_minute", "current_status_code": 500}),
        ),
        ("three", "unusual_time_activity", "medium", json!({"hour": 3, "activity_type": "click"})),
    ]
}
