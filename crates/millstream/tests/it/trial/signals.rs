//! The seven rules of the signals at their edges, with what their anomalies carry.

use super::met;

/// 2026-11-20T10:00:00Z.
const TEN: i64 = 1_795_168_800_000;

/// Events of user 7: type, time after ten o'clock in milliseconds, payload.
fn events(events: &[(&str, i64, &str)]) -> String {
    let one = |(kind, at, payload): &(&str, i64, &str)| {
        format!("  - signals: {{ user_id: 7, type: {kind}, timestamp: {}, payload: {{ {payload} }} }}\n", TEN + at)
    };
    events.iter().map(one).collect()
}

/// Checks the anomalies that come of some events; other anomalies must not come.
fn check(sent: &[(&str, i64, &str)], expected: &[&str]) {
    let expected: String = expected.iter().map(|one| format!("    - {{ {one} }}\n")).collect();
    let expected = if expected.is_empty() { " []\n".to_owned() } else { format!("\n{expected}") };
    met(&format!("events:\n{}expect:\n  anomalies:{expected}", events(sent)));
}

fn repeated(
    kind: &'static str,
    count: i64,
    step_ms: i64,
    payload: &'static str,
) -> Vec<(&'static str, i64, &'static str)> {
    (0..count).map(|n| (kind, n * step_ms, payload)).collect()
}

#[test]
fn ten_logins_a_minute_are_not_too_many_and_eleven_are() {
    check(&repeated("login", 10, 1_000, ""), &[]);
    let eleven = "rule: high_frequency_login, key: 7, severity: high, description: User 7 logged in 11 times within a minute, \
                  time: '2026-11-20T10:01:00Z', metadata: { login_count: 11, time_window: 1_minute }";
    // The first one is exactly a minute old then, and counts.
    check(&repeated("login", 11, 6_000, ""), &[eleven]);
    check(&repeated("login", 11, 6_001, ""), &[]);
}

#[test]
fn three_failures_in_a_row_are_one_incident_and_a_success_begins_anew() {
    let (fail, ok) = ("success: false, location: US", "success: true, location: US");
    let tries = |tries: &str| -> Vec<(&str, i64, &str)> {
        tries.chars().zip(0..).map(|(t, n)| ("login", n * 60_000, if t == 'F' { fail } else { ok })).collect()
    };
    let found = "rule: repeated_login_failures, severity: medium, metadata: { failure_count: 3 }";
    check(&tries("FFSFF"), &[]);
    check(&tries("FFSFFF"), &[found]);
    check(&tries("FFFFFF"), &[found]);
    check(&tries("FFFSFFF"), &[found, found]);
}

#[test]
fn a_place_where_a_user_never_was_is_told_with_those_where_it_was() {
    let at = |places: &[&'static str]| -> Vec<(&str, i64, &str)> {
        places.iter().zip(0..).map(|(place, n)| ("login", n * 60_000, *place)).collect()
    };
    let (us, eu, asia) = ("location: US", "location: EU", "location: ASIA");
    check(&at(&[us, us, ""]), &[]);
    check(
        &at(&[us, eu, us, eu, asia]),
        &[
            "rule: unusual_location_login, severity: medium, metadata: { new_location: EU, known_locations: [US] }",
            "rule: unusual_location_login, metadata: { new_location: ASIA, known_locations: [US, EU] }",
        ],
    );
}

#[test]
fn a_purchase_of_a_thousand_is_not_of_high_value_and_a_cent_more_is() {
    check(&[("purchase", 0, "amount: 1000.00")], &[]);
    let found = "rule: high_value_purchase, severity: high, metadata: { amount: 1000.01, threshold: 1000 }";
    check(&[("purchase", 0, "amount: 1000.01")], &[found]);
}

#[test]
fn the_fifth_purchase_within_an_hour_is_told_with_what_they_came_to() {
    check(&repeated("purchase", 4, 1_000, "amount: 10.1"), &[]);
    let found = "rule: rapid_successive_purchases, severity: medium, \
                 metadata: { purchase_count: 5, total_amount: 50.5, time_window: 1_hour }";
    check(&repeated("purchase", 5, 900_000, "amount: 10.1"), &[found]);
    check(&repeated("purchase", 5, 900_001, "amount: 10.1"), &[]);
}

#[test]
fn five_failed_calls_a_minute_are_not_too_many_and_six_are() {
    check(&repeated("api_call", 5, 1_000, "status_code: 500"), &[]);
    check(&repeated("api_call", 60, 1_000, "status_code: 399"), &[]);
    let found = "rule: high_api_failure_rate, severity: high, \
                 metadata: { failure_count: 6, time_window: 1_minute, current_status_code: 400 }";
    check(&repeated("api_call", 6, 1_000, "status_code: 400"), &[found]);
}

#[test]
fn three_at_night_is_unusual_in_the_zone_of_the_configuration() {
    let sent = |at: i64| events(&[("click", at, "")]);
    let three = 17 * 3_600_000;
    let found =
        "\n    - { rule: unusual_time_activity, severity: medium, metadata: { hour: 3, activity_type: click } }";
    for (zone, at, found) in [
        ("UTC", three - 1, " []"),
        ("UTC", three, found),
        ("UTC", three + 3_599_999, found),
        ("UTC", three + 3_600_000, " []"),
        ("Asia/Tokyo", three - 9 * 3_600_000, found),
        ("Asia/Tokyo", three, " []"),
    ] {
        met(&format!("zone: {zone}\nevents:\n{}expect:\n  anomalies:{found}\n", sent(at)));
    }
}
