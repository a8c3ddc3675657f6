//! Clients that are slow on purpose, against the time-outs as delivered: this takes twelve seconds.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use log::{Clock, SystemClock};

use super::{Memory, others_are_served};
use crate::product::{Product, folder};

/// How often each slow client sends a little.
const DRIP_EVERY: Duration = Duration::from_millis(500);
/// Nobody is cut off before its time, and nobody long after; the tests of this machine run beside it.
const CUT_AFTER: Duration = Duration::from_millis(9_900);
const CUT_WITHIN: Duration = Duration::from_secs(25);
/// What all of them may cost.
const GROWTH_KIB_MAX: u64 = 48 << 10;

/// One slow client.
struct Slow {
    stream: TcpStream,
    drip: &'static [u8],
    answer: Vec<u8>,
    cut: Option<Duration>,
}

impl Slow {
    fn new(product: &Product, begin: &str, drip: &'static str) -> Self {
        let mut stream = TcpStream::connect(product.clients.trim_start_matches("http://")).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, drip: drip.as_bytes(), answer: Vec::new(), cut: None }
    }

    /// Sends a little, unless it is cut off already.
    fn drip(&mut self, now: Duration) {
        let mut piece = [0; 4_096];
        while self.cut.is_none() {
            match self.stream.read(&mut piece) {
                Ok(read) if read > 0 => self.answer.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => self.cut = Some(now),
            }
        }
        // A server that hung up is found at the next look.
        drop(self.stream.write(self.drip));
    }
}

#[test]
fn slow_clients_are_cut_off_and_others_are_served() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let memory = Memory::of(&product);
    let head = "POST /v1/streams/events/events HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n";
    let body = format!("{head}content-length: 100000\r\n\r\n{{");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n");
    let clock = SystemClock::default();
    let many = |count: usize, begin: &str, drip| -> Vec<Slow> {
        (0..count).map(|_| Slow::new(&product, begin, drip)).collect()
    };
    let mut heads = many(200, head, "x: y\r\n");
    let mut silent = many(20, "", "");
    let mut bodies = many(20, &body, " ");
    bodies.extend(many(20, &chunked, "1\r\n \r\n"));
    // Who asks and never reads is cut off later, and costs no more than its own buffers until then.
    let ask = "GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n".repeat(100);
    let deaf = many(10, &ask, "");

    while clock.elapsed() < CUT_WITHIN {
        let now = clock.elapsed();
        let all = heads.iter_mut().chain(&mut silent).chain(&mut bodies);
        let mut left = 0;
        for slow in all {
            slow.drip(now);
            left += usize::from(slow.cut.is_none());
        }
        others_are_served(&product);
        if left == 0 {
            break;
        }
        clock.sleep(DRIP_EVERY);
    }
    for (what, answered, clients) in [("heads", "", heads), ("silent", "", silent), ("bodies", "HTTP/1.1 408", bodies)]
    {
        for client in clients {
            let answer = String::from_utf8_lossy(&client.answer);
            assert!(client.cut.is_some_and(|cut| cut > CUT_AFTER), "{what}: {:?} {answer}", client.cut);
            assert!(answer.starts_with(answered) && answer.contains("request_timeout") != answered.is_empty());
        }
    }
    memory.grew_less_than(&product, GROWTH_KIB_MAX);
    drop(deaf);
    product.stop();
}
