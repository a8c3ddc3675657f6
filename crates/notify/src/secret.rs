//! What notifications are signed with: never shown, not in logs either.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What base64 secrets begin with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret: shorter ones can be guessed.
const BYTES_MIN: usize = 16;
/// Longer ones are a mistake.
const BYTES_MAX: usize = 1_024;

/// A secret that a target and we share.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// It begins like base64 and goes on like something else.
    #[error("after `whsec_` there must be base64")]
    NotBase64,
    /// Too few bytes, or too many.
    #[error("a secret has {BYTES_MIN} to {BYTES_MAX} bytes, found {0}")]
    Length(usize),
}

impl Secret {
    /// A secret as it is written down: base64 behind `whsec_`, or else the very bytes of the text.
    ///
    /// # Errors
    /// When it is neither, too short, or too long.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let bytes = match text.strip_prefix(PREFIX) {
            Some(code) => BASE64_STANDARD.decode(code).map_err(|_| BadSecret::NotBase64)?,
            None => text.as_bytes().to_vec(),
        };
        if (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(BadSecret::Length(bytes.len()))
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_base64_behind_its_prefix_or_the_text_itself() {
        let code = Secret::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
        assert_eq!(code, Secret::parse("0123456789abcdef").unwrap());
        for (bad, why) in [
            ("whsec_%%", BadSecret::NotBase64),
            ("whsec_", BadSecret::Length(0)),
            ("", BadSecret::Length(0)),
            ("0123456789abcde", BadSecret::Length(15)),
        ] {
            assert_eq!(Secret::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::parse("0123456789abcdef").unwrap()), "Secret(hidden)");
    }
}
