//! The status matrix: what is sent, and which status, code and words come back.

use axum::body::Body;
use event::limits::{BODY_BYTES_MAX, REQUEST_EVENTS_MAX};

use crate::house::{ACCEPTED, House, gzip, zstd};

const GOOD: &str = r#"{"a":1}"#;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const GZIP: &[(&str, &str)] = &[("content-encoding", "gzip")];
const ZSTD: &[(&str, &str)] = &[("content-encoding", "zstd")];

/// Posts, and gives the message of the error.
#[track_caller]
fn check(answer: &crate::house::Answer, what: &str, status: u16, code: &str, words: &str) {
    let body = &answer.body;
    assert_eq!((answer.status, body["error_code"].as_str()), (status, Some(code)), "{what}: {body}");
    let message = body["error_message"].as_str().unwrap();
    assert!(message.contains(words), "{what}: {message:?} does not say {words:?}");
}

type Headers<'a> = &'a [(&'a str, &'a str)];
/// Stream, headers, body; status, code, words of the message.
type Case<'a> = (&'a str, Headers<'a>, Vec<u8>, u16, &'a str, &'a str);

/// Sends each; then nothing of them is in the log.
async fn check_all(cases: Vec<Case<'_>>) {
    let house = House::new();
    for (stream, headers, body, status, code, words) in cases {
        let what = format!("{stream} {headers:?} {:?}", String::from_utf8_lossy(&body[..body.len().min(40)]));
        check(&house.post_with(stream, headers, body).await, &what, status, code, words);
    }
    assert_eq!((house.count("events"), house.count("_refused")), (0, 0), "nothing of them is in the log");
}

#[tokio::test]
async fn a_body_without_events_is_told_so() {
    let cases: [(Headers<'_>, Vec<u8>, &str); 7] = [
        (JSON, b"".to_vec(), "empty_body"),
        (JSON, b" \n ".to_vec(), "empty_body"),
        (NDJSON, b"\n\r\n \n".to_vec(), "empty_body"),
        (GZIP, b"".to_vec(), "empty_body"),
        (GZIP, gzip(b""), "empty_body"),
        (JSON, b"[]".to_vec(), "no_events"),
        (JSON, b" [ ] ".to_vec(), "no_events"),
    ];
    check_all(
        cases.into_iter().map(|(headers, body, code)| ("events", headers, body, 400, code, "the body")).collect(),
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_told_where_it_breaks() {
    let deep = "[".repeat(1_000_000);
    let cases: [(&[u8], &str); 15] = [
        (b"not json", "byte 0 (line 1, column 1): expected a JSON object or an array of objects, found `n`"),
        (b"42", "expected a JSON object or an array of objects, found `4`"),
        (b"\"text\"", "expected a JSON object"),
        (b"\xef\xbb\xbf{}", "found byte 0xef"),
        (b"{\"a\":1", "byte 6 (line 1, column 7): expected `,` or `}`, found the end"),
        (b"{\"a\":1}\n{\"a\":2}", "application/x-ndjson), found `{`"),
        (b"[{},\n {]", "byte 7 (line 2, column 3): expected a member name in double quotes or `}`, found `]`"),
        (b"[{},]", "expected a JSON value, found `]`"),
        (b"[{} {}]", "expected `,` or `]`, found `{`"),
        (b"[{}] x", "expected the end of the body, found `x`"),
        (b"[{}", "expected `,` or `]`, found the end"),
        (
            b"[{\"a\":\"\n\"}]",
            "expected no control character in a string (write it as an escape), found the end of the line",
        ),
        (b"{\"a\":\"\xff\"}", "byte 6 (line 1, column 7): expected valid UTF-8, found byte 0xff"),
        (b"{\"a\":\"\\ud800\"}", "lone surrogate"),
        (deep.as_bytes(), "byte 1000000 (line 1, column 1000001): expected a JSON value"),
    ];
    let cases = cases.into_iter().map(|(body, words)| ("events", JSON, body.to_vec(), 400, "invalid_json", words));
    check_all(cases.collect()).await;
}

#[tokio::test]
async fn a_type_or_encoding_that_is_not_read_is_told() {
    let (plain, cut, cut_zstd) = (GOOD.as_bytes().to_vec(), gzip(GOOD.as_bytes()), zstd(GOOD.as_bytes()));
    let cases: [(Headers<'_>, Vec<u8>, u16, &str, &str); 10] = [
        (&[("content-type", "text/plain")], plain.clone(), 415, "unsupported_media_type", "application/x-ndjson"),
        (&[("content-type", "")], plain.clone(), 415, "unsupported_media_type", "application/json"),
        (&[("content-encoding", "br")], plain.clone(), 415, "unsupported_encoding", "gzip, zstd"),
        (&[("content-encoding", "gzip, zstd")], plain.clone(), 415, "unsupported_encoding", "identity"),
        (GZIP, plain.clone(), 400, "invalid_encoding", "cannot be read as gzip"),
        (GZIP, cut[..cut.len() - 1].to_vec(), 400, "invalid_encoding", "it ends too soon"),
        (GZIP, cut[..5].to_vec(), 400, "invalid_encoding", "it ends too soon"),
        (GZIP, [cut.clone(), b"garbage".to_vec()].concat(), 400, "invalid_encoding", "gzip"),
        (ZSTD, plain, 400, "invalid_encoding", "cannot be read as zstd"),
        (ZSTD, cut_zstd[..cut_zstd.len() - 1].to_vec(), 400, "invalid_encoding", "it ends too soon"),
    ];
    check_all(
        cases.into_iter().map(|(h, body, status, code, words)| ("events", h, body, status, code, words)).collect(),
    )
    .await;
}

#[tokio::test]
async fn a_stream_or_parameter_that_is_not_known_is_told() {
    let cases = [
        ("events?ack=all", 400, "invalid_parameter", "`ack`: expected one of memory, durable, stored"),
        ("events?ack=", 400, "invalid_parameter", "`ack`"),
        ("events?ack=memory&ack=durable", 400, "invalid_parameter", "once"),
        ("%ff", 400, "invalid_path", "UTF-8"),
        ("nothing", 404, "unknown_stream", "no stream `nothing`; known streams: signals, events, orders"),
        ("_refused", 404, "unknown_stream", "no stream `_refused`; known streams: signals, events, orders"),
    ];
    check_all(cases.into_iter().map(|(stream, s, code, words)| (stream, JSON, GOOD.into(), s, code, words)).collect())
        .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whole() {
    let one_too_many = format!("[{}{{}}]", "{},".repeat(REQUEST_EVENTS_MAX));
    let one_large_event = format!("{{\"a\":\"{}\"}}", "x".repeat(20 << 20));
    check_all(vec![
        ("events", JSON, one_too_many.into(), 413, "too_many_events", "10000"),
        ("events", NDJSON, "{}\n".repeat(REQUEST_EVENTS_MAX + 1).into(), 413, "too_many_events", "10000"),
        ("events", NDJSON, "x\n".repeat(REQUEST_EVENTS_MAX + 1).into(), 413, "too_many_events", "10000"),
        ("events", JSON, vec![b' '; BODY_BYTES_MAX + 1], 413, "payload_too_large", "16777216"),
        ("events", JSON, one_large_event.into(), 413, "payload_too_large", "16777216"),
    ])
    .await;
}

#[tokio::test]
async fn a_request_that_can_be_read_is_taken() {
    let house = House::new();
    let twice = [gzip(b"[{\"a\":1},"), gzip(b"{\"a\":2}]")].concat();
    let (full, spaces) = (format!("[{}{{}}]", "{},".repeat(REQUEST_EVENTS_MAX - 1)), " ".repeat(1 << 20));
    let cases: Vec<(&str, Headers<'_>, Vec<u8>, &str, u64)> = vec![
        ("events", &[], GOOD.into(), "durable", 1),
        ("events", JSON, GOOD.into(), "durable", 1),
        ("events", &[("content-type", "Application/JSON; charset=utf-8")], GOOD.into(), "durable", 1),
        ("events", JSON, b" [ {} , {\"a\": [1, 2]} ] \n".to_vec(), "durable", 2),
        ("events", NDJSON, b"{}\n\n  \r\n{}\r\n {} ".to_vec(), "durable", 3),
        ("events", &[("content-type", "application/ndjson")], b"{}\n{}\n".to_vec(), "durable", 2),
        ("events", &[("content-type", "application/jsonl")], b"{}".to_vec(), "durable", 1),
        ("events", GZIP, gzip(GOOD.as_bytes()), "durable", 1),
        ("events", &[("content-encoding", "GZIP")], twice, "durable", 2),
        ("events", ZSTD, zstd(GOOD.as_bytes()), "durable", 1),
        ("events", ZSTD, [zstd(b"[{},"), zstd(b"{}]")].concat(), "durable", 2),
        ("events", &[("content-encoding", "identity")], GOOD.into(), "durable", 1),
        ("events?ack=durable", JSON, GOOD.into(), "durable", 1),
        ("events?other=1&ack=memory", JSON, GOOD.into(), "memory", 1),
        ("events", JSON, full.into(), "durable", REQUEST_EVENTS_MAX as u64),
        // A small body that grows much is fine as long as it stays small.
        ("events", GZIP, gzip(format!("{{}}{}", &spaces[..spaces.len() - 2]).as_bytes()), "durable", 1),
    ];
    let mut sent = 0;
    for (stream, headers, body, ack, count) in cases {
        let what = format!("{stream} {headers:?}");
        let answer = house.post_with(stream, headers, body).await;
        assert_eq!((answer.status, answer.body["ack"].as_str()), (ACCEPTED, Some(ack)), "{what}: {}", answer.body);
        assert_eq!((answer.count("accepted_count"), answer.count("rejected_count")), (count, 0), "{what}");
        sent += count;
    }
    // What was answered from memory is on disk once a later one is answered as durable.
    house.post("events", GOOD).await;
    assert_eq!(house.count("events") as u64, sent + 1);
    assert_eq!(house.intake.stats().accepted(), sent + 1);
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together_and_bounded() {
    let house = House::new();
    let pieces = |count: usize| {
        let pieces = (0..count).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 << 10]));
        Body::from_stream(stream_of(pieces.chain([Ok(b"{\"a\":".to_vec()), Ok(Vec::new()), Ok(b"1}".to_vec())])))
    };
    let answer = house.post("events", pieces(3)).await;
    assert_eq!(answer.status, ACCEPTED, "{}", answer.body);
    let too_many = house.post("events", pieces(BODY_BYTES_MAX / (64 << 10))).await;
    check(&too_many, "chunked", 413, "payload_too_large", "16777216");
    let broken = [Ok(b"{\"a\"".to_vec()), Err(std::io::Error::other("reset"))];
    check(
        &house.post("events", Body::from_stream(stream_of(broken))).await,
        "reset",
        400,
        "incomplete_body",
        "broke off",
    );
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_the_body_is_read() {
    let house = House::new();
    let unread = std::iter::from_fn(|| -> Option<Result<Vec<u8>, std::io::Error>> { panic!("the body was read") });
    let length = (BODY_BYTES_MAX + 1).to_string();
    let answer = house.post_with("events", &[("content-length", &length)], Body::from_stream(stream_of(unread))).await;
    check(&answer, "declared", 413, "payload_too_large", "16777216");
}

#[tokio::test]
async fn a_log_that_does_not_write_is_told_with_retry_after() {
    let house = House::new();
    house.disk.limit_room(Some(0));
    let full = house.post("events", GOOD).await;
    check(&full, "full", 503, "disk_full", "nothing was taken");
    assert!(full.headers.contains_key("retry-after"));
    house.disk.limit_room(None);
    assert_eq!(house.post("events", GOOD).await.status, ACCEPTED, "room again");

    house.disk.fail_sync_after(Some(0));
    for _ in 0..2 {
        let poisoned = house.post("events", GOOD).await;
        check(&poisoned, "poisoned", 503, "log_poisoned", "stopped writing");
        assert!(poisoned.headers.contains_key("retry-after"));
    }
    let house = House::new();
    house.log.close();
    let closed = house.post("events", GOOD).await;
    check(&closed, "closed", 503, "shutting_down", "closed");
    assert!(closed.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_share_a_budget_and_give_it_back() {
    use futures_util::StreamExt;
    let house = std::sync::Arc::new(House::new());
    let (reached, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let slow = |reached: tokio::sync::mpsc::UnboundedSender<()>| {
        let piece = bytes::Bytes::from(vec![b' '; BODY_BYTES_MAX / 16]);
        let pieces = (0..16).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
        // It is asked for more once all before is taken, and then never says more.
        let stalled = futures_util::stream::once(async move {
            let _ = reached.send(());
            std::future::pending().await
        });
        Body::from_stream(stream_of(pieces).chain(stalled))
    };
    let clients: Vec<_> = (0..event::limits::BODIES_BYTES_MAX / BODY_BYTES_MAX)
        .map(|_| {
            let (house, body) = (house.clone(), slow(reached.clone()));
            tokio::spawn(async move { house.post("events", body).await.status })
        })
        .collect();
    for _ in &clients {
        arrivals.recv().await;
    }
    let pieces = || Body::from_stream(stream_of([Ok::<_, std::io::Error>("{\"a\":"), Ok("1}")]));
    let answer = house.post("events", pieces()).await;
    check(&answer, "over budget", 429, "overloaded", "try again soon");
    assert_eq!(answer.headers["retry-after"], "1");
    check(&house.post_with("events", GZIP, gzip(GOOD.as_bytes())).await, "over budget", 429, "overloaded", "memory");
    assert_eq!(house.post("events", GOOD).await.status, ACCEPTED, "a small one goes on");
    for client in clients {
        client.abort();
        assert!(client.await.is_err());
    }
    assert_eq!(house.post("events", pieces()).await.status, ACCEPTED);
}

/// A stream of ready pieces.
fn stream_of<T>(pieces: impl IntoIterator<Item = T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::iter(pieces)
}
