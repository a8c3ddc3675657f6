//! Attacks against the real binary as it is delivered: who attacks gets nowhere, memory stays bounded, and everybody else
//! is served meanwhile. The same against short time-outs: `src/server/tests`.

mod bodies;
mod crowd;
mod heads;
mod slow;

use std::time::Duration;

use log::{Clock, SystemClock};

use crate::http;
use crate::product::Product;

/// Events of a normal batch.
const BATCH: usize = 100;
/// How long a normal batch may take under attack; the tests of this machine run beside it.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// Posts a normal batch as somebody else: it is taken, and soon.
#[track_caller]
fn others_are_served(product: &Product) {
    let event = r#"{"user_id":1,"type":"click","timestamp":1,"payload":{}}"#;
    let body = format!("{event}\n").repeat(BATCH);
    let clock = SystemClock::default();
    let answer = http::post(&product.url("/v1/streams/signals/events"), "application/x-ndjson", body.as_bytes());
    let took = clock.elapsed();
    assert_eq!(answer.expect(202).json()["accepted_count"], BATCH);
    assert!(took < SERVED_WITHIN, "a batch took {took:?}");
}

/// The memory of a product before an attack.
struct Memory {
    before_kib: u64,
}

impl Memory {
    /// Measures it once the product is warm.
    fn of(product: &Product) -> Self {
        others_are_served(product);
        product.caught_up();
        Self { before_kib: product.resident_kib() }
    }

    /// Fails when an attack cost more than this.
    #[track_caller]
    fn grew_less_than(&self, product: &Product, kib: u64) -> u64 {
        let grown = product.resident_kib().saturating_sub(self.before_kib);
        assert!(grown < kib, "memory grew by {grown} KiB");
        grown
    }
}
