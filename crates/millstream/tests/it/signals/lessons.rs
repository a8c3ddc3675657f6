//! The published vectors of the learning system, with rules and windows as a user writes them.

use event::Millis;
use serde_json::{Value, json};

use crate::product::{Product, folder, write};

/// 2024-03-04T12:00:00Z
const NOON: Millis = 1_709_553_600_000;

const CONFIGURATION: &str = r#"
streams:
  lessons:
    partitions: 3
    key: userId
    time: { field: timestamp, unit: ms }
    id: eventId
    type: eventType
rules:
  - name: performance_anomaly
    stream: lessons
    when: correct == false && responseTime > 60000
    severity: medium
  - name: engagement_anomaly
    stream: lessons
    when: engagementScore < 0.2
    severity: low
windows:
  - name: progress
    stream: lessons
    sizes: [1m, 1h]
    by: [userId, conceptKey]
    lateness: 10s
    measures:
      events: count()
      right: count(correct == true)
      answered: count(correct == true || correct == false)
      response_time: mean(responseTime)
      timed: count(responseTime > 0)
      slowest: max(responseTime)
      quickest: min(responseTime)
      total: sum(responseTime)
      sessions: distinct(sessionId)
"#;

fn lesson(id: &str, user: &str, concept: &str, after: Millis, more: &Value) -> String {
    let mut event = json!({
        "eventId": id, "userId": user, "conceptKey": concept, "eventType": "question_answered",
        "timestamp": NOON + after, "sessionId": format!("{user}-1"),
    });
    let more = more.as_object().expect("an object").clone();
    event.as_object_mut().expect("an object").extend(more);
    format!("{event}\n")
}

fn product() -> (tempfile::TempDir, Product) {
    let dir = folder();
    write(dir.path(), "millstream.yaml", CONFIGURATION.as_bytes());
    let product = Product::start(dir.path(), &[]);
    (dir, product)
}

#[test]
fn slow_wrong_answers_and_lost_interest_are_told_from_their_edges() {
    const SLOW: &str = "performance_anomaly";
    const BORED: &str = "engagement_anomaly";
    let vectors: [(&str, Value, &[&str]); 11] = [
        ("at", json!({"correct": false, "responseTime": 60_000}), &[]),
        ("above", json!({"correct": false, "responseTime": 60_001}), &[SLOW]),
        ("right", json!({"correct": true, "responseTime": 60_001}), &[]),
        ("unanswered", json!({"correct": null, "responseTime": 60_001}), &[]),
        ("untold", json!({"responseTime": 60_001}), &[]),
        ("enough", json!({"engagementScore": 0.2}), &[]),
        ("less", json!({"engagementScore": 0.19}), &[BORED]),
        ("zero", json!({"engagementScore": 0}), &[BORED]),
        ("point-zero", json!({"engagementScore": 0.0}), &[BORED]),
        ("null", json!({"engagementScore": null}), &[]),
        ("both", json!({"correct": false, "responseTime": 99_999, "engagementScore": 0.1}), &[BORED, SLOW]),
    ];
    let (_dir, product) = product();
    let lines: String = vectors.iter().map(|(user, what, _)| lesson(user, user, "fractions", 0, what)).collect();
    product.post_stored("lessons", &lines);
    for (user, what, expected) in vectors {
        let found = product.ask(&format!("/v1/anomalies?stream=lessons&key={user}"));
        let mut found: Vec<_> =
            found["anomalies"].as_array().expect("anomalies").iter().map(|a| a["rule"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{what}");
    }
    product.stop();
}

/// The groups of a window of this length that begins at noon: what is measured, by user and concept.
fn groups(product: &Product, size: &str) -> Vec<(String, String, Value)> {
    let page = product.ask(&format!("/v1/windows?stream=lessons&window=progress&size={size}&limit=1000"));
    let rows = page["windows"].as_array().expect("windows").iter().filter(|row| row["start_ms"] == NOON);
    let text = |row: &Value, name: &str| row["key"][name].as_str().expect("text").to_owned();
    let mut groups: Vec<_> =
        rows.map(|row| (text(row, "userId"), text(row, "conceptKey"), row["values"].clone())).collect();
    groups.sort_by_key(|(user, concept, _)| (user.clone(), concept.clone()));
    groups
}

#[test]
fn windows_measure_what_the_published_vectors_say() {
    let (_dir, product) = product();
    let mut lines = String::new();
    for (i, correct) in [json!(true), json!(false), json!(true), json!(null)].into_iter().enumerate() {
        lines += &lesson(&format!("a{i}"), "answers", "x", i as Millis, &json!({"correct": correct}));
    }
    for (i, time) in [json!(2_000), json!(3_000), json!(1_000), json!(null)].into_iter().enumerate() {
        lines += &lesson(&format!("t{i}"), "times", "x", i as Millis, &json!({"responseTime": time}));
    }
    for (i, (user, concept)) in [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u1", "a")].into_iter().enumerate() {
        lines += &lesson(&format!("g{i}"), user, concept, i as Millis, &json!({}));
    }
    // The last millisecond of the minute is in it, the next one is not.
    lines += &lesson("e0", "edge", "x", 0, &json!({}));
    lines += &lesson("e1", "edge", "x", 59_999, &json!({}));
    lines += &lesson("e2", "edge", "x", 60_000, &json!({}));
    product.post_stored("lessons", &lines);
    // Hours later, in every partition.
    let closers: String =
        (0..50).map(|i| lesson(&format!("c{i}"), &format!("c{i}"), "x", 7_300_000, &json!({}))).collect();
    product.post_stored("lessons", &closers);

    let measured = |size: &str, who: &str, concept: &str| -> Value {
        let found = groups(&product, size);
        let mut found = found.into_iter().filter(|(user, key, _)| (user.as_str(), key.as_str()) == (who, concept));
        found.next().unwrap_or_else(|| panic!("no window of {who}, {concept}")).2
    };
    for size in ["1m", "1h"] {
        let answers = measured(size, "answers", "x");
        assert_eq!((&answers["right"], &answers["answered"]), (&2.into(), &3.into()), "{answers}");
        let times = measured(size, "times", "x");
        let expected = json!({
            "events": 4, "right": 0, "answered": 0, "response_time": 2_000, "timed": 3, "slowest": 3_000,
            "quickest": 1_000, "total": 6_000, "sessions": 1,
        });
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(times[name].as_f64(), value.as_f64(), "{name} of {times}");
        }
        let sizes: Vec<_> = groups(&product, size)
            .into_iter()
            .filter(|(user, ..)| user.starts_with('u'))
            .map(|(user, concept, measures)| (user, concept, measures["events"].as_u64().expect("a count")))
            .collect();
        let group = |user: &str, concept: &str, count| (user.to_owned(), concept.to_owned(), count);
        assert_eq!(sizes, [group("u1", "a", 2), group("u1", "b", 1), group("u2", "a", 1)], "{size}");
    }
    let edges = (&measured("1m", "edge", "x")["events"], &measured("1h", "edge", "x")["events"]);
    assert_eq!((edges.0.as_u64(), edges.1.as_u64()), (Some(2), Some(3)));
    product.stop();
}
