//! The gate in front of the doors: pressure holds back, limits refuse, and both say so.

use std::num::NonZeroU32;
use std::time::Duration;

use api::Caller;
use axum::body::Body;
use axum::http::Request;
use collect::gate::{Limit, Limits, Reading};
use tokio::time::Instant;

use crate::house::{ACCEPTED, Answer, House};

/// How long a request takes by a clock that moves only when everybody waits for it.
async fn took(house: &House) -> Duration {
    let began = Instant::now();
    assert_eq!(house.post("events", "{}").await.status, ACCEPTED);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn pressure_holds_a_request_back_as_long_as_the_formula_says() {
    let house = House::new();
    let pressure = house.intake.pressure();
    assert_eq!(took(&house).await, Duration::ZERO);
    for (queue, memory, delay_ms) in [(0.9, 0.0, 63), (0.0, 0.9, 5), (1.0, 0.0, 100)] {
        pressure.update(Reading { queue, memory, ..Reading::default() });
        let took = took(&house).await;
        // Timers go in whole milliseconds.
        assert!((delay_ms..=delay_ms + 1).contains(&took.as_millis()), "{queue}, {memory}: {took:?}");
    }
    pressure.update(Reading::default());
    assert_eq!(took(&house).await, Duration::ZERO);
}

async fn post_as(house: &House, tenant: &str, path: &str, body: String) -> Answer {
    let mut request = Request::post(path).header("content-type", "application/json").body(Body::from(body)).unwrap();
    request.extensions_mut().insert(Caller::of(tenant.into()));
    house.send(request).await
}

#[tokio::test]
async fn limits_count_events_at_every_door_and_refuse_whole_requests() {
    let house = House::new();
    let limit = Limit { events_per_second: NonZeroU32::new(1), burst: NonZeroU32::new(10), events_per_day: None };
    house.intake.set_limits(Limits::new([("acme".to_owned(), limit)]));
    let events = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
    let stream = "/v1/streams/events/events";

    let answer = post_as(&house, "acme", stream, events(4)).await;
    assert_eq!((answer.status, &answer.headers["ratelimit"]), (ACCEPTED, &"\"second\";r=6;t=4".parse().unwrap()));
    // Refused events count too: they are written as well.
    let mixed = post_as(&house, "acme", "/api/v1/collect", events(4)).await;
    assert_eq!(
        (mixed.status, &mixed.headers["ratelimit-policy"]),
        (422, &"\"second\";q=10;qu=\"events\";w=10".parse().unwrap())
    );
    let before = (house.count("events"), house.count("_refused"));
    let refused = post_as(&house, "acme", stream, events(9)).await;
    assert_eq!((refused.status, refused.body["error_code"].as_str()), (429, Some("rate_limited")), "{}", refused.body);
    let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((6..=7).contains(&seconds) && refused.headers.contains_key("ratelimit"), "{seconds}");
    assert_eq!(post_as(&house, "acme", stream, events(11)).await.status, 413);
    assert_eq!((house.count("events"), house.count("_refused")), before, "a refused request leaves nothing");
    let other = post_as(&house, "zeta", stream, events(100)).await;
    assert_eq!((other.status, other.headers.contains_key("ratelimit")), (ACCEPTED, false));
    house.intake.set_limits(Limits::default());
    assert_eq!(post_as(&house, "acme", stream, events(100)).await.status, ACCEPTED);
}
