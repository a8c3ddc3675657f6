//! Heads that are too long, too many, or never end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Memory, others_are_served};
use crate::product::{Product, folder};

/// What a flood of heads may cost: some buffers, and what the allocator keeps.
const GROWTH_KIB_MAX: u64 = 24 << 10;

/// Sends bytes until the server has enough of them; gives the status it answers with, 0 for none.
fn attack(product: &Product, begin: &[u8], flood: impl Iterator<Item = Vec<u8>>) -> u16 {
    let mut stream = TcpStream::connect(product.clients.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    let sent = stream.write_all(begin).and_then(|()| flood.into_iter().try_for_each(|piece| stream.write_all(&piece)));
    assert_ne!(sent.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "it neither reads nor closes");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert_ne!(read.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "it neither answers nor closes");
    String::from_utf8_lossy(&answer).get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn a_flood_of_headers_is_refused() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let memory = Memory::of(&product);
    let get = b"GET /health HTTP/1.1\r\nhost: h\r\n";
    let many = |n: usize| (0..n).map(|i| format!("x-{i}: y\r\n").into_bytes());
    let long = |bytes: usize| std::iter::repeat_n(vec![b'x'; 1 << 10], bytes >> 10);
    for _ in 0..10 {
        for (what, status) in [
            ("100 000 headers", attack(&product, get, many(100_000))),
            ("headers for ever", attack(&product, get, many(usize::MAX))),
            ("a header of 1 MiB", attack(&product, b"GET /health HTTP/1.1\r\nx: ", long(1 << 20))),
            ("a path of 1 MiB", attack(&product, b"GET /", long(1 << 20))),
            ("a method of 1 MiB", attack(&product, b"", long(1 << 20))),
        ] {
            // Where more is on the way than the server reads, the system throws its answer away.
            assert!([0, 400, 414, 431].contains(&status), "{what}: {status}");
        }
    }
    // Small enough to be sent before the server hangs up, so that its answer comes through.
    let headers = many(200).chain([b"\r\n".to_vec()]);
    assert_eq!(attack(&product, get, headers), 431);
    others_are_served(&product);
    memory.grew_less_than(&product, GROWTH_KIB_MAX);
    product.stop();
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn floods_of_http2_frames_are_cut_off() {
    let [headers, reset, settings, ping, continuation] = [1, 3, 4, 6, 9];
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let memory = Memory::of(&product);
    let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    begin.extend(frame(settings, 0, 0, &[]));
    // `GET http://h/` by the static table of HPACK.
    let get = [0x82, 0x86, 0x84, 0x41, 1, b'h'];
    let resets = (0..u32::MAX / 2).map(|n| {
        let mut pair = frame(headers, 0x5, 2 * n + 1, &get);
        pair.extend(frame(reset, 0, 2 * n + 1, &8_u32.to_be_bytes()));
        pair
    });
    attack(&product, &begin, resets);
    others_are_served(&product);
    // A head of one request that never ends.
    let more = std::iter::repeat_with(|| frame(continuation, 0, 1, &[0x82; 1_000]));
    attack(&product, &begin, std::iter::once(frame(headers, 0x1, 1, &get)).chain(more));
    others_are_served(&product);
    // Pings are answered, and nobody reads the answers.
    let pings = std::iter::repeat_with(|| frame(ping, 0, 0, &[0; 8])).take(1_000_000);
    let mut stream = TcpStream::connect(product.clients.trim_start_matches("http://")).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    drop(stream.write_all(&begin).and_then(|()| pings.into_iter().try_for_each(|ping| stream.write_all(&ping))));
    others_are_served(&product);
    memory.grew_less_than(&product, GROWTH_KIB_MAX);
    drop(stream);
    product.stop();
}
