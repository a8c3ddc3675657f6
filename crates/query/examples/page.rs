//! A preview of the first page for whoever works on it: `cargo run -p query --example page [PORT] [empty]`, then open
//! the address it prints. Log, store and anomalies are real, in a temporary folder; the figures are made up and grow.
//! Nothing of it is in the product.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a preview for developers: it may fail loudly and talk")]

#[expect(dead_code, reason = "the tests' house, of which a preview needs only a part")]
#[path = "../tests/it/house.rs"]
mod house;

use std::sync::Arc;
use std::time::Duration;

use house::{House, Sent, minute};
use log::{Clock, SystemClock};
use query::Query;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let empty = arguments.next().as_deref() == Some("empty");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    let clock = SystemClock::default();
    let house = House::open_at(clock.now());
    let query = Arc::new(Query { clock: Arc::new(clock), ..house.query() });
    let router = api::with_manners(query::router(query.clone()).merge(query::public_router(query)));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::spawn(grow(house, empty));
    server.await?
}

/// Ten times a second some events in the figures; now and then a purchase worth an anomaly in the log and the store.
async fn grow(house: House, empty: bool) {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for tick in 0u64.. {
        ticks.tick().await;
        house.clock.advance(100);
        house.figures.lock().unwrap().uptime_seconds = tick / 10;
        if empty {
            continue;
        }
        let second = tick as f64 / 10.0;
        let wave = (second / 25.0).sin() * 900.0 + if second % 90.0 > 70.0 { 2_600.0 } else { 0.0 };
        figures(&house, (2_100.0 + wave) as u64 + rng.u64(0..150), &mut rng);
        if tick % 50 == 0 {
            purchase(&house, tick, &mut rng).await;
        }
    }
}

fn figures(house: &House, events: u64, rng: &mut fastrand::Rng) {
    let mut live = house.figures.lock().unwrap();
    let committed = (live.accepted + events - live.stored).min(3_600 + rng.u64(0..200));
    live.accepted += events;
    live.stored += committed;
    live.lag_events = live.accepted - live.stored;
    live.duplicates += rng.u64(0..events) / 110;
    live.rejected += rng.u64(0..events) / 900;
    live.dead_letters = live.rejected;
    live.log_bytes += events * 190;
    live.ack_ms = (0.7 + rng.f64() * 0.2, 3.1 + rng.f64());
    live.end_to_end_ms = (41.0 + rng.f64() * 9.0, 118.0 + rng.f64() * 40.0);
}

async fn purchase(house: &House, tick: u64, rng: &mut fastrand::Rng) {
    let (user, amount) = (rng.i64(1..1000), rng.u32(1001..5000));
    let payload =
        format!(r#"{{"amount":{amount}.50,"currency":"USD","note":"<b>\u00e4</b>","big":12345678901234567890123}}"#);
    let sent = Sent::signal(user, "purchase", house.clock.now() - 300, &payload);
    // A key that would be a script, were it ever taken for HTML.
    let key = if tick % 400 == 200 { "<img src=x onerror=alert(1)>".to_owned() } else { user.to_string() };
    house.append("signals", 0, &[Sent { key, ..sent }]).await;
    house.store_all();
    let total = tick / 50 + 1;
    let start = house.clock.now() / 60_000 * 60_000 - 60_000;
    house.close(&[minute("", start, "purchase", total), minute("", start, "login", 7 * total)]);
    let mut figures = house.figures.lock().unwrap();
    (figures.windows, figures.late) = (2 * total, total / 4);
    figures.breakers = vec![("store".to_owned(), if total % 7 == 6 { "open" } else { "closed" })];
    figures.anomalies = vec![("high_value_purchase".to_owned(), total), ("high_frequency_login".to_owned(), total / 3)];
}
