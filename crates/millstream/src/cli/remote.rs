//! A running server, asked by a verb.

use anyhow::Context;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use event::Millis;
use log::{Clock, SystemClock};
use serde_json::Value;

use crate::config::units;
use crate::emitter::{Client, Target};

/// Which server, and the key to show.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Server {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: String,
    /// A key that may do this, where keys are asked for.
    #[arg(long, env = "MILLSTREAM_KEY", hide_env_values = true)]
    key: Option<String>,
}

/// A connection to it.
pub(super) struct Remote {
    client: Client,
    url: String,
}

/// An answer that is an error: what a person reads, and what decides.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refused {
    pub(super) code: String,
    message: String,
}

impl Server {
    /// The server at a URL.
    pub(super) fn at(url: &str, key: Option<String>) -> Self {
        Self { url: url.to_owned(), key }
    }

    /// A connection that is opened with the first question.
    ///
    /// # Errors
    /// When the URL or the key cannot be used.
    pub(super) fn connect(&self) -> anyhow::Result<Remote> {
        let target = Target::parse(&self.url).and_then(|target| target.with_key(self.key.as_deref()));
        Ok(Remote { client: Client::new(target.map_err(anyhow::Error::msg)?), url: self.url.clone() })
    }
}

impl Remote {
    /// Asks; `body` is JSON, or the bytes of an event.
    ///
    /// # Errors
    /// When there is no answer; [`Refused`] when the answer is an error.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let url = &self.url;
        let answer = self.client.send(method, path, "application/json", body).await;
        let (status, body) =
            answer.with_context(|| format!("{url} does not answer; is `millstream serve` running?"))?;
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return json.with_context(|| format!("{url}{path} did not answer with JSON"));
        }
        let text = |name: &str| json.as_ref().and_then(|json| json[name].as_str()).map(str::to_owned);
        let hint = match status {
            StatusCode::UNAUTHORIZED => " (--key or MILLSTREAM_KEY)",
            _ => "",
        };
        let message = text("error_message").unwrap_or_else(|| format!("{url}{path} answered {status}"));
        Err(Refused { code: text("error_code").unwrap_or_default(), message: message + hint }.into())
    }

    /// Asks for something to look at.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for something to be done, with a JSON body.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body.to_string().into()).await
    }
}

/// A value for a URL: percent-encoded but for what never needs it.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// For clap: a time as a person gives it: RFC 3339, milliseconds since the epoch, or how long ago (`-1h`). Gives
/// milliseconds.
///
/// # Errors
/// A sentence that says what was expected.
pub(super) fn time(text: &str) -> Result<Millis, String> {
    time_at(text, SystemClock::default().now())
}

fn time_at(text: &str, now: Millis) -> Result<Millis, String> {
    // `-1h` and not `-1`: a number is a time of its own.
    let ago = text.strip_prefix('-').and_then(|ago| units::duration(ago).ok());
    let time = ago.map(|ago| now.saturating_sub(ago)).or_else(|| api::time::from_text(text));
    time.ok_or_else(|| {
        "expected a time such as 2026-11-20T10:00:00Z, milliseconds since the epoch, or how long ago, as -1h".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_give_them() {
        let now = 10_000_000;
        for (text, ms) in
            [("-1h", 6_400_000), ("-90s", 9_910_000), ("1000", 1_000), ("-5", -5), ("1970-01-01T00:00:01Z", 1_000)]
        {
            assert_eq!(time_at(text, now), Ok(ms), "{text}");
        }
        for bad in ["", "-", "yesterday", "1h", "-1 hour", "2026-13-01"] {
            assert!(time_at(bad, now).unwrap_err().contains("such as"), "{bad}");
        }
    }

    #[test]
    fn values_are_safe_in_a_url() {
        assert_eq!(encoded("signals-0-7"), "signals-0-7");
        assert_eq!(encoded("a b&c=\u{e4}+"), "a%20b%26c%3D%C3%A4%2B");
    }
}
