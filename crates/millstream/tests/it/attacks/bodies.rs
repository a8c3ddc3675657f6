//! Bodies made to be hard to read. Bombs of gzip are in `bad_input`, those of zstd in `crates/collect/tests/it/bombs.rs`.

use log::{Clock, SystemClock};

use super::{Memory, SERVED_WITHIN, others_are_served};
use crate::http;
use crate::product::{Product, folder};

/// What all of them may cost, as often as they come: events of a megabyte on their way to the store, and what the
/// allocator keeps.
const GROWTH_KIB_MAX: u64 = 160 << 10;
/// How often they come.
const ROUNDS: usize = 8;

/// Posts a body; it is answered soon with this status, and the answer has this code in it.
fn check(product: &Product, media_type: &str, body: &[u8], status: u16, code: &str) {
    let clock = SystemClock::default();
    let answer = http::post(&product.url("/v1/streams/signals/events"), media_type, body);
    let took = clock.elapsed();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    assert_eq!(answer.status, status, "{start}: {text}");
    assert!(text.contains(code), "{start}: {text}");
    assert!(took < SERVED_WITHIN, "{start}: took {took:?}");
}

#[test]
fn bodies_made_to_be_hard_are_answered_soon() {
    const MILLION: usize = 1_000_000;
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let memory = Memory::of(&product);
    let (json, ndjson) = ("application/json", "application/x-ndjson");
    let event = |more: &str| format!(r#"{{"user_id":1,"type":"click","timestamp":1,"payload":{{}}{more}}}"#);
    let nested = |open: &str, close: &str, times: usize| [open.repeat(times), close.repeat(times)].concat();
    let repeated = |member: &str| event(&format!(",{member}").repeat(MILLION / (member.len() + 1)));

    for (media_type, body, status, code) in [
        (json, "[".repeat(MILLION), 400, "invalid_json"),
        (json, nested("[", "]", MILLION), 422, "too_large"),
        (ndjson, nested("[", "]", MILLION / 2), 422, "too_deep"),
        (ndjson, event(&format!(",\"x\":{}", nested("[", "]", MILLION / 2 - 100))), 422, "too_deep"),
        (
            ndjson,
            event(&format!(",\"x\":{}1{}", "{\"x\":".repeat(MILLION / 6 - 100), "}".repeat(MILLION / 6 - 100))),
            422,
            "too_deep",
        ),
        (ndjson, event(",\"user_id\":2"), 422, "duplicate_field"),
        (ndjson, repeated("\"user_id\":1"), 422, "duplicate_field"),
        (ndjson, repeated("\"x\":1"), 202, "\"accepted_count\":1"),
        (ndjson, "{}\n".repeat(100_000), 413, "too_many_events"),
        (json, format!("[{}]", "[],".repeat(MILLION)), 413, "too_many_events"),
        (ndjson, event(&format!(",\"x\":{}", "9".repeat(MILLION))), 202, "\"accepted_count\":1"),
        (ndjson, event(&format!(",\"x\":\"{}\"", "\\ud800".repeat(1_000))), 422, "invalid_json"),
    ] {
        (0..ROUNDS).for_each(|_| check(&product, media_type, body.as_bytes(), status, code));
    }
    let event = event(",\"x\":\"?\"").into_bytes();
    for bad in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        let at = event.iter().position(|byte| *byte == b'?').unwrap();
        let body = [&event[..at], bad, &event[at + 1..]].concat();
        check(&product, json, &body, 400, "UTF-8");
        check(&product, ndjson, &body, 422, "invalid_json");
    }
    others_are_served(&product);
    memory.grew_less_than(&product, GROWTH_KIB_MAX);
    product.stop();
}
