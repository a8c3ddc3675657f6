//! Two tenants and the default one with the same ids, keys and times in the same partitions: no read path shows one what
//! is another's.

use api::Caller;
use axum::Router;
use axum::http::StatusCode;
use serde_json::Value;

use crate::house::{House, NOW, Sent, minute, ok, send_as, text_as};
use crate::live::next;

/// Each with the amount of its one purchase: what must be seen by it and by nobody else.
const TENANTS: [(&str, &str); 3] = [("", "2001"), ("acme", "2002"), ("globex", "2003")];

/// Everything that is read, with what its answer holds: the place of a number and its value.
const PATHS: [(&str, &str); 19] = [
    ("/signals", "/pagination/total = 1"),
    ("/signals?user_id=7&signal_type=purchase", "/pagination/total = 1"),
    ("/anomalies", "/pagination/total = 1"),
    ("/anomalies?user_id=7&anomaly_type=high_value_purchase", "/pagination/total = 1"),
    ("/users/7/signals", "/pagination/total = 1"),
    ("/users/7/anomalies?severity=high", "/pagination/total = 1"),
    ("/v1/events", "/events/0/data/payload/amount"),
    ("/v1/events?stream=signals&key=7&type=purchase", "/events/0/data/payload/amount"),
    ("/v1/events?order=desc&limit=1", "/events/0/data/payload/amount"),
    ("/v1/anomalies", "/anomalies/0/data/payload/amount"),
    ("/v1/anomalies?key=7&limit=1", "/anomalies/0/data/payload/amount"),
    ("/v1/events/same", "/event/data/payload/amount"),
    ("/v1/events/same?stream=signals", "/event/data/payload/amount"),
    ("/v1/events/signals-0-{own}", "/event/data/payload/amount"),
    ("/metrics", "/total_signals = 1"),
    ("/v1/windows", "/windows/0/values/count"),
    ("/v1/windows?window=by_type&size=1m&key=type=purchase&limit=1", "/windows/0/values/count"),
    ("/v1/alerts", "/alerts/0/body/of"),
    ("/v1/alerts?target=pager&status=pending&limit=1", "/alerts/0/body/of"),
];

fn caller(tenant: &str) -> Caller {
    Caller::of(tenant.into())
}

/// A purchase of each tenant, at the offset that it has in [`TENANTS`].
async fn house() -> House {
    let house = House::open();
    let purchase = |(tenant, amount): (&'static str, &str)| {
        let payload = format!(r#"{{"amount":{amount}}}"#);
        Sent::signal(7, "purchase", NOW - 5, &payload).id("same").of(tenant)
    };
    house.append("signals", 0, &TENANTS.map(purchase)).await;
    house
}

/// A window and a notification of each tenant, with the same number in them.
fn tell(house: &House) {
    for (tenant, amount) in TENANTS {
        let number = amount.parse().unwrap();
        house.close(&[minute(tenant, NOW, "purchase", number)]);
        house.alert(tenant, number, &["pager"]);
    }
}

async fn json_as(router: &Router, tenant: &str, path: &str) -> (StatusCode, Value) {
    let (status, body) = text_as(router, &caller(tenant), path).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn no_read_path_shows_what_is_anothers() {
    let house = house().await;
    house.store_all();
    tell(&house);
    let router = house.router();
    for (own, (tenant, amount)) in TENANTS.iter().enumerate() {
        for (path, holds) in PATHS {
            let path = path.replace("{own}", &own.to_string());
            let (status, body) = text_as(&router, &caller(tenant), &path).await;
            assert_eq!(status, StatusCode::OK, "`{tenant}` {path}: {body}");
            for (other, others) in TENANTS.iter().filter(|(other, _)| other != tenant) {
                assert!(!body.contains(others), "`{tenant}` {path} shows what is `{other}`'s: {body}");
                assert!(other.is_empty() || !body.contains(other), "`{tenant}` {path} names `{other}`: {body}");
            }
            let (place, value) = holds.split_once(" = ").unwrap_or((holds, amount));
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body.pointer(place).map(Value::to_string).as_deref(), Some(value), "`{tenant}` {path}: {body}");
            let raised = body.pointer("/lineage/anomalies").and_then(Value::as_array);
            assert!(raised.is_none_or(|raised| raised.len() == 1), "`{tenant}` {path}: {body}");
            let rows = body.pointer("/lineage/rows").and_then(Value::as_array);
            assert!(rows.is_none_or(|rows| rows.len() == 1 && rows[0]["offset"] == own), "`{tenant}` {path}: {body}");
        }
        let (_, summary) = json_as(&router, tenant, "/metrics").await;
        assert_eq!((&summary["total_anomalies"], &summary["top_users_by_signals"][0]["count"]), (&1.into(), &1.into()));
    }
}

/// The table above cannot fall behind: it has every path of the description that asks for a key.
#[test]
fn the_table_of_read_paths_is_whole_and_each_documents_its_refusals() {
    let description = serde_json::to_value(query::openapi()).unwrap();
    for (path, item) in description["paths"].as_object().unwrap() {
        let open = ["/health", "/healthz", "/readyz", "/version"].contains(&path.as_str());
        for status in ["401", "403"] {
            let schema = &item["get"]["responses"][status]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema == "#/components/schemas/ErrorBody", !open, "{path} {status}: {schema}");
        }
        let shape = |path: &str| path.replace("{user_id}", "7").replace("{id}", "same");
        let tested = PATHS.iter().any(|(tested, _)| *tested == shape(path) || tested.starts_with(&(shape(path) + "?")));
        assert!(open || tested || path == "/v1/live", "{path} is not tested for tenants");
    }
}

#[tokio::test]
async fn anothers_record_is_as_if_it_were_not_there_in_the_log_and_in_the_store() {
    let house = house().await;
    house.append("signals", 0, &[Sent::signal(7, "login", NOW, "{}").id("only-acme").of("acme")]).await;
    let router = house.router();
    for stored in [false, true] {
        if stored {
            house.store_all();
        }
        for (own, (tenant, amount)) in TENANTS.iter().enumerate() {
            for place in 0..5 {
                let (status, body) = json_as(&router, tenant, &format!("/v1/events/signals-0-{place}")).await;
                let expected = place == own || (place == 3 && *tenant == "acme");
                assert_eq!(status == StatusCode::OK, expected, "`{tenant}` {place}: {body}");
                if !expected {
                    let message = format!("there is no event `signals-0-{place}`, neither in the store nor in the log");
                    assert_eq!(
                        (&body["error_code"], &body["error_message"]),
                        (&"event_not_found".into(), &message.into())
                    );
                }
            }
            let (_, found) = json_as(&router, tenant, "/v1/events/same").await;
            assert_eq!(found["event"]["data"]["payload"]["amount"].to_string(), *amount, "stored: {stored}");
            assert_eq!(found["lineage"]["stored_at"].is_string(), stored);
            let (status, _) = json_as(&router, tenant, "/v1/events/only-acme").await;
            assert_eq!(status == StatusCode::OK, *tenant == "acme", "`{tenant}` stored: {stored}");
        }
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_tenant_only() {
    let house = house().await;
    let more = ["acme", "globex"].map(|tenant| Sent::signal(7, "purchase", NOW, r#"{"amount":3000}"#).of(tenant));
    house.append("signals", 1, &more).await;
    house.store_all();
    let router = house.router();
    tell(&house);
    for tenant in ["acme", "globex"] {
        house.close(&[minute(tenant, NOW - 60_000, "login", 3_000)]);
        house.alert(tenant, 3_000, &["pager"]);
    }
    for path in [
        "/v1/events?limit=1",
        "/v1/anomalies?rule=high_value_purchase&limit=1",
        "/v1/windows?limit=1",
        "/v1/alerts?limit=1",
    ] {
        let (_, page) = json_as(&router, "acme", path).await;
        let path = format!("{path}&cursor={}", page["next_cursor"].as_str().unwrap());
        let (status, rest) = json_as(&router, "acme", &path).await;
        assert_eq!((status, &rest["next_cursor"]), (StatusCode::OK, &Value::Null), "{path}: {rest}");
        for other in [caller("globex"), caller(""), Caller::open()] {
            let (status, body) = text_as(&router, &other, &path).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{other:?} {path}: {body}");
        }
    }
}

#[tokio::test]
async fn who_sees_all_sees_whose_each_is() {
    let house = house().await;
    house.store_all();
    let router = house.router();
    for (path, rows) in [("/v1/events", "events"), ("/v1/anomalies?stream=signals", "anomalies")] {
        let body = ok(&router, path).await;
        let mut tenants: Vec<&str> =
            body[rows].as_array().unwrap().iter().map(|row| row["tenant"].as_str().unwrap_or_default()).collect();
        tenants.sort_unstable();
        assert_eq!(tenants, TENANTS.map(|(tenant, _)| tenant), "{path}");
    }
    assert_eq!(ok(&router, "/signals").await["pagination"]["total"], 3);
    assert_eq!(ok(&router, "/metrics").await["total_anomalies"], 3);
    for (place, (tenant, _)) in TENANTS.iter().enumerate() {
        let found = ok(&router, &format!("/v1/events/signals-0-{place}")).await;
        assert_eq!(found["event"]["tenant"].as_str().unwrap_or_default(), *tenant);
        let rows = found["lineage"]["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["offset"]), (1, &place.into()), "another's event of that id is another event");
        assert_eq!(found["lineage"]["anomalies"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn the_metrics_of_the_process_are_not_for_tenants() {
    let router = House::open().router();
    for tenant in ["", "acme"] {
        let refused = send_as(&router, &caller(tenant), "/metrics", Some("text/plain")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let (status, body) = json_as(&router, tenant, "/metrics").await;
        assert_eq!((status, &body["total_signals"]), (StatusCode::OK, &0.into()));
    }
    let open = send_as(&router, &Caller::open(), "/metrics", Some("text/plain")).await;
    assert_eq!(open.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_tenant_s_live_stream_has_its_own_rows_and_no_figures_of_the_process() {
    let house = house().await;
    house.store_all();
    for (tenant, amount) in TENANTS {
        house.close(&[minute(tenant, NOW, "purchase", amount.parse().unwrap())]);
    }
    house.figures.lock().unwrap().anomalies = vec![("high_value_purchase".to_owned(), 3)];
    let router = house.router();
    let open = async |tenant, topics: &str| {
        let path = format!("/v1/live{topics}");
        send_as(&router, &caller(tenant), &path, None).await.into_body()
    };
    for (tenant, amount) in TENANTS {
        let mut body = open(tenant, "").await;
        let (name, frame) = next(&mut body).await.unwrap();
        let parts: Vec<&str> = frame.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((name.as_str(), parts), ("message", vec!["time", "anomalies", "windows"]), "{frame}");
        for (topic, place) in [("anomalies", "/metadata/amount"), ("windows", "/values/count")] {
            let seen = &frame[topic];
            assert_eq!(seen.as_object().unwrap().len(), 1, "{seen}");
            let latest = seen["latest"].as_array().unwrap();
            assert_eq!((latest.len(), latest[0].pointer(place).unwrap().to_string().as_str()), (1, amount));
        }
    }
    let mut body = open("acme", "?topics=rates,lag,history").await;
    assert_eq!(next(&mut body).await.unwrap().1, serde_json::json!({"time": NOW}), "no topic of the process");
}

#[tokio::test]
async fn a_tenant_s_live_stream_gets_anomalies_that_come_and_ends_with_the_process() {
    let house = house().await;
    let router = house.router();
    let mut body = send_as(&router, &caller("acme"), "/v1/live", None).await.into_body();
    assert_eq!(next(&mut body).await.unwrap().1["anomalies"]["latest"], serde_json::json!([]));
    house.store_all();
    house.figures.lock().unwrap().anomalies = vec![("high_value_purchase".to_owned(), 3)];
    let mut frames = 0;
    while next(&mut body).await.unwrap().1["anomalies"]["latest"].as_array().unwrap().is_empty() {
        frames += 1;
        assert!(frames < 5, "new anomalies are shown with the next frame or two");
    }
    house.figures.lock().unwrap().draining = true;
    while next(&mut body).await.is_some() {}
}

#[tokio::test]
async fn one_tenant_does_not_take_the_seats_of_all() {
    let house = House::open();
    let router = house.router();
    let open = async |tenant| send_as(&router, &caller(tenant), "/v1/live", None).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(open("acme").await);
    }
    assert_eq!(open("acme").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(open("globex").await.status(), StatusCode::OK);
    streams.pop();
    assert_eq!(open("acme").await.status(), StatusCode::OK);
}
