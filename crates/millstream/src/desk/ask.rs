//! What requests ask for, read strictly: an unknown or repeated parameter, or a value out of range, is refused by name.

use std::convert::Infallible;

use api::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use event::{Catalog, LetterStatus, Millis, Stage, limits};
use serde_json::{Value, json};
use store::query::DeadLetterQuery;

/// The query parameters of a request, in order, percent-decoded.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Pairs of strings can be read from any query string, so there is nothing to reject here.
        Ok(Self(Query::try_from_uri(&parts.uri).map(|Query(pairs)| pairs).unwrap_or_default()))
    }
}

impl Params {
    /// Refuses what is not in the list, and what is there twice.
    pub(super) fn only(&self, known: &[&'static str]) -> Result<(), ApiError> {
        for (i, (name, value)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(64).collect();
                let message = format!("parameter `{name}` is not known here; known: {}", known.join(", "));
                return Err(ApiError::unprocessable("unknown_parameter", message));
            }
            if self.0[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(refuse(name, value, "it once, not twice"));
            }
        }
        Ok(())
    }

    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &'static str, max: usize, default: usize) -> Result<usize, ApiError> {
        let Some(value) = self.raw(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|n| (1..=max).contains(n));
        number.ok_or_else(|| refuse(name, value, &format!("a whole number from 1 to {max}")))
    }
}

/// A parameter or a field with a value that cannot be.
pub(super) fn refuse(name: &str, found: &str, expected: &str) -> ApiError {
    let found: String = found.chars().take(64).collect();
    let message = format!("parameter `{name}` is `{found}`; expected {expected}");
    let details = json!({ "parameter": name, "found": found, "expected": expected });
    ApiError::unprocessable("invalid_parameter", message).with_details(details)
}

/// Which letters, as words.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter<'a> {
    pub(super) stream: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) stage: Option<&'a str>,
    pub(super) status: Option<&'a str>,
    pub(super) from: Option<Millis>,
    pub(super) to: Option<Millis>,
}

impl Filter<'_> {
    /// Of these letters, those that the caller sees.
    pub(super) fn query(self, catalog: &Catalog, tenant: Option<&str>) -> Result<DeadLetterQuery, ApiError> {
        let one_of = |words: &[&str]| format!("one of {}", words.join(", "));
        let stage = self.stage.map(|word| {
            Stage::parse(word).ok_or_else(|| refuse("stage", word, &one_of(&Stage::ALL.map(Stage::as_str))))
        });
        let status = self.status.map(|word| {
            let words = LetterStatus::ALL.map(LetterStatus::as_str);
            LetterStatus::parse(word).ok_or_else(|| refuse("status", word, &one_of(&words)))
        });
        if let Some(code) = self.code.filter(|code| code.is_empty() || code.len() > limits::KEY_BYTES_MAX) {
            return Err(refuse("code", code, &format!("a word of 1 to {} bytes", limits::KEY_BYTES_MAX)));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(refuse("from", &from.to_string(), &format!("a time not after `to` ({to})")));
        }
        if let Some(name) = self.stream {
            stream(catalog, name)?;
        }
        Ok(DeadLetterQuery {
            tenant: tenant.map(str::to_owned),
            stream: self.stream.map(str::to_owned),
            code: self.code.map(str::to_owned),
            stage: stage.transpose()?,
            status: status.transpose()?,
            from: self.from,
            to: self.to,
            ..DeadLetterQuery::default()
        })
    }
}

/// Refuses a name that is no stream's, or an internal one's.
pub(super) fn stream(catalog: &Catalog, name: &str) -> Result<(), ApiError> {
    let known: Vec<&str> = catalog.iter().map(|(_, s)| s.name.as_str()).filter(|n| !n.starts_with('_')).collect();
    if known.contains(&name) {
        return Ok(());
    }
    let name: String = name.chars().take(64).collect();
    Err(ApiError::not_found("unknown_stream", format!("there is no stream `{name}`; known: {}", known.join(", "))))
}

/// A time as text: RFC 3339, or milliseconds since the epoch.
pub(super) fn time(name: &str, text: &str) -> Result<Millis, ApiError> {
    let expected = "milliseconds since the epoch, or RFC 3339 as 2026-11-20T10:00:00Z (a `+` is written %2B in a URL)";
    api::time::from_text(text).ok_or_else(|| refuse(name, text, expected))
}

/// A time in a body: a text as above, or a number.
pub(super) fn time_in(name: &str, value: &Value) -> Result<Option<Millis>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => time(name, text).map(Some),
        other => match other.as_i64() {
            Some(ms) => Ok(Some(ms)),
            None => Err(refuse(name, &other.to_string(), "milliseconds since the epoch, or RFC 3339")),
        },
    }
}

/// A body that is JSON.
pub(super) fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    body.map(|Json(body)| body).map_err(|rejection| match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let message = "content-type is not supported; send application/json";
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
        }
        StatusCode::BAD_REQUEST => ApiError::bad_request("invalid_json", rejection.body_text()),
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(rejection.body_text()),
        _ => ApiError::unprocessable("invalid_body", rejection.body_text()),
    })
}
