//! What is refused, and how it is said.

use axum::http::StatusCode;

use crate::house::{House, json, ok};

#[tokio::test]
async fn bad_parameters_are_refused_by_name_with_what_was_found_and_expected() {
    let router = House::open().router();
    let table = [
        ("/signals?signal_type=logout", "`signal_type` is `logout`; expected one of `login`, `purchase`, `click`"),
        ("/signals?size=0", "`size` is `0`; expected a whole number from 1 to 1000"),
        ("/signals?size=1001", "`size` is `1001`; expected a whole number from 1 to 1000"),
        ("/signals?size=ten", "`size` is `ten`"),
        ("/signals?size=", "`size` is ``"),
        ("/signals?page=0", "`page` is `0`"),
        ("/signals?page=-1", "`page` is `-1`"),
        ("/signals?page=9223372036854775807&size=1000", "`page` is `9223372036854775807`"),
        ("/signals?page=99999999999999999999", "`page` is `99999999999999999999`"),
        ("/signals?user_id=anna", "`user_id` is `anna`; expected a whole number"),
        ("/signals?user_id=1.5", "`user_id` is `1.5`"),
        ("/users/anna/signals", "`user_id` is `anna`"),
        ("/users/99999999999999999999/anomalies", "`user_id` is `99999999999999999999`"),
        ("/signals?start_timestamp=yesterday", "`start_timestamp` is `yesterday`; expected milliseconds"),
        (
            "/signals?start_timestamp=2&end_timestamp=1",
            "`start_timestamp` is `2`; expected a time not after `end_timestamp`",
        ),
        ("/signals?sise=5", "`sise` is not known here; known: `user_id`, `signal_type`"),
        ("/users/7/signals?user_id=8", "`user_id` is not known here"),
        ("/signals?size=5&size=6", "`size` is `6`; expected it once"),
        ("/anomalies?severity=fatal", "`severity` is `fatal`; expected one of `low`, `medium`, `high`"),
        ("/anomalies?anomaly_type=x", "expected one of `high_value_purchase`, `high_frequency_login`"),
        ("/v1/anomalies?rule=x", "`rule` is `x`"),
        ("/v1/events?limit=1001", "`limit` is `1001`"),
        ("/v1/events?order=up", "`order` is `up`; expected one of `asc`, `desc`"),
        ("/v1/events?cursor=abc", "`cursor` is `abc`"),
        ("/v1/events?key=", "`key` is ``; expected a text of 1 to 256 bytes"),
        ("/v1/events?from=2026-02-30", "`from` is `2026-02-30`"),
        ("/v1/events/x?what=1", "`what` is not known here; known: `stream`"),
        ("/v1/live?topics=rates,moon", "`topics` is `rates,moon`"),
        ("/v1/windows?window=x", "`window` is `x`; expected one of `by_type`, `visits`"),
        ("/v1/windows?size=1w", "`size` is `1w`; expected a length as 250ms, 30s, 5m, 1h or 1d"),
        ("/v1/windows?key={", "`key` is `{`; expected a JSON object or `field=value` pairs"),
        ("/v1/windows?key=login", "`key` is `login`"),
        ("/v1/windows?from=2&to=1", "`from` is `2`; expected a time not after `to`"),
        ("/v1/windows?limit=0", "`limit` is `0`"),
        ("/v1/windows?cursor=abc", "`cursor` is `abc`"),
        ("/v1/windows?page=1", "`page` is not known here; known: `stream`, `window`, `size`, `key`"),
        ("/v1/alerts?status=sent", "`status` is `sent`; expected one of `pending`, `delivered`, `failed`"),
        ("/v1/alerts?target=", "`target` is ``"),
        ("/v1/alerts?cursor=abc", "`cursor` is `abc`"),
        ("/metrics?hours=0", "`hours` is `0`; expected a whole number from 1 to 168"),
        ("/metrics?hours=169", "`hours` is `169`"),
    ];
    for (path, message) in table {
        let (status, body) = json(&router, path).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {body}");
        assert!(body["error_message"].as_str().unwrap().contains(message), "{path}: {body}");
        assert!(["invalid_parameter", "unknown_parameter"].contains(&body["error_code"].as_str().unwrap()), "{body}");
        assert!(body["details"]["parameter"].is_string() && body["request_id"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn a_very_long_value_is_not_sent_back_whole() {
    let router = House::open().router();
    let (_, body) = json(&router, &format!("/signals?size={}", "9".repeat(5000))).await;
    assert!(body.to_string().len() < 600, "{body}");
}

#[tokio::test]
async fn an_unknown_stream_is_not_found_and_the_known_ones_are_named_without_internal_ones() {
    let router = House::open().router();
    for path in [
        "/v1/events?stream=nope",
        "/v1/events?stream=_refused",
        "/v1/anomalies?stream=x",
        "/v1/windows?stream=x",
        "/v1/events/e?stream=x",
    ] {
        let (status, body) = json(&router, path).await;
        assert_eq!((status, &body["error_code"]), (StatusCode::NOT_FOUND, &"unknown_stream".into()), "{path}");
        assert!(body["error_message"].as_str().unwrap().ends_with("known: `signals`, `events`"), "{body}");
    }
}

/// The description and the code cannot part: each path names its parameters when it meets an unknown one.
#[tokio::test]
async fn the_description_names_exactly_the_parameters_that_are_taken() {
    let router = House::open().router();
    let description = serde_json::to_value(query::openapi()).unwrap();
    let mut checked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        let none = Vec::new();
        let parameters = item["get"]["parameters"].as_array().unwrap_or(&none);
        let mut described: Vec<String> = parameters
            .iter()
            .filter(|p| p["in"] == "query")
            .map(|p| format!("`{}`", p["name"].as_str().unwrap()))
            .collect();
        if described.is_empty() {
            assert!(ok_or_text(&router, path).await, "{path}");
            continue;
        }
        let (_, body) =
            json(&router, &format!("{}?no_such=1", path.replace("{user_id}", "7").replace("{id}", "x"))).await;
        let message = body["error_message"].as_str().unwrap();
        let mut taken: Vec<String> = message.split("known: ").nth(1).unwrap().split(", ").map(str::to_owned).collect();
        described.sort();
        taken.sort();
        assert_eq!(taken, described, "{path}");
        checked += 1;
    }
    assert_eq!(checked, 11);
    assert!(ok(&router, "/version").await["version"].is_string());
}

async fn ok_or_text(router: &axum::Router, path: &str) -> bool {
    crate::house::send(router, path, None).await.status() == StatusCode::OK
}
