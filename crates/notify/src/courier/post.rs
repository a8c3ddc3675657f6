//! One POST to a target, and what its answer means.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use log::Clock;
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Bytes of an answer that are read, so that its connection can be used again; they are not looked at.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long the rest of an answer may take, once its status is there: then its connection is given up.
const ANSWER_REST: Duration = Duration::from_secs(1);
/// How long a connection without use is kept open.
const IDLE: Duration = Duration::from_secs(30);

/// What a try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Delivered,
    /// It does not want it, now or later: why.
    Refused(String),
    /// Not now: why, and after how many milliseconds it asks to be tried again.
    Later(String, Option<u64>),
}

/// A client for all targets; copies share its connections.
#[derive(Clone)]
pub(super) struct Post {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    within: Duration,
}

impl Post {
    pub(super) fn new(within: Duration) -> Self {
        let tls = HttpsConnectorBuilder::new().with_native_roots().unwrap_or_else(|error| {
            tracing::warn!(%error, "this system has no certificates to trust: only targets with http:// can be reached");
            let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
            HttpsConnectorBuilder::new().with_tls_config(nobody.with_no_client_auth())
        });
        let connector = tls.https_or_http().enable_http1().build();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(1);
        Self { client: builder.build(connector), within }
    }

    /// Sends a request and judges it by the status that comes within the time given. Redirects are not followed: a signed
    /// body is for the one address that it was signed for.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>, clock: &dyn Clock) -> Answer {
        match timeout(self.within, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                // It says nothing more: what is long or slow costs the connection, nothing else.
                let rest = Limited::new(body, ANSWER_BYTES_MAX).collect();
                let _ = timeout(self.within.min(ANSWER_REST), rest).await;
                judge(head.status, retry_after_ms(&head.headers, clock.now()))
            }
            Ok(Err(error)) => Answer::Later(format!("it cannot be reached: {}", root(&error)), None),
            Err(_) => Answer::Later(format!("no answer within {} s", self.within.as_secs_f64()), None),
        }
    }
}

/// The innermost reason; those around it say little, and may name the address.
fn root(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn judge(status: StatusCode, after_ms: Option<u64>) -> Answer {
    let found = || format!("it answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Answer::Delivered,
        410 => Answer::Refused("it answered 410: it is gone".to_owned()),
        // This body will never do.
        400 | 413 | 422 => Answer::Refused(found()),
        // The rest may be put right at the receiver's side: its secret, its path, its load.
        _ => Answer::Later(found(), after_ms),
    }
}

/// `Retry-After` as seconds, or as a time.
fn retry_after_ms(headers: &HeaderMap, now: i64) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((at.as_millis() as i64).saturating_sub(now).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_another_try_can_help() {
        for (status, expected) in [
            (200, "delivered"),
            (204, "delivered"),
            (299, "delivered"),
            (302, "later"),
            (400, "refused"),
            (401, "later"),
            (403, "later"),
            (404, "later"),
            (405, "later"),
            (408, "later"),
            (410, "refused"),
            (413, "refused"),
            (422, "refused"),
            (425, "later"),
            (429, "later"),
            (500, "later"),
            (503, "later"),
        ] {
            let found = match judge(StatusCode::from_u16(status).unwrap(), Some(7)) {
                Answer::Delivered => "delivered",
                Answer::Refused(_) => "refused",
                Answer::Later(_, after) => {
                    assert_eq!(after, Some(7));
                    "later"
                }
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let now = 1_764_000_000_000;
        for (value, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Mon, 24 Nov 2025 16:00:30 GMT", Some(30_000)),
            ("Mon, 24 Nov 2025 15:00:00 GMT", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after_ms(&headers, now), expected, "{value}");
        }
        assert_eq!(retry_after_ms(&HeaderMap::new(), now), None);
    }
}
