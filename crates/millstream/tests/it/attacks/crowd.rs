//! More connections than anybody needs, doing nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Memory, others_are_served};
use crate::product::{Product, folder};

/// What an idle connection may cost: two buffers of the HTTP library, of 8 and 16 KiB, and its state.
const IDLE_KIB_MAX: u64 = 32;
/// Files that a process may have open that was given few.
const FILES: u32 = 1_000;
/// What the tests beside this one need.
const DESCRIPTORS_KEPT: u64 = 1_000;

/// As many connections as the system lets one process have, up to this.
#[expect(clippy::print_stdout, reason = "what a test leaves out, it says")]
fn as_many_as(wanted: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(wanted + DESCRIPTORS_KEPT);
    if limit.current.is_some_and(|current| current < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
    }
    let count = wanted.min(most.saturating_sub(DESCRIPTORS_KEPT));
    if count < wanted {
        println!("only {count} connections of {wanted}: the limit of open files is {most}");
    }
    usize::try_from(count).unwrap()
}

/// A connection that is kept alive after a request.
struct Idle(TcpStream);

impl Idle {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut idle = Self(stream);
        assert!(idle.serves());
        idle
    }

    fn serves(&mut self) -> bool {
        if self.0.write_all(b"GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n").is_err() {
            return false;
        }
        let (mut answer, mut piece) = (Vec::new(), [0; 1_024]);
        // A small answer in one piece, or nearly; its JSON ends with a brace.
        while !answer.ends_with(b"}") {
            match self.0.read(&mut piece) {
                Ok(read) if read > 0 => answer.extend_from_slice(&piece[..read]),
                _ => return false,
            }
        }
        answer.starts_with(b"HTTP/1.1 404")
    }
}

fn crowd(product: &Product, count: usize) -> Vec<Idle> {
    let address = product.clients.trim_start_matches("http://");
    (0..count).map(|_| Idle::open(address)).collect()
}

#[test]
fn ten_thousand_idle_connections_lock_nobody_out() {
    let dir = folder();
    let count = as_many_as(10_000);
    let product = Product::start(dir.path(), &[]);
    let memory = Memory::of(&product);
    let mut crowd = crowd(&product, count);
    for _ in 0..10 {
        others_are_served(&product);
    }
    let grown = memory.grew_less_than(&product, IDLE_KIB_MAX * count as u64 + (8 << 10));
    println!("{count} idle connections cost {} bytes each", (grown << 10) / count as u64);
    assert!(crowd.iter_mut().step_by(100).all(Idle::serves), "there is room for all of them");
    drop(crowd);
    product.stop();
}

#[test]
fn where_places_are_few_idle_connections_make_room() {
    let dir = folder();
    let count = as_many_as(1_500);
    let product = Product::start_with_files(dir.path(), FILES);
    let memory = Memory::of(&product);
    let mut crowd = crowd(&product, count);
    others_are_served(&product);
    assert!(crowd.last_mut().unwrap().serves(), "the newest has its place");
    let served = crowd.iter_mut().filter_map(|idle| idle.serves().then_some(())).count();
    assert!((FILES as usize / 8..FILES as usize).contains(&served), "{served} of {count} have a place");
    memory.grew_less_than(&product, IDLE_KIB_MAX * count as u64);
    product.stop();
}
