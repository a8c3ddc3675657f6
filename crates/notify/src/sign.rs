//! Signatures as Standard Webhooks has them: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Secret;

/// The header `webhook-signature`: a signature for each secret, with spaces between, so that a receiver may go over from
/// an old secret to a new one at any time while both are configured.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let each = secrets.iter().map(|secret| signature(secret, id, timestamp_s, body));
    each.collect::<Vec<_>>().join(" ")
}

fn signature(secret: &Secret, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("any length");
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the specification's own libraries test themselves with.
    #[test]
    fn the_published_vector_holds_and_each_secret_signs() {
        let secret = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let other = Secret::parse("another secret of ours").unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
        let one = signatures(std::slice::from_ref(&secret), id, 1_649_367_553, body);
        assert_eq!(one, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        let both = signatures(&[other, secret], id, 1_649_367_553, body);
        assert_eq!(both.split(' ').nth(1), Some(one.as_str()));
        assert_eq!(both.split(' ').count(), 2);
    }
}
