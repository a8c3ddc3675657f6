//! The key that a request brings: `Authorization: Bearer`, `X-API-Key`, or the user name of `Authorization: Basic`, as
//! Segment's clients send their write key.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    Nothing,
    Key(Vec<u8>),
    /// Something that cannot be read as a key, with what was expected.
    Unreadable(&'static str),
}

/// Reads it. A key in both headers must be the same one: which of two was meant is not guessed.
pub(super) fn presented(headers: &HeaderMap) -> Presented {
    let mut found: Option<Vec<u8>> = None;
    let keys = headers.get_all(X_API_KEY).iter().map(|value| Ok(value.as_bytes().trim_ascii().to_vec()));
    for key in keys.chain(headers.get_all(header::AUTHORIZATION).iter().map(|value| authorization(value.as_bytes()))) {
        match (key, &found) {
            (Err(message), _) => return Presented::Unreadable(message),
            (Ok(key), Some(before)) if key != *before => return Presented::Unreadable("the request brings two keys"),
            (Ok(key), _) => found = Some(key),
        }
    }
    found.filter(|key| !key.is_empty()).map_or(Presented::Nothing, Presented::Key)
}

fn authorization(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let value = value.trim_ascii();
    let space = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err("expected `Authorization: Bearer <key>`");
    }
    let mut pair = BASE64_STANDARD.decode(rest).map_err(|_| "`Authorization: Basic` is not base64")?;
    let user = pair.iter().position(|byte| *byte == b':').ok_or("`Authorization: Basic` has no `:`")?;
    pair.truncate(user);
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: &Presented) {
        let pairs = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        assert_eq!(presented(&pairs.collect()), *expected, "{headers:?}");
    }

    #[test]
    fn a_key_is_read_from_where_clients_put_it() {
        let key = || Presented::Key(b"k-1".to_vec());
        check(&[], &Presented::Nothing);
        check(&[("x-api-key", " k-1 ")], &key());
        check(&[("authorization", "Bearer k-1")], &key());
        check(&[("authorization", "bearer   k-1")], &key());
        check(&[("authorization", "Basic ay0xOg==")], &key());
        check(&[("authorization", "Basic ay0xOnBhc3N3b3Jk")], &key());
        check(&[("authorization", "Bearer k-1"), ("x-api-key", "k-1")], &key());
        check(&[("x-api-key", "")], &Presented::Nothing);
        check(&[("authorization", "Bearer ")], &Presented::Nothing);
    }

    #[test]
    fn what_is_no_key_is_told() {
        check(
            &[("authorization", "Bearer k-1"), ("x-api-key", "k-2")],
            &Presented::Unreadable("the request brings two keys"),
        );
        check(&[("authorization", "Digest x")], &Presented::Unreadable("expected `Authorization: Bearer <key>`"));
        check(&[("authorization", "Basic ???")], &Presented::Unreadable("`Authorization: Basic` is not base64"));
        check(&[("authorization", "Basic ay0x")], &Presented::Unreadable("`Authorization: Basic` has no `:`"));
    }
}
