//! How slow a body may come: a sender that drips holds a connection, and the memory of what it sent.

use std::time::Duration;

use api::ApiError;
use axum::http::StatusCode;
use tokio::time::{Instant, timeout_at};

/// The longest wait for a byte.
const WAIT: Duration = Duration::from_secs(10);
/// Bytes a second that a body must bring in the long run: a modem is faster.
const BYTES_PER_SECOND: f64 = 1_024.0;
/// How far ahead of its pace a body can be: what came fast does not buy hours of dripping.
const AHEAD: Duration = Duration::from_secs(20);

/// The time that is left for one body.
#[derive(Debug)]
pub(crate) struct Pace {
    until: Instant,
}

impl Pace {
    /// Begins with the first wait.
    pub(crate) fn new() -> Self {
        Self { until: Instant::now() + WAIT }
    }

    /// Waits for the next piece, and no longer than its sender may take for it.
    pub(crate) async fn wait<T>(&self, piece: impl Future<Output = T>) -> Result<T, ApiError> {
        let until = self.until.min(Instant::now() + WAIT);
        timeout_at(until, piece).await.map_err(|_| {
            let message =
                "the body came too slowly: no byte for 10 seconds, or less than 1 KiB a second; send it again";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
        })
    }

    /// Bytes came.
    pub(crate) fn came(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        self.until = (self.until + earned).min(Instant::now() + AHEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends pieces of a size at an interval, for at most an hour; gives the seconds after which it was cut off.
    async fn cut_after(pieces: &[usize], every_s: u64) -> Option<u64> {
        let (began, mut pace) = (Instant::now(), Pace::new());
        for bytes in pieces.iter().cycle() {
            let piece = async {
                #[expect(clippy::disallowed_methods, reason = "the time of a test is not real")]
                tokio::time::sleep(Duration::from_secs(every_s)).await;
            };
            if pace.wait(piece).await.is_err() {
                return Some(began.elapsed().as_secs());
            }
            pace.came(*bytes);
            if began.elapsed() > Duration::from_secs(3_600) {
                return None;
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_cut_off_and_a_slow_one_is_not() {
        for (pieces, every_s, cut) in [
            (&[1][..], 11, Some(10)),
            (&[1], 9, Some(10)),
            (&[1], 1, Some(10)),
            (&[900], 1, Some(75)),
            (&[1_024], 1, None),
            (&[9 << 10], 9, None),
            // Fast once, then dripping.
            (&[16 << 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 1, Some(21)),
        ] {
            let found = cut_after(pieces, every_s).await;
            assert_eq!(found, cut, "pieces of {pieces:?} bytes every {every_s} s");
        }
    }
}
