//! The kinds that no built-in rule is of, and cooldowns.

use super::met;

/// Checks a rule over a stream of measured things: name, minute, reading.
fn check(rule: &str, sent: &[(&str, u32, &str)], expected: &[&str]) {
    let one = |(thing, minute, reading): &(&str, u32, &str)| {
        let (hour, minute) = (10 + minute / 60, minute % 60);
        format!("  - things: {{ thing: {thing}, at: 2026-11-20T{hour:02}:{minute:02}:00Z, {reading} }}\n")
    };
    let sent: String = sent.iter().map(one).collect();
    let expected: String = expected.iter().map(|one| format!("{{ rule: r, {one} }}, ")).collect();
    met(&format!(
        "streams: {{ things: {{ key: thing, time: at }} }}\nrules: [{{ name: r, stream: things, {rule} }}]\n\
         events:\n{sent}expect:\n  anomalies: [{expected}]\n"
    ));
}

#[test]
fn what_is_far_from_the_usual_is_told_with_what_is_usual() {
    let usual = ["v: 10", "v: 12", "v: 10", "v: 12", "v: 11"];
    let mut sent: Vec<(&str, u32, &str)> = usual.iter().zip(0..).map(|(v, n)| ("a", n, *v)).collect();
    sent.extend([("b", 6, "v: 50"), ("a", 7, "v: 13"), ("a", 8, "v: 50")]);
    let rule = "deviation: { of: v, z: 4, span: 10, warm_up: 5 }, metadata: { value: value, mean: mean, z: z }";
    check(rule, &sent, &["key: a, time: '2026-11-20T10:08:00Z', metadata: { value: 50, mean: 10..12, z: 10..100 }"]);
}

#[test]
fn silence_is_told_once_with_when_it_began() {
    let rule = "when: v == 1, absence: { after: 10m }, metadata: { since: since, after: after }, description: '{thing} is silent'";
    let sent = [("a", 0, "v: 1"), ("b", 9, "v: 1"), ("a", 10, "v: 1"), ("b", 11, "v: 2"), ("b", 12, "v: 1")];
    check(
        rule,
        &sent,
        &[
            "key: a, time: '2026-11-20T10:20:00Z', metadata: { after: 10m }, description: a is silent",
            "key: b, time: '2026-11-20T10:22:00Z'",
        ],
    );
    let again = [("a", 0, "v: 1"), ("a", 30, "v: 1")];
    check(rule, &again, &["time: '2026-11-20T10:10:00Z'", "time: '2026-11-20T10:40:00Z'"]);
}

#[test]
fn one_thing_then_another_within_a_while() {
    let rule = "when: v == 1, sequence: { then: v == 2, within: 5m }, metadata: { gap: gap_ms }";
    check(rule, &[("a", 0, "v: 1"), ("a", 5, "v: 2"), ("a", 6, "v: 2")], &["metadata: { gap: 300000 }"]);
    check(rule, &[("a", 0, "v: 1"), ("a", 6, "v: 2")], &[]);
    check(rule, &[("a", 0, "v: 2"), ("a", 1, "v: 1"), ("b", 2, "v: 2")], &[]);
}

#[test]
fn after_it_fired_a_rule_is_silent_for_its_cooldown() {
    let sent = [("a", 0, "v: 1"), ("a", 4, "v: 1"), ("b", 4, "v: 1"), ("a", 5, "v: 1")];
    check("when: v == 1", &sent, &["key: a", "key: a", "key: b", "key: a"]);
    check(
        "when: v == 1, cooldown: 5m",
        &sent,
        &["key: a, time: '2026-11-20T10:00:00Z'", "key: b", "key: a, time: '2026-11-20T10:05:00Z'"],
    );
}
