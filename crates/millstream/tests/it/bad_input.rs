//! Bad input at the door: each gets its status and words, the good events of the same request are taken, and memory
//! stays flat.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::http::{exchange, get, post};
use crate::product::{Product, folder};

const YEAR_3000: i64 = 32_503_680_000_000;
/// What the whole page of attacks may cost: the bodies that may be in memory at once, and what the allocator keeps.
const GROWTH_KIB_MAX: u64 = 160 << 10;

fn signal(more: &str) -> String {
    format!(r#"{{"user_id":1,"type":"click","timestamp":1,"payload":{{}}{more}}}"#)
}

/// Checks that one event among good ones is refused with a code and a pointer, and that the others are taken.
fn check_event(product: &Product, bad: &str, code: &str, pointer: &str) {
    let body = format!("{}\n{bad}\n{}\n", signal(""), signal(""));
    let answer = post(&product.url("/v1/streams/signals/events"), "application/x-ndjson", body.as_bytes());
    let answer = answer.expect(207).json();
    assert_eq!((&answer["accepted_count"], &answer["rejected_count"]), (&2.into(), &1.into()), "{bad}: {answer}");
    let refused = &answer["rejected"][0];
    assert_eq!((&refused["index"], &refused["code"], &refused["pointer"]), (&1.into(), &code.into(), &pointer.into()));
    assert!(refused["dlq_id"].is_string() && refused["message"].as_str().is_some_and(|m| m.len() > 10), "{refused}");
}

/// Checks that a whole request is refused with a status and a code.
fn check_request(product: &Product, path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, code: &str) {
    let answer = exchange(&product.url(path), "POST", headers, body).unwrap_or_else(|error| panic!("{code}: {error}"));
    let answer = answer.expect(status).json();
    assert_eq!(answer["error_code"], code, "{answer}");
    assert!(answer["error_message"].as_str().is_some_and(|m| m.len() > 10) && answer["request_id"].is_string());
}

#[test]
fn bad_input_is_refused_with_its_reason_and_memory_stays_flat() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &signal(""));
    let before = product.resident_kib();

    let year_3000 = signal("").replace("\"timestamp\":1", &format!("\"timestamp\":{YEAR_3000}"));
    let huge = signal(&format!(",\"x\":\"{}\"", "x".repeat(2 << 20)));
    let deep = signal(&format!(",\"x\":{}{}", "[".repeat(100), "]".repeat(100)));
    for (bad, code, pointer) in [
        ("{\"user_id\":", "invalid_json", ""),
        ("[]", "not_an_object", ""),
        (&signal("").replace("\"user_id\":1,", ""), "missing_field", "/user_id"),
        (&signal("").replace("\"user_id\":1", "\"user_id\":\"one\""), "wrong_type", "/user_id"),
        (&signal("").replace("click", "teleport"), "invalid_value", "/type"),
        (&year_3000, "time_in_future", "/timestamp"),
        (&huge, "too_large", ""),
        (&deep, "too_deep", ""),
    ] {
        check_event(&product, bad, code, pointer);
    }

    let (signals, json) = ("/v1/streams/signals/events", ("content-type", "application/json"));
    let gzip = |body: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let whole = gzip(signal("").as_bytes());
    let encoded = [json, ("content-encoding", "gzip")];
    check_request(&product, signals, &[json], b"nonsense", 400, "invalid_json");
    check_request(&product, signals, &[json], b"", 400, "empty_body");
    check_request(&product, signals, &encoded, &whole[..whole.len() / 2], 400, "invalid_encoding");
    check_request(&product, signals, &[json], signal(&" ".repeat(20 << 20)).as_bytes(), 413, "payload_too_large");
    check_request(&product, signals, &encoded, &bomb(), 413, "payload_too_large");
    check_request(&product, signals, &[("content-type", "text/html")], b"x", 415, "unsupported_media_type");
    check_request(&product, "/v1/streams/signal/events", &[json], b"{}", 404, "unknown_stream");
    check_request(&product, "/v1/streams/_refused/events", &[json], b"{}", 404, "unknown_stream");

    let grown = product.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "memory grew by {grown} KiB");
    product.caught_up();
    let health: Value = get(&product.url("/health")).expect(200).json();
    assert_eq!(health["status"], "healthy", "{health}");
    product.stop();
}

/// Ten gigabytes of zeros in ten megabytes of gzip: one flushed piece, over and over.
fn bomb() -> Vec<u8> {
    const PIECE: usize = 64 << 20;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![0; PIECE]).unwrap();
    encoder.flush().unwrap();
    let first = encoder.get_ref().len();
    encoder.write_all(&vec![0; PIECE]).unwrap();
    encoder.flush().unwrap();
    let bytes = encoder.get_ref().clone();
    let piece = bytes[first..].to_vec();
    let mut out = bytes[..first].to_vec();
    for _ in 0..(10_usize << 30) / PIECE {
        out.extend_from_slice(&piece);
    }
    out
}
