//! Clients that send until every request is answered, whatever happens to the server: what was not acknowledged goes out
//! again, with the same ids.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use log::{Clock, SystemClock};

use super::generate::Signal;
use crate::http;

/// Connections; a user's signals go over one of them, so that they arrive in order.
const CLIENTS: usize = 4;
/// Signals in a request.
const BATCH: usize = 500;
/// How many signals of the request before are sent once more, as by a client that is not sure.
const REPEATED: usize = 7;
/// The pause before something is sent again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a request is sent again before the server is taken for lost.
const PATIENCE: Duration = Duration::from_secs(180);

/// Sends all signals to the stream `signals` at this address. `acknowledged` grows with every answer.
pub(crate) fn send(address: &str, signals: &[Signal], acknowledged: &AtomicUsize) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mine: Vec<_> = signals.iter().filter(|signal| signal.user as usize % CLIENTS == client).collect();
                let url = format!("{address}/v1/streams/signals/events");
                for at in (0..mine.len()).step_by(BATCH) {
                    let batch = &mine[at.saturating_sub(REPEATED)..mine.len().min(at + BATCH)];
                    let mut body = String::with_capacity(batch.len() * 300);
                    batch.iter().for_each(|signal| signal.write(&mut body));
                    post_until_answered(&url, body.as_bytes(), batch.len());
                    acknowledged.fetch_add(mine.len().min(at + BATCH) - at, Relaxed);
                }
            });
        }
    });
}

/// Posts NDJSON until it is taken. All of it must be: new, or known from an earlier try.
pub(crate) fn post_until_answered(url: &str, body: &[u8], events: usize) {
    let clock = SystemClock::default();
    let began = clock.elapsed();
    loop {
        let answer = http::exchange(url, "POST", &[("content-type", "application/x-ndjson")], body);
        match answer {
            Ok(answer) if matches!(answer.status, 200 | 202) => {
                let answer = answer.json();
                let count = |name: &str| answer[name].as_u64().expect("a count") as usize;
                assert_eq!(count("accepted_count") + count("duplicate_count"), events, "{answer}");
                return;
            }
            // It is away, or told us to come back later.
            Err(_) => {}
            Ok(answer) if matches!(answer.status, 0 | 429 | 503) => {}
            Ok(answer) => panic!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
        }
        assert!(clock.elapsed() < began + PATIENCE, "{url} took nothing in {PATIENCE:?}");
        clock.sleep(PAUSE);
    }
}
