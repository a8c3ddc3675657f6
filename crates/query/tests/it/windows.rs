//! `/v1/windows`: shape, filters, pages.

use event::WindowDelta;
use serde_json::{Value, json};

use crate::house::{House, NOW, minute, ok, visit};

fn house() -> House {
    let house = House::open();
    let minutes = (0..3).flat_map(|n| ["click", "login"].map(|kind| minute("", NOW + n * 60_000, kind, 10 + n as u64)));
    house.close(&minutes.collect::<Vec<_>>());
    house.close(&[visit(7, NOW + 30_000, NOW + 45_000)]);
    house
}

#[tokio::test]
async fn a_window_has_its_place_its_group_and_its_values() {
    let house = house();
    house.close(&[minute("", NOW, "click", 90)]);
    let body = ok(&house.router(), "/v1/windows?key=type=click&to=2025-11-24T16:00:00Z").await;
    let mut rows = body["windows"].as_array().unwrap().clone();
    let updated = rows[0].as_object_mut().unwrap().remove("updated_at").unwrap();
    assert!(updated.as_str().unwrap().ends_with('Z'), "{updated}");
    let expected = json!([{
        "stream": "signals", "window": "by_type", "size": "1m", "size_ms": 60_000,
        "start": "2025-11-24T16:00:00.000Z", "end": "2025-11-24T16:01:00.000Z",
        "start_ms": NOW, "end_ms": NOW + 60_000, "key": {"type": "click"}, "values": {"count": 100},
        "events": 100, "revision": 2, "late": 0,
    }]);
    assert_eq!(Value::from(rows), expected);
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let router = house().router();
    let last = NOW + 120_000;
    for (filters, expected) in [
        (String::new(), 7),
        ("stream=signals".to_owned(), 7),
        ("stream=events".to_owned(), 0),
        ("window=by_type".to_owned(), 6),
        ("size=1m".to_owned(), 6),
        ("size=60000&window=by_type".to_owned(), 6),
        ("size=5m".to_owned(), 0),
        ("size=session".to_owned(), 1),
        ("key=type=login".to_owned(), 3),
        ("key=%7B%22type%22:%20%22login%22%7D".to_owned(), 3),
        ("key=user_id=7".to_owned(), 1),
        ("key=user_id=8".to_owned(), 0),
        (format!("from={last}"), 2),
        (format!("to={NOW}"), 2),
        (format!("from={last}&key=type=click"), 1),
    ] {
        let body = ok(&router, &format!("/v1/windows?{filters}")).await;
        assert_eq!(body["windows"].as_array().unwrap().len(), expected, "{filters}: {body}");
        assert_eq!(body["next_cursor"], Value::Null, "{filters}");
    }
}

/// A session of a key that is text in its row, as processing writes the stream's own key.
fn visit_of_key(key: &str, start: i64) -> WindowDelta {
    let mut piece = visit(0, start, start + 1_000);
    piece.id.key = format!(r#"{{"user_id":"{key}"}}"#);
    piece
}

#[tokio::test]
async fn a_number_finds_the_streams_own_key_which_is_text_page_after_page() {
    let house = House::open();
    let texts: Vec<WindowDelta> = (0..3).map(|n| visit_of_key("7", NOW + 60_000 * n)).collect();
    house.close(&texts);
    house.close(&[visit_of_key("8", NOW), visit(7, NOW + 30_000, NOW + 45_000)]);
    let router = house.router();
    let json = "key=%7B%22user_id%22:7%7D";
    for filters in ["key=user_id=7", json, "stream=signals&key=user_id=7", "window=visits&key=user_id=7"] {
        for limit in [1, 2, 3, 4, 100] {
            let (mut path, mut seen) = (format!("/v1/windows?{filters}&limit={limit}"), Vec::new());
            loop {
                let body = ok(&router, &path).await;
                let rows = body["windows"].as_array().unwrap();
                assert!(!rows.is_empty() && rows.len() <= limit, "{path}: {body}");
                seen.extend(rows.iter().map(|row| (row["start_ms"].as_i64().unwrap() - NOW, row["key"].to_string())));
                let Some(cursor) = body["next_cursor"].as_str() else { break };
                path = format!("/v1/windows?{filters}&limit={limit}&cursor={cursor}");
            }
            let (text, number) = (r#"{"user_id":"7"}"#, r#"{"user_id":7}"#);
            let expected = [(120_000, text), (60_000, text), (30_000, number), (0, text)];
            assert_eq!(seen, expected.map(|(start, key)| (start, key.to_owned())), "{filters}, {limit} at once");
        }
    }
    // Another stream has another key; a text is no number.
    for (filters, expected) in [("stream=events&key=user_id=7", 0), ("key=%7B%22user_id%22:%227%22%7D", 3)] {
        let body = ok(&router, &format!("/v1/windows?{filters}")).await;
        assert_eq!(body["windows"].as_array().unwrap().len(), expected, "{filters}: {body}");
    }
}

#[tokio::test]
async fn pages_go_through_all_of_them_newest_first_whatever_closes_meanwhile() {
    let house = house();
    let router = house.router();
    let (mut path, mut seen) = ("/v1/windows?limit=2".to_owned(), Vec::new());
    loop {
        let body = ok(&router, &path).await;
        for row in body["windows"].as_array().unwrap() {
            seen.push((row["start_ms"].as_i64().unwrap(), row["key"].to_string()));
        }
        // It comes before everything that was seen.
        house.close(&[minute("", NOW + 600_000 + 60_000 * seen.len() as i64, "login", 1)]);
        let Some(cursor) = body["next_cursor"].as_str() else { break };
        path = format!("/v1/windows?limit=2&cursor={cursor}");
    }
    let of = |n: i64, kind: &str| (NOW + n * 60_000, format!(r#"{{"type":"{kind}"}}"#));
    let mut expected = vec![of(2, "click"), of(2, "login"), of(1, "click"), of(1, "login")];
    expected.extend([(NOW + 30_000, r#"{"user_id":7}"#.to_owned()), of(0, "click"), of(0, "login")]);
    assert_eq!(seen, expected);
}
