//! `/signals`, `/anomalies`, `/users/{id}/…` and the summary.

use crate::house::{House, NOW, Sent, ok, text};

/// Seven signals of three users, each second one later; two of them are big purchases.
async fn house() -> House {
    let house = House::open();
    let big = r#"{"amount": 1500.00, "note":"\u00e4 \ud83d\ude00"}"#;
    house
        .append(
            "signals",
            0,
            &[
                Sent::signal(7, "login", NOW, r#"{"success":true}"#).id("e1"),
                Sent::signal(7, "purchase", NOW + 1000, big).id("e2"),
                Sent::signal(7, "click", NOW + 2000, r#"{"big": 12345678901234567890123, "x" : 1e2 }"#).id("e3"),
                Sent::signal(7, "login", NOW + 3000, "{}"),
            ],
        )
        .await;
    house
        .append(
            "signals",
            1,
            &[
                Sent::signal(8, "purchase", NOW + 1500, r#"{"amount":2000}"#).id("e5"),
                Sent::signal(8, "api_call", NOW + 1500, "{}").id("e6"),
            ],
        )
        .await;
    house.append("signals", 2, &[Sent::signal(-9, "file_access", NOW + 4000, "{}").id("e7")]).await;
    house.clock.advance(5000);
    house.store_all();
    house
}

fn ids(page: &serde_json::Value) -> Vec<&str> {
    page["signals"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn filters_and_order_hold() {
    let router = house().await.router();
    let t = |plus: i64| NOW + plus;
    let table = [
        ("/signals".to_owned(), vec!["e7", "signals-0-3", "e3", "e6", "e5", "e2", "e1"]),
        ("/signals?user_id=7".to_owned(), vec!["signals-0-3", "e3", "e2", "e1"]),
        ("/users/7/signals".to_owned(), vec!["signals-0-3", "e3", "e2", "e1"]),
        ("/users/-9/signals".to_owned(), vec!["e7"]),
        ("/users/1/signals".to_owned(), vec![]),
        ("/signals?signal_type=login".to_owned(), vec!["signals-0-3", "e1"]),
        ("/users/7/signals?signal_type=purchase".to_owned(), vec!["e2"]),
        (format!("/signals?start_timestamp={}&end_timestamp={}", t(1000), t(1500)), vec!["e6", "e5", "e2"]),
        (format!("/signals?start_timestamp={}", t(4000)), vec!["e7"]),
        (format!("/signals?end_timestamp={}", t(-1)), vec![]),
        (format!("/signals?user_id=7&signal_type=login&end_timestamp={}", t(0)), vec!["e1"]),
    ];
    for (path, expected) in table {
        let page = ok(&router, &path).await;
        assert_eq!(ids(&page), expected, "{path}");
        assert_eq!(page["pagination"]["total"], expected.len(), "{path}");
    }
}

#[tokio::test]
async fn pages_cover_every_row_once_in_order_whatever_their_size() {
    let router = house().await.router();
    let all = ok(&router, "/signals").await;
    for size in 1..=8 {
        let mut seen = Vec::new();
        for page in 1.. {
            let answer = ok(&router, &format!("/signals?page={page}&size={size}")).await;
            let pages = 7usize.div_ceil(size);
            let expected = serde_json::json!({
                "page": page, "size": size, "total": 7, "total_pages": pages,
                "has_next": page < pages, "has_prev": page > 1,
            });
            assert_eq!(answer["pagination"], expected);
            seen.extend(ids(&answer).into_iter().map(str::to_owned));
            if answer["pagination"]["has_next"] == false {
                break;
            }
        }
        assert_eq!(seen, ids(&all), "size {size}");
    }
    let beyond = ok(&router, "/signals?page=99").await;
    assert_eq!((ids(&beyond).len(), &beyond["pagination"]["has_next"]), (0, &false.into()));
}

#[tokio::test]
async fn a_signal_shows_its_payload_byte_for_byte_and_its_times() {
    let router = house().await.router();
    let (_, body) = text(&router, "/users/7/signals?signal_type=purchase").await;
    let row = concat!(
        r#"{"id":"e2","user_id":7,"type":"purchase","timestamp":1764000001000,"#,
        r#""payload":{"amount": 1500.00, "note":"\u00e4 \ud83d\ude00"},"#
    );
    assert!(body.contains(row), "{body}");
    let (_, body) = text(&router, "/users/7/signals?signal_type=click").await;
    assert!(body.contains(r#""payload":{"big": 12345678901234567890123, "x" : 1e2 }"#), "{body}");
    let page = ok(&router, "/signals?size=1").await;
    assert_eq!(page["signals"][0]["created_at"], "2025-11-24T16:00:00.000Z");
    assert!(page["signals"][0]["processed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(page["signals"][0]["user_id"], -9);
}

#[tokio::test]
async fn anomalies_have_their_fields_filters_and_pages() {
    let router = house().await.router();
    let page = ok(&router, "/anomalies").await;
    let rows = page["anomalies"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["id"], "8_1764000001500_high_value_purchase");
    assert_eq!(rows[1]["user_id"], 7);
    assert_eq!(rows[1]["anomaly_type"], "high_value_purchase");
    assert_eq!(rows[1]["severity"], "high");
    assert_eq!(rows[1]["description"], "a purchase of 1500");
    assert_eq!(rows[1]["original_signal_data"]["payload"]["note"], "ä 😀");
    assert_eq!(rows[1]["detection_timestamp"], NOW + 1000);
    assert_eq!(rows[1]["metadata"], serde_json::json!({"amount": 1500, "threshold": 1000}));
    assert!(rows[1]["created_at"].is_string());
    let table = [
        ("/anomalies?user_id=8".to_owned(), 1),
        ("/users/8/anomalies".to_owned(), 1),
        ("/users/9/anomalies".to_owned(), 0),
        ("/anomalies?anomaly_type=high_value_purchase&severity=high".to_owned(), 2),
        ("/anomalies?anomaly_type=high_frequency_login".to_owned(), 0),
        ("/anomalies?severity=low".to_owned(), 0),
        (format!("/anomalies?start_timestamp={}", NOW + 1500), 1),
        (format!("/anomalies?end_timestamp={}", NOW + 1499), 1),
    ];
    for (path, expected) in table {
        let page = ok(&router, &path).await;
        assert_eq!(page["pagination"]["total"], expected, "{path}");
        assert_eq!(page["anomalies"].as_array().unwrap().len(), expected, "{path}");
    }
    let second = ok(&router, "/anomalies?page=2&size=1").await;
    assert_eq!(second["anomalies"][0], rows[1]);
}

#[tokio::test]
async fn the_summary_counts_by_type_rule_severity_and_user() {
    let router = house().await.router();
    let summary = ok(&router, "/metrics?hours=1").await;
    assert_eq!((&summary["total_signals"], &summary["total_anomalies"]), (&7.into(), &2.into()));
    let by_type = serde_json::json!({"login": 2, "purchase": 2, "click": 1, "api_call": 1, "file_access": 1});
    assert_eq!(summary["signals_by_type"], by_type);
    assert_eq!(summary["anomalies_by_type"], serde_json::json!({"high_value_purchase": 2}));
    assert_eq!(summary["anomalies_by_severity"], serde_json::json!({"high": 2}));
    assert_eq!(summary["top_users_by_signals"][0], serde_json::json!({"user_id": 7, "count": 4}));
    assert_eq!(summary["top_users_by_anomalies"].as_array().unwrap().len(), 2);
    assert_eq!(summary["time_range"], "last_1_hours");
    assert_eq!(ok(&router, "/metrics").await["time_range"], "last_24_hours");
}
